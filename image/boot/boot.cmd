# U-Boot: choose a slot, count the attempt, start it. What it knows between starts is one sector at 1 MiB of the disk,
# an environment with a checksum, which RAUC writes through /run/fw_env.config.
#
# Addresses are set, not taken from the board: Debian's defaults leave less than its kernel needs. The kernel is packed with
# gzip; booti unpacks it at kernel_comp_addr_r and moves it to where it was loaded.
if test "${devtype}" = "mmc"; then
  setenv kernel_at 0x04000000
  setenv initrd_at 0x0a000000
  setenv state_at 0x0c000000
  setenv kernel_comp_addr_r 0x10000000
  setenv console "@CONSOLE@"
else
  setenv kernel_at 0x42000000
  setenv initrd_at 0x48000000
  setenv state_at 0x4c000000
  setenv kernel_comp_addr_r 0x50000000
  setenv console "ttyAMA0"
fi
setenv kernel_comp_size 0x04000000
setenv state_block 0x800

${devtype} dev ${devnum}
${devtype} read ${state_at} ${state_block} 1
env import -c ${state_at} 0x200 BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT || echo "tidegate: the boot state is unreadable, starting over"
test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "A B"
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3
echo "tidegate: order ${BOOT_ORDER}, attempts left A ${BOOT_A_LEFT}, B ${BOOT_B_LEFT}"

# An attempt is counted before it is made, so that one that hangs has been. There is no rootwait: a kernel whose initramfs is
# broken gives up then, and the machine starts anew, instead of waiting for ever for a disk it has no driver for.
for slot in "${BOOT_ORDER}"; do
  setenv part
  if test "${slot}" = "A"; then
    if itest 0x${BOOT_A_LEFT} > 0; then setexpr BOOT_A_LEFT 0x${BOOT_A_LEFT} - 1; setenv part 2; fi
  else
    if itest 0x${BOOT_B_LEFT} > 0; then setexpr BOOT_B_LEFT 0x${BOOT_B_LEFT} - 1; setenv part 3; fi
  fi
  if test -n "${part}"; then
    env export -c -s 0x200 ${state_at} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
    ${devtype} write ${state_at} ${state_block} 1
    setenv bootargs "console=${console},115200 root=PARTUUID=54474154-0${part} rauc.slot=${slot} ro net.ifnames=0 panic=10 quiet"
    echo "tidegate: starting slot ${slot}"
    if load ${devtype} ${devnum}:${part} ${kernel_at} /boot/vmlinuz; then
      if load ${devtype} ${devnum}:${part} ${initrd_at} /boot/initrd; then
        booti ${kernel_at} ${initrd_at}:${filesize} ${fdt_addr}
      fi
    fi
    echo "tidegate: slot ${slot} failed to load"
  fi
done

# Neither is left: a box that tries both again is better than one that stays dark. A slot whose release didn't work was taken
# out of the order: it comes last, and its release is on trial again.
echo "tidegate: no slot has attempts left, starting over with both"
if test "${BOOT_ORDER}" = "A"; then setenv BOOT_ORDER "A B"; fi
if test "${BOOT_ORDER}" = "B"; then setenv BOOT_ORDER "B A"; fi
setenv BOOT_A_LEFT 3
setenv BOOT_B_LEFT 3
env export -c -s 0x200 ${state_at} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
${devtype} write ${state_at} ${state_block} 1
reset
