SUMMARY = "Tidegate appliance"
DESCRIPTION = "The whole system of a box: two slots with a read-only root, and a data partition."
LICENSE = "Apache-2.0"

IMAGE_FEATURES += "read-only-rootfs ssh-server-openssh"
IMAGE_INSTALL = "\
    packagegroup-core-boot \
    bluez5 \
    dosfstools \
    e2fsprogs-e2fsck \
    e2fsprogs-mke2fs \
    e2fsprogs-resize2fs \
    kernel-modules \
    tidegate \
    tidegate-appliance \
    util-linux-blkdiscard \
"

# A slot is marked good by tidegate-health.service alone, once the gateway works.
BAD_RECOMMENDATIONS += "rauc-mark-good"

inherit core-image

# The size of a slot.
IMAGE_ROOTFS_SIZE = "491520"
IMAGE_ROOTFS_MAXSIZE = "524288"
IMAGE_OVERHEAD_FACTOR = "1.0"
# Files of the boot partition: those of the board, and the script that chooses the slot.
IMAGE_BOOT_FILES:append:qemuarm64 = " boot.scr"

do_rootfs[depends] += "tidegate-initramfs:do_image_complete virtual/kernel:do_deploy"
do_image_wic[depends] += "tidegate-boot:do_deploy"

# U-Boot loads both from the slot, so that an update brings its kernel along.
kernel_of_slot[doc] = "Puts kernel and initramfs into the slot"
kernel_of_slot() {
    install -d ${IMAGE_ROOTFS}/boot
    install -m 0644 ${DEPLOY_DIR_IMAGE}/${KERNEL_IMAGETYPE} ${IMAGE_ROOTFS}/boot/vmlinuz
    install -m 0644 ${DEPLOY_DIR_IMAGE}/tidegate-initramfs-${MACHINE}.cpio.gz ${IMAGE_ROOTFS}/boot/initrd
}

# What the first program and RAUC look for: see docs/explanation/appliance.md.
appliance_of_slot[doc] = "Puts in what the first program and RAUC look for"
appliance_of_slot() {
    install -d ${IMAGE_ROOTFS}/data ${IMAGE_ROOTFS}${nonarch_libdir}/tidegate/appliance
    printf 'VERSION=%s\nVARIANT=%s\nCOMPATIBLE=tidegate-rpi-arm64\nEPOCH=%s\n' "${TIDEGATE_VERSION}" "${MACHINE}" "${SOURCE_DATE_EPOCH}" \
        > ${IMAGE_ROOTFS}${nonarch_libdir}/tidegate/appliance/release
    ln -sf /data/identity/hostname ${IMAGE_ROOTFS}${sysconfdir}/hostname
    ln -sf /data/config/localtime ${IMAGE_ROOTFS}${sysconfdir}/localtime
    ln -sf /run/fw_env.config ${IMAGE_ROOTFS}${sysconfdir}/fw_env.config
    rm -f ${IMAGE_ROOTFS}${sysconfdir}/ssh/ssh_host_*
}
ROOTFS_POSTPROCESS_COMMAND += "kernel_of_slot appliance_of_slot"
