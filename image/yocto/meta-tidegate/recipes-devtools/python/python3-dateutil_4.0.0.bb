# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "Extensions to the standard Python datetime module"
HOMEPAGE = "https://github.com/dateutil/dateutil"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSE;md5=e3155c7bdc71f66e02678411d2abf996"

DEPENDS += "\
    python3-hatch-fancy-pypi-readme-native \
    python3-hatch-vcs-native \
"

SRC_URI[sha256sum] = "d7295ff14fdc0f92f662100bfb6c551d160ca090f2939f1ec5b9794265c03f06"

inherit pypi python_hatchling

PYPI_PACKAGE = "python_dateutil"

RDEPENDS:${PN} += "python3-tzdata"

RPROVIDES:${PN} += "python3-dateutil-zoneinfo"

BBCLASSEXTEND = "native nativesdk"
