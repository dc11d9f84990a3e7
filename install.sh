#!/bin/sh
# Install Tidegate on a Raspberry Pi OS or Debian machine that exists already:
#   sudo ./install.sh                      from this checkout
#   sudo ./install.sh tidegate_….deb       a package that was built elsewhere
#   sudo ./install.sh --uninstall          take it off; configuration and data stay
#   sudo ./install.sh --purge              take it off with configuration and data
set -eu

here=$(cd "$(dirname "$0")" && pwd)
port=443
told_port=
action=install
package=

fail() {
    # $1: what is wrong; $2: how to mend it.
    echo "install.sh: $1" >&2
    echo "  → $2" >&2
    exit 1
}

usage() {
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    echo "  --port N                               the page's port, where 443 is taken"
}

while [ $# -gt 0 ]; do
    case "$1" in
        --uninstall) action=uninstall ;;
        --purge) action=purge ;;
        --port)
            [ $# -ge 2 ] || fail "--port needs a number" "such as: --port 8443"
            port=$2 told_port=yes
            shift
            ;;
        --port=*) port=${1#*=} told_port=yes ;;
        -h | --help)
            usage
            exit 0
            ;;
        -*) fail "there is no option $1" "see: $0 --help" ;;
        *)
            [ -z "$package" ] || fail "two packages were named: $package and $1" "name one"
            package=$1
            ;;
    esac
    shift
done
case "$port" in
    '' | *[!0-9]*) fail "$port is no port" "give a number from 1 to 65535" ;;
esac
[ "$port" -ge 1 ] && [ "$port" -le 65535 ] || fail "$port is no port" "give a number from 1 to 65535"

[ "$(id -u)" = 0 ] || fail "only root may do this" "call it as: sudo $0"
command -v dpkg >/dev/null && command -v apt-get >/dev/null ||
    fail "this isn't Debian, Raspberry Pi OS or a relative of theirs" "use one of these; elsewhere run it from a checkout: make demo"

if [ "$action" != install ]; then
    if ! dpkg-query -W -f '${db:Status-Status}\n' tidegate 2>/dev/null | grep -q -e '^installed' -e '^config-files' -e '^half'; then
        echo "Tidegate isn't installed."
        exit 0
    fi
    if [ "$action" = purge ]; then
        dpkg --purge tidegate >/dev/null || fail "dpkg couldn't take it off" "see what it says above"
        echo "Tidegate is taken off, with its configuration and all data."
    else
        dpkg --remove tidegate >/dev/null || fail "dpkg couldn't take it off" "see what it says above"
        echo "Tidegate is taken off. Configuration and data stay in /etc/tidegate and /var/lib/tidegate."
    fi
    exit 0
fi

# --- does it fit ------------------------------------------------------------------------------------------------------

. /etc/os-release
case "${ID:-} ${ID_LIKE:-}" in
    *debian* | *raspbian*) ;;
    *) fail "${PRETTY_NAME:-this system} isn't Debian or Raspberry Pi OS" "use one of these, version 12 or later" ;;
esac
architecture=$(dpkg --print-architecture)
case "$architecture" in
    amd64 | arm64) ;;
    armhf | armel)
        fail "this is a 32-bit system ($architecture), for which libraries of Tidegate aren't built" \
            "use the 64-bit Raspberry Pi OS: a Raspberry Pi 3 or later runs it"
        ;;
    *) fail "Tidegate isn't built for $architecture" "use a machine with amd64 or arm64" ;;
esac
[ -d /run/systemd/system ] ||
    fail "systemd doesn't run this machine" "Tidegate is a systemd service; in a container run: tidegate run"

need() {
    missing=
    for each in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$each" 2>/dev/null | grep -q '^installed$' || missing="$missing $each"
    done
    [ -n "$missing" ] || return 0
    echo "installing$missing"
    # Words that are to be split: names of packages.
    # shellcheck disable=SC2086
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing; } >/dev/null ||
        fail "apt couldn't install$missing" "see what it says above: is the network there, are the sources right?"
}

need python3
python=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
    fail "/usr/bin/python3 doesn't run" "repair it: apt-get install --reinstall python3"
case "$python" in
    3.11 | 3.12 | 3.13) ;;
    *) fail "this system's Python is $python, and Tidegate needs 3.11 to 3.13" "use Debian 12 or 13, or Raspberry Pi OS of the same age" ;;
