# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "Foreign Function Interface for Python calling C code"
HOMEPAGE = "https://github.com/python-cffi/cffi"
LICENSE = "MIT-0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=c0158ab9b75875f3bb7fea081d388818"

DEPENDS += "libffi"

SRC_URI[sha256sum] = "dd31f52ea1086513bb9df30f8fcee9b8918323ae067a3d5b78bc826a000712be"

inherit pypi python_setuptools_build_meta pkgconfig

RDEPENDS:${PN} += "\
    python3-ctypes \
    python3-pycparser \
"

BBCLASSEXTEND = "native nativesdk"
