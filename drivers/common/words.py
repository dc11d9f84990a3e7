"""The register codec: how values of every type sit in 16-bit registers, in both directions.

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
bit or a byte of a register is counted in the 16-bit number that ``uint16`` gives under the same order.

All four orders are two endiannesses over two buffers: the reply as it came, and the reply with the bytes of every
word swapped (one C call for a whole block). A block of any mixture is therefore decoded by at most a few precompiled
structs, never by one per register. NaN and infinities pass through; what they mean is the pipeline's affair.
"""

from __future__ import annotations

import enum
import operator
import struct
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

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


class TextOrder(enum.StrEnum):
    """Which byte of a register holds the earlier character."""

    HIGH_FIRST = "high-first"
    LOW_FIRST = "low-first"


class TextEncoding(enum.StrEnum):
    UTF8 = "utf-8"
    ASCII = "ascii"
    LATIN1 = "latin-1"


class Trim(enum.StrEnum):
    """What ends a text that is shorter than its registers."""

    NUL = "nul"
    SPACE = "space"
    BOTH = "both"
    NONE = "none"


_FORMATS: dict[DataType, str] = {
    DataType.INT16: "h",
    DataType.UINT16: "H",
    DataType.INT32: "i",
    DataType.UINT32: "I",
    DataType.INT64: "q",
    DataType.UINT64: "Q",
    DataType.FLOAT16: "e",
    DataType.FLOAT32: "f",
    DataType.FLOAT64: "d",
    DataType.INT8: "b",
    DataType.UINT8: "B",
}
_BCD_TYPES = (DataType.UINT8, DataType.UINT16, DataType.UINT32, DataType.UINT64)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one value sits in registers. Raises ValueError, in one sentence, for a combination that can't be."""

    type: DataType
    order: WordOrder = WordOrder.ABCD
    bit: int | None = None
    """Bit of the register, 0 is the least significant; only and always for bool."""
    half: Half = Half.LOW
    """Byte of the register; only for int8 and uint8."""
    length: int = 0
    """Registers a string takes; only and always for string."""
    text_order: TextOrder = TextOrder.HIGH_FIRST
    text_encoding: TextEncoding = TextEncoding.UTF8
    trim: Trim = Trim.BOTH
    bcd: bool = False
    """Binary-coded decimal, four bits a digit; only for unsigned integers."""

    def __post_init__(self) -> None:
        if self.type is DataType.BOOL:
            if self.bit is None:
                raise ValueError("a bool in a register needs the number of its bit")
            if not 0 <= self.bit <= 15:
                raise ValueError(f"bit {self.bit} is beyond a register, which has bits 0 to 15")
        elif self.bit is not None:
            raise ValueError(f"a single bit is a bool, not {self.type}")
        if self.type is DataType.STRING:
            if self.length < 1:
                raise ValueError("a string needs its length in registers, at least 1")
        elif self.length:
            raise ValueError(f"a length belongs to strings only, {self.type} has a fixed one")
        if self.bcd and self.type not in _BCD_TYPES:
            raise ValueError(f"binary-coded decimal needs an unsigned integer type, not {self.type}")

    @property
    def registers(self) -> int:
        """Registers the value touches."""
        if self.type is DataType.STRING:
            return self.length
        if self.type is DataType.BOOL:
            return 1
        return (struct.calcsize(">" + _FORMATS[self.type]) + 1) // 2

    @property
    def fallible(self) -> bool:
        """True if some register contents aren't a value: broken UTF-8, a hexadecimal digit in BCD."""
        return self.bcd or (self.type is DataType.STRING and self.text_encoding is not TextEncoding.LATIN1)

    @property
    def partial(self) -> bool:
        """True if the value shares its register with others: a bit or a byte."""
        return self.type in (DataType.BOOL, DataType.INT8, DataType.UINT8)


def decode(encoding: Encoding, data: bytes) -> Value:
    """Decode one value from the wire bytes of its registers. None if the contents aren't a value of this encoding."""
    return BlockCodec([(0, encoding)], encoding.registers).decode(data)[0]


