"""Who a box is: its machine id, its name, its SSH host key. Made once, the same in both slots and over every update."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
from pathlib import Path

from gateway.ops.files import sync_directory, write_atomically
from gateway.ops.machine import MachineRefused, check_hostname
from tidegate_appliance.cards import cards
from tidegate_appliance.commands import run
from tidegate_appliance.places import Places

NAME_DIGITS = 6
"""16 million names: of a thousand boxes in one network 3 in 100 such networks have two that must share one. The last
digits of a Raspberry Pi's serial number, as of a MAC address, are those that differ."""

_MACHINE_ID = re.compile(r"[0-9a-f]{32}")


def ensure_identity(places: Places) -> str:
    """Make what isn't there yet and leave the rest as it is. Returns the box's name. Raises OSError, CommandFailed.

    May be broken off at any point and called again.
    """
    places.host_key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _ensure_machine_id(places)
    name = _kept_name(places)
    if name is None:
        name = fresh_name(places.root)
        keep_name(places, name)
    _ensure_host_key(places.host_key)
    return name


def keep_name(places: Places, name: str) -> None:
    """The box's name from the next start on: ``/etc/hostname`` leads to this file. Raises OSError."""
    write_atomically(places.hostname, f"{name}\n".encode())


def take_name(name: str) -> None:
    """The box's name from now on, before systemd-hostnamed can be asked. Raises OSError."""
    if socket.gethostname() != name:
        socket.sethostname(name)


def fresh_name(root: Path = Path("/")) -> str:
    """``tidegate-`` and digits of what tells this board from all others; random ones where nothing does."""
    return f"tidegate-{_board_digits(root) or secrets.token_hex(NAME_DIGITS // 2)}"


def _board_digits(root: Path) -> str | None:
    with contextlib.suppress(OSError):
        serial = (root / "proc/device-tree/serial-number").read_text("ascii", "replace").strip("\0\n ").lower()
        digits = re.sub(r"[^0-9a-f]", "", serial)
        if len(digits) >= NAME_DIGITS and digits.strip("0"):
            return digits[-NAME_DIGITS:]
    return next((card.mac[-NAME_DIGITS:] for card in cards(root) if card.mac), None)


def _kept_name(places: Places) -> str | None:
    name = _text(places.hostname)
    try:
        check_hostname(name)
    except MachineRefused:
        return None
    return name


def _ensure_machine_id(places: Places) -> None:
    """The one this boot runs under: what was logged before this belongs to the same machine."""
    if _MACHINE_ID.fullmatch(_text(places.machine_id)):
        return
    running = _text(places.root / "etc/machine-id")
    made = running if _MACHINE_ID.fullmatch(running) else secrets.token_hex(16)
    write_atomically(places.machine_id, f"{made}\n".encode(), 0o444)


def _ensure_host_key(key: Path) -> None:
    if key.exists() and key.with_name(f"{key.name}.pub").exists():
        return
    draft = key.with_name(f"{key.name}.new")
    public = draft.with_name(f"{draft.name}.pub")
    for left in (draft, public):
        left.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(draft)])
    for path in (draft, public):
        with path.open("rb") as written:
            os.fsync(written.fileno())
    # The private key last: as long as it isn't there, all of this is done again.
    os.replace(public, key.with_name(f"{key.name}.pub"))
    os.replace(draft, key)
    sync_directory(key.parent)


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
