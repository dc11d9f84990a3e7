"""How one value stands in the bytes of a characteristic, in both directions.

GATT counts from the least significant byte (Core Specification vol 3 part G §2.4); vendors may not. Decimals are exact
quotients, medical floats (IEEE 11073-20601 §4.4.2) exact powers of ten: what a sensor calls 36.4 is 36.4 here.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal, Protocol

from drivers.common.numbers import ByteOrder
from gateway.model import DataType, Value


class Encoding(enum.StrEnum):
    """How a characteristic that isn't standard holds its value."""

    BOOL = "bool"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT24 = "int24"
    UINT24 = "uint24"
    INT32 = "int32"
    UINT32 = "uint32"
    UINT48 = "uint48"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    SFLOAT = "sfloat"
    """IEEE 11073 16-bit float, "medfloat16"."""
    FLOAT11073 = "float11073"
    """IEEE 11073 32-bit float, "medfloat32"."""
    UTF8 = "utf-8"
    BYTES = "bytes"


class Codec(Protocol):
    """A value's way into bytes and out of them."""

    @property
    def type(self) -> DataType:
        """The narrowest type that holds every value it can have."""
        ...

    @property
    def unit(self) -> str | None:
        """UCUM code, where it is part of the standard."""
        ...

    def decode(self, data: bytes) -> Value:
        """None if the sensor says that it has no value. Raises ValueError if this isn't one."""
        ...

    def encode(self, value: Value) -> bytes:
        """The whole characteristic. Raises ValueError, in one sentence, if it can't hold the value exactly."""
        ...


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number, or one of steps: `numerator` / `denominator` is the worth of one."""

    size: int
    signed: bool = False
    order: ByteOrder = "little"
    start: int = 0
    numerator: int = 1
    denominator: int = 1
    unknown: int | None = None
    """The number by which a sensor says that it has no value."""
    unit: str | None = None

    @property
    def type(self) -> DataType:
        if self.denominator != 1:
            return DataType.FLOAT64
        bits = next(bits for bits in (8, 16, 32, 64) if bits >= 8 * self.size)
        return DataType(f"{'' if self.signed else 'u'}int{bits}")

    def decode(self, data: bytes) -> Value:
        number = int.from_bytes(_cut(data, self.start, self.size), self.order, signed=self.signed)
        if number == self.unknown:
            return None
        return number * self.numerator / self.denominator if self.denominator != 1 else number * self.numerator

    def encode(self, value: Value) -> bytes:
        steps = _decimal(value) * self.denominator / self.numerator
        if steps != steps.to_integral_value():
            raise ValueError(f"{value} lies between two steps of {self.numerator / self.denominator:g}")
        number = int(steps)
        try:
            data = number.to_bytes(self.size, self.order, signed=self.signed)
        except OverflowError:
            raise ValueError(f"{value} doesn't fit {8 * self.size} bits") from None
        if number == self.unknown:
            raise ValueError(f"{value} can't be written: these bytes mean that there is no value")
        return _whole(data, self.start)


@dataclass(frozen=True, slots=True)
class Real:
    """An IEEE 754 number. NaN and infinities pass through; what they mean is the pipeline's affair."""

    type: DataType
    order: ByteOrder = "little"
    start: int = 0
    unit: str | None = None

    @property
    def _format(self) -> str:
        letter = {DataType.FLOAT16: "e", DataType.FLOAT32: "f", DataType.FLOAT64: "d"}[self.type]
        return ("<" if self.order == "little" else ">") + letter

    def decode(self, data: bytes) -> Value:
        size = struct.calcsize(self._format)
        (number,) = struct.unpack(self._format, _cut(data, self.start, size))
        return float(number)

    def encode(self, value: Value) -> bytes:
        number = float(_decimal(value))
        try:
            return _whole(struct.pack(self._format, number), self.start)
        except OverflowError:
            raise ValueError(f"{value} is too large for {self.type}") from None


