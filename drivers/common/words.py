"""How values of every type sit in 16-bit registers: their layout, and the way out.

A register travels as two bytes, high byte first (Modbus Application Protocol 1.1b3, §4.2). How wider values spread
over registers is up to each vendor; the four usual ways are named after where the bytes of ``0xAABBCCDD`` end up:

====  ===============  ============================  ==========================
name  32 bits on wire  64 bits on wire               meaning
====  ===============  ============================  ==========================
ABCD  AA BB CC DD      A B C D E F G H               big-endian
CDAB  CC DD AA BB      G H E F C D A B               low word first
BADC  BB AA DD CC      B A D C F E H G               bytes swapped in each word
DCBA  DD CC BB AA      H G F E D C B A               little-endian
====  ===============  ============================  ==========================

BADC and DCBA also swap the bytes of a single register, so that a device's 16-bit and 32-bit values follow one rule. A
bit or a byte of a register is counted in the 16-bit number that ``uint16`` gives under the same order. The elements of
an array follow each other by address, each laid out like a single value. :mod:`drivers.common.codec` is the way in.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from drivers.common import texts, times
from drivers.common.numbers import STRUCT_CODES
from drivers.common.texts import TextEncoding, TextOrder, Trim, swap
from drivers.common.times import TimeForm
from gateway.model import DataType, Value


class WordOrder(enum.StrEnum):
    """Where the bytes of 0xAABBCCDD end up on the wire."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"

    @property
    def swaps_bytes(self) -> bool:
        """True if the bytes within each register are swapped."""
        return self in (WordOrder.BADC, WordOrder.DCBA)

    @property
    def low_word_first(self) -> bool:
        return self in (WordOrder.CDAB, WordOrder.DCBA)


class Half(enum.StrEnum):
    """Which byte of a register."""

    HIGH = "high"
    LOW = "low"
    BOTH = "both"
    """Of an array only: two elements a register, the high byte first."""


