# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "A hyper-fast Python module for computing CRC(8, 16, 32, 64) checksum"
HOMEPAGE = "https://github.com/overcat/fastcrc"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=9f98c306ca1909411a5a2c70a0e498b8"

SRC_URI[sha256sum] = "e02cdf379d7371f0bd9d7cac957c67f0696e62292d73eebe02ff6393eef05b50"

require ${BPN}-crates.inc

inherit pypi python_maturin

BBCLASSEXTEND = "native nativesdk"
