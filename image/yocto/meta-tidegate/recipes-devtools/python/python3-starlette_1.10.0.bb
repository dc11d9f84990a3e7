# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "The little ASGI library that shines"
HOMEPAGE = "https://github.com/Kludex/starlette"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSE.md;md5=11e8c8dbfd5fa373c703de492140ff7a"

SRC_URI[sha256sum] = "b8399098d4c1e3522734f7235dc79b1fc967f96cf139c81e0fa30479e0685f9b"

inherit pypi python_hatchling

RDEPENDS:${PN} += "\
    python3-anyio \
    python3-typing-extensions \
"

BBCLASSEXTEND = "native nativesdk"
