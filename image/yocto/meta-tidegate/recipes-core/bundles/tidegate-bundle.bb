SUMMARY = "Update of a Tidegate appliance"
DESCRIPTION = "A signed RAUC bundle, format verity, with one root file system, for the slot that doesn't run."
SECTION = "images"
LICENSE = "Apache-2.0"
# nooelint: oelint.var.licenseremotefile
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

PV = "${TIDEGATE_VERSION}"
SRC_URI = ""

inherit bundle tidegate_keys

RAUC_BUNDLE_FORMAT = "verity"
RAUC_BUNDLE_COMPATIBLE = "tidegate-rpi-arm64"
RAUC_BUNDLE_COMPATIBLE:qemuarm64 = "tidegate-rpi-arm64"
RAUC_BUNDLE_VERSION = "${TIDEGATE_VERSION}"
RAUC_BUNDLE_SLOTS = "rootfs"
RAUC_SLOT_rootfs = "tidegate-image"
RAUC_SLOT_rootfs[fstype] = "ext4"