esac

# A socket of ours that systemd holds there already is no obstacle.
if ! systemctl --quiet is-active tidegate-web.socket 2>/dev/null; then
    /usr/bin/python3 - "$port" <<'PYTHON' || fail "port $port is used by another program" "stop that one, or choose another: $0 --port 8443"
import socket, sys
with socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET) as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("", int(sys.argv[1])))
    except OSError as error:
        sys.exit(error.errno in (98, 13))
PYTHON
fi

# --- the package ------------------------------------------------------------------------------------------------------

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
if [ -n "$package" ]; then
    [ -f "$package" ] || fail "there is no file $package" "name the package that was built: tidegate_VERSION_$architecture.deb"
    name=$(dpkg-deb --field "$package" Package 2>/dev/null) || fail "$package is no Debian package" "build or copy it anew"
    [ "$name" = tidegate ] || fail "$package holds $name, not tidegate" "name tidegate_VERSION_$architecture.deb"
    for_architecture=$(dpkg-deb --field "$package" Architecture)
    [ "$for_architecture" = "$architecture" ] ||
        fail "$package is for $for_architecture, but this machine is $architecture" "build it with: --architecture $architecture"
    dpkg-deb --field "$package" Depends | tr ',' '\n' | grep -q "^ *python$python\$" ||
        fail "$package is for another Python than this system's $python" "build it with: --python $python"
else
    [ -f "$here/image/packages/build.py" ] || fail "this is no checkout of Tidegate" "name a package: $0 tidegate_VERSION_$architecture.deb"
    need python3-pip
    work=$(mktemp -d -p /var/tmp) # /tmp may be in memory
    echo "building the package for $architecture, Python $python"
    package=$(/usr/bin/python3 "$here/image/packages/build.py" --out "$work" --cache "$work") ||
        fail "the package couldn't be built" "mend what is said above; pip needs the network"
fi

need systemd dbus "python$python"
echo "installing $(dpkg-deb --field "$package" Package Version | sed 's/.*: //' | paste -s -d ' ')"
if [ -n "$told_port" ]; then
    mkdir -p /etc/systemd/system/tidegate-web.socket.d
    printf '[Socket]\nListenStream=\nListenStream=%s\n' "$port" > /etc/systemd/system/tidegate-web.socket.d/port.conf
fi
dpkg --install "$package" >/dev/null || fail "dpkg couldn't install it" "see what it says above, then call this again"
if [ -n "$told_port" ]; then
    systemctl daemon-reload
    systemctl stop tidegate-web.service 2>/dev/null
    systemctl restart tidegate-web.socket || fail "nothing listens for the page" "see: systemctl status tidegate-web.socket"
fi
for each in bluez avahi-daemon; do
    dpkg-query -W -f '${db:Status-Status}' "$each" 2>/dev/null | grep -q '^installed$' ||
        echo "note: $each isn't installed: $(
            [ "$each" = bluez ] && echo 'Bluetooth sensors need it' || echo 'with it the machine is found as NAME.local'
        )"
done

# --- does it run ------------------------------------------------------------------------------------------------------

systemctl --quiet is-active tidegate.service || fail "the gateway doesn't run" "see: journalctl -u tidegate.service"
systemctl --quiet is-active tidegate-web.socket || fail "nothing listens for the page" "see: systemctl status tidegate-web.socket"

turns=0
until tidegate status >/dev/null 2>&1; do
    turns=$((turns + 1))
    [ "$turns" -lt 60 ] || fail "the gateway doesn't answer" "see: journalctl -u tidegate.service"
    sleep 0.5
done

port=$(systemctl show --property Listen --value tidegate-web.socket | sed -n 's/.*:\([0-9]*\) (Stream).*/\1/p' | head -n 1)
[ "$port" = 443 ] && shown= || shown=":$port"
host=$(hostname -s 2>/dev/null || cat /etc/hostname)
echo
echo "Tidegate runs. Its page: https://$host.local$shown/"
for address in $(hostname -I 2>/dev/null); do
    case "$address" in
        *:*) echo "                         https://[$address]$shown/" ;;
        *) echo "                         https://$address$shown/" ;;
    esac
done
if [ -f /var/lib/tidegate/claim-code ]; then
    echo "Claim code: $(cat /var/lib/tidegate/claim-code)"
else
    echo "It was claimed already."
fi
