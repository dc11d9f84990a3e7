# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "A Python library to read/write Excel 2010 xlsx/xlsm files"
HOMEPAGE = "https://foss.heptapod.net/openpyxl/openpyxl"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENCE.rst;md5=71b3e4c71000cfd8494d1e8935cfab9c"

SRC_URI[sha256sum] = "cf0e3cf56142039133628b5acffe8ef0c12bc902d2aadd3e0fe5878dc08d1050"

inherit pypi setuptools3

RDEPENDS:${PN} += "python3-et-xmlfile"

BBCLASSEXTEND = "native nativesdk"
