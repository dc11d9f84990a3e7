# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "An implementation of lxml.xmlfile for the standard library"
HOMEPAGE = "https://foss.heptapod.net/openpyxl/et_xmlfile"
LICENSE = "MIT & Python-2.0"
LIC_FILES_CHKSUM = "\
    file://LICENCE.python;md5=c83feb0c663a94d09b9cc7d89947df0c \
    file://LICENCE.rst;md5=71b3e4c71000cfd8494d1e8935cfab9c \
"

SRC_URI[sha256sum] = "dab3f4764309081ce75662649be815c4c9081e88f0837825f90fd28317d4da54"

inherit pypi setuptools3

PYPI_PACKAGE = "et_xmlfile"

BBCLASSEXTEND = "native nativesdk"
