# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "Cryptographic recipes and primitives"
HOMEPAGE = "https://github.com/pyca/cryptography"
LICENSE = "Apache-2.0 | BSD-3-Clause"
LIC_FILES_CHKSUM = "\
    file://LICENSE;md5=8c3617db4fb6fae01f1d253ab91511e4 \
    file://LICENSE.APACHE;md5=4e168cce331e5c827d4c2b68a6200e1b \
    file://LICENSE.BSD;md5=5ae30ba4123bc4f2fa49aa0b0dce887b \
"

DEPENDS += "\
    openssl \
    python3-cffi-native \
    python3-setuptools-native \
"

SRC_URI[sha256sum] = "7b46165bb56eb4704e2eaaf86f3c940d19154535d9b0ca7d6d590b04060e00d5"

require ${BPN}-crates.inc

inherit pypi python_maturin pkgconfig

PEP517_BUILD_OPTS = "--skip-dependency-check"

# OpenSSL's legacy algorithms are a package of their own in OpenEmbedded, which nothing here needs.
export CRYPTOGRAPHY_BUILD_OPENSSL_NO_LEGACY = "1"

RDEPENDS:${PN} += "python3-cffi"

BBCLASSEXTEND = "native nativesdk"
