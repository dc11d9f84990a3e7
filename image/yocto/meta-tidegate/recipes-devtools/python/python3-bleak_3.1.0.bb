# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "Bluetooth Low Energy platform Agnostic Klient"
HOMEPAGE = "https://github.com/hbldh/bleak"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=bcbc2069a86cba1b5e47253679f66ed7"

DEPENDS += "python3-uv-build-native"

SRC_URI[sha256sum] = "e37fd30c4691c908d31c8b92ca55b92a22ab924a77c35579822c859042992145"

inherit pypi python_pep517

RDEPENDS:${PN} += "\
    python3-dbus-fast \
    python3-typing-extensions \
"

BBCLASSEXTEND = "native nativesdk"
