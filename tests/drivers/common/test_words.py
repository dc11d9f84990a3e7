from __future__ import annotations

import math
import re
import struct
from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from drivers.common.words import (
    BitCodec,
    BlockCodec,
    Encoding,
    Half,
    TextEncoding,
    TextOrder,
    Trim,
    WordOrder,
    decode,
    encode,
    mask,
)
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
    ],
)
def test_worked_vectors_of_parts_and_texts(encoding: Encoding, wire: str, value: Value) -> None:
    assert decode(encoding, bytes.fromhex(wire)) == value


_NUMERIC = [t for t in T if t.is_numeric]
_orders = st.sampled_from(list(WordOrder))


@st.composite
def encodings(draw: st.DrawFn) -> Encoding:
    type_ = draw(st.sampled_from(list(T)))
    order = draw(_orders)
    if type_ is T.BOOL:
        return Encoding(type_, order, bit=draw(st.integers(0, 15)))
    if type_ is T.STRING:
        return Encoding(
            type_,
            order,
            length=draw(st.integers(1, 6)),
            text_order=draw(st.sampled_from(list(TextOrder))),
            text_encoding=draw(st.sampled_from(list(TextEncoding))),
            trim=draw(st.sampled_from(list(Trim))),
        )
    bcd = draw(st.booleans()) if type_.is_integer and type_.bounds[0] == 0 else False
    return Encoding(type_, order, half=draw(st.sampled_from(list(Half))), bcd=bcd)


_WIDTHS: dict[DataType, Literal[16, 32, 64]] = {T.FLOAT16: 16, T.FLOAT32: 32, T.FLOAT64: 64}


@st.composite
def values_of(draw: st.DrawFn, encoding: Encoding) -> Value:
    if encoding.type is T.BOOL:
        return draw(st.booleans())
    if encoding.type is T.STRING:
        alphabet = st.characters(max_codepoint=255 if encoding.text_encoding is TextEncoding.LATIN1 else 0x7F)
        text = draw(st.text(alphabet, max_size=2 * encoding.length))
        assume("\0" not in text and not text.endswith(" "))
        return text
    if encoding.type.is_float:
        return draw(st.floats(width=_WIDTHS[encoding.type]))
    low, high = encoding.type.bounds
    if encoding.bcd:
        high = 10 ** ((high.bit_length()) // 4) - 1
    return draw(st.integers(low, high))


@given(st.data())
def test_what_is_encoded_decodes_to_itself(data: st.DataObject) -> None:
    encoding = data.draw(encodings())
    value = data.draw(values_of(encoding))
    wire = encode(encoding, value)
    assert len(wire) == 2 * encoding.registers
    back = decode(encoding, wire)
    if encoding.type is T.STRING and encoding.trim is Trim.NONE:
        assert isinstance(back, str)
        assert isinstance(value, str)
        assert back == value.ljust(len(back), "\0")
    elif isinstance(value, float) and math.isnan(value):
        assert isinstance(back, float)
        assert math.isnan(back)
    else:
        assert (back, type(back)) == (value, type(value))


@given(st.data())
def test_a_value_keeps_to_its_mask(data: st.DataObject) -> None:
    """Writing through the mask changes the value and nothing else of a shared register."""
    encoding = data.draw(encodings().filter(lambda encoding: encoding.partial))
    value = data.draw(values_of(encoding))
    before = data.draw(st.binary(min_size=2, max_size=2))
    ones, bits = mask(encoding), encode(encoding, value)
    after = bytes(b & ~m & 0xFF | s for b, m, s in zip(before, ones, bits, strict=True))
    assert decode(encoding, after) == value
    assert all(s & ~m == 0 for s, m in zip(bits, ones, strict=True))


def naive(encoding: Encoding, data: bytes) -> Any:
    """The definition, byte by byte: put the bytes in ABCD order, then read them big-endian."""
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if encoding.type is T.STRING:
        if encoding.text_order is TextOrder.LOW_FIRST:
            words = [word[::-1] for word in words]
        text = b"".join(words)
        if encoding.trim in (Trim.NUL, Trim.BOTH) and b"\0" in text:
            text = text[: text.index(b"\0")]
        if encoding.trim in (Trim.SPACE, Trim.BOTH):
            while text.endswith(b" "):
                text = text[:-1]
        try:
            return str(text, str(encoding.text_encoding))
        except UnicodeDecodeError:
            return None
    if encoding.order in (BADC, DCBA):
        words = [word[::-1] for word in words]
    if encoding.order in (CDAB, DCBA):
        words = words[::-1]
    raw = b"".join(words)
    if encoding.type is T.BOOL:
        assert encoding.bit is not None
        return bool(int.from_bytes(raw, "big") & (1 << encoding.bit))
    if encoding.type in (T.INT8, T.UINT8):
        raw = raw[:1] if encoding.half is Half.HIGH else raw[1:]
    if encoding.type.is_float:
        return struct.unpack({2: ">e", 4: ">f", 8: ">d"}[len(raw)], raw)[0]
    if encoding.bcd:
        return int(raw.hex()) if raw.hex().isdigit() else None
    return int.from_bytes(raw, "big", signed=encoding.type.bounds[0] < 0)


def same(left: Any, right: Any) -> bool:
    nan = isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right)
    return nan or (left == right and type(left) is type(right))


@given(st.data())
def test_a_block_of_anything_decodes_as_the_definition_says(data: st.DataObject) -> None:
    """Fields of any type and order, overlapping, in any order: one plan gives what one by one would."""
    registers = data.draw(st.integers(1, 40))
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
        expected = naive(encoding, block[2 * offset : 2 * (offset + encoding.registers)])
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
    for order, form in ((ABCD, ">"), (DCBA, "<")):
        codec = BlockCodec([(index, Encoding(T.UINT16, order)) for index in range(125)], 125)
        assert isinstance(codec.decode.__self__, struct.Struct)  # type: ignore[attr-defined]
        assert codec.decode.__self__.format == form + "H" * 125  # type: ignore[attr-defined]


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
        ({"type": T.STRING}, "a string needs its length in registers, at least 1"),
        ({"type": T.INT16, "length": 2}, "a length belongs to strings only, int16 has a fixed one"),
        ({"type": T.INT16, "bcd": True}, "binary-coded decimal needs an unsigned integer type, not int16"),
    ],
)
def test_an_impossible_encoding_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence) + "$"):
        Encoding(**options)


def test_a_field_outside_its_block_is_refused() -> None:
    with pytest.raises(ValueError, match="not inside a block of 2"):
        BlockCodec([(1, Encoding(T.INT32))], 2)
    with pytest.raises(ValueError, match="outside the block of 8"):
        BitCodec([8], 8)


@given(st.data())
def test_bits_of_a_reply(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 200))
    block = data.draw(st.binary(min_size=(count + 7) // 8, max_size=(count + 7) // 8))
    everything = st.just(list(range(count)))
    offsets = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=50) | everything)
    codec = BitCodec(offsets, count)
    decoded = codec.decode(block)
    assert sorted(codec.order) == list(range(len(offsets)))
    number = int.from_bytes(block, "little")
    assert decoded == tuple(bool(number >> offsets[index] & 1) for index in codec.order)
