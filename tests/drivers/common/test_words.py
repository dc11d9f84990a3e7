from __future__ import annotations

import math
import re
import struct
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from drivers.common.codec import BitCodec, BlockCodec, decode
from drivers.common.texts import TextEncoding, TextOrder, Trim
from drivers.common.times import FORMS, form
from drivers.common.words import Encoding, Half, WordOrder, encode, mask
from gateway.model import DataType, Value

ABCD, CDAB, BADC, DCBA = WordOrder
T = DataType


# Worked by hand: type, order, hex on the wire, value.
VECTORS: list[tuple[DataType, WordOrder, str, Value]] = [
    (T.UINT16, ABCD, "1234", 0x1234),
    (T.UINT16, CDAB, "1234", 0x1234),
    (T.UINT16, BADC, "3412", 0x1234),
    (T.UINT16, DCBA, "3412", 0x1234),
    (T.INT16, ABCD, "FFFE", -2),
    (T.INT16, DCBA, "FEFF", -2),
    (T.UINT32, ABCD, "AABBCCDD", 0xAABBCCDD),
    (T.UINT32, CDAB, "CCDDAABB", 0xAABBCCDD),
    (T.UINT32, BADC, "BBAADDCC", 0xAABBCCDD),
    (T.UINT32, DCBA, "DDCCBBAA", 0xAABBCCDD),
    (T.INT32, CDAB, "FFFEFFFF", -2),
    (T.FLOAT32, ABCD, "42C80000", 100.0),
    (T.FLOAT32, CDAB, "000042C8", 100.0),
    (T.FLOAT32, BADC, "C8420000", 100.0),
    (T.FLOAT32, DCBA, "0000C842", 100.0),
    (T.UINT64, ABCD, "0102030405060708", 0x0102030405060708),
    (T.UINT64, CDAB, "0708050603040102", 0x0102030405060708),
    (T.UINT64, BADC, "0201040306050807", 0x0102030405060708),
    (T.UINT64, DCBA, "0807060504030201", 0x0102030405060708),
    (T.INT64, ABCD, "8000000000000000", -(2**63)),
    (T.FLOAT64, ABCD, "405EDD2F1A9FBE77", 123.456),
    (T.FLOAT64, CDAB, "BE771A9FDD2F405E", 123.456),
    (T.FLOAT16, ABCD, "3C00", 1.0),
    (T.FLOAT16, BADC, "003C", 1.0),
]


@pytest.mark.parametrize(("type_", "order", "wire", "value"), VECTORS)
def test_worked_vectors(type_: DataType, order: WordOrder, wire: str, value: Value) -> None:
    encoding = Encoding(type_, order)
    assert decode(encoding, bytes.fromhex(wire)) == value
    assert encode(encoding, value) == bytes.fromhex(wire)


