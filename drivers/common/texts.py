"""Texts and raw bytes in 16-bit registers: how they are packed, encoded and ended."""

from __future__ import annotations

import enum
from array import array
from collections.abc import Callable


class TextOrder(enum.StrEnum):
    """Which byte of a register holds which character."""

    HIGH_FIRST = "high-first"
    LOW_FIRST = "low-first"
    HIGH_ONLY = "high-only"
    LOW_ONLY = "low-only"

    @property
    def bytes_per_register(self) -> int:
        return 1 if self in (TextOrder.HIGH_ONLY, TextOrder.LOW_ONLY) else 2


class TextEncoding(enum.StrEnum):
    UTF8 = "utf-8"
    ASCII = "ascii"
    LATIN1 = "latin-1"
    UTF16 = "utf-16"


class Trim(enum.StrEnum):
    """What ends a text that is shorter than its registers."""

    NUL = "nul"
    SPACE = "space"
    BOTH = "both"
    NONE = "none"


def swap(data: bytes) -> bytes:
    """Swap the two bytes of every register."""
    words = array("H", data)
    words.byteswap()
    return words.tobytes()


def pack(data: bytes, order: TextOrder) -> bytes:
    """Bytes as they follow each other → registers as on the wire. A byte that no character is in is zero."""
    if order is TextOrder.HIGH_FIRST:
        return data
    if order is TextOrder.LOW_FIRST:
        return swap(data)
    spread = bytearray(2 * len(data))
    spread[0 if order is TextOrder.HIGH_ONLY else 1 :: 2] = data
    return bytes(spread)


def unpack(data: bytes, order: TextOrder) -> bytes:
    """The inverse of :func:`pack`, whatever the bytes hold that no character is in."""
    if order is TextOrder.HIGH_FIRST:
        return data
    if order is TextOrder.LOW_FIRST:
        return swap(data)
    return data[0 if order is TextOrder.HIGH_ONLY else 1 :: 2]


def text_decoder(order: TextOrder, encoding: TextEncoding, trim: Trim) -> Callable[[bytes], str | None]:
    """Registers → text, or None if they aren't one in this encoding."""
    cut = trim in (Trim.NUL, Trim.BOTH)
    strip = trim in (Trim.SPACE, Trim.BOTH)
    name = _codec(encoding)
    width = 2 if encoding is TextEncoding.UTF16 else 1

    def decode(data: bytes) -> str | None:
        data = unpack(data, order)
        if cut:
            # What follows the end needn't be text.
            data = _until_nul(data, width)
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            return None
        return text.rstrip(" ") if strip else text

    return decode


def encode_text(value: object, length: int, order: TextOrder, encoding: TextEncoding, trim: Trim) -> bytes:
    """Text → `length` registers. Raises ValueError, in one sentence, for one that wouldn't be read back as it is."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a string")
    try:
        data = value.encode(_codec(encoding))
    except UnicodeEncodeError:
        raise ValueError(f"{value!r} has characters that {encoding} can't hold") from None
    size = length * order.bytes_per_register
    if len(data) > size:
        raise ValueError(f"{value!r} takes {len(data)} bytes, {length} registers hold {size}")
    padding = (" " if trim is Trim.SPACE else "\0").encode(_codec(encoding))
    wire = pack(data + padding * ((size - len(data)) // len(padding)), order)
    back = text_decoder(order, encoding, trim)(wire)
    if back != value:
        raise ValueError(f"{value!r} would be read back as {back!r} with trim '{trim}'")
    return wire


def _codec(encoding: TextEncoding) -> str:
    # A register is sent high byte first, so its code unit is big-endian and no byte order mark is due.
    return "utf-16-be" if encoding is TextEncoding.UTF16 else str(encoding)


def _until_nul(data: bytes, width: int) -> bytes:
    if width == 1:
        return data.partition(b"\0")[0]
    for at in range(0, len(data), 2):
        if data[at : at + 2] == b"\0\0":
            return data[:at]
    return data
