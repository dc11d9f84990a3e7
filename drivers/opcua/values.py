"""From what a server sends to what a tag carries, and back. A value that doesn't fit its tag is never made to fit.

=================  =====================================================================================
tag type           taken from
=================  =====================================================================================
bool               Boolean
int8 … uint64      SByte … UInt64 within the type's bounds (an enumeration is an Int32), StatusCode
float32            Float; integers it holds exactly
float64            Double, Float; integers it holds exactly
string             String, XmlElement, LocalizedText, QualifiedName, Guid, NodeId, ExpandedNodeId
bytes              ByteString
datetime           DateTime
json               everything, structures, arrays and matrices included
=================  =====================================================================================
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson

from drivers.opcua.address import name_text, to_text
from drivers.opcua.binary import (
    EPOCH_TICKS,
    BadText,
    DataValue,
    Encoded,
    LocalizedText,
    Malformed,
    NodeId,
    QualifiedName,
    Type,
    Variant,
    type_name,
)
from gateway.driver import Point
from gateway.model import DataType, Quality, Value

BAD_TYPE_MISMATCH = 0x80740000
"""The server's type and the tag's can't be brought together without changing values."""
OVERFLOW = 0x0480
"""Info type *data value* with the Overflow bit: the server's queue for this item ran over (OPC 10000-4 §7.39.1)."""
_OVERFLOW_MASK = 0x0C80

_EXACT = 1 << 53
_EXACT_FLOAT32 = 1 << 24
TICKS_PER_S = 10_000_000
_START = datetime(1601, 1, 1)
_FIRST = "1601-01-01T00:00:00.0000000Z"
_LAST = "9999-12-31T23:59:59.0000000Z"
_LAST_TICKS = 2_650_467_743_990_000_000


class Unfit(Exception):
    """The value isn't one of the tag's type. `quality` is what becomes of it."""

    def __init__(self, quality: int, message: str) -> None:
        self.quality = quality
        super().__init__(message)


class Names(Protocol):
    """What of a session is needed to make text of its values."""

    namespaces: list[str]

    def structure(self, encoded: Encoded) -> Any:
        """A structure, JSON-ready. Raises Malformed, or Unfit if it has to be looked up first."""
        ...


Convert = Callable[[Any, Names], Any]


def overflowed(status: int) -> bool:
    return status & _OVERFLOW_MASK == OVERFLOW


def ticks_to_ns(ticks: int) -> int | None:
    """Nanoseconds since 1970; None for "no time"."""
    return (ticks - EPOCH_TICKS) * 100 if ticks > 0 else None


def ns_to_ticks(time_ns: int) -> int:
    return time_ns // 100 + EPOCH_TICKS


def ticks_to_text(ticks: int, _names: Names | None = None) -> str:
    """RFC 3339 with the seven digits a DateTime has. What lies outside 1601 to 9999 means the end of that range."""
    if ticks <= 0:
        return _FIRST
    if ticks >= _LAST_TICKS:
        return _LAST
    seconds, rest = divmod(ticks, TICKS_PER_S)
    return f"{(_START + timedelta(seconds=seconds)).isoformat()}.{rest:07d}Z"


def text_to_ticks(text: str) -> int:
    """The inverse. Raises ValueError for what isn't RFC 3339, or finer than a DateTime."""
    whole, dot, rest = text.removesuffix("Z").partition(".")
    if not text.endswith("Z") or (dot and not (rest.isascii() and rest.isdigit())):
        raise ValueError(f"'{text}' is no time: write it in UTC, as 2026-01-31T12:00:00.5Z")
    if rest[7:].strip("0"):
        raise ValueError(f"'{text}' is finer than the 100 ns an OPC UA time has")
    since = datetime.fromisoformat(whole) - _START
    return (since.days * 86_400 + since.seconds) * TICKS_PER_S + int(rest[:7].ljust(7, "0"))


class Converter:
    """Makes values of one point. Built once per plan."""

    __slots__ = ("_array", "_count", "_json", "_rules", "_type")

    def __init__(self, point: Point) -> None:
        self._type = point.type
        self._count = point.count
        self._array = point.count is not None
        self._json = point.type is DataType.JSON and not self._array
        self._rules = _RULES[point.type]

    def convert(self, data: DataValue, names: Names) -> tuple[Value, int]:
        """(value, quality). The quality is the server's own status, unless it calls good what is no value.

        Raises Unfit.
        """
        kind, value, dimensions, status, _, _ = data
        if status >= 0x8000_0000:
            return None, status
        if kind == 0:
            return None, Quality.BAD_WAITING_FOR_INITIAL_DATA
        if self._json:
            return to_json_text(Variant(kind, value, dimensions), names), status
        is_array = value.__class__ is list
        if kind not in self._rules or is_array is not self._array or dimensions is not None:
            raise Unfit(BAD_TYPE_MISMATCH, self._mismatch(data, is_array=is_array))
        rule = self._rules[kind]
        if not is_array:
            return (value if rule is None else rule(value, names)), status
        if self._count and len(value) != self._count:
            raise Unfit(BAD_TYPE_MISMATCH, f"the server has {len(value)} elements, the tag {self._count}: mend 'count'")
        return tuple(value) if rule is None else tuple([rule(element, names) for element in value]), status

    def _mismatch(self, data: DataValue, *, is_array: bool) -> str:
        theirs = type_name(data.type, array=is_array)
        if data.dimensions is not None:
            return f"the server has a matrix of {type_name(data.type)}: set type = 'json'"
        if is_array is not self._array:
            return f"the server has {theirs}: " + ("add 'count = 0'" if is_array else "take 'count' out")
        return f"the server has {theirs}, the tag is {self._type}: set type = '{SUGGESTED.get(data.type, 'json')}'"