@pytest.mark.parametrize(
    ("encoding", "wire", "value"),
    [
        (Encoding(T.INT8, half=Half.HIGH), "FE01", -2),
        (Encoding(T.INT8, half=Half.LOW), "01FE", -2),
        (Encoding(T.UINT8, BADC, half=Half.HIGH), "01FE", 0xFE),
        (Encoding(T.UINT8, DCBA, half=Half.LOW), "FE01", 0xFE),
        (Encoding(T.BOOL, bit=0), "0001", True),
        (Encoding(T.BOOL, bit=15), "8000", True),
        (Encoding(T.BOOL, bit=3), "FFF7", False),
        (Encoding(T.BOOL, BADC, bit=0), "0100", True),
        (Encoding(T.BOOL, DCBA, bit=15), "0080", True),
        (Encoding(T.UINT16, bcd=True), "1234", 1234),
        (Encoding(T.UINT32, CDAB, bcd=True), "56781234", 12345678),
        (Encoding(T.UINT16, bcd=True), "12A4", None),
        (Encoding(T.STRING, length=3), "414243440000", "ABCD"),
        (Encoding(T.STRING, length=2, text_order=TextOrder.LOW_FIRST), "42414443", "ABCD"),
        (Encoding(T.STRING, length=3), "414200434445", "AB"),
        (Encoding(T.STRING, length=3), "414220202020", "AB"),
        (Encoding(T.STRING, length=3, trim=Trim.NUL), "414220200000", "AB  "),
        (Encoding(T.STRING, length=2, trim=Trim.SPACE), "41002020", "A\0"),
        (Encoding(T.STRING, length=2, trim=Trim.NONE), "41002020", "A\0  "),
        (Encoding(T.STRING, length=1), "C3A9", "é"),
        (Encoding(T.STRING, length=1, text_encoding=TextEncoding.LATIN1), "C3A9", "Ã©"),
        (Encoding(T.STRING, length=1, text_encoding=TextEncoding.ASCII), "C3A9", None),
        (Encoding(T.STRING, length=1), "C341", None),
        (Encoding(T.STRING, length=2), "30303700", "007"),
        (Encoding(T.STRING, length=3, text_order=TextOrder.LOW_ONLY), "004100420000", "AB"),
        (Encoding(T.STRING, length=3, text_order=TextOrder.HIGH_ONLY), "41FF42FF20FF", "AB"),
        (Encoding(T.STRING, length=3, text_encoding=TextEncoding.UTF16), "00412082D800", None),
        (Encoding(T.STRING, length=4, text_encoding=TextEncoding.UTF16), "004120820000D800", "A₂"),
        (
            Encoding(T.STRING, length=2, text_encoding=TextEncoding.UTF16, text_order=TextOrder.LOW_FIRST),
            "41008220",
            "A₂",
        ),
        (Encoding(T.STRING, length=1, count=3), "414243444500", ("AB", "CD", "E")),
        (Encoding(T.STRING, length=1, count=2), "4142C341", None),
        (Encoding(T.BYTES, length=2), "00FFAB01", "00ffab01"),
        (Encoding(T.BYTES, length=2, text_order=TextOrder.LOW_ONLY), "00FFAB01", "ff01"),
        (Encoding(T.UINT16, count=3), "000100020003", (1, 2, 3)),
        (Encoding(T.UINT32, CDAB, count=2), "CCDDAABB00010000", (0xAABBCCDD, 1)),
        (Encoding(T.FLOAT32, BADC, count=2), "C8420000C8C20000", (100.0, -100.0)),
        (Encoding(T.INT8, count=2), "01FE0203", (-2, 3)),
        (Encoding(T.INT8, count=2, half=Half.HIGH), "FE010302", (-2, 3)),
        (Encoding(T.INT8, count=3, half=Half.BOTH), "01FE03FF", (1, -2, 3)),
        (Encoding(T.INT8, BADC, count=3, half=Half.BOTH), "FE01FF03", (1, -2, 3)),
        (Encoding(T.BOOL, bit=14, count=4), "40000002", (True, False, False, True)),
        (Encoding(T.BOOL, DCBA, bit=14, count=4), "00400200", (True, False, False, True)),
        (Encoding(T.UINT16, bcd=True, count=2), "12341F00", None),
        (Encoding(T.INT16, bcd=True), "F123", -123),
        (Encoding(T.UINT16, no_value=0xFFFF), "FFFF", None),
        (Encoding(T.UINT16, no_value=0xFFFF), "FFFE", 0xFFFE),
        (Encoding(T.INT32, CDAB, no_value=-(2**31)), "00008000", None),
        (Encoding(T.INT32, CDAB, no_value=-(2**31)), "00018000", -(2**31) + 1),
        (Encoding(T.UINT16, bcd=True, no_value=9999), "9999", None),
        (Encoding(T.UINT16, no_value=7, count=2), "00060007", None),
        (Encoding(T.UINT16, no_value=7, count=2), "00060008", (6, 8)),
        (Encoding(T.INT16, bcd=True), "0123", 123),
        (Encoding(T.INT16, bcd=True), "8123", None),
        (Encoding(T.INT32, CDAB, bcd=True), "4567F123", -1234567),
    ],
)
def test_worked_vectors_of_parts_and_texts(encoding: Encoding, wire: str, value: Value) -> None:
    assert decode(encoding, bytes.fromhex(wire)) == value


_orders = st.sampled_from(list(WordOrder))
_counts = st.none() | st.integers(1, 5)
_REGISTER_TYPES = [t for t in T if t is not T.JSON]
_LISTED = ("Y M D h m s", "s m h D M n", "MD yh ms f", "_ Y M D _ h m s c", "yM Dh ms", "D M Y")


