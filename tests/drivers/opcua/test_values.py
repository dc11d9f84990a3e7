"""What a server sends and what a tag makes of it: exactly that, or a bad quality."""

from __future__ import annotations

import math
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.opcua.binary import (
    BadText,
    DataValue,
    Encoded,
    LocalizedText,
    NodeId,
    QualifiedName,
    Type,
    Variant,
)
from drivers.opcua.values import (
    BAD_TYPE_MISMATCH,
    Converter,
    Unfit,
    ns_to_ticks,
    overflowed,
    text_to_ticks,
    ticks_to_ns,
    ticks_to_text,
    to_json,
    to_variant,
)
from gateway.model import DataType, Quality, Value
from tests.drivers.opcua.rig import point


class Names:
    namespaces = ["http://opcfoundation.org/UA/", "urn:server", "http://acme.example/line"]  # noqa: RUF012

    def structure(self, encoded: Encoded) -> Any:
        return {"bytes": len(encoded.body or b"")}


def make(kind: DataType, data: DataValue, count: int | None = None) -> tuple[Value, int]:
    return Converter(point("i=1", kind, count)).convert(data, Names())


def data_value(kind: int, value: Any, status: int = 0, dimensions: tuple[int, ...] | None = None) -> DataValue:
    return DataValue(kind, value, dimensions, status, 0, 0)


