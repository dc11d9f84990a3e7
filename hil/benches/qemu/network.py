"""A network of its own for this process, the emulated board and everything between them.

It is a network namespace with one wire (a tap device), so addresses and ports are always the same and disturb nobody,
the box's ports can be probed, its cable cut, and nothing reaches the internet. dnsmasq gives the box its address.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from hil.benches.bench import BoxFailed
from hil.demo.child import Child

HERE = "10.77.0.1"
BOX = "10.77.0.2"
WIRE = "box0"
MAC = "52:54:00:67:61:01"
_PREFIX = 24
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


def enter() -> None:
    """Move this process, and whatever it starts, to the new network. Call once, before it has threads.

    Raises BoxFailed.
    """
    user, group = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNET if user == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        raise BoxFailed(f"no network of its own can be made: {os.strerror(ctypes.get_errno())}; run it as root")
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _ip("link", "set", "lo", "up")
    _ip("tuntap", "add", "dev", WIRE, "mode", "tap")
    _ip("address", "add", f"{HERE}/{_PREFIX}", "dev", WIRE)
    _ip("link", "set", WIRE, "up")


def lease(directory: Path) -> Child:
    """Give the box its address, and tell it who knows the time."""
    program = shutil.which("dnsmasq", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        raise BoxFailed("dnsmasq is missing: apt-get install dnsmasq-base")
    options = [
        *("--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--log-facility=-"),
        *(f"--interface={WIRE}", "--bind-interfaces", f"--dhcp-range={BOX},{BOX},1h", f"--dhcp-host={MAC},{BOX}"),
        *(f"--dhcp-option=option:ntp-server,{HERE}", f"--dhcp-leasefile={directory / 'leases'}"),
        f"--pid-file={directory / 'dnsmasq.pid'}",
    ]
    return Child("address server", [program, *options], directory / "dnsmasq.log")


def _ip(*words: str) -> None:
    program = shutil.which("ip", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise BoxFailed("ip is missing: apt-get install iproute2")
    ran = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise BoxFailed(f"ip {' '.join(words)}: {ran.stderr.strip()}")