_BYTE_TYPES = (DataType.INT8, DataType.UINT8)
_RAW_TYPES = (DataType.STRING, DataType.BYTES)
_BCD_DIGITS = {
    DataType.UINT8: 2,
    DataType.UINT16: 4,
    DataType.UINT32: 8,
    DataType.UINT64: 16,
    DataType.INT16: 3,
    DataType.INT32: 7,
}
"""Of a signed one, the four highest bits are the sign: 0000 or 1111, as in Siemens STEP 7."""
BCD_TYPES = tuple(_BCD_DIGITS)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one value sits in registers. Raises ValueError, in one sentence, for a combination that can't be."""

    type: DataType
    order: WordOrder = WordOrder.ABCD
    count: int | None = None
    """None: a single value. Otherwise an array of so many elements of `type`."""
    bit: int | None = None
    """Bit of the register, 0 is the least significant; only and always for bool. An array goes on from there: after bit
    15 comes bit 0 of the next register."""
    half: Half = Half.LOW
    """Byte of the register; only for int8 and uint8."""
    length: int = 0
    """Registers a string or bytes take; only and always for these."""
    text_order: TextOrder = TextOrder.HIGH_FIRST
    text_encoding: TextEncoding = TextEncoding.UTF8
    trim: Trim = Trim.BOTH
    bcd: bool = False
    """Binary-coded decimal, four bits a digit; only for integers."""
    time: TimeForm | None = None
    """Only and always for datetime."""
    utc_offset_s: int = 0
    """By how much the clock that a datetime was taken from is ahead of UTC."""
    no_value: int | None = None
    """The integer by which a device says that it has no value; only for integers."""

    def __post_init__(self) -> None:
        if self.type is DataType.JSON:
            raise ValueError("json is a structure, which no register holds")
        if self.count is not None and self.count < 1:
            raise ValueError("an array in registers needs its number of elements, at least 1")
        if self.type is DataType.BOOL:
            if self.bit is None:
                raise ValueError("a bool in a register needs the number of its bit")
            if not 0 <= self.bit <= 15:
                raise ValueError(f"bit {self.bit} is beyond a register, which has bits 0 to 15")
        elif self.bit is not None:
            raise ValueError(f"a single bit is a bool, not {self.type}")
        if self.half is Half.BOTH and (self.count is None or self.type not in _BYTE_TYPES):
            raise ValueError("both bytes of a register are an array: give count, or take one int16")
        if self.type in _RAW_TYPES:
            if self.length < 1:
                raise ValueError(f"a {self.type} value needs its length in registers, at least 1")
        elif self.length:
            raise ValueError(f"a length belongs to string and bytes only, {self.type} has a fixed one")
        if self.text_encoding is TextEncoding.UTF16 and self.text_order.bytes_per_register == 1:
            raise ValueError(
                f"utf-16 needs both bytes of a register, of which text order '{self.text_order}' has one: mend either"
            )
        if self.bcd and self.type not in _BCD_DIGITS:
            raise ValueError(
                f"binary-coded decimal needs an integer type such as uint32, not {self.type}: mend type or bcd"
            )
        if (self.type is DataType.DATETIME) != (self.time is not None):
            raise ValueError("a datetime, and nothing else, needs the form of its time, such as unix-u32")
        if self.no_value is not None:
            if not self.type.is_integer:
                raise ValueError(f"no_value belongs to integers only, not to {self.type}: drop it")
            low, high = self.type.bounds
            if not low <= self.no_value <= high:
                raise ValueError(
                    f"no_value {self.no_value} never comes from {self.type}, which holds {low} to {high}: mend either"
                )

    @property
    def registers(self) -> int:
        """Registers the value touches."""
        elements = self.count or 1
        if self.bit is not None:
            return (self.bit + elements + 15) // 16
        if self.half is Half.BOTH:
            return (elements + 1) // 2
        return elements * ((struct.calcsize(">" + self.code) + 1) // 2)

    @property
    def code(self) -> str:
        """The struct code of one element, without byte order. Not for bool."""
        if self.time is not None:
            return self.time.code
        return f"{2 * self.length}s" if self.type in _RAW_TYPES else STRUCT_CODES[self.type]

    @property
    def places(self) -> tuple[bool, str]:
        """How a struct finds the elements: whether in the buffer with the bytes of every word swapped, and its byte
        order there. Low word first is little-endian with the bytes of each word swapped. Not for bool.
        """
        if self.type in _RAW_TYPES:
            return False, ">"
        if self.type in _BYTE_TYPES or (self.time is not None and self.time.is_bytes):
            return self.order.swaps_bytes, ">"
        if struct.calcsize(">" + self.code) == 2:
            return False, "<" if self.order.swaps_bytes else ">"
        swapped = self.order.swaps_bytes != self.order.low_word_first
        return swapped, "<" if self.order.low_word_first else ">"

    @property
    def element(self) -> Encoding:
        """The same for one element of the array. Not for bool, nor for both bytes of a register."""
        return replace(self, count=None)

    @property
    def fallible(self) -> bool:
        """True if some register contents aren't a value: broken UTF-8, a hexadecimal digit in BCD, a 13th month, the
        device's own "no value"."""
        text = self.type is DataType.STRING and self.text_encoding is not TextEncoding.LATIN1
        return self.bcd or text or self.time is not None or self.no_value is not None

    @property
    def partial(self) -> bool:
        """True if the value shares its registers with others: bits or bytes."""
        return self.type is DataType.BOOL or self.type in _BYTE_TYPES


def encode(encoding: Encoding, value: Value) -> bytes:
    """Encode one value into the wire bytes of its registers; the rest of a shared register is zero.

    Raises ValueError, in one sentence, if the value doesn't fit the type; nothing is rounded to an integer or cut off.
    """
    if encoding.count is None:
        return _encode_bits(encoding, (value,)) if encoding.bit is not None else _encode_one(encoding, value)
    if not isinstance(value, tuple | list) or len(value) != encoding.count:
        raise ValueError(f"{value!r} is not an array of {encoding.count} elements")
    if encoding.bit is not None:
        return _encode_bits(encoding, value)
    element = replace(encoding, count=None, half=Half.LOW if encoding.half is Half.BOTH else encoding.half)
    parts = []
    for index, item in enumerate(value):
        try:
            parts.append(_encode_one(element, item))
        except ValueError as error:
            raise ValueError(f"element {index}: {error}") from None
    if encoding.half is not Half.BOTH:
        return b"".join(parts)
    swapped, _ = encoding.places
    low = 0 if swapped else 1
    data = b"".join(part[low : low + 1] for part in parts).ljust(2 * encoding.registers, b"\0")
    return swap(data) if swapped else data


def mask(encoding: Encoding) -> bytes:
    """Ones where the value sits in its registers, zeros where others sit, or nobody."""
    elements = encoding.count or 1
    if encoding.bit is not None:
        return _encode_bits(encoding, (True,) * elements)
    if encoding.partial:
        ones = replace(encoding, type=DataType.UINT8, bcd=False, no_value=None)
        return encode(ones, 0xFF if encoding.count is None else (0xFF,) * elements)
    if encoding.type in _RAW_TYPES:
        return elements * texts.pack(
            b"\xff" * encoding.length * encoding.text_order.bytes_per_register, encoding.text_order
        )
    if encoding.time is not None:
        return elements * _placed(encoding, encoding.time.mask)
    return b"\xff" * (2 * encoding.registers)


def _placed(encoding: Encoding, item: object) -> bytes:
    """What a struct would unpack as `item`."""
    swapped, endian = encoding.places
    data = struct.pack(endian + encoding.code, item)
    if encoding.partial:
        data = data + b"\0" if encoding.half is Half.HIGH else b"\0" + data
    return swap(data) if swapped else data


def bits_to_bytes(values: Sequence[Value], *, start: int = 0, size: int) -> bytes:
    """Bits from bit `start` on in `size` bytes, least significant first: as coils are packed. Raises ValueError."""
    number = 0
    for index, value in enumerate(values, start):
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is not a bool")
        number |= value << index
    return number.to_bytes(size, "little")


def _encode_bits(encoding: Encoding, values: Sequence[Value]) -> bytes:
    assert encoding.bit is not None
    low_byte_first = bits_to_bytes(values, start=encoding.bit, size=2 * encoding.registers)
    return low_byte_first if encoding.order.swaps_bytes else swap(low_byte_first)


def _encode_one(encoding: Encoding, value: Value) -> bytes:
    if encoding.type is DataType.STRING:
        return texts.encode_text(value, encoding.length, encoding.text_order, encoding.text_encoding, encoding.trim)
    if encoding.type is DataType.BYTES:
        return _encode_bytes(encoding, value)
    if encoding.time is not None:
        return _placed(encoding, times.encoded(encoding.time, encoding.utc_offset_s, value))
    return _placed(encoding, _checked_float(encoding, value) if encoding.type.is_float else _checked(encoding, value))


def _encode_bytes(encoding: Encoding, value: Value) -> bytes:
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        data = None
    if data is None:
        raise ValueError(f"{value!r} is not a string of hexadecimal digits, two a byte")
    size = encoding.length * encoding.text_order.bytes_per_register
    if len(data) != size:
        raise ValueError(f"{value!r} is {len(data)} bytes, {encoding.length} registers hold exactly {size}")
    return texts.pack(data, encoding.text_order)


def _checked(encoding: Encoding, value: Value) -> int:
    """The integer to pack."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    if value == encoding.no_value:
        raise ValueError(f"{value} is what the device has for no value")
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(f"{value!r} is not a whole number, as {encoding.type} needs")
        value = int(value)
    low, high = encoding.type.bounds
    kind = str(encoding.type)
    if encoding.bcd:
        high = 10 ** _BCD_DIGITS[encoding.type] - 1
        low = -high if low else 0
        kind += " in BCD"
    if not low <= value <= high:
        raise ValueError(f"{value} is outside {kind}, which holds {low} to {high}")
    return to_bcd(encoding.type, value) if encoding.bcd else value


def to_bcd(type_: DataType, number: int) -> int:
    """The integer whose hexadecimal digits are the number's decimal ones, and its sign where the type has one."""
    digits = int(str(abs(number)), 16)
    # The sign's four bits are 1111: as an integer of the type, what is left of -1 above the digits.
    return digits - (1 << 4 * _BCD_DIGITS[type_]) if number < 0 else digits


def from_bcd(type_: DataType, raw: int) -> int | None:
    """The inverse of :func:`to_bcd`; None if a digit isn't one."""
    negative = raw < 0
    if negative:
        raw += 1 << 4 * _BCD_DIGITS[type_]
    if raw < 0 or raw >> 4 * _BCD_DIGITS[type_]:
        return None
    digits = f"{raw:x}"
    if not digits.isdecimal():
        return None
    return -int(digits) if negative else int(digits)


def _checked_float(encoding: Encoding, value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    try:
        number = float(value)
        struct.pack(">" + encoding.code, number)
    except (OverflowError, struct.error):
        raise ValueError(f"{value} is too large for {encoding.type}") from None
    return number
