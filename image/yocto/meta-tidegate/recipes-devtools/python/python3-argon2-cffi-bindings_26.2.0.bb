# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "Low-level CFFI bindings for Argon2"
HOMEPAGE = "https://github.com/hynek/argon2-cffi-bindings"
LICENSE = "MIT & (CC0-1.0 | Apache-2.0)"
LIC_FILES_CHKSUM = "\
    file://LICENSE;md5=3ee3eeb863160c2e6cece695dc3bb188 \
    file://extras/libargon2/LICENSE;md5=97ba219b479900241a90026f4d22b403 \
"

DEPENDS += "\
    cmake-native \
    ninja-native \
    python3-scikit-build-core-native \
    python3-setuptools-scm-native \
"

SRC_URI[sha256sum] = "f21ab89bb9850f32b9ca038d9961424bb0d3669d579cbbbfed068cffa6fc0643"

inherit pypi python_pep517

PYPI_PACKAGE = "argon2_cffi_bindings"

PEP517_BUILD_OPTS = "\
    --skip-dependency-check \
    -Cminimum-version=0.12 \
    -Cwheel.py-api= \
"

# The release's scikit-build-core doesn't know the table that the version would come from.
do_configure:append() {
    sed -i 's/^dynamic = \["version"\]$/version = "${PV}"/' ${S}/pyproject.toml
}

RDEPENDS:${PN} += "python3-cffi"

BBCLASSEXTEND = "native nativesdk"
