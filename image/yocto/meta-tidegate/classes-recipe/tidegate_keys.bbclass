# Makes the development key that updates are signed with, where no other is named. It stays in the build folder: no release may carry it.
# A release names its own in local.conf, outside the sources: RAUC_KEY_FILE, RAUC_CERT_FILE, and TIDEGATE_KEYRING for whose updates a box takes.

TIDEGATE_KEYS ?= "${TOPDIR}/tidegate-keys"
TIDEGATE_KEYS[doc] = "The folder of the development key"
RAUC_KEY_FILE ?= "${TIDEGATE_KEYS}/development.key.pem"
RAUC_CERT_FILE ?= "${TIDEGATE_KEYS}/development.cert.pem"
TIDEGATE_KEYRING ?= "${RAUC_CERT_FILE}"
TIDEGATE_KEYRING[doc] = "The certificates that an update's signature is checked against"

DEPENDS:append = " openssl-native"

do_development_key[doc] = "Makes the development key, once per build folder"
do_development_key[nostamp] = "1"
do_development_key[lockfiles] = "${TOPDIR}/tidegate-keys.lock"
do_development_key[depends] = "openssl-native:do_populate_sysroot"
do_development_key() {
    case "${RAUC_KEY_FILE}" in
        ${TIDEGATE_KEYS}/*) bbwarn "Updates are signed with a development key: set RAUC_KEY_FILE, RAUC_CERT_FILE and TIDEGATE_KEYRING for a release." ;;
        *) return 0 ;;
    esac
    [ ! -e ${TIDEGATE_KEYS}/development.key.pem ] || return 0
    install -d -m 0700 ${TIDEGATE_KEYS}
    openssl req -x509 -newkey rsa:3072 -sha256 -nodes -days 3650 -subj "/O=Tidegate/CN=development, not for release" \
        -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=codeSigning,emailProtection \
        -keyout ${TIDEGATE_KEYS}/new.key.pem -out ${TIDEGATE_KEYS}/development.cert.pem
    mv ${TIDEGATE_KEYS}/new.key.pem ${TIDEGATE_KEYS}/development.key.pem
}
addtask do_development_key after do_prepare_recipe_sysroot before do_unpack
