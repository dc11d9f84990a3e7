# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "A fully featured modbus protocol stack in python"
HOMEPAGE = "https://github.com/pymodbus-dev/pymodbus/"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSE;md5=12a490c6cffa2e76a6df8aa1fa29e183"

SRC_URI[sha256sum] = "19e571826dff37860afc31c845c1fd2fb72acffca02a233506b32d94fa022c33"

inherit pypi python_setuptools_build_meta

BBCLASSEXTEND = "native nativesdk"
