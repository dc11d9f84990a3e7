"""Checksums of frames: which there are, and how they are written on the wire.

XOR and sums are named by what they add up to, CRCs as in the catalogue of parametrised CRC algorithms (reveng), with a
hyphen after the width: ``crc16-modbus``, ``crc8-smbus``, ``crc32-iso-hdlc``. They come from the library fastcrc.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

from drivers.common.quoting import quoted

SIMPLE: dict[str, int] = {"xor": 1, "sum8": 1, "sum16": 2, "sum8-twos": 1, "sum16-twos": 2, "sum7-twos": 1}
"""Name → bytes. ``twos``: the two's complement, so that sum and checksum add up to zero; ``sum7``: of seven bits."""
_CRC_BYTES = {"crc8": 1, "crc16": 2, "crc32": 4}


def size_of(name: str) -> int:
    """Bytes of a checksum. Raises ValueError, in one sentence, if there is none of that name."""
    if name in SIMPLE:
        return SIMPLE[name]
    width, _, variant = name.partition("-")
    if width in _CRC_BYTES and variant in _variants(width):
        return _CRC_BYTES[width]
    if width in _CRC_BYTES:
        choice = ", ".join(f"{width}-{known}" for known in sorted(_variants(width)))
        raise ValueError(f"there is no checksum {quoted(name)}: of this width there are {choice}")
    raise ValueError(f"there is no checksum {quoted(name)}: use {', '.join(SIMPLE)}, or a crc8-…, crc16-… or crc32-…")


def function_of(name: str) -> Callable[[bytes], int]:
    """The checksum as a function. `name` is one that :func:`size_of` knows."""
    if name == "xor":
        return xor
    if name.startswith("sum"):
        mask = {"sum7": 0x7F, "sum8": 0xFF, "sum16": 0xFFFF}[name.partition("-")[0]]
        if name.endswith("-twos"):
            return lambda data: -sum(data) & mask
        return lambda data: sum(data) & mask
    width, _, variant = name.partition("-")
    function: Callable[[bytes], int] = getattr(import_module(f"fastcrc.{width}"), variant.replace("-", "_"))
    return function


def xor(data: bytes) -> int:
    """All bytes exclusive-ored, by halving one long integer: Python has no loop of its own for it."""
    number = int.from_bytes(data, "big")
    bits = 8 * (1 << max(len(data) - 1, 0).bit_length())
    while bits > 8:
        bits >>= 1
        number = (number >> bits) ^ (number & ((1 << bits) - 1))
    return number


@cache
def _variants(width: str) -> frozenset[str]:
    module = import_module(f"fastcrc.{width}")
    return frozenset(name.replace("_", "-") for name in module.algorithms_available)
