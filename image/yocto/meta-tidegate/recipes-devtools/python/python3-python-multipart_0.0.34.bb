# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "A streaming multipart parser for Python"
HOMEPAGE = "https://github.com/Kludex/python-multipart"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE.txt;md5=3b83ef96387f14655fc854ddc3c6bd57"

SRC_URI[sha256sum] = "b998ae90ca6e1e363261ce2e0e230281b8af53867b757970abd69ee9edcd843a"

inherit pypi python_hatchling

PYPI_PACKAGE = "python_multipart"

BBCLASSEXTEND = "native nativesdk"
