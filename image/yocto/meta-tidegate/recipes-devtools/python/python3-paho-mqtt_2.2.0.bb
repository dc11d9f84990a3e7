# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "MQTT version 5.0/3.1.1 client class"
HOMEPAGE = "https://eclipse.org/paho"
LICENSE = "EPL-2.0 | BSD-3-Clause"
LIC_FILES_CHKSUM = "\
    file://LICENSE.txt;md5=8e5f264c6988aec56808a3a11e77b913 \
    file://edl-v10;md5=c09f121939f063aeb5235972be8c722c \
    file://epl-v20;md5=2dd765ca47a05140be15ebafddbeadfe \
"

SRC_URI[sha256sum] = "bcf706f03f1f49e0fc3ae166dc7b67ee35463496f8bdfd7c9c36181f6ba635c9"

inherit pypi python_hatchling

PYPI_PACKAGE = "paho_mqtt"

BBCLASSEXTEND = "native nativesdk"
