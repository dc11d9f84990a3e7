# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "The lightning-fast ASGI server"
HOMEPAGE = "https://uvicorn.dev/"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSE.md;md5=5c778842f66a649636561c423c0eec2e"

SRC_URI[sha256sum] = "a2e33cbfaa0306f8e6b0c13e0cb89d7d7a2da3e62b90c66e18c33d9807b28620"

inherit pypi python_hatchling

RDEPENDS:${PN} += "\
    python3-click \
    python3-h11 \
"

BBCLASSEXTEND = "native nativesdk"
