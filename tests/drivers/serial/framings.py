"""Framings for tests: every way to frame, and every checksum that fits it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drivers.serial.instrument import Framing

SHAPES: dict[str, dict[str, Any]] = {
    "lines": {"end": "\r\n"},
    "start and end": {"start": "$", "end": "\r\n"},
    "stx and etx": {"start": "<STX>", "end": "<ETX>"},
    "stx and etx, escaped": {"start": "<STX>", "end": "<ETX>", "escape": "<DLE>"},
    "dle stx and dle etx": {"start": "<DLE><STX>", "end": "<DLE><ETX>", "escape": "<DLE>"},
    "fixed": {"start": "<SOH>A", "length": 12},
    "fixed with end": {"start": "<SOH>", "length": 12, "end": "<CR>"},
    "fixed without start": {"length": 12},
    "length byte": {"start": "hex: AA 55", "length_at": 2, "length_adjust": 3},
    "length word": {"start": "hex: AA", "length_at": 1, "length_size": 2, "length_byte_order": "little"},
    "length without start": {"length_at": 0, "length_size": 2},
    "pause": {"gap_ms": 20},
}
CHECKSUMS: tuple[dict[str, Any] | None, ...] = (
    None,
    {"kind": "xor"},
    {"kind": "xor", "format": "hex", "separator": "*"},
    {"kind": "sum8"},
    {"kind": "sum8-twos", "over_start": True},
    {"kind": "sum16", "byte_order": "little"},
    {"kind": "sum16-twos", "format": "hex", "byte_order": "little"},
    {"kind": "crc8-smbus"},
    {"kind": "crc16-modbus", "byte_order": "little", "over_start": True},
    {"kind": "crc16-xmodem", "format": "hex"},
    {"kind": "crc32-iso-hdlc", "skip": 1},
    {"kind": "xor", "place": "after-end", "over_end": True},
    {"kind": "sum7-twos", "place": "after-end", "over_start": True, "over_end": True},
    {"kind": "crc16-modbus", "place": "after-end", "format": "hex"},
)


def framing(shape: dict[str, Any], checksum: dict[str, Any] | None = None, **more: Any) -> Framing:
    return Framing.model_validate({**shape, **({"checksum": checksum} if checksum else {}), **more})


def _binary(checksum: dict[str, Any]) -> bool:
    return checksum.get("format") != "hex"


def combinations() -> Iterator[tuple[str, Framing]]:
    """Name and framing of every pair that can be: a binary checksum may look like a delimiter that isn't escaped."""
    for name, shape in SHAPES.items():
        for checksum in CHECKSUMS:
            if checksum is not None:
                after = checksum.get("place") == "after-end"
                if after and not shape.get("end"):
                    continue
                if (
                    shape.get("end")
                    and not after
                    and _binary(checksum)
                    and not (shape.get("escape") or "length" in shape)
                ):
                    continue
            label = "-" if checksum is None else "-".join(str(value) for value in checksum.values())
            yield f"{name}: {label}", framing(shape, checksum)
