# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "Data validation using Python type hints"
HOMEPAGE = "https://github.com/pydantic/pydantic"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=09280955509d1c4ca14bae02f21d49a6"

DEPENDS += "python3-hatch-fancy-pypi-readme-native"

SRC_URI[sha256sum] = "1054f237f4d4733e5a30e1e2333bd33a2004ab9ab1510bd053a9a31bb48e232d"

inherit pypi python_hatchling

RDEPENDS:${PN} += "\
    python3-annotated-types \
    python3-pydantic-core \
    python3-typing-extensions \
    python3-typing-inspection \
"

BBCLASSEXTEND = "native nativesdk"
