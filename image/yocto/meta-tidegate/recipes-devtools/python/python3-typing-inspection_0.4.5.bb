# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "Runtime typing introspection tools"
HOMEPAGE = "https://github.com/pydantic/typing-inspection"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=dfe2d84c58973d6a532c4e7638dbb3d8"

SRC_URI[sha256sum] = "7f16c411e7930dc79596d42ab44672a3fe5f60eb34b781a1647e7872363120c7"

inherit pypi python_hatchling

PYPI_PACKAGE = "typing_inspection"

RDEPENDS:${PN} += "python3-typing-extensions"

BBCLASSEXTEND = "native nativesdk"
