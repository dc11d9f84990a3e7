"""Text and bytes become values exactly, or a quality that says why not."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.serial.conversion import ImpossibleTag, Raw, compile_tag
from drivers.serial.instrument import FieldRules, Message
from drivers.serial.message import Kind
from gateway.model import DataType, Quality, Value

GOOD, UNDECODABLE, EMPTY = 0, int(Quality.BAD_DECODING_ERROR), int(Quality.BAD_SENSOR_FAILURE)
RANGE, UNIT = int(Quality.BAD_OUT_OF_RANGE), int(Quality.BAD_CONFIGURATION_ERROR)


def convert(
    fields: dict[str, Raw], type_: DataType, unit: str | None = None, encoding: str = "utf-8", **rules: dict[str, Any]
) -> tuple[Value, int]:
    """The field `x`, by these rules of fields."""
    known = {name: FieldRules.model_validate(rule) for name, rule in rules.items()}
    return compile_tag("x", known, lambda name: True, type_, unit, encoding)(fields)


def text(raw: bytes, type_: DataType, **rules: Any) -> tuple[Value, int]:
    return convert({"x": raw}, type_, x=rules)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"12.5", 12.5), (b"  12.5 ", 12.5), (b"+00123.45", 123.45), (b"-  0.5", -0.5), (b"12.", 12.0), (b".5", 0.5),
        (b"1e3", 1000.0), (b"-1.5E-3", -0.0015), (b"0.1", 0.1), (b"12345678901234567890", 12345678901234567890.0),
    ],
)  # fmt: skip
def test_decimal_numbers(raw: bytes, value: float) -> None:
    assert text(raw, DataType.FLOAT64) == (value, GOOD)


@pytest.mark.parametrize(
    "raw", [b"12,5", b"1_000", b"0x10", b"inf", b"nan", b"1 2", b"--1", b"1e", b"12.5kg", b"\xb2", b"9" * 65, b"1.2.3"]
)
def test_what_is_no_number_is_never_one(raw: bytes) -> None:
    assert text(raw, DataType.FLOAT64) == (None, UNDECODABLE)


def test_a_decimal_comma_is_an_option_and_then_the_only_sign() -> None:
    assert text(b"12,5", DataType.FLOAT64, decimal=",") == (12.5, GOOD)
    assert text(b"12.5", DataType.FLOAT64, decimal=",") == (None, UNDECODABLE)


@pytest.mark.parametrize(
    ("raw", "type_", "rules", "result"),
    [
        (b"042", DataType.UINT8, {}, (42, GOOD)),
        (b"-42", DataType.INT8, {}, (-42, GOOD)),
        (b"256", DataType.UINT8, {}, (None, RANGE)),
        (b"-1", DataType.UINT16, {}, (None, RANGE)),
        (b"18446744073709551615", DataType.UINT64, {}, (18446744073709551615, GOOD)),
        (b"12.0", DataType.INT16, {}, (None, UNDECODABLE)),
        (b"1_0", DataType.INT16, {}, (None, UNDECODABLE)),
        (b"7F", DataType.UINT8, {"base": 16}, (127, GOOD)),
        (b"1010", DataType.UINT8, {"base": 2}, (10, GOOD)),
        (b"8", DataType.UINT8, {"base": 8}, (None, UNDECODABLE)),
        (b"ON", DataType.BOOL, {}, (True, GOOD)),
        (b"0", DataType.BOOL, {}, (False, GOOD)),
        (b"2", DataType.BOOL, {}, (None, UNDECODABLE)),
        (b"zu", DataType.BOOL, {"true": "auf", "false": ["zu", "halb"]}, (False, GOOD)),
        (b"halb", DataType.BOOL, {"true": "auf", "false": ["zu", "halb"]}, (False, GOOD)),
        (b" A-17 ", DataType.STRING, {}, ("A-17", GOOD)),
        (b"\xff", DataType.STRING, {}, (None, UNDECODABLE)),
        (b"\x00\xff", DataType.BYTES, {}, ("00ff", GOOD)),
        (b"", DataType.FLOAT64, {}, (None, EMPTY)),
        (b"   ", DataType.STRING, {}, (None, EMPTY)),
        (b"----", DataType.FLOAT64, {"empty": ["----", "9999"]}, (None, EMPTY)),
        (b"9999", DataType.FLOAT64, {"empty": ["----", "9999"]}, (None, EMPTY)),
    ],
)
def test_other_types(raw: bytes, type_: DataType, rules: dict[str, Any], result: tuple[Value, int]) -> None:
    assert text(raw, type_, **rules) == result


def test_characters_beyond_ascii_need_their_encoding() -> None:
    assert convert({"x": b"\xfc"}, DataType.STRING, encoding="latin-1") == ("ü", GOOD)
    assert convert({"x": b"\x81"}, DataType.STRING, encoding="cp437") == ("ü", GOOD)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_written_out_is_the_same_float(number: float) -> None:
    assert text(repr(number).encode(), DataType.FLOAT64) == (number, GOOD)


@given(st.binary(max_size=30))
def test_any_text_is_a_value_or_bad(raw: bytes) -> None:
    for type_ in (DataType.FLOAT64, DataType.INT32, DataType.BOOL, DataType.STRING, DataType.BYTES):
        value, quality = text(raw, type_)
        assert (value is None) == (quality >= 0x80000000)
    value, quality = text(raw, DataType.DATETIME, format="%d%m%y%H%M%S.%f")
    assert (value is None) == (quality >= 0x80000000)


# -- moments


@pytest.mark.parametrize(
    ("format_", "raw", "value"),
    [
        ("%d%m%y%H%M%S.%f", b"230394123519.00", "1994-03-23T12:35:19.00Z"),
        ("%d%m%y%H%M%S.%f", b"230394123519", "1994-03-23T12:35:19Z"),
        ("%Y-%m-%d %H:%M:%S", b"2026-02-28 23:59:59", "2026-02-28T23:59:59Z"),
        ("%d.%m.%Y", b"1.3.2026", "2026-03-01T00:00:00Z"),
        ("%Y-%m-%d", b"2026-02-30", None),
        ("%H:%M:%S,%f %d/%m/%y", b"01:02:03,123456789 05/06/07", "2007-06-05T01:02:03.123456789Z"),
    ],
)
def test_moments(format_: str, raw: bytes, value: str | None) -> None:
    assert text(raw, DataType.DATETIME, format=format_) == (value, GOOD if value else UNDECODABLE)


def test_a_clock_ahead_of_utc_is_set_back() -> None:
    rules = {"format": "%Y-%m-%d %H:%M:%S", "utc_offset": "+02:00"}
    assert text(b"2026-01-01 00:30:00", DataType.DATETIME, **rules) == ("2025-12-31T22:30:00Z", GOOD)


@pytest.mark.parametrize("format_", ["%H:%M", "%d%m", "%Y%m%d%q", "%Y%m%d%d", "%y%Y%m%d"])
def test_a_format_that_gives_no_moment_is_refused(format_: str) -> None:
    with pytest.raises(ValueError, match=r"isn't known or stands twice|has no whole date"):
        FieldRules(format=format_)


# -- what other fields say


def test_a_value_in_another_unit_is_never_taken() -> None:
    rules = {"x": {"unit_from": "u", "units": {"kg": "kg", "lb": "[lb_av]"}}}
    assert convert({"x": b"12.5", "u": b"kg "}, DataType.FLOAT64, "kg", **rules) == (12.5, GOOD)
    assert convert({"x": b"12.5", "u": b"lb"}, DataType.FLOAT64, "kg", **rules) == (None, UNIT)
    assert convert({"x": b"12.5", "u": b"lb"}, DataType.FLOAT64, "[lb_av]", **rules) == (12.5, GOOD)
    assert convert({"x": b"12.5", "u": b"??"}, DataType.FLOAT64, "kg", **rules) == (None, UNDECODABLE)
    assert convert({"x": b"12.5"}, DataType.FLOAT64, "kg", **rules) == (None, UNDECODABLE)


def test_a_status_is_a_quality_and_the_worst_counts() -> None:
    status = {"s": {"S": "Good", "D": "UncertainSensorNotAccurate", "+": "BadOutOfRange"}, "t": {"0": "Good"}}
    rules = {"x": {"status": status}}
    uncertain = int(Quality.UNCERTAIN_SENSOR_NOT_ACCURATE)
    assert convert({"x": b"1", "s": b"S", "t": b"0"}, DataType.FLOAT64, **rules) == (1.0, GOOD)
    assert convert({"x": b"1", "s": b"D", "t": b"0"}, DataType.FLOAT64, **rules) == (1.0, uncertain)
    assert convert({"x": None, "s": b"+", "t": b"0"}, DataType.FLOAT64, **rules) == (None, RANGE)
    assert convert({"x": b"1", "s": b"?", "t": b"0"}, DataType.FLOAT64, **rules) == (None, UNDECODABLE)
    assert convert({"x": b"x", "s": b"D", "t": b"0"}, DataType.FLOAT64, **rules) == (None, UNDECODABLE)


def test_a_sign_and_a_decimal_point_may_stand_elsewhere() -> None:
    rules = {
        "x": {
            "of": "digits",
            "sign_from": "minus",
            "sign": {"0": 1, "1": -1},
            "places_from": "point",
            "places": {"3": 1},
        },
        "minus": {"of": "b", "bit": 1},
        "point": {"of": "b", "bit": 2, "bits": 2},
    }
    assert convert({"digits": b"  1234", "b": b"\x0e"}, DataType.FLOAT64, **rules) == (-123.4, GOOD)
    assert convert({"digits": b"  1234", "b": b"\x0c"}, DataType.FLOAT64, **rules) == (123.4, GOOD)
    assert convert({"digits": b"  1234", "b": b"\x00"}, DataType.FLOAT64, **rules) == (None, UNDECODABLE)
    assert convert({"digits": b"12 4", "b": b"\x0c"}, DataType.FLOAT64, **rules) == (None, UNDECODABLE)


@pytest.mark.parametrize(
    ("raw", "sign", "value"),
    [
        (b"4807.038", b"N", 48.1173),
        (b"01131.000", b"E", 11 + 31 / 60),
        (b"5400.6000", b"S", -54.01),
        (b"0000.0", b"N", 0.0),
    ],
)
def test_degrees_and_minutes_are_degrees(raw: bytes, sign: bytes, value: float) -> None:
    rules = {"x": {"convert": "degrees-minutes", "sign_from": "s", "sign": {"N": 1, "E": 1, "S": -1}}}
    got, quality = convert({"x": raw, "s": sign}, DataType.FLOAT64, **rules)
    assert (got, quality) == (pytest.approx(value, abs=1e-12), GOOD)
    assert convert({"x": raw, "s": b"Q"}, DataType.FLOAT64, **rules) == (None, UNDECODABLE)
    assert convert({"x": b"4867.0", "s": b"N"}, DataType.FLOAT64, **rules) == (None, UNDECODABLE)


@pytest.mark.parametrize(
    ("type_", "unit", "rules", "sentence"),
    [
        (DataType.FLOAT32, None, {}, "float32 would round: use float64"),
        (DataType.JSON, None, {}, "can't be a json"),
        (DataType.DATETIME, None, {}, "needs a format"),
        (DataType.FLOAT64, None, {"format": "%Y%m%d"}, "is a moment: use type datetime"),
        (DataType.STRING, None, {"convert": "degrees-minutes"}, "use type float64"),
        (DataType.INT16, None, {"sign_from": "s", "sign": {"-": -1}}, "is a float64, not a int16"),
        (DataType.FLOAT64, None, {"unit_from": "u", "units": {"kg": "kg"}}, "give the tag the unit"),
        (DataType.FLOAT64, "g", {"unit_from": "u", "units": {"kg": "kg"}}, "never comes in 'g': use one of kg"),
    ],
)
def test_an_impossible_tag_is_one_sentence(
    type_: DataType, unit: str | None, rules: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ImpossibleTag, match=sentence):
        convert({}, type_, unit, x=rules)


# -- messages


def kind(**options: Any) -> Kind:
    return Kind("m", Message.model_validate(options), options.pop("address", b""), "utf-8")


def test_columns_may_be_missing_at_the_end() -> None:
    fields = kind(columns=["", "a", "b"], separator=";").extract(b"x;1")
    assert fields is not None
    assert (fields.get("a"), fields.get("b")) == (b"1", None)


def test_pairs_come_in_any_order() -> None:
    assert kind(pairs="=", separator=";").extract(b"b = 2;a=1;junk") == {"b": b" 2", "a": b"1"}
    assert kind(pairs="=", separator=";").extract(b"junk") is None


def test_an_address_is_a_part_of_the_pattern() -> None:
    message = Message.model_validate({"pattern": r"{address}:(?P<v>\d+)", "request": "{address}?"})
    seven = Kind("m", message, b"0.7", "utf-8")
    assert seven.request == b"0.7?"
    assert seven.extract(b"0.7:42") == {"v": b"42"}
    assert seven.extract(b"0x7:42") is None


@pytest.mark.parametrize("order", ["big", "little"])
def test_numbers_by_their_places(order: str) -> None:
    sign = ">" if order == "big" else "<"
    names = {"int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q",
             "uint64": "Q", "float16": "e", "float32": "f", "float64": "d"}  # fmt: skip
    for type_, code in names.items():
        frame = b"\xaa" + struct.pack(sign + code, 5) + b"\xbb"
        got = kind(bytes={"v": {"at": 1, "type": type_, "byte_order": order}}).extract(frame)
        assert got == {"v": 5}


def test_bits_bcd_text_and_raw_bytes_by_their_places() -> None:
    fields = {
        "low": {"at": 0, "type": "bool", "bit": 0},
        "high": {"at": 0, "type": "bool", "bit": 7},
        "count": {"at": 1, "type": "uint16", "bcd": True, "length": 2},
        "back": {"at": 1, "type": "uint16", "bcd": True, "length": 2, "byte_order": "little"},
        "name": {"at": 3, "type": "string", "length": 4},
        "raw": {"at": 3, "type": "bytes", "length": 2},
    }
    got = kind(bytes=fields).extract(b"\x80\x12\x34AB\0\0")
    assert got == {"low": False, "high": True, "count": 1234, "back": 3412, "name": b"AB", "raw": "4142"}


def test_a_digit_above_nine_is_no_bcd() -> None:
    options = {"bytes": {"x": {"at": 0, "type": "uint16", "bcd": True, "length": 2}}}
    for frame, result in ((b"\x12\x3a", (None, UNDECODABLE)), (b"\x12\x34", (1234, GOOD)), (b"\x99\x99", (9999, GOOD))):
        fields = kind(**options).extract(frame)
        assert fields is not None
        assert compile_tag("x", {}, lambda name: True, DataType.UINT16, None, "utf-8")(fields) == result


def test_a_binary_frame_of_another_size_is_another_message() -> None:
    field = {"v": {"at": 1, "type": "uint16"}}
    assert kind(bytes=field).extract(b"\0\0") is None
    assert kind(bytes=field).extract(b"\0\0\1\0") == {"v": 1}
    assert kind(bytes=field, length=3).extract(b"\0\0\1\0") is None