@pytest.mark.parametrize(
    ("kind", "theirs", "value", "made"),
    [
        (DataType.BOOL, Type.BOOLEAN, True, True),
        (DataType.INT8, Type.SBYTE, -128, -128),
        (DataType.UINT8, Type.BYTE, 255, 255),
        (DataType.INT64, Type.UINT32, 2**32 - 1, 2**32 - 1),
        (DataType.UINT64, Type.UINT64, 2**64 - 1, 2**64 - 1),
        (DataType.UINT32, Type.STATUS_CODE, 0x80340000, 0x80340000),
        (DataType.FLOAT32, Type.FLOAT, 0.5, 0.5),
        (DataType.FLOAT64, Type.INT32, 7, 7.0),
        (DataType.STRING, Type.STRING, "007", "007"),
        (DataType.STRING, Type.STRING, None, ""),
        (DataType.STRING, Type.LOCALIZED_TEXT, LocalizedText("de", "Füller"), "Füller"),
        (DataType.STRING, Type.QUALIFIED_NAME, QualifiedName(0, "a"), "a"),
        (DataType.STRING, Type.QUALIFIED_NAME, QualifiedName(2, "a"), "nsu=http://acme.example/line;a"),
        (DataType.STRING, Type.NODE_ID, NodeId(2, "a"), "nsu=http://acme.example/line;s=a"),
        (DataType.STRING, Type.NODE_ID, NodeId(9, 5), "ns=9;i=5"),
        (DataType.STRING, Type.GUID, uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (DataType.BYTES, Type.BYTE_STRING, b"\x01\xfe", "01fe"),
        (DataType.DATETIME, Type.DATE_TIME, 116_444_736_000_000_001, "1970-01-01T00:00:00.0000001Z"),
        (DataType.JSON, Type.INT32, 5, "5"),
        (DataType.JSON, Type.INT64, 2**53 + 1, '"9007199254740993"'),
        (DataType.JSON, Type.DOUBLE, math.inf, '"Infinity"'),
        (DataType.JSON, Type.EXTENSION_OBJECT, Encoded(NodeId(2, 5), b"ab"), '{"bytes":2}'),
        (DataType.JSON, Type.INT32, [1, 2], "[1,2]"),
    ],
)
def test_values_that_fit_stay_what_they_are(kind: DataType, theirs: int, value: Any, made: Value) -> None:
    result = make(kind, data_value(theirs, value))
    assert result == (made, 0)
    assert type(result[0]) is type(made)


@pytest.mark.parametrize(
    ("kind", "theirs", "value", "quality"),
    [
        (DataType.UINT8, Type.INT32, 256, Quality.BAD_OUT_OF_RANGE),
        (DataType.UINT16, Type.INT16, -1, Quality.BAD_OUT_OF_RANGE),
        (DataType.FLOAT64, Type.INT64, 2**53 + 1, Quality.BAD_OUT_OF_RANGE),
        (DataType.FLOAT32, Type.INT32, 2**24 + 1, Quality.BAD_OUT_OF_RANGE),
        (DataType.FLOAT32, Type.DOUBLE, 0.5, BAD_TYPE_MISMATCH),
        (DataType.INT32, Type.DOUBLE, 5.0, BAD_TYPE_MISMATCH),
        (DataType.INT32, Type.BOOLEAN, True, BAD_TYPE_MISMATCH),
        (DataType.BOOL, Type.INT32, 1, BAD_TYPE_MISMATCH),
        (DataType.STRING, Type.INT32, 1, BAD_TYPE_MISMATCH),
        (DataType.INT32, Type.INT32, [1, 2], BAD_TYPE_MISMATCH),
        (DataType.STRING, Type.STRING, BadText("a�"), Quality.BAD_DECODING_ERROR),
    ],
)
def test_values_that_do_not_fit_are_bad_and_say_why(kind: DataType, theirs: int, value: Any, quality: int) -> None:
    with pytest.raises(Unfit) as caught:
        make(kind, data_value(theirs, value))
    assert caught.value.quality == quality
    assert "\n" not in str(caught.value)


def test_a_mismatch_names_the_mend() -> None:
    with pytest.raises(Unfit, match="the server has Double, the tag is float32: set type = 'float64'"):
        make(DataType.FLOAT32, data_value(Type.DOUBLE, 1.0))
    with pytest.raises(Unfit, match=r"Int32\[\]: add 'count = 0'"):
        make(DataType.INT32, data_value(Type.INT32, [1]))
    with pytest.raises(Unfit, match="Int32: take 'count' out"):
        make(DataType.INT32, data_value(Type.INT32, 1), count=0)
    with pytest.raises(Unfit, match="matrix"):
        make(DataType.INT32, data_value(Type.INT32, [1, 2, 3, 4], dimensions=(2, 2)), count=4)


def test_the_servers_status_is_the_quality() -> None:
    assert make(DataType.INT32, data_value(Type.INT32, 5, 0x40920000)) == (5, 0x40920000)
    assert make(DataType.INT32, data_value(Type.INT32, 5, 0x808C0000)) == (None, 0x808C0000)
    assert make(DataType.INT32, data_value(Type.NULL, None)) == (None, Quality.BAD_WAITING_FOR_INITIAL_DATA)


def test_arrays() -> None:
    three = data_value(Type.INT32, [1, 2, 3])
    assert make(DataType.INT32, three, count=3) == ((1, 2, 3), 0)
    assert make(DataType.INT32, three, count=0) == ((1, 2, 3), 0)
    assert make(DataType.FLOAT64, three, count=0) == ((1.0, 2.0, 3.0), 0)
    assert make(DataType.INT32, data_value(Type.INT32, []), count=0) == ((), 0)
    with pytest.raises(Unfit, match="3 elements, the tag 2"):
        make(DataType.INT32, three, count=2)
    texts = data_value(Type.LOCALIZED_TEXT, [LocalizedText(None, "a"), LocalizedText("de", None)])
    assert make(DataType.STRING, texts, count=0) == (("a", ""), 0)


def test_a_matrix_is_nested_json() -> None:
    matrix = data_value(Type.INT32, [1, 2, 3, 4, 5, 6], dimensions=(2, 3))
    assert make(DataType.JSON, matrix) == ("[[1,2,3],[4,5,6]]", 0)
    nested = to_json(Variant(Type.VARIANT, [Variant(Type.INT32, 1), Variant(Type.STRING, "a")]), Names())
    assert nested == [1, "a"]


@pytest.mark.parametrize(
    ("status", "over"), [(0x480, True), (0x80000480, True), (0x400, False), (0x80, False), (0x880, False), (0, False)]
)
def test_the_overflow_bit_counts_only_with_its_info_type(status: int, over: bool) -> None:
    assert overflowed(status) is over


@given(st.integers(1, 2_650_467_743_989_999_999))
def test_times_are_kept_to_the_100_ns(ticks: int) -> None:
    assert text_to_ticks(ticks_to_text(ticks)) == ticks
    nanoseconds = ticks_to_ns(ticks)
    assert nanoseconds is not None
    assert ns_to_ticks(nanoseconds) == ticks


def test_times_outside_the_range_are_its_ends() -> None:
    assert ticks_to_text(-5) == ticks_to_text(0) == "1601-01-01T00:00:00.0000000Z"
    assert ticks_to_text(2**63 - 1).startswith("9999-12-31T23:59:59")
    assert ticks_to_ns(0) is None


@pytest.mark.parametrize(
    ("kind", "value", "made"),
    [
        (Type.BOOLEAN, True, True),
        (Type.UINT16, 5, 5),
        (Type.UINT64, "18446744073709551615", 2**64 - 1),
        (Type.DOUBLE, 5, 5.0),
        (Type.STRING, "a", "a"),
        (Type.BYTE_STRING, "01fe", b"\x01\xfe"),
        (Type.DATE_TIME, "1970-01-01T00:00:00.0000001Z", 116_444_736_000_000_001),
        (Type.LOCALIZED_TEXT, "a", LocalizedText(None, "a")),
        (Type.INT32, (1, 2), [1, 2]),
    ],
)
def test_values_to_write_become_the_servers_type(kind: int, value: Any, made: Any) -> None:
    assert to_variant(value, kind).value == made


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Type.BOOLEAN, 1),
        (Type.UINT16, True),
        (Type.UINT16, 65536),
        (Type.UINT16, 1.0),
        (Type.DOUBLE, 2**53 + 1),
        (Type.DOUBLE, "5"),
        (Type.FLOAT, 1e300),
        (Type.STRING, 5),
        (Type.BYTE_STRING, "xyz"),
        (Type.DATE_TIME, "yesterday"),
        (Type.DATE_TIME, "1970-01-01T00:00:00.00000001Z"),
        (Type.EXTENSION_OBJECT, {}),
        (Type.INT32, None),
        (Type.INT32, (1, None)),
    ],
)
def test_values_that_are_not_of_the_servers_type_are_not_written(kind: int, value: Any) -> None:
    with pytest.raises(ValueError, match=r"is no|can't be written|finer"):
        to_variant(value, kind)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_in_json_are_exact(value: float) -> None:
    text, _ = make(DataType.JSON, data_value(Type.DOUBLE, value))
    assert isinstance(text, str)
    assert orjson.loads(text) == value
