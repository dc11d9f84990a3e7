"""Characteristics: encodings in both directions, and the standard ones."""

from __future__ import annotations

import struct
from decimal import Decimal

import pytest
from bleak.uuids import uuid16_dict
from hypothesis import given
from hypothesis import strategies as st

from drivers.ble.gatt.codec import Encoding, Integer, Medical, codec
from drivers.ble.gatt.profiles import CHARACTERISTICS, full, short
from gateway.config.units import is_ucum
from gateway.model import DataType, Value

INTEGERS = [each for each in Encoding if "int" in each]


@pytest.mark.parametrize("encoding", INTEGERS)
@pytest.mark.parametrize("order", ["little", "big"])
def test_integers_survive_a_round_trip(encoding: Encoding, order: str) -> None:
    bits = int(encoding.removeprefix("u").removeprefix("int"))
    signed = not encoding.startswith("u")
    ends = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    each = codec(encoding, order)  # type: ignore[arg-type]
    assert each.type.is_integer
    low, high = each.type.bounds
    assert low <= ends[0] < ends[1] <= high
    for number in (*ends, 0, 1, 77):
        data = each.encode(number)
        assert data == number.to_bytes(bits // 8, order, signed=signed)  # type: ignore[arg-type]
        assert each.decode(data + b"more") == number
    for number in (ends[0] - 1, ends[1] + 1, 1.5, True, "7", None, float("nan")):
        with pytest.raises(ValueError, match=r"not a|doesn't fit|between two steps"):
            each.encode(number)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.sampled_from(["little", "big"]))
def test_floats_survive_a_round_trip(number: float, order: str) -> None:
    for encoding, letter in ((Encoding.FLOAT32, "f"), (Encoding.FLOAT64, "d")):
        each = codec(encoding, order)  # type: ignore[arg-type]
        data = each.encode(number)
        assert data == struct.pack(("<" if order == "little" else ">") + letter, number)
        assert each.decode(data) == number


def _medical(raw: int, size: int) -> Value:
    """By decimal arithmetic, independent of the driver's."""
    bits = 12 if size == 2 else 24
    mantissa, exponent = raw & (1 << bits) - 1, raw >> bits
    mantissa -= (mantissa >> bits - 1) << bits
    exponent -= (exponent >> 8 * size - bits - 1) << 8 * size - bits
    return float(Decimal(mantissa).scaleb(exponent))


@given(st.integers(0, 0xFFFF))
def test_sfloat_is_a_power_of_ten(raw: int) -> None:
    found = Medical(2).decode(raw.to_bytes(2, "little"))
    if raw in (0x7FE, 0x7FF, 0x800, 0x801, 0x802):
        assert found is None
    else:
        assert found == _medical(raw, 2)


@given(st.integers(0, 0xFFFFFFFF))
def test_float11073_is_a_power_of_ten(raw: int) -> None:
    found = Medical(4).decode(raw.to_bytes(4, "little"))
    if raw in (0x7FFFFE, 0x7FFFFF, 0x800000, 0x800001, 0x800002):
        assert found is None
    else:
        assert found == _medical(raw, 4)


@given(st.integers(-2045, 2045), st.integers(-8, 7))
def test_sfloat_survives_a_round_trip(mantissa: int, exponent: int) -> None:
    number = float(Decimal(mantissa).scaleb(exponent))
    assert Medical(2).decode(Medical(2).encode(number)) == number


@given(st.integers(-(2**23) + 4, 2**23 - 4), st.integers(-10, 10))
def test_float11073_survives_a_round_trip(mantissa: int, exponent: int) -> None:
    number = float(Decimal(mantissa).scaleb(exponent))
    assert Medical(4).decode(Medical(4).encode(number)) == number


@pytest.mark.parametrize("number", [20.471, 1e30, 1e-20, float("inf"), "1"])
def test_what_a_medical_float_cannot_hold_is_refused(number: Value) -> None:
    with pytest.raises(ValueError, match=r"more digits|not a"):
        Medical(2).encode(number)


@pytest.mark.parametrize(
    ("encoding", "data", "value"),
    [
        ("utf-8", b"ACME\0\0", "ACME"),
        ("utf-8", "21 °C".encode(), "21 °C"),
        ("bytes", b"\x00\xff", "00ff"),
        ("bool", b"\x01", True),
        ("uint16", b"\x84\x03", 900),
        ("float16", b"\x00\x3c", 1.0),
    ],
)
def test_other_encodings(encoding: str, data: bytes, value: Value) -> None:
    assert codec(Encoding(encoding)).decode(data) == value


