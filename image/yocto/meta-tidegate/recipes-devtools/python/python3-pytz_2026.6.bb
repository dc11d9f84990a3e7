# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "World timezone definitions, modern and historical"
HOMEPAGE = "https://github.com/stub42/pytz.git"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE.txt;md5=1a67fc46c1b596cce5d21209bbe75999"

SRC_URI[sha256sum] = "3b0fc2727707663d6e517936f444fd8a8b240f1fc32f4bf7ee03274245945284"

inherit pypi setuptools3

BBCLASSEXTEND = "native nativesdk"
