SUMMARY = "First program of a Tidegate appliance"
DESCRIPTION = "Mounts the root of the slot, the data partition and what goes over the root, and acts on a reset or wipe that was asked for."
SECTION = "base"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

PV = "${TIDEGATE_VERSION}"
# All of it lies beside the layer.
SRC_URI = ""

inherit allarch externalsrc

EXTERNALSRC = "${TIDEGATE_SOURCE}"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -D -m 0755 ${S}/image/boot/init ${D}/init
    # All that it needs is in the kernel (recipes-kernel/linux/files/tidegate.cfg), nothing is a module.
    install -d ${D}${nonarch_base_libdir}/modules
    : > ${D}${nonarch_base_libdir}/modules/order
    install -d ${D}/dev ${D}/proc ${D}/sys ${D}/run ${D}/root
}

FILES:${PN} += "/init ${nonarch_base_libdir}/modules/order /dev /proc /sys /run /root"

RDEPENDS:${PN} += "busybox"
