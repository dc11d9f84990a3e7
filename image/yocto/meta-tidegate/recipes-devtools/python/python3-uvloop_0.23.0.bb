# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "Fast implementation of asyncio event loop on top of libuv"
HOMEPAGE = "https://github.com/MagicStack/uvloop"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "\
    file://LICENSE-APACHE;md5=bb92739ddad0a2811957bd98bdb90474 \
    file://LICENSE-MIT;md5=489c8bc34154e4b59f5c58e664f7d70f \
"

DEPENDS += "\
    libuv \
    python3-packaging-native \
"

SRC_URI[sha256sum] = "28d160f51ab4da3b187063652e643dea6831072add4adc1e6d62afbe73b6be27"

inherit pypi python_setuptools_build_meta cython

# The copy of libuv that it brings is configured for the machine that builds.
do_configure:append() {
    grep -q use_system_libuv ${S}/setup.cfg || printf '[build_ext]\nuse_system_libuv = 1\n' >> ${S}/setup.cfg
}

BBCLASSEXTEND = "native nativesdk"