# -- rules: built-in type → how to make the tag's value of it; None: it is that value already


def _within(data_type: DataType) -> Convert:
    low, high = data_type.bounds

    def convert(value: int, _names: Names) -> int:
        if low <= value <= high:
            return value
        raise Unfit(Quality.BAD_OUT_OF_RANGE, f"{value} doesn't fit {data_type}")

    return convert


def _exactly(limit: int) -> Convert:
    def convert(value: int, _names: Names) -> float:
        if -limit <= value <= limit:
            return float(value)
        raise Unfit(Quality.BAD_OUT_OF_RANGE, f"{value} is more than this type holds exactly")

    return convert


def _text(value: str | None, _names: Names) -> str:
    if isinstance(value, BadText):
        raise Unfit(Quality.BAD_DECODING_ERROR, "the server's text isn't UTF-8")
    return value or ""


def _hex(value: bytes | None, _names: Names) -> str:
    return (value or b"").hex()


def _localized(value: LocalizedText, names: Names) -> str:
    return _text(value.text, names)


def _qualified(value: QualifiedName, names: Names) -> str:
    return name_text(value.namespace, _text(value.name, names), names.namespaces)


def _node(value: NodeId, names: Names) -> str:
    return to_text(value, names.namespaces)


def _as_json(kind: int) -> Convert:
    return lambda value, names: to_json_text(Variant(kind, value), names)


def _plain(value: Any, _names: Names) -> str:
    return str(value)


_INTEGERS: Mapping[int, DataType] = {
    Type.SBYTE: DataType.INT8,
    Type.BYTE: DataType.UINT8,
    Type.INT16: DataType.INT16,
    Type.UINT16: DataType.UINT16,
    Type.INT32: DataType.INT32,
    Type.UINT32: DataType.UINT32,
    Type.INT64: DataType.INT64,
    Type.UINT64: DataType.UINT64,
    Type.STATUS_CODE: DataType.UINT32,
}

SUGGESTED: Mapping[int, DataType] = {
    Type.BOOLEAN: DataType.BOOL,
    **_INTEGERS,
    Type.FLOAT: DataType.FLOAT32,
    Type.DOUBLE: DataType.FLOAT64,
    Type.STRING: DataType.STRING,
    Type.DATE_TIME: DataType.DATETIME,
    Type.GUID: DataType.STRING,
    Type.BYTE_STRING: DataType.BYTES,
    Type.XML_ELEMENT: DataType.STRING,
    Type.NODE_ID: DataType.STRING,
    Type.EXPANDED_NODE_ID: DataType.STRING,
    Type.QUALIFIED_NAME: DataType.STRING,
    Type.LOCALIZED_TEXT: DataType.STRING,
    Type.EXTENSION_OBJECT: DataType.JSON,
    Type.VARIANT: DataType.JSON,
}
"""The tag type that holds every value of a built-in type."""


def _rules() -> dict[DataType, dict[int, Convert | None]]:
    rules: dict[DataType, dict[int, Convert | None]] = {kind: {} for kind in DataType}
    rules[DataType.BOOL] = {Type.BOOLEAN: None}
    for ours in set(_INTEGERS.values()):
        low, high = ours.bounds
        for kind, theirs in _INTEGERS.items():
            inside = low <= theirs.bounds[0] and theirs.bounds[1] <= high
            rules[ours][kind] = None if inside else _within(ours)
    for kind in _INTEGERS:
        for ours, limit in ((DataType.FLOAT32, _EXACT_FLOAT32), (DataType.FLOAT64, _EXACT)):
            if kind is not Type.STATUS_CODE:
                rules[ours][kind] = _exactly(limit)
    rules[DataType.FLOAT32][Type.FLOAT] = None
    rules[DataType.FLOAT64] |= {Type.FLOAT: None, Type.DOUBLE: None}
    rules[DataType.STRING] = {
        Type.STRING: _text,
        Type.XML_ELEMENT: _text,
        Type.LOCALIZED_TEXT: _localized,
        Type.QUALIFIED_NAME: _qualified,
        Type.GUID: _plain,
        Type.NODE_ID: _node,
        Type.EXPANDED_NODE_ID: _node,
    }
    rules[DataType.BYTES] = {Type.BYTE_STRING: _hex}
    rules[DataType.DATETIME] = {Type.DATE_TIME: ticks_to_text}
    rules[DataType.JSON] = {kind: _as_json(kind) for kind in Type}
    return rules