def test_a_part_of_a_characteristic_can_be_read_but_not_written() -> None:
    each = codec(Encoding.UINT16, "big", start=1)
    assert each.decode(b"\xff\x12\x34\xff") == 0x1234
    with pytest.raises(ValueError, match="only a part"):
        each.encode(7)
    with pytest.raises(ValueError, match="2 bytes from byte 1 on are wanted, the characteristic has 2"):
        each.decode(b"\xff\x12")
    assert codec(Encoding.UTF8, start=2, length=3).decode(b"..abcdef") == "abc"
    assert codec(Encoding.BYTES, length=2).decode(b"\x01\x02\x03") == "0102"


@pytest.mark.parametrize(
    ("encoding", "data"), [(Encoding.UTF8, b"\xff\xfe"), (Encoding.UINT8, b""), (Encoding.BOOL, b"\x02")]
)
def test_contents_that_are_no_value_are_said_to_be_none(encoding: Encoding, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"decode|are wanted|0 or 1"):
        codec(encoding).decode(data)


# -- standard characteristics


def decode(uuid: int, data: str, part: str = "") -> Value:
    found = CHARACTERISTICS[full(uuid)]
    return (found.parts[part] if part else found.value).decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("uuid", "data", "part", "value"),
    [
        (0x2A6E, "6608", "", 21.5),
        (0x2A6E, "0080", "", None),
        (0x2A6F, "C611", "", 45.5),
        (0x2A6F, "FFFF", "", None),
        (0x2A6D, "D5750F00", "", 101320.5),
        (0x2A19, "57", "", 87),
        (0x2A6C, "A08601", "", 1000.0),
        (0x2A6C, "FFFFFF", "", -0.01),
        (0x2A29, "41434D45", "", "ACME"),
        (0x2A23, "0011223344556677", "", "0011223344556677"),
        (0x2A7B, "F6", "", -10),
        (0x2AFB, "10270000", "", 100.0),
        # Health Thermometer 1.0: flags, FLOAT, time stamp, type
        (0x2A1C, "006C0100FF", "", 36.4),
        (0x2A1C, "01DA0300FF", "", 37.0),  # 98.6 °F
        (0x2A1C, "00FFFF7F00", "", None),
        (0x2A1C, "026C0100FFE807020E0A1E00", "time", "2024-02-14T10:30:00Z"),
        (0x2A1C, "066C0100FFE807020E0A1E0002", "site", "body"),
        (0x2A1C, "046C0100FF06", "site", "mouth"),
        (0x2A1C, "006C0100FF", "site", None),
        (0x2A1E, "006C0100FF", "", 36.4),
    ],
)
def test_standard_characteristics(uuid: int, data: str, part: str, value: Value) -> None:
    assert decode(uuid, data, part) == value


@pytest.mark.parametrize(
    ("data", "part"),
    [("", ""), ("026C0100FFE807", "time"), ("046C0100FF", "site"), ("046C0100FF63", "site"), ("006C", "")],
)
def test_a_measurement_that_is_cut_off_is_no_value(data: str, part: str) -> None:
    with pytest.raises(ValueError, match=r"empty|cut off|not in the standard|are wanted"):
        decode(0x2A1C, data, part)


def test_a_time_that_cannot_be_is_no_value() -> None:
    with pytest.raises(ValueError, match="hour must be"):
        decode(0x2A1C, "026C0100FFE807020E631E00", "time")
    assert decode(0x2A1C, "026C0100FF00000000000000", "time") is None


def test_standard_names_are_the_ones_of_the_assigned_numbers() -> None:
    for uuid, each in CHARACTERISTICS.items():
        number = int(short(uuid), 16)
        assert full(number) == uuid
        if number != 0x2B8C:  # bleak's table has TeX in it
            assert each.name == uuid16_dict[number]
        assert each.value.unit is None or is_ucum(each.value.unit)


def test_steps_are_exact() -> None:
    temperature = Integer(2, True, denominator=100)
    assert temperature.type is DataType.FLOAT64
    assert temperature.encode(25.06) == (2506).to_bytes(2, "little")
    assert temperature.decode((2506).to_bytes(2, "little")) == 25.06
    with pytest.raises(ValueError, match="between two steps"):
        temperature.encode(25.065)
    with pytest.raises(ValueError, match="there is no value"):
        Integer(2, unknown=0xFFFF).encode(0xFFFF)
