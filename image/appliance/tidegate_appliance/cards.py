"""The machine's network cards, as udev has noted them: that can be read by what has no network itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"^E:SYSTEMD_ALIAS=.*?/sys/subsystem/net/devices/(\S+)", re.MULTILINE)
_PERMANENT = re.compile(r"^E:ID_NET_NAME_MAC=en?x([0-9a-f]{12})$", re.MULTILINE)
"""Only of an address that the card came with (systemd.net-naming-scheme(7))."""
_BUS = re.compile(r"^E:ID_BUS=|^E:ID_PATH=", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Card:
    """One network card; bridges, tunnels and loopback are none."""

    name: str
    mac: str | None
    """Twelve hexadecimal digits; None: the card has no address of its own."""


def cards(root: Path = Path("/")) -> list[Card]:
    """In the order in which the kernel found them."""
    found: list[tuple[int, Card]] = []
    for entry in (root / "run/udev/data").glob("n*"):
        try:
            text = entry.read_text("utf-8", "replace")
        except OSError:
            continue
        name, mac = _NAME.search(text), _PERMANENT.search(text)
        if name and _BUS.search(text) and entry.name[1:].isdigit():
            found.append((int(entry.name[1:]), Card(name[1], mac[1] if mac else None)))
    return [card for _, card in sorted(found, key=lambda each: each[0])]
