SUMMARY = "First file system of a Tidegate appliance"
DESCRIPTION = "busybox and the first program, which puts the root together from slot, overlays and data."
LICENSE = "Apache-2.0"

PACKAGE_INSTALL = "base-passwd busybox tidegate-init"

inherit core-image

IMAGE_FEATURES = ""
IMAGE_FSTYPES = "cpio.gz"
IMAGE_LINGUAS = ""
IMAGE_ROOTFS_EXTRA_SPACE = "0"
IMAGE_ROOTFS_SIZE = "8192"

# The first program looks for its tools in /bin alone.
busybox_in_bin[doc] = "Links every tool of busybox in /bin"
busybox_in_bin() {
    find ${IMAGE_ROOTFS}${base_sbindir} ${IMAGE_ROOTFS}${sbindir} ${IMAGE_ROOTFS}${bindir} -type l -lname '*busybox*' | while read -r tool; do
        [ -e "${IMAGE_ROOTFS}/bin/$(basename "$tool")" ] || ln -s busybox "${IMAGE_ROOTFS}/bin/$(basename "$tool")"
    done
}
ROOTFS_POSTPROCESS_COMMAND += "busybox_in_bin"
