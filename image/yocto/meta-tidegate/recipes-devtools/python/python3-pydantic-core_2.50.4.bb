# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "Core functionality for Pydantic validation and serialization"
HOMEPAGE = "https://github.com/pydantic"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=ab599c188b4a314d2856b3a55030c75c"

SRC_URI[sha256sum] = "aead3b74b68396bf0feab5d57e050b730ded7df55853c1e048a87e00aaf033c6"

require ${BPN}-crates.inc

inherit pypi python_maturin

PYPI_PACKAGE = "pydantic_core"

PEP517_BUILD_OPTS = "--skip-dependency-check"

RDEPENDS:${PN} += "python3-typing-extensions"

# Its build strips what it links.
# nooelint: oelint.vars.insaneskip
INSANE_SKIP:${PN} += "already-stripped"

BBCLASSEXTEND = "native nativesdk"
