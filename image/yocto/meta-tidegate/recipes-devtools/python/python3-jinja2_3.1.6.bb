# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "A very fast and expressive template engine"
HOMEPAGE = "https://github.com/pallets/jinja/"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSE.txt;md5=5dc88300786f1c214c1e9827a5229462"

SRC_URI[sha256sum] = "0137fb05990d35f1275a587e9aee6d56da821fc83491a0fb838183be43f66d6d"

inherit pypi python_flit_core

RDEPENDS:${PN} += "python3-markupsafe"

BBCLASSEXTEND = "native nativesdk"
