"""The decode matrix: every way to understand the registers around an address, by the codec that polling uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drivers.common import times
from drivers.common.codec import decode
from drivers.common.texts import TextOrder
from drivers.common.words import BCD_TYPES, Encoding, Half, WordOrder
from drivers.modbus.address import LAST_ADDRESS, Table
from gateway.driver import Decoding
from gateway.model import DataType

_BITS = 16
_TEXT_REGISTERS = 4
_TIMES = ("unix-u32", "sunspec", "unix-s64", "unix-ms", "unix-us", "filetime", "cp56time2a")
_FIELDS = ("s7-dt", "s7-dtl", "Y M D h m s", "MD nh ms")


def _orders(registers: int) -> tuple[WordOrder, ...]:
    """Those that differ."""
    return (WordOrder.ABCD, WordOrder.BADC) if registers == 1 else tuple(WordOrder)


def _candidates() -> Iterator[tuple[str, Encoding, dict[str, Any]]]:
    """(order in words, encoding, what a tag says to have it so) of everything that can be tried."""
    for bit in range(_BITS):
        yield f"bit {bit}", Encoding(DataType.BOOL, bit=bit), {}
    for type_ in (type_ for type_ in DataType if type_.is_numeric):
        if type_ in (DataType.INT8, DataType.UINT8):
            for half in (Half.HIGH, Half.LOW):
                yield str(half), Encoding(type_, half=half), {"byte": str(half)}
            continue
        for order in _orders(Encoding(type_).registers):
            yield str(order), Encoding(type_, order), {"word_order": str(order)}
    for type_ in BCD_TYPES:
        if type_ is not DataType.UINT8:
            for order in _orders(Encoding(type_).registers):
                yield f"{order} bcd", Encoding(type_, order, bcd=True), {"word_order": str(order), "bcd": True}
    for text_order in TextOrder:
        encoding = Encoding(DataType.STRING, length=_TEXT_REGISTERS, text_order=text_order)
        yield str(text_order), encoding, {"length": _TEXT_REGISTERS, "text_order": str(text_order)}
    for name in _TIMES:
        for order in WordOrder:
            yield f"{order} {name}", _time(order, name), {"word_order": str(order), "time": name}
    for name in _FIELDS:
        for order in (WordOrder.ABCD, WordOrder.BADC):
            yield f"{order} {name}", _time(order, name), {"word_order": str(order), "time": name}


def _time(order: WordOrder, name: str) -> Encoding:
    return Encoding(DataType.DATETIME, order, time=times.form(name))


CANDIDATES = tuple(_candidates())
WIDEST = max(encoding.registers for _, encoding, _ in CANDIDATES)


def window(address: int) -> range:
    """The registers that bear on `address` and its neighbours."""
    return range(max(0, address - 1), min(LAST_ADDRESS + 1, address + 1 + WIDEST))


def decodings(table: Table, address: int, address_offset: int, registers: Mapping[int, bytes]) -> Iterator[Decoding]:
    """Every type and order at `address` − 1, at it, and at + 1.

    `registers`: wire bytes by address on the wire, those of :func:`window` that could be read.
    """
    for at in (address - 1, address, address + 1):
        for order, encoding, options in CANDIDATES:
            span = range(at, at + encoding.registers)
            if all(number in registers for number in span):
                raw = b"".join(registers[number] for number in span)
                name = f"{table.prefix}:{at + address_offset}"
                own = options if encoding.bit is None else {"address": f"{name}.{encoding.bit}"}
                yield Decoding(name, encoding.type, order, raw, decode(encoding, raw), own)