@st.composite
def encodings(draw: st.DrawFn) -> Encoding:
    type_ = draw(st.sampled_from(_REGISTER_TYPES))
    order, count = draw(_orders), draw(_counts)
    if type_ is T.BOOL:
        return Encoding(type_, order, count if count is None else 7 * count, bit=draw(st.integers(0, 15)))
    if type_ in (T.STRING, T.BYTES):
        text_encoding = draw(st.sampled_from(list(TextEncoding)))
        packings = [one for one in TextOrder if text_encoding is not TextEncoding.UTF16 or one.bytes_per_register == 2]
        return Encoding(
            type_,
            order,
            count,
            length=draw(st.integers(1, 6)),
            text_order=draw(st.sampled_from(packings)),
            text_encoding=text_encoding,
            trim=draw(st.sampled_from(list(Trim))),
        )
    if type_ is T.DATETIME:
        name = draw(st.sampled_from([*FORMS, *_LISTED]))
        return Encoding(type_, order, count, time=form(name), utc_offset_s=draw(st.sampled_from([0, 3600, -12_600])))
    halves = [Half.HIGH, Half.LOW] if count is None or type_ not in (T.INT8, T.UINT8) else list(Half)
    bcd = draw(st.booleans()) if type_.is_integer and type_ not in (T.INT8, T.INT64) else False
    return Encoding(type_, order, count, half=draw(st.sampled_from(halves)), bcd=bcd)


_WIDTHS: dict[DataType, Literal[16, 32, 64]] = {T.FLOAT16: 16, T.FLOAT32: 32, T.FLOAT64: 64}


@st.composite
def values_of(draw: st.DrawFn, encoding: Encoding) -> Any:
    """A value or array that the encoding can hold."""
    if encoding.count is not None:
        return tuple(draw(scalars(encoding)) for _ in range(encoding.count))
    return draw(scalars(encoding))


@st.composite
def scalars(draw: st.DrawFn, encoding: Encoding) -> Any:
    if encoding.type is T.BOOL:
        return draw(st.booleans())
    size = encoding.length * encoding.text_order.bytes_per_register
    if encoding.type is T.BYTES:
        return draw(st.binary(min_size=size, max_size=size)).hex()
    if encoding.type is T.STRING:
        wide = encoding.text_encoding is TextEncoding.UTF16
        limit = 255 if encoding.text_encoding is TextEncoding.LATIN1 else 0x7F
        alphabet = st.characters(max_codepoint=0xFFFF if wide else limit, exclude_categories=["Cs"])
        characters = size // 2 if wide else size
        text = draw(st.text(alphabet, min_size=characters * (encoding.trim is Trim.NONE), max_size=characters))
        assume(encoding.trim is Trim.NONE or ("\0" not in text and not text.endswith(" ")))
        return text
    if encoding.time is not None:
        low, high = datetime(2001, 1, 2), datetime(2038, 1, 1)
        moment = draw(st.datetimes(low, high)).replace(microsecond=0)
        if encoding.time.name == "D M Y":
            moment = moment.replace(hour=0, minute=0, second=0) - timedelta(seconds=encoding.utc_offset_s)
        digits = encoding.time.digits
        fraction = f".{draw(st.integers(0, 10**digits - 1)):0{digits}d}" if digits else ""
        return f"{moment.isoformat()}{fraction}Z"
    if encoding.type.is_float:
        return draw(st.floats(width=_WIDTHS[encoding.type]))
    low_number, high_number = encoding.type.bounds
    if encoding.bcd:
        high_number = 10 ** (high_number.bit_length() // 4) - 1
        low_number = -high_number if low_number else 0
    return draw(st.integers(low_number, high_number))


def same(left: Any, right: Any) -> bool:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    nan = isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right)
    return nan or (left == right and type(left) is type(right))


@given(st.data())
def test_what_is_encoded_decodes_to_itself(data: st.DataObject) -> None:
    encoding = data.draw(encodings())
    value = data.draw(values_of(encoding))
    wire = encode(encoding, value)
    assert len(wire) == 2 * encoding.registers
    back = decode(encoding, wire)
    assert same(back, value), (back, value)
    assert encode(encoding, back) == wire


@given(st.data())
def test_a_value_keeps_to_its_mask(data: st.DataObject) -> None:
    """Writing through the mask changes the value and nothing else: not a shared register, not an unused byte."""
    encoding = data.draw(encodings())
    value = data.draw(values_of(encoding))
    size = 2 * encoding.registers
    before = data.draw(st.binary(min_size=size, max_size=size))
    ones, bits = mask(encoding), encode(encoding, value)
    assert len(ones) == size
    if encoding.time is None or not encoding.time.name.startswith("s7"):
        assert all(s & ~m & 0xFF == 0 for s, m in zip(bits, ones, strict=True))
    after = bytes(b & ~m & 0xFF | s & m for b, m, s in zip(before, ones, bits, strict=True))
    assert same(decode(encoding, after), value)


