# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "High-level concurrency and networking framework on top of asyncio or Trio"
HOMEPAGE = "https://github.com/agronholm/anyio"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=c0a769411d2af7894099e8ff75058c9f"

DEPENDS += "python3-setuptools-scm-native"

SRC_URI[sha256sum] = "59bb03251907983d1603d27c3087ddb1e93299ea2163adcdba37899a4fb12ffb"

inherit pypi python_setuptools_build_meta

RDEPENDS:${PN} += "\
    python3-idna \
    python3-typing-extensions \
"

BBCLASSEXTEND = "native nativesdk"
