"""The block codec: all values of one reply at once, by what was compiled when the read was planned.

All four word orders are two endiannesses over two buffers: the reply as it came, and the reply with the bytes of every
word swapped (one C call for a whole block). A block of any mixture is therefore decoded by at most a few precompiled
structs, never by one per register; an array is one struct and one tuple. NaN and infinities pass through; what they
mean is the pipeline's affair. An array that has an element which isn't a value is no value as a whole.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from drivers.common import times
from drivers.common.texts import swap, text_decoder, unpack
from drivers.common.words import Encoding, Half, from_bcd
from gateway.model import DataType, Value

BITS: tuple[tuple[bool, ...], ...] = tuple(tuple(bool(byte >> bit & 1) for bit in range(8)) for byte in range(256))
"""The bits of every byte, least significant first: the order of coils in a reply, and of bits in a register's byte."""

_Unpack = Callable[[bytes], tuple[Any, ...]]
_Part = tuple[bool, _Unpack]
"""Whether it reads the swapped buffer, and what it takes from there."""


def decode(encoding: Encoding, data: bytes) -> Value:
    """Decode one value from the wire bytes of its registers. None if the contents aren't a value of this encoding."""
    return BlockCodec([(0, encoding)], encoding.registers).decode(data)[0]


@dataclass(slots=True)
class _Cell:
    """One item of a struct: where its bytes are, how they unpack, and which field it is for."""

    start: int
    size: int
    code: str
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
        arrays: list[tuple[int, _Part]] = []
        for index, (offset, encoding) in enumerate(fields):
            if not 0 <= offset <= registers - encoding.registers:
                raise ValueError(f"a value at register {offset} is not inside a block of {registers}")
            start = 2 * offset
            if encoding.count is not None:
                arrays.append((index, _array(encoding, start)))
            elif encoding.bit is not None:
                in_low_byte = encoding.bit < 8
                bits.setdefault(start + (in_low_byte != encoding.order.swaps_bytes), []).append(
                    (encoding.bit % 8, index)
                )
            else:
                start += encoding.partial and encoding.half is Half.LOW
                size = struct.calcsize(">" + encoding.code)
                cell = _Cell(start, size, encoding.code, index, _converter(encoding))
                cells.setdefault(encoding.places, []).append(cell)
        parts: list[_Part] = []
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
        for index, part in arrays:
            parts.append(part)
            order.append(index)
        self.order = tuple(order)
        self.fallible = any(encoding.fallible for _, encoding in fields)
        self.decode = _compose(parts, converters)


def _converter(encoding: Encoding) -> Callable[[Any], Value] | None:
    """From what a struct gives for one element to its value; None if that is the same."""
    if encoding.type is DataType.STRING:
        return text_decoder(encoding.text_order, encoding.text_encoding, encoding.trim)
    if encoding.type is DataType.BYTES:
        order = encoding.text_order
        return lambda data: unpack(data, order).hex()
    if encoding.time is not None:
        return times.decoder(encoding.time, encoding.utc_offset_s)
    convert = partial(from_bcd, encoding.type) if encoding.bcd else None
    return convert if encoding.no_value is None else _unless(encoding.no_value, convert)


def _unless(no_value: int, convert: Callable[[int], int | None] | None) -> Callable[[int], int | None]:
    """The same conversion, but None for the one integer that means nothing."""

    def converted(raw: int) -> int | None:
        value = raw if convert is None else convert(raw)
        return None if value == no_value else value

    return converted


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


def _compile_struct(endian: str, layer: list[_Cell], size: int) -> _Unpack:
    codes = [endian]
    position = 0
    for cell in layer:
        if cell.start > position:
            codes.append(f"{cell.start - position}x")
        codes.append(cell.code)
        position = cell.start + cell.size
    if position < size:
        codes.append(f"{size - position}x")
    return struct.Struct("".join(codes)).unpack


def _compile_bits(bits: dict[int, list[tuple[int, int]]]) -> tuple[Callable[[bytes], tuple[bool, ...]], list[int]]:
    """Pick the bytes that hold wanted bits, expand them by table, pick the bits."""
    bytes_at = sorted(bits)
    wanted = [(8 * row + bit, field) for row, at in enumerate(bytes_at) for bit, field in bits[at]]
    pick_bytes = picker(bytes_at)
    pick_bits = picker([position for position, _ in wanted])

    def extract(data: bytes) -> tuple[bool, ...]:
        return pick_bits(tuple(chain.from_iterable(map(BITS.__getitem__, pick_bytes(data)))))

    return extract, [field for _, field in wanted]