def naive(encoding: Encoding, data: bytes) -> Any:
    """The definition, byte by byte: put the bytes in ABCD order, then read them big-endian."""
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if encoding.type in (T.STRING, T.BYTES):
        picked = {
            TextOrder.HIGH_FIRST: lambda word: word,
            TextOrder.LOW_FIRST: lambda word: word[::-1],
            TextOrder.HIGH_ONLY: lambda word: word[:1],
            TextOrder.LOW_ONLY: lambda word: word[1:],
        }[encoding.text_order]
        raw = b"".join(map(picked, words))
        return raw.hex() if encoding.type is T.BYTES else naive_text(encoding, raw)
    if encoding.order in (BADC, DCBA):
        words = [word[::-1] for word in words]
    if encoding.order in (CDAB, DCBA) and (encoding.time is None or not encoding.time.is_bytes):
        words = words[::-1]
    raw = b"".join(words)
    if encoding.bit is not None:
        return bool(int.from_bytes(raw, "big") & (1 << encoding.bit))
    if encoding.type in (T.INT8, T.UINT8):
        raw = raw[:1] if encoding.half is Half.HIGH else raw[1:]
    if encoding.type.is_float:
        return struct.unpack({2: ">e", 4: ">f", 8: ">d"}[len(raw)], raw)[0]
    if encoding.time is not None:
        return naive_time(encoding, raw)
    signed = encoding.type.bounds[0] < 0
    if encoding.bcd:
        digits = raw.hex()
        sign = 1
        if signed:
            sign = {"0": 1, "f": -1}.get(digits[0], 0)
            digits = digits[1:]
        return sign * int(digits) if digits.isdigit() and sign else None
    return int.from_bytes(raw, "big", signed=signed)


def naive_text(encoding: Encoding, raw: bytes) -> str | None:
    """The text up to its end; only up to there must it be one."""
    name = "utf-16-be" if encoding.text_encoding is TextEncoding.UTF16 else str(encoding.text_encoding)
    width = 2 if encoding.text_encoding is TextEncoding.UTF16 else 1
    if encoding.trim in (Trim.NUL, Trim.BOTH):
        units = [raw[at : at + width] for at in range(0, len(raw), width)]
        raw = b"".join(units[: units.index(bytes(width))] if bytes(width) in units else units)
    try:
        text = str(raw, name)
    except UnicodeDecodeError:
        return None
    if encoding.trim in (Trim.SPACE, Trim.BOTH):
        while text.endswith(" "):
            text = text[:-1]
    return text


def naive_time(encoding: Encoding, raw: bytes) -> str | None:
    assert encoding.time is not None
    number = raw if encoding.time.is_bytes else int.from_bytes(raw, "big", signed=encoding.time.code.islower())
    ticks = encoding.time.read(number)
    if ticks is None:
        return None
    scale = 10**encoding.time.digits
    seconds, fraction = divmod(ticks - encoding.utc_offset_s * scale, scale)
    try:
        moment = datetime(1970, 1, 1) + timedelta(seconds=seconds)
    except OverflowError:
        return None
    return moment.isoformat() + (f".{fraction:0{encoding.time.digits}d}" if encoding.time.digits else "") + "Z"


