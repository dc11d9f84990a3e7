# Installs what lies in one folder of systemd/, the only copy of the units: those at its top, and sysusers.d, tmpfiles.d and the like below it.

inherit systemd

TIDEGATE_UNITS ?= ""
TIDEGATE_UNITS[doc] = "The folder with the units, below systemd/ of the sources."

do_install:append() {
    install -d ${D}${systemd_system_unitdir}
    find ${TIDEGATE_UNITS} -type f | while read -r file; do
        name=${file#${TIDEGATE_UNITS}/}
        case "$name" in
            system-preset/*) place=${systemd_unitdir}/$name ;;
            modules-load.d/*|sysctl.d/*|sysusers.d/*|tmpfiles.d/*) place=${nonarch_libdir}/$name ;;
            udev/*) place=${nonarch_base_libdir}/$name ;;
            */*) bbfatal "$file: no place is known for this folder; add it to tidegate_units.bbclass" ;;
            *) place=${systemd_system_unitdir}/$name ;;
        esac
        install -D -m 0644 "$file" "${D}$place"
    done
}

FILES:${PN} += "\
    ${nonarch_base_libdir}/udev \
    ${nonarch_libdir}/modules-load.d \
    ${nonarch_libdir}/sysctl.d \
    ${nonarch_libdir}/sysusers.d \
    ${nonarch_libdir}/tmpfiles.d \
    ${systemd_system_unitdir} \
    ${systemd_unitdir}/system-preset \
"