_RULES = _rules()


# -- JSON


def to_json_text(variant: Variant, names: Names) -> str:
    """Raises Unfit for what can't be decoded."""
    try:
        return dumps(to_json(variant, names))
    except (Malformed, RecursionError) as error:
        raise Unfit(Quality.BAD_DECODING_ERROR, f"a structure that can't be decoded: {error}") from None


def dumps(value: Any) -> str:
    """Raises Unfit for what is nested too deep for JSON."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError as error:
        raise Unfit(Quality.BAD_DECODING_ERROR, f"a structure that JSON can't hold: {error}") from None


def to_json(variant: Variant, names: Names) -> Any:
    """JSON-ready. Numbers JSON has no form for become text: integers beyond ±2^53, NaN, infinities."""
    kind, value, dimensions = variant
    if value.__class__ is not list:
        return scalar_to_json(kind, value, names)
    elements = [scalar_to_json(kind, element, names) for element in value]
    return elements if dimensions is None else _nest(elements, dimensions)


def scalar_to_json(kind: int, value: Any, names: Names) -> Any:
    if value is None or kind == Type.BOOLEAN:
        return value
    if kind in _INTEGERS:
        return value if -_EXACT <= value <= _EXACT else str(value)
    if kind in (Type.FLOAT, Type.DOUBLE):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if kind == Type.EXTENSION_OBJECT:
        return names.structure(value)
    if kind == Type.VARIANT:
        return to_json(value, names)
    if kind == Type.DATA_VALUE:
        return _data_value(value, names)
    if kind == Type.DIAGNOSTIC_INFO:
        return None
    convert = _TEXTS[kind]
    return convert(value, names)


_TEXTS: dict[int, Convert] = {
    Type.STRING: _text,
    Type.XML_ELEMENT: _text,
    Type.LOCALIZED_TEXT: _localized,
    Type.QUALIFIED_NAME: _qualified,
    Type.GUID: _plain,
    Type.NODE_ID: _node,
    Type.EXPANDED_NODE_ID: _node,
    Type.BYTE_STRING: _hex,
    Type.DATE_TIME: ticks_to_text,
}


def _data_value(data: DataValue, names: Names) -> dict[str, Any]:
    body = {"value": to_json(Variant(data.type, data.value, data.dimensions), names), "status": data.status}
    if data.source_ticks:
        body["sourceTime"] = ticks_to_text(data.source_ticks)
    if data.server_ticks:
        body["serverTime"] = ticks_to_text(data.server_ticks)
    return body


def _nest(flat: list[Any], dimensions: tuple[int, ...]) -> list[Any]:
    if len(dimensions) < 2 or not flat:
        return flat
    size = len(flat) // dimensions[0]
    return [_nest(flat[at : at + size], dimensions[1:]) for at in range(0, len(flat), size)]


# -- back


def to_variant(value: Any, kind: int) -> Variant:
    """A tag's value, or one taken from JSON, as a built-in type. Raises ValueError if it isn't one, or not exactly."""
    if isinstance(value, tuple | list):
        return Variant(kind, [_to_scalar(element, kind) for element in value])
    return Variant(kind, _to_scalar(value, kind))


def _to_scalar(value: Any, kind: int) -> Any:
    make = _MAKERS.get(kind)
    if make is None:
        raise ValueError(f"values of type {type_name(kind)} can't be written")
    made = make(value) if value is not None else None
    if made is None:
        raise ValueError(f"{value!r} is no {type_name(kind)}")
    return made


def _make_integer(kind: int) -> Callable[[Any], int | None]:
    low, high = _INTEGERS[Type(kind)].bounds

    def make(value: Any) -> int | None:
        if isinstance(value, str) and value.removeprefix("-").isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            return None
        return value

    return make


def _make_float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if not isinstance(value, int) or abs(value) <= _EXACT else None


def _make_float32(value: Any) -> float | None:
    made = _make_float(value)
    if made is None:
        return None
    try:
        near: float = struct.unpack("<f", struct.pack("<f", made))[0]
    except OverflowError:
        return None
    return near


def _make_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _make_bytes(value: Any) -> bytes | None:
    try:
        return bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _make_ticks(value: Any) -> int | None:
    return text_to_ticks(value) if isinstance(value, str) else None


def _make_localized(value: Any) -> LocalizedText | None:
    return LocalizedText(None, value) if isinstance(value, str) else None


_MAKERS: dict[int, Callable[[Any], Any]] = {
    Type.BOOLEAN: lambda value: value if isinstance(value, bool) else None,
    **{kind: _make_integer(kind) for kind in _INTEGERS},
    Type.FLOAT: _make_float32,
    Type.DOUBLE: _make_float,
    Type.STRING: _make_text,
    Type.XML_ELEMENT: _make_text,
    Type.BYTE_STRING: _make_bytes,
    Type.DATE_TIME: _make_ticks,
    Type.LOCALIZED_TEXT: _make_localized,
}
