# A service, not a socket: tidegate-ssh.path starts it once a key is installed, under the name that it has on Debian.
PACKAGECONFIG:remove:tidegate-box = "systemd-sshd-socket-mode"
PACKAGECONFIG:append:tidegate-box = " systemd-sshd-service-mode"
SYSTEMD_AUTO_ENABLE:${PN}-sshd:tidegate-box = "disable"

# nooelint: oelint.func.specific
do_install:append:tidegate-box() {
    ln -s sshd.service ${D}${systemd_system_unitdir}/ssh.service
}

FILES:${PN}-sshd:append:tidegate-box = " ${systemd_system_unitdir}/ssh.service"
