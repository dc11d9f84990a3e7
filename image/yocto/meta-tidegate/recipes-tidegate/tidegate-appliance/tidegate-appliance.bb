SUMMARY = "What makes a machine with Tidegate a box"
DESCRIPTION = "Update slots, first start, provisioning, network, firewall and reset of a Tidegate appliance."
SECTION = "net"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

PV = "${TIDEGATE_VERSION}"
# All the rest lies beside the layer.
SRC_URI = "file://nftables.service"

inherit externalsrc python_hatchling tidegate_units

EXTERNALSRC = "${TIDEGATE_SOURCE}"
PEP517_SOURCE_PATH = "${S}/image/appliance"
PEP517_BUILD_OPTS = "--skip-dependency-check"

TIDEGATE_UNITS = "${S}/systemd/appliance"
# Which of them are enabled is in its preset, as on Debian.
SYSTEMD_PACKAGES = ""

do_install:append() {
    # image/appliance/files is laid out as the root file system is.
    cp -R --no-dereference --preserve=mode,links --no-preserve=ownership ${S}/image/appliance/files/. ${D}/
    install -m 0644 ${UNPACKDIR}/nftables.service ${D}${systemd_system_unitdir}/
}

FILES:${PN} += "${nonarch_libdir}"

RDEPENDS:${PN} += "\
    e2fsprogs-mke2fs \
    nftables \
    python3-dbus-fast \
    rauc \
    tidegate \
    tidegate-keyring \
    u-boot-fw-utils \
    util-linux-sfdisk \
"
# Its system.conf takes the place of the example.
RPROVIDES:${PN} += "virtual-rauc-conf"
RCONFLICTS:${PN} += "rauc-conf"
