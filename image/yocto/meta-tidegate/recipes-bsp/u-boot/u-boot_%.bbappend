FILESEXTRAPATHS:prepend:tidegate-box := "${THISDIR}/files:"

SRC_URI:append:tidegate-box = " file://tidegate.cfg"