def encode(encoding: Encoding, value: Value) -> bytes:
    """Encode one value into the wire bytes of its registers; the rest of a shared register is zero.

    Raises ValueError, in one sentence, if the value doesn't fit the type; nothing is rounded to an integer or cut off.
    """
    if encoding.type is DataType.STRING:
        data = _encode_text(encoding, value)
        return _swap(data) if encoding.text_order is TextOrder.LOW_FIRST else data
    if encoding.type is DataType.BOOL:
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is not a bool")
        assert encoding.bit is not None
        data = struct.pack(">H", value << encoding.bit)
    elif encoding.type in (DataType.INT8, DataType.UINT8):
        byte = struct.pack(_FORMATS[encoding.type], _checked_integer(encoding, value))
        data = byte + b"\0" if encoding.half is Half.HIGH else b"\0" + byte
    else:
        number = _checked_float(encoding, value) if encoding.type.is_float else _checked_integer(encoding, value)
        # Low word first is little-endian with the bytes of each word swapped back.
        data = struct.pack(("<" if encoding.order.low_word_first else ">") + _FORMATS[encoding.type], number)
        return _swap(data) if encoding.order.swaps_bytes != encoding.order.low_word_first else data
    return _swap(data) if encoding.order.swaps_bytes else data


def mask(encoding: Encoding) -> bytes:
    """Ones where the value sits in its registers, zeros where the register belongs to others."""
    if encoding.type is DataType.BOOL:
        return encode(encoding, True)
    if encoding.partial:
        return encode(Encoding(DataType.UINT8, encoding.order, half=encoding.half), 0xFF)
    return b"\xff" * (2 * encoding.registers)


