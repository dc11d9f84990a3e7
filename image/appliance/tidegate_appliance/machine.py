"""The machine's own settings, each applied by itself. Whoever calls is root.

Everything is kept first and taken up afterwards, so that a power cut between the two leaves what was wanted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gateway.ops.files import sync_directory, write_atomically
from tidegate_appliance.commands import run
from tidegate_appliance.identity import keep_name
from tidegate_appliance.places import Places

ZONES = Path("/usr/share/zoneinfo")


def set_hostname(name: str, places: Places) -> bool:
    """At once and for good; systemd-resolved announces it by itself. False if it is its name already.

    Raises OSError, CommandFailed.
    """
    if places.hostname.is_file() and places.hostname.read_text("utf-8") == f"{name}\n":
        return False
    places.identity.mkdir(parents=True, exist_ok=True)
    keep_name(places, name)
    run(["hostnamectl", "--transient", "hostname", name], longest_s=20)
    return True


def set_timezone(name: str, places: Places) -> bool:
    """`name` is one of the time zone database. False if it is the one already. Raises OSError."""
    link, target = places.localtime, ZONES / name
    if link.is_symlink() and os.readlink(link) == str(target):
        return False
    link.parent.mkdir(parents=True, exist_ok=True)
    draft = link.with_name(f"{link.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    os.replace(draft, link)
    sync_directory(link.parent)
    return True


def set_time_servers(servers: Sequence[str], places: Places) -> bool:
    """None of them: what DHCP and the release name. False if nothing changes. Raises OSError, CommandFailed."""
    path = places.time_servers
    body = f"# Written by Tidegate.\n[Time]\nNTP={' '.join(servers)}\n".encode() if servers else b""
    before = path.read_bytes() if path.is_file() else b""
    if body == before:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    if body:
        write_atomically(path, body)
    else:
        path.unlink()
        sync_directory(path.parent)
    run(["systemctl", "try-restart", "systemd-timesyncd.service"], longest_s=30)
    return True


def set_update_url(url: str, places: Places) -> bool:
    """False if it is the one already. Raises OSError."""
    path, body = places.update_url, f"{url}\n".encode()
    if path.is_file() and path.read_bytes() == body:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, body)
    return True


def set_authorized_keys(keys: Sequence[str], places: Places) -> bool:
    """Who may come in by SSH; nobody: sshd ends. False if nothing changes. Raises OSError, CommandFailed.

    ``tidegate-ssh.path`` waits for the file and starts sshd, which opens its port in the firewall.
    """
    path = places.authorized_keys
    body = "".join(f"{key}\n" for key in keys).encode()
    before = path.read_bytes() if path.is_file() else b""
    if body == before:
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if body:
        write_atomically(path, body, 0o600)
        return True
    path.unlink()
    sync_directory(path.parent)
    run(["systemctl", "stop", "ssh.service"], longest_s=30)
    return True