def naive_array(encoding: Encoding, data: bytes) -> Any:
    """Element by element, each cut out of the block by hand."""
    if encoding.count is None:
        return naive(encoding, data)
    if encoding.bit is not None:
        places = [divmod(encoding.bit + index, 16) for index in range(encoding.count)]
        singles = [
            naive(Encoding(T.BOOL, encoding.order, bit=bit), data[2 * register : 2 * register + 2])
            for register, bit in places
        ]
        return tuple(singles)
    if encoding.half is Half.BOTH:
        values = [
            naive(replace(encoding, count=None, half=half), data[2 * (index // 2) : 2 * (index // 2) + 2])
            for index in range(encoding.count)
            for half in [Half.LOW if index % 2 else Half.HIGH]
        ]
    else:
        element = replace(encoding, count=None)
        size = 2 * element.registers
        values = [naive(element, data[at : at + size]) for at in range(0, size * encoding.count, size)]
    return None if None in values else tuple(values)


@given(st.data())
def test_a_block_of_anything_decodes_as_the_definition_says(data: st.DataObject) -> None:
    """Fields of any type and order, arrays too, overlapping, in any order: one plan gives what one by one would."""
    registers = data.draw(st.integers(1, 60))
    block = data.draw(st.binary(min_size=2 * registers, max_size=2 * registers))
    fields = [
        (data.draw(st.integers(0, registers - encoding.registers)), encoding)
        for encoding in data.draw(st.lists(encodings(), min_size=1, max_size=30))
        if encoding.registers <= registers
    ]
    assume(fields)
    codec = BlockCodec(fields, registers)
    assert sorted(codec.order) == list(range(len(fields)))
    decoded = codec.decode(block)
    for position, value in zip(codec.order, decoded, strict=True):
        offset, encoding = fields[position]
        expected = naive_array(encoding, block[2 * offset : 2 * (offset + encoding.registers)])
        assert same(value, expected), (encoding, value, expected)
        assert value is not None or codec.fallible


_PYMODBUS = {
    T.INT16: ModbusClientMixin.DATATYPE.INT16,
    T.UINT16: ModbusClientMixin.DATATYPE.UINT16,
    T.INT32: ModbusClientMixin.DATATYPE.INT32,
    T.UINT32: ModbusClientMixin.DATATYPE.UINT32,
    T.INT64: ModbusClientMixin.DATATYPE.INT64,
    T.UINT64: ModbusClientMixin.DATATYPE.UINT64,
    T.FLOAT32: ModbusClientMixin.DATATYPE.FLOAT32,
    T.FLOAT64: ModbusClientMixin.DATATYPE.FLOAT64,
}


@given(st.sampled_from(sorted(_PYMODBUS)), st.sampled_from([(ABCD, "big"), (CDAB, "little")]), st.data())
def test_pymodbus_agrees(type_: DataType, orders: tuple[WordOrder, str], data: st.DataObject) -> None:
    order, word_order = orders
    encoding = Encoding(type_, order)
    wire = data.draw(st.binary(min_size=2 * encoding.registers, max_size=2 * encoding.registers))
    registers = list(struct.unpack(f">{len(wire) // 2}H", wire))
    expected = ModbusClientMixin.convert_from_registers(registers, _PYMODBUS[type_], word_order=word_order)  # type: ignore[arg-type]
    assert same(decode(encoding, wire), expected)


def test_a_plain_block_is_one_struct() -> None:
    """The fast path: no Python code at all between the reply and the tuple."""
    for order, endian in ((ABCD, ">"), (DCBA, "<")):
        codec = BlockCodec([(index, Encoding(T.UINT16, order)) for index in range(125)], 125)
        assert isinstance(codec.decode.__self__, struct.Struct)  # type: ignore[attr-defined]
        assert codec.decode.__self__.format == endian + "H" * 125  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("encoding", "value", "sentence"),
    [
        (Encoding(T.UINT16), 65536, "65536 is outside uint16, which holds 0 to 65535"),
        (Encoding(T.UINT16), -1, "-1 is outside uint16, which holds 0 to 65535"),
        (Encoding(T.INT16), 1.5, "1.5 is not a whole number, as int16 needs"),
        (Encoding(T.INT16), True, "True is not a number"),
        (Encoding(T.INT16), "5", "'5' is not a number"),
        (Encoding(T.FLOAT32), 1e39, "1e+39 is too large for float32"),
        (Encoding(T.FLOAT64), 10**400, f"{10**400} is too large for float64"),
        (Encoding(T.BOOL, bit=1), 1, "1 is not a bool"),
        (Encoding(T.UINT16, bcd=True), 10000, "10000 is outside uint16 in BCD, which holds 0 to 9999"),
        (Encoding(T.STRING, length=2), "ABCDE", "'ABCDE' takes 5 bytes, 2 registers hold 4"),
        (
            Encoding(T.STRING, length=2, text_encoding=TextEncoding.ASCII),
            "é",
            "'é' has characters that ascii can't hold",
        ),
        (Encoding(T.STRING, length=2), 5, "5 is not a string"),
        (Encoding(T.UINT16), None, "None is not a number"),
        (Encoding(T.INT32), math.nan, "nan is not a whole number, as int32 needs"),
        (Encoding(T.INT16, bcd=True), -1000, "-1000 is outside int16 in BCD, which holds -999 to 999"),
        (Encoding(T.STRING, length=2), "A ", "'A ' would be read back as 'A' with trim 'both'"),
        (Encoding(T.STRING, length=2), "A\0B", "'A\\x00B' would be read back as 'A' with trim 'both'"),
        (
            Encoding(T.STRING, length=1, trim=Trim.NONE),
            "A",
            "'A' would be read back as 'A\\x00' with trim 'none'",
        ),
        (Encoding(T.BYTES, length=2), "00ff", "'00ff' is 2 bytes, 2 registers hold exactly 4"),
        (Encoding(T.BYTES, length=1), "00f", "'00f' is not a string of hexadecimal digits, two a byte"),
        (Encoding(T.UINT16, count=2), (1, 2, 3), "(1, 2, 3) is not an array of 2 elements"),
        (Encoding(T.UINT16, count=2), 1, "1 is not an array of 2 elements"),
        (Encoding(T.UINT16, count=2), (1, 70000), "element 1: 70000 is outside uint16, which holds 0 to 65535"),
        (Encoding(T.BOOL, bit=0, count=2), (True, 1), "1 is not a bool"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(encoding: Encoding, value: Value, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence) + "$"):
        encode(encoding, value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"type": T.BOOL}, "a bool in a register needs the number of its bit"),
        ({"type": T.BOOL, "bit": 16}, "bit 16 is beyond a register, which has bits 0 to 15"),
        ({"type": T.INT16, "bit": 1}, "a single bit is a bool, not int16"),
        ({"type": T.STRING}, "a string value needs its length in registers, at least 1"),
        ({"type": T.BYTES}, "a bytes value needs its length in registers, at least 1"),
        ({"type": T.INT16, "length": 2}, "a length belongs to string and bytes only, int16 has a fixed one"),
        (
            {"type": T.INT64, "bcd": True},
            "binary-coded decimal needs an integer type such as uint32, not int64: mend type or bcd",
        ),
        ({"type": T.JSON}, "json is a structure, which no register holds"),
        ({"type": T.INT16, "count": 0}, "an array in registers needs its number of elements, at least 1"),
        ({"type": T.INT8, "half": Half.BOTH}, "both bytes of a register are an array: give count, or take one int16"),
        ({"type": T.DATETIME}, "a datetime, and nothing else, needs the form of its time, such as unix-u32"),
        (
            {
                "type": T.STRING,
                "length": 2,
                "text_encoding": TextEncoding.UTF16,
                "text_order": TextOrder.LOW_ONLY,
            },
            "utf-16 needs both bytes of a register, of which text order 'low-only' has one: mend either",
        ),
    ],
)
def test_an_impossible_encoding_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence) + "$"):
        Encoding(**options)


