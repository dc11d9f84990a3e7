# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "A faster version of dbus-next"
HOMEPAGE = "https://github.com/bluetooth-devices/dbus-fast"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=729e372b5ea0168438e4fd4a00a04947"

DEPENDS += "\
    python3-setuptools-native \
    python3-wheel-native \
"

SRC_URI[sha256sum] = "a4a5dddc04b1ade5eb7650d791e2f6fb7c1334595593473914e78a2526ecddda"

inherit pypi python_poetry_core cython

PYPI_PACKAGE = "dbus_fast"

BBCLASSEXTEND = "native nativesdk"