def _array(encoding: Encoding, start: int) -> _Part:
    """A part that gives one value, the tuple of all elements."""
    count = encoding.count
    assert count is not None
    if encoding.bit is not None:
        # With the low byte of every register first, bits follow each other as coils do.
        return not encoding.order.swaps_bytes, _bit_run(8 * start + encoding.bit, count)
    swapped, endian = encoding.places
    if encoding.partial and encoding.half is not Half.BOTH:
        code = ("x" + encoding.code if encoding.half is Half.LOW else encoding.code + "x") * count
    elif encoding.code.endswith("s"):
        code = encoding.code * count
    else:
        code = f"{count}{encoding.code}"
    elements = struct.Struct(endian + code).unpack_from
    convert = _converter(encoding)
    if convert is None:
        return swapped, lambda data: (elements(data, start),)

    def converted(data: bytes) -> tuple[tuple[Value, ...] | None]:
        values = tuple(map(convert, elements(data, start)))
        return (None if None in values else values,)

    return swapped, converted


def _bit_run(start: int, count: int) -> _Unpack:
    """A part that gives one value, a tuple of `count` bits from bit `start` on, least significant first."""
    first_byte, first_bit = divmod(start, 8)
    stop_byte = (start + count + 7) // 8
    bits = slice(first_bit, first_bit + count)
    return lambda data: (tuple(chain.from_iterable(map(BITS.__getitem__, data[first_byte:stop_byte])))[bits],)


def picker(positions: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """A function that picks these positions of a sequence into a tuple, in C."""
    if len(positions) == 1:
        only = positions[0]
        return lambda items: (items[only],)
    if not positions:
        return lambda items: ()
    return operator.itemgetter(*positions)


def _compose(
    parts: list[_Part],
    converters: list[tuple[int, Callable[[Any], Value]]],
) -> Callable[[bytes], tuple[Value, ...]]:
    """Join the parts into one function, in the cheapest form that does it."""
    if len(parts) == 1:
        swapped, unpack_all = parts[0]
        joined: _Unpack = (lambda data: unpack_all(swap(data))) if swapped else unpack_all
    elif any(swapped for swapped, _ in parts):

        def joined(data: bytes) -> tuple[Any, ...]:
            other = swap(data)
            return tuple(chain.from_iterable([take(other if swapped else data) for swapped, take in parts]))

    else:
        takes = [take for _, take in parts]

        def joined(data: bytes) -> tuple[Any, ...]:
            return tuple(chain.from_iterable([take(data) for take in takes]))

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

    `fields` are (bit from the block's start, number of elements or None for a single bit), in any order.
    """

    __slots__ = ("decode", "fallible", "order")

    decode: Callable[[bytes], tuple[Value, ...]]
    order: tuple[int, ...]
    fallible: bool

    def __init__(self, fields: Sequence[tuple[int, int | None]], count: int) -> None:
        if not all(0 <= offset <= count - (elements or 1) for offset, elements in fields):
            raise ValueError(f"a bit is outside the block of {count}")
        self.fallible = False
        if list(fields) == [(offset, None) for offset in range(count)]:
            self.decode = _leading_bits(count)
            self.order = tuple(range(count))
            return
        by_byte: dict[int, list[tuple[int, int]]] = {}
        parts: list[_Part] = []
        order: list[int] = []
        for index, (offset, elements) in enumerate(fields):
            if elements is None:
                by_byte.setdefault(offset // 8, []).append((offset % 8, index))
            else:
                parts.append((False, _bit_run(offset, elements)))
                order.append(index)
        if by_byte:
            extract, single = _compile_bits(by_byte)
            parts.append((False, extract))
            order += single
        self.decode = _compose(parts, [])
        self.order = tuple(order)


def _leading_bits(count: int) -> Callable[[bytes], tuple[Value, ...]]:
    if count % 8 == 0:
        return lambda data: tuple(chain.from_iterable(map(BITS.__getitem__, data)))
    return lambda data: tuple(chain.from_iterable(map(BITS.__getitem__, data)))[:count]