def _checked_integer(encoding: Encoding, value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(f"{value!r} is not a whole number, as {encoding.type} needs")
        value = int(value)
    low, high = encoding.type.bounds
    if encoding.bcd:
        high = 10 ** (2 * struct.calcsize(_FORMATS[encoding.type])) - 1
    if not low <= value <= high:
        kind = f"{encoding.type} in BCD" if encoding.bcd else encoding.type
        raise ValueError(f"{value} is outside {kind}, which holds {low} to {high}")
    return int(str(value), 16) if encoding.bcd else value


def _checked_float(encoding: Encoding, value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    try:
        number = float(value)
        struct.pack(">" + _FORMATS[encoding.type], number)
    except (OverflowError, struct.error):
        raise ValueError(f"{value} is too large for {encoding.type}") from None
    return number


def _encode_text(encoding: Encoding, value: Value) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a string")
    try:
        data = value.encode(encoding.text_encoding)
    except UnicodeEncodeError:
        raise ValueError(f"{value!r} has characters that {encoding.text_encoding} can't hold") from None
    size = 2 * encoding.length
    if len(data) > size:
        raise ValueError(f"{value!r} takes {len(data)} bytes, {encoding.length} registers hold {size}")
    return data.ljust(size, b" " if encoding.trim is Trim.SPACE else b"\0")


def _swap(data: bytes) -> bytes:
    """Swap the two bytes of every register."""
    words = array("H", data)
    words.byteswap()
    return words.tobytes()


def _text_decoder(encoding: Encoding) -> Callable[[bytes], Value]:
    name = str(encoding.text_encoding)
    cut = encoding.trim in (Trim.NUL, Trim.BOTH)
    strip = encoding.trim in (Trim.SPACE, Trim.BOTH)

    def decode_text(data: bytes) -> Value:
        if cut:
            data = data.partition(b"\0")[0]
        if strip:
            data = data.rstrip(b" ")
        try:
            return data.decode(name)
        except UnicodeDecodeError:
            return None

    return decode_text


def _from_bcd(number: int) -> Value:
    try:
        return int(f"{number:x}")
    except ValueError:
        return None


BITS: tuple[tuple[bool, ...], ...] = tuple(tuple(bool(byte >> bit & 1) for bit in range(8)) for byte in range(256))
"""The bits of every byte, least significant first: the order of coils in a reply, and of bits in a register's byte."""


@dataclass(slots=True)
class _Cell:
    """One item of a struct: where its bytes are, how they unpack, and which field it is for."""

    start: int
    size: int
    format: str
    field: int
    convert: Callable[[Any], Value] | None = None


class BlockCodec:
    """Decodes all values of one block of registers at once. Compiled once, at plan time.

    `fields` are (offset in registers from the block's start, encoding). Fields may overlap and come in any order.
    """

    __slots__ = ("decode", "fallible", "order")

    decode: Callable[[bytes], tuple[Value, ...]]
    """Wire bytes of the whole block → values in `order`. A value that can't be decoded is None; only if `fallible`."""
    order: tuple[int, ...]
    """`order[i]` is the index of the field that position *i* of the decoded tuple belongs to."""
    fallible: bool

    def __init__(self, fields: Sequence[tuple[int, Encoding]], registers: int) -> None:
        cells: dict[tuple[bool, str], list[_Cell]] = {}
        bits: dict[int, list[tuple[int, int]]] = {}
        for index, (offset, encoding) in enumerate(fields):
            if not 0 <= offset <= registers - encoding.registers:
                raise ValueError(f"a value at register {offset} is not inside a block of {registers}")
            start = 2 * offset
            if encoding.type is DataType.BOOL:
                assert encoding.bit is not None
                in_low_byte = encoding.bit < 8
                bits.setdefault(start + (in_low_byte != encoding.order.swaps_bytes), []).append(
                    (encoding.bit % 8, index)
                )
                continue
            cell, swapped, endian = _cell(encoding, start, index)
            cells.setdefault((swapped, endian), []).append(cell)
        parts: list[tuple[bool, Callable[[bytes], tuple[Any, ...]]]] = []
        order: list[int] = []
        converters: list[tuple[int, Callable[[Any], Value]]] = []
        for (swapped, endian), some in sorted(cells.items(), key=lambda item: item[0]):
            for layer in _layers(some):
                for cell in layer:
                    if cell.convert is not None:
                        converters.append((len(order), cell.convert))
                    order.append(cell.field)
                parts.append((swapped, _compile_struct(endian, layer, 2 * registers)))
        if bits:
            extract, fields_of_bits = _compile_bits(bits)
            parts.append((False, extract))
            order.extend(fields_of_bits)
        self.order = tuple(order)
        self.fallible = any(encoding.fallible for _, encoding in fields)
        self.decode = _compose(parts, converters)


def _cell(encoding: Encoding, start: int, field: int) -> tuple[_Cell, bool, str]:
    """The struct item of one value, whether it reads the swapped buffer, and its endianness there."""
    if encoding.type is DataType.STRING:
        size = 2 * encoding.length
        text = _Cell(start, size, f"{size}s", field, _text_decoder(encoding))
        return text, encoding.text_order is TextOrder.LOW_FIRST, ">"
    convert = _from_bcd if encoding.bcd else None
    code = _FORMATS[encoding.type]
    if encoding.partial:
        low = encoding.half is Half.LOW
        return _Cell(start + (low != encoding.order.swaps_bytes), 1, code, field, convert), False, ">"
    size = struct.calcsize(">" + code)
    if size == 2:
        return _Cell(start, size, code, field, convert), False, "<" if encoding.order.swaps_bytes else ">"
    swapped = encoding.order.swaps_bytes != encoding.order.low_word_first
    return _Cell(start, size, code, field, convert), swapped, "<" if encoding.order.low_word_first else ">"


def _layers(cells: list[_Cell]) -> list[list[_Cell]]:
    """Distribute cells over as few structs as overlaps allow: usually one."""
    layers: list[list[_Cell]] = []
    for cell in sorted(cells, key=lambda cell: (cell.start, cell.size)):
        for layer in layers:
            if layer[-1].start + layer[-1].size <= cell.start:
                layer.append(cell)
                break
        else:
            layers.append([cell])
    return layers


def _compile_struct(endian: str, layer: list[_Cell], size: int) -> Callable[[bytes], tuple[Any, ...]]:
    formats = [endian]
    position = 0
    for cell in layer:
        if cell.start > position:
            formats.append(f"{cell.start - position}x")
        formats.append(cell.format)
        position = cell.start + cell.size
    if position < size:
        formats.append(f"{size - position}x")
    return struct.Struct("".join(formats)).unpack


def _compile_bits(bits: dict[int, list[tuple[int, int]]]) -> tuple[Callable[[bytes], tuple[bool, ...]], list[int]]:
    """Pick the bytes that hold wanted bits, expand them by table, pick the bits."""
    bytes_at = sorted(bits)
    wanted = [(8 * row + bit, field) for row, at in enumerate(bytes_at) for bit, field in bits[at]]
    pick_bytes = picker(bytes_at)
    pick_bits = picker([position for position, _ in wanted])

    def extract(data: bytes) -> tuple[bool, ...]:
        return pick_bits(tuple(chain.from_iterable(map(BITS.__getitem__, pick_bytes(data)))))

    return extract, [field for _, field in wanted]


def picker(positions: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """A function that picks these positions of a sequence into a tuple, in C."""
    if len(positions) == 1:
        only = positions[0]
        return lambda items: (items[only],)
    if not positions:
        return lambda items: ()
    return operator.itemgetter(*positions)


def _compose(
    parts: list[tuple[bool, Callable[[bytes], tuple[Any, ...]]]],
    converters: list[tuple[int, Callable[[Any], Value]]],
) -> Callable[[bytes], tuple[Value, ...]]:
    """Join the parts into one function, in the cheapest form that does it."""
    if len(parts) == 1:
        swapped, unpack = parts[0]
        joined: Callable[[bytes], tuple[Any, ...]] = (lambda data: unpack(_swap(data))) if swapped else unpack
    elif any(swapped for swapped, _ in parts):

        def joined(data: bytes) -> tuple[Any, ...]:
            other = _swap(data)
            return tuple(chain.from_iterable([unpack(other if swapped else data) for swapped, unpack in parts]))

    else:
        unpacks = [unpack for _, unpack in parts]

        def joined(data: bytes) -> tuple[Any, ...]:
            return tuple(chain.from_iterable([unpack(data) for unpack in unpacks]))

    if not converters:
        return joined

    def converted(data: bytes) -> tuple[Value, ...]:
        values = list(joined(data))
        for position, convert in converters:
            values[position] = convert(values[position])
        return tuple(values)

    return converted


class BitCodec:
    """Decodes wanted bits of a reply of packed bits (coils, discrete inputs; least significant bit first).

    `offsets` are bit positions from the block's start, in any order.
    """

    __slots__ = ("decode", "fallible", "order")

    decode: Callable[[bytes], tuple[Value, ...]]
    order: tuple[int, ...]
    fallible: bool

    def __init__(self, offsets: Sequence[int], count: int) -> None:
        if not all(0 <= offset < count for offset in offsets):
            raise ValueError(f"a bit is outside the block of {count}")
        by_byte: dict[int, list[tuple[int, int]]] = {}
        for index, offset in enumerate(offsets):
            by_byte.setdefault(offset // 8, []).append((offset % 8, index))
        if list(offsets) == list(range(count)):
            self.decode = _leading_bits(count)
            self.order = tuple(range(count))
        else:
            self.decode, fields = _compile_bits(by_byte)
            self.order = tuple(fields)
        self.fallible = False


def _leading_bits(count: int) -> Callable[[bytes], tuple[Value, ...]]:
    if count % 8 == 0:
        return lambda data: tuple(chain.from_iterable(map(BITS.__getitem__, data)))
    return lambda data: tuple(chain.from_iterable(map(BITS.__getitem__, data)))[:count]
