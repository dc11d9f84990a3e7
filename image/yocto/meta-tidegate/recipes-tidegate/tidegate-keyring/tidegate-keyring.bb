SUMMARY = "Whose updates a Tidegate appliance takes"
DESCRIPTION = "The certificates that RAUC checks the signature of an update bundle against."
SECTION = "net"
LICENSE = "Apache-2.0"
# nooelint: oelint.var.licenseremotefile
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

PV = "${TIDEGATE_VERSION}"
SRC_URI = ""

inherit allarch tidegate_keys

S = "${UNPACKDIR}"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

# Another keyring makes another package.
do_install[file-checksums] += "${TIDEGATE_KEYRING}:${@os.path.exists(d.getVar('TIDEGATE_KEYRING'))}"
do_install() {
    install -D -m 0644 ${TIDEGATE_KEYRING} ${D}${sysconfdir}/rauc/keyring.pem
}
