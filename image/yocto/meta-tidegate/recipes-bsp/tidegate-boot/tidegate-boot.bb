SUMMARY = "Boot script and boot state of a Tidegate appliance"
DESCRIPTION = "The script with which U-Boot chooses a slot and counts the attempt, and the sector in which it counts, as delivered."
SECTION = "bootloaders"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

DEPENDS = "u-boot-mkenvimage-native u-boot-mkimage-native"
PROVIDES += "u-boot-default-script"

PV = "${TIDEGATE_VERSION}"
# All of it lies beside the layer.
SRC_URI = ""

inherit deploy externalsrc kernel-arch nopackages

EXTERNALSRC = "${TIDEGATE_SOURCE}"
PACKAGE_ARCH = "${MACHINE_ARCH}"
COMPATIBLE_MACHINE = "^(rpi|qemuarm64)$"
INHIBIT_DEFAULT_DEPS = "1"

# The first of "115200;ttyS0 115200;hvc0".
TIDEGATE_CONSOLE ?= "${@d.getVar('SERIAL_CONSOLES').split()[0].split(';')[1]}"

do_compile() {
    sed 's/@CONSOLE@/${TIDEGATE_CONSOLE}/' ${S}/image/boot/boot.cmd > ${B}/boot.cmd
    mkimage -A arm64 -T script -C none -n "Tidegate" -d ${B}/boot.cmd ${B}/boot.scr
    printf 'BOOT_ORDER=A B\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3\n' | mkenvimage -s 512 -o ${B}/tidegate-boot-state.bin -
}

do_deploy() {
    install -m 0644 -t ${DEPLOYDIR} ${B}/boot.scr ${B}/tidegate-boot-state.bin
}
addtask deploy after do_compile before do_build