def test_a_field_outside_its_block_is_refused() -> None:
    with pytest.raises(ValueError, match="not inside a block of 2"):
        BlockCodec([(1, Encoding(T.INT32))], 2)
    with pytest.raises(ValueError, match="outside the block of 8"):
        BitCodec([(8, None)], 8)


@given(st.data())
def test_bits_of_a_reply(data: st.DataObject) -> None:
    """Single bits and runs of bits, in any order."""
    count = data.draw(st.integers(1, 200))
    block = data.draw(st.binary(min_size=(count + 7) // 8, max_size=(count + 7) // 8))
    everything = st.just([(index, None) for index in range(count)])
    some = st.lists(st.tuples(st.integers(0, count - 1), st.none() | st.integers(1, 40)), min_size=1, max_size=50)
    fields = [
        (offset, None if elements is None else min(elements, count - offset))
        for offset, elements in data.draw(some | everything)
    ]
    codec = BitCodec(fields, count)
    decoded = codec.decode(block)
    assert sorted(codec.order) == list(range(len(fields)))
    number = int.from_bytes(block, "little")

    def bit(at: int) -> bool:
        return bool(number >> at & 1)

    for value, index in zip(decoded, codec.order, strict=True):
        offset, elements = fields[index]
        assert value == (bit(offset) if elements is None else tuple(bit(offset + i) for i in range(elements)))


def test_what_means_no_value_is_never_written() -> None:
    with pytest.raises(ValueError, match="65535 is what the device has for no value"):
        encode(Encoding(T.UINT16, no_value=65535), 65535)


@pytest.mark.parametrize(("type_", "no_value"), [(T.FLOAT32, 0), (T.STRING, 0), (T.UINT16, -1), (T.INT16, 0x8000)])
def test_no_value_is_an_integer_of_the_type(type_: DataType, no_value: int) -> None:
    with pytest.raises(ValueError, match="no_value"):
        Encoding(type_, length=2 if type_ is T.STRING else 0, no_value=no_value)
