"""The boot state: one sector in which U-Boot and RAUC tell each other which slot to start and how often to try.

It is an environment of U-Boot without a redundant copy: a CRC-32 over the rest, little endian, then texts
``name=value`` ended by a zero byte each, a further zero byte, and zeros up to the sector's end.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

SIZE = 512
OFFSET = 1 << 20
"""Bytes from the beginning of the disk."""
FRESH = {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "0"}
"""What a new disk starts with. Slot B is empty: attempts on it are for after the first update."""


def encode(state: Mapping[str, str]) -> bytes:
    """The sector that holds ``state``. Raises ValueError for what is too long, a zero byte, or an ``=`` in a name."""
    for name, value in state.items():
        if not name or "=" in name or "\0" in name + value:
            raise ValueError(f"{name!r} = {value!r} can't stand in a boot state")
    body = b"".join(f"{name}={value}\0".encode("ascii") for name, value in state.items()) + b"\0"
    if len(body) > SIZE - 4:
        raise ValueError(f"a boot state of {len(body) + 4} bytes doesn't fit a sector of {SIZE}")
    body = body.ljust(SIZE - 4, b"\0")
    return zlib.crc32(body).to_bytes(4, "little") + body


def decode(sector: bytes) -> dict[str, str]:
    """What a sector holds. Raises ValueError where its checksum is wrong."""
    body = sector[4:SIZE]
    if len(sector) < SIZE or zlib.crc32(body) != int.from_bytes(sector[:4], "little"):
        raise ValueError("the boot state has a wrong checksum")
    texts = body.partition(b"\0\0")[0].split(b"\0")
    return dict(text.decode("ascii").partition("=")[::2] for text in texts if text)
