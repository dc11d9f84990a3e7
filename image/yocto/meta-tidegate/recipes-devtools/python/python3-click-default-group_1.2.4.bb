# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "click_default_group"
HOMEPAGE = "https://github.com/click-contrib/click-default-group"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSE;md5=65eba42bf46c44352304fa7df67c632f"

SRC_URI[sha256sum] = "eb3f3c99ec0d456ca6cd2a7f08f7d4e91771bef51b01bdd9580cc6450fe1251e"

inherit pypi python_flit_core

PYPI_PACKAGE = "click_default_group"

RDEPENDS:${PN} += "python3-click"

BBCLASSEXTEND = "native nativesdk"