@dataclass(frozen=True, slots=True)
class Medical:
    """An IEEE 11073 float: SFLOAT (2 bytes, 12-bit mantissa) or FLOAT (4 bytes, 24-bit mantissa), a power of ten."""

    size: Literal[2, 4]
    order: ByteOrder = "little"
    start: int = 0
    unit: str | None = None

    @property
    def type(self) -> DataType:
        return DataType.FLOAT64

    @property
    def _bits(self) -> int:
        return 12 if self.size == 2 else 24

    def decode(self, data: bytes) -> Value:
        raw = int.from_bytes(_cut(data, self.start, self.size), self.order)
        top = 1 << self._bits - 1
        if top - 2 <= raw <= top + 2:
            return None  # +INF, NaN, NRes, reserved, -INF
        exponent = _signed(raw >> self._bits, 8 * self.size - self._bits)
        mantissa = _signed(raw & (2 * top - 1), self._bits)
        return float(mantissa * 10**exponent) if exponent >= 0 else mantissa / 10**-exponent

    def encode(self, value: Value) -> bytes:
        sign, digits, exponent = _decimal(value).normalize().as_tuple()
        mantissa = int("".join(map(str, digits)))
        assert isinstance(exponent, int)  # _decimal lets neither NaN nor infinity pass
        limit = (1 << self._bits - 1) - 3
        highest = (1 << 8 * self.size - self._bits - 1) - 1
        while exponent > highest and mantissa <= limit:
            mantissa, exponent = 10 * mantissa, exponent - 1
        if not mantissa:
            exponent = 0
        if mantissa > limit or not -highest - 1 <= exponent <= highest:
            raise ValueError(f"{value} has more digits than a medical float of {8 * self.size} bits holds")
        number = -mantissa if sign else mantissa
        raw = (exponent << self._bits | number & (1 << self._bits) - 1) & (1 << 8 * self.size) - 1
        return _whole(raw.to_bytes(self.size, self.order), self.start)


@dataclass(frozen=True, slots=True)
class Flag:
    """A byte that is 0 or 1."""

    start: int = 0
    unit: str | None = None

    @property
    def type(self) -> DataType:
        return DataType.BOOL

    def decode(self, data: bytes) -> Value:
        (byte,) = _cut(data, self.start, 1)
        if byte > 1:
            raise ValueError(f"a bool is 0 or 1, not {byte}")
        return bool(byte)

    def encode(self, value: Value) -> bytes:
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is not a bool")
        return _whole(bytes((value,)), self.start)


@dataclass(frozen=True, slots=True)
class Text:
    """UTF-8 up to a NUL or the end."""

    start: int = 0
    length: int | None = None
    unit: str | None = None

    @property
    def type(self) -> DataType:
        return DataType.STRING

    def decode(self, data: bytes) -> Value:
        part = data[self.start :] if self.length is None else _cut(data, self.start, self.length)
        return part.partition(b"\0")[0].decode()

    def encode(self, value: Value) -> bytes:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not a string")
        if "\0" in value:
            raise ValueError("a text can't hold a NUL character")
        return _fitted(value.encode(), self.start, self.length)


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are, carried as hexadecimal digits."""

    start: int = 0
    length: int | None = None
    unit: str | None = None

    @property
    def type(self) -> DataType:
        return DataType.BYTES

    def decode(self, data: bytes) -> Value:
        return (data[self.start :] if self.length is None else _cut(data, self.start, self.length)).hex()

    def encode(self, value: Value) -> bytes:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not a string of hexadecimal digits")
        try:
            data = bytes.fromhex(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a string of hexadecimal digits") from None
        if self.length is not None and len(data) != self.length:
            raise ValueError(f"{len(data)} bytes were given where {self.length} belong")
        return _whole(data, self.start)


def codec(encoding: Encoding, order: ByteOrder = "little", start: int = 0, length: int | None = None) -> Codec:
    """The codec of an encoding."""
    match encoding:
        case Encoding.BOOL:
            return Flag(start)
        case Encoding.FLOAT16 | Encoding.FLOAT32 | Encoding.FLOAT64:
            return Real(DataType(encoding), order, start)
        case Encoding.SFLOAT:
            return Medical(2, order, start)
        case Encoding.FLOAT11073:
            return Medical(4, order, start)
        case Encoding.UTF8:
            return Text(start, length)
        case Encoding.BYTES:
            return Raw(start, length)
    bits = encoding.removeprefix("u").removeprefix("int")
    return Integer(int(bits) // 8, not encoding.startswith("u"), order, start)


def _cut(data: bytes, start: int, size: int) -> bytes:
    if len(data) < start + size:
        raise ValueError(f"{size} bytes from byte {start} on are wanted, the characteristic has {len(data)}")
    return data[start : start + size]


def _whole(data: bytes, start: int) -> bytes:
    if start:
        raise ValueError("a value that is only a part of its characteristic can't be written")
    return data


def _fitted(data: bytes, start: int, length: int | None) -> bytes:
    if length is not None and len(data) > length:
        raise ValueError(f"the text takes {len(data)} bytes, the characteristic holds {length}")
    return _whole(data if length is None else data.ljust(length, b"\0"), start)


def _signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> bits - 1 else number


def _decimal(value: Value) -> Decimal:
    """The decimal number a user means by a float. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    try:
        number = Decimal(repr(value))
    except InvalidOperation:  # pragma: no cover - repr of a number is always a number
        raise ValueError(f"{value!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a finite number")
    return number
