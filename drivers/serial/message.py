"""From a frame to the raw fields of a message: compiled once, applied to every frame."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from drivers.common.numbers import STRUCT_CODES
from drivers.serial import patterns
from drivers.serial.conversion import Fields, Raw
from drivers.serial.instrument import QUALITIES, BinaryField, Message
from drivers.serial.notation import show
from gateway.model import DataType


class Kind:
    """One kind of frame of one device, ready for use."""

    def __init__(self, name: str, options: Message, address: bytes, encoding: str) -> None:
        self.name = name
        self.options = options
        self.request = options.request.replace(b"{address}", address)
        self.fields = options.fields
        extract = _extractor(options, address, encoding)
        if options.match is not None:
            matches = _addressed(options.match, address).match
            self.extract: Callable[[bytes], Fields | None] = lambda frame: extract(frame) if matches(frame) else None
        else:
            self.extract = extract
        self._refused = [(_addressed(text, address), QUALITIES[name]) for text, name in options.refused.items()]

    def refusal(self, frame: bytes) -> int | None:
        """The quality that an answer means by which the instrument gives no value; None if it isn't one."""
        return next((code for pattern, code in self._refused if pattern.fullmatch(frame)), None)

    def describe(self) -> str:
        """What is done for it, in a few words."""
        return f"send '{show(self.request)}', take {self.name}" if self.request else f"listen for {self.name}"


def _addressed(text: str, address: bytes) -> Any:
    """A pattern in which ``{address}`` stands for the device's own."""
    return patterns.compiled(text.replace("{address}", _escaped(address)))


def _escaped(address: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in address)


def _extractor(options: Message, address: bytes, encoding: str) -> Callable[[bytes], Fields | None]:
    if options.pattern is not None:
        fullmatch = _addressed(options.pattern, address).fullmatch

        def by_pattern(frame: bytes) -> Fields | None:
            match = fullmatch(frame)
            return None if match is None else match.groupdict()

        return by_pattern
    if options.columns is not None:
        return _columns(options.columns, options.separator)
    if options.pairs is not None:
        return _pairs(options.pairs, options.separator)
    return _binary(options.bytes or {}, options.length, encoding)


def _columns(names: tuple[str, ...], separator: bytes) -> Callable[[bytes], Fields | None]:
    def by_columns(frame: bytes) -> Fields | None:
        # Columns that are missing at the end are fields without a value.
        return dict(zip(names, frame.split(separator), strict=False))

    return by_columns


def _pairs(sign: bytes, separator: bytes) -> Callable[[bytes], Fields | None]:
    def by_pairs(frame: bytes) -> Fields | None:
        fields: dict[str, Raw] = {}
        for part in frame.split(separator):
            name, found, value = part.partition(sign)
            if found:
                fields[name.strip().decode("latin-1")] = value
        return fields or None

    return by_pairs


def _binary(fields: Mapping[str, BinaryField], length: int | None, encoding: str) -> Callable[[bytes], Fields | None]:
    readers = [(name, _reader(field, encoding)) for name, field in fields.items()]
    least = max((field.at + size_of(field) for field in fields.values()), default=0)

    def by_place(frame: bytes) -> Fields | None:
        if len(frame) < least if length is None else len(frame) != length:
            return None
        return {name: read(frame) for name, read in readers}

    return by_place


def size_of(field: BinaryField) -> int:
    """Bytes of a binary field."""
    if field.length is not None:
        return field.length
    return 1 if field.type is DataType.BOOL else struct.calcsize(">" + STRUCT_CODES[field.type])


def _reader(field: BinaryField, encoding: str) -> Callable[[bytes], Raw]:
    """Frame → value; undecodable contents are the text ``?``, which no type of number takes for one."""
    start, end = field.at, field.at + size_of(field)
    if field.bit is not None:
        mask = 1 << field.bit
        return lambda frame: bool(frame[start] & mask)
    if field.bcd:
        little = field.byte_order == "little"
        high = field.type.bounds[1]

        def bcd(frame: bytes) -> Raw:
            part = frame[start:end]
            digits = (part[::-1] if little else part).hex()
            return int(digits) if digits.isdecimal() and int(digits) <= high else b"?"

        return bcd
    if field.type is DataType.BYTES:
        return lambda frame: frame[start:end].hex()
    if field.type is DataType.STRING:
        return lambda frame: frame[start:end].partition(b"\0")[0]
    unpack = struct.Struct((">" if field.byte_order == "big" else "<") + STRUCT_CODES[field.type]).unpack_from

    def number(frame: bytes) -> Raw:
        value: Raw = unpack(frame, start)[0]
        return value

    return number
