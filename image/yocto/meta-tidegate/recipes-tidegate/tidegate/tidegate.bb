SUMMARY = "Firmware of an industrial protocol gateway"
DESCRIPTION = "Field devices in (Modbus, OPC UA, serial instruments, Bluetooth LE), a Unified Namespace over MQTT out, every value accounted for."
SECTION = "net"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

PV = "${TIDEGATE_VERSION}"
# All of it lies beside the layer.
SRC_URI = ""

inherit externalsrc python_hatchling tidegate_units useradd

EXTERNALSRC = "${TIDEGATE_SOURCE}"

# What it is built with is as new as the release has it.
PEP517_BUILD_OPTS = "--skip-dependency-check"

TIDEGATE_UNITS = "${S}/systemd/tidegate"
SYSTEMD_SERVICE:${PN} = "tidegate.service tidegate-web.socket"

# The numbers are fixed: what they own on the data partition outlives the root file system.
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system --gid 981 bluetooth; --system --gid 982 tidegate; --system --gid 983 tidegate-web"
USERADD_PARAM:${PN} = "\
    --system --uid 982 --gid tidegate --groups dialout,bluetooth --home-dir ${localstatedir}/lib/tidegate --no-create-home --shell /sbin/nologin tidegate; \
    --system --uid 983 --gid tidegate-web --home-dir ${localstatedir}/lib/tidegate-web --no-create-home --shell /sbin/nologin tidegate-web \
"

do_install:append() {
    # Units name the interpreter by the place where the Debian package has it.
    install -d ${D}${nonarch_libdir}/tidegate/bin
    ln -s ${bindir}/python3 ${D}${nonarch_libdir}/tidegate/bin/python3
}

FILES:${PN} += "${nonarch_libdir}/tidegate"

# OpenEmbedded splits the standard library into packages; the dependencies below name none of them.
# nooelint: oelint.vars.dependsordered
RDEPENDS:${PN} += "\
    ca-certificates \
    python3-modules \
    tzdata-core \
"
RRECOMMENDS:${PN} += "bluez5"

require tidegate-requirements.inc
