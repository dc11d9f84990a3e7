# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "Argon2 for Python"
HOMEPAGE = "https://github.com/hynek/argon2-cffi"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=e91e96ef55f45fe9caf7fc3e73672c4b"

DEPENDS += "\
    python3-hatch-fancy-pypi-readme-native \
    python3-hatch-vcs-native \
"

SRC_URI[sha256sum] = "694ae5cc8a42f4c4e2bf2ca0e64e51e23a040c6a517a85074683d3959e1346c1"

inherit pypi python_hatchling

PYPI_PACKAGE = "argon2_cffi"

RDEPENDS:${PN} += "python3-argon2-cffi-bindings"

BBCLASSEXTEND = "native nativesdk"
