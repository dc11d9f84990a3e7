"""The codec: round trips, malformed and hostile input."""

from __future__ import annotations

import math
import struct
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.opcua import binary
from drivers.opcua.binary import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    BadText,
    Encoded,
    LocalizedText,
    Malformed,
    NodeId,
    QualifiedName,
    Reader,
    Type,
    Variant,
    pack_variant,
)
from tests.support.stopwatch import stopwatch


def integers(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else st.integers(0, (1 << bits) - 1)


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
NODE_IDS = st.builds(
    NodeId,
    integers(16, signed=False),
    st.one_of(integers(32, signed=False), TEXT.filter(bool), st.uuids(), st.binary(min_size=1, max_size=9)),
    st.none(),
    st.just(0),
)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    Type.BOOLEAN: st.booleans(),
    Type.SBYTE: integers(8, signed=True),
    Type.BYTE: integers(8, signed=False),
    Type.INT16: integers(16, signed=True),
    Type.UINT16: integers(16, signed=False),
    Type.INT32: integers(32, signed=True),
    Type.UINT32: integers(32, signed=False),
    Type.INT64: integers(64, signed=True),
    Type.UINT64: integers(64, signed=False),
    Type.FLOAT: st.floats(width=32, allow_nan=False),
    Type.DOUBLE: st.floats(allow_nan=False),
    Type.STRING: TEXT,
    Type.DATE_TIME: integers(64, signed=True),
    Type.GUID: st.uuids(),
    Type.BYTE_STRING: st.binary(max_size=20),
    Type.XML_ELEMENT: TEXT,
    Type.NODE_ID: NODE_IDS,
    Type.EXPANDED_NODE_ID: NODE_IDS,
    Type.STATUS_CODE: integers(32, signed=False),
    Type.QUALIFIED_NAME: st.builds(QualifiedName, integers(16, signed=False), st.none() | TEXT),
    Type.LOCALIZED_TEXT: st.builds(LocalizedText, st.none() | TEXT, st.none() | TEXT),
    Type.EXTENSION_OBJECT: st.builds(Encoded, NODE_IDS, st.none() | st.binary(max_size=9)),
}
VARIANTS = st.one_of(
    [st.builds(Variant, st.just(kind), values, st.none()) for kind, values in SCALARS.items()]
    + [st.builds(Variant, st.just(kind), st.lists(values, max_size=5), st.none()) for kind, values in SCALARS.items()]
)


@given(VARIANTS)
def test_what_was_packed_is_read_back(variant: Variant) -> None:
    reader = Reader(pack_variant(variant))
    assert reader.variant() == variant
    assert reader.position == reader.end


@given(st.lists(VARIANTS, max_size=4))
def test_variants_may_hold_variants(inner: list[Variant]) -> None:
    outer = Variant(Type.VARIANT, inner)
    assert Reader(pack_variant(outer)).variant() == outer


def test_a_matrix_keeps_its_dimensions() -> None:
    matrix = Variant(Type.INT32, [1, 2, 3, 4, 5, 6], (2, 3))
    assert Reader(pack_variant(matrix)).variant() == matrix


@given(VARIANTS, st.data())
def test_a_cut_variant_is_malformed(variant: Variant, data: st.DataObject) -> None:
    body = pack_variant(variant)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(Malformed):
        Reader(body[:cut]).variant()


def test_text_that_is_no_utf8_is_told_apart() -> None:
    value = Reader(b"\x0c" + struct.pack("<i", 2) + b"a\xff").variant().value
    assert isinstance(value, BadText)


BOMBS = {
    "a hundred million nulls in 5 bytes": b"\x80" + struct.pack("<i", 100_000_000),
    "two thousand million numbers": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "more texts than bytes": b"\x8c" + struct.pack("<i", 1_000_000) + bytes(100),
    "a text longer than the message": b"\x0c" + struct.pack("<i", 2**31 - 1) + b"a",
    "localized texts of one byte each": b"\x95" + struct.pack("<i", 4_000_000) + bytes(4_000_000),
    "variants in variants": b"\x98\x01\x00\x00\x00" * 2000 + b"\x01\x01",
    "a scalar variant in a variant for ever": b"\x18" * 100_000,
    "diagnostics in diagnostics": b"\x19" + b"\x40" * 100_000,
    "dimensions of a whole world": b"\xc1\x01\x00\x00\x00\x01" + struct.pack("<iiii", 3, 2**30, 2**30, 2**30),
    "dimensions without an array": b"\x41\x01",
    "data values in data values": b"\x17\x01" * 100_000,
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_malformed_and_cheap(body: bytes) -> None:
    with stopwatch() as watch, watch, pytest.raises(Malformed):
        Reader(body).variant()
    assert watch.slowest_s < 0.5


def test_the_bounds_are_where_they_are_said_to_be() -> None:
    levels = b"\x98\x01\x00\x00\x00" * MAX_DEPTH
    assert Reader(levels + b"\x01\x01").variant()
    with pytest.raises(Malformed):
        Reader(b"\x98\x01\x00\x00\x00" + levels + b"\x01\x01").variant()
    texts = struct.pack("<i", MAX_ELEMENTS) + bytes(MAX_ELEMENTS)
    assert len(Reader(b"\x95" + texts).variant().value) == MAX_ELEMENTS


@pytest.mark.parametrize(
    ("kind", "value"), [(Type.UINT16, -1), (Type.UINT16, "x"), (Type.STRING, 5), (Type.FLOAT, 1e300), (Type.GUID, "x")]
)
def test_what_is_not_of_the_type_is_not_packed(kind: int, value: Any) -> None:
    with pytest.raises(ValueError, match="is no"):
        pack_variant(Variant(kind, value))


def test_the_types_have_the_names_of_the_standard() -> None:
    assert [binary.type_name(kind) for kind in (3, 5, 2, 11, 13, 18, 22)] == [
        "Byte",
        "UInt16",
        "SByte",
        "Double",
        "DateTime",
        "ExpandedNodeId",
        "ExtensionObject",
    ]
    assert binary.type_name(6, array=True) == "Int32[]"


def test_it_agrees_with_asyncua_on_every_type() -> None:
    from asyncua import ua
    from asyncua.ua.ua_binary import variant_to_binary

    guid = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    for theirs, ours in (
        (ua.Variant(True), Variant(1, True)),
        (ua.Variant(-2, ua.VariantType.Int16), Variant(4, -2)),
        (ua.Variant(2**64 - 1, ua.VariantType.UInt64), Variant(9, 2**64 - 1)),
        (ua.Variant(math.pi, ua.VariantType.Double), Variant(11, math.pi)),
        (ua.Variant("Füller"), Variant(12, "Füller")),
        (ua.Variant(guid, ua.VariantType.Guid), Variant(14, guid)),
        (ua.Variant(b"\x00\xff", ua.VariantType.ByteString), Variant(15, b"\x00\xff")),
        (ua.Variant(ua.NodeId("a", 3)), Variant(17, NodeId(3, "a"))),
        (ua.Variant(ua.QualifiedName("q", 2)), Variant(20, QualifiedName(2, "q"))),
        (ua.Variant(ua.LocalizedText("t", "de")), Variant(21, LocalizedText("de", "t"))),
        (ua.Variant([1, 2], ua.VariantType.Int32), Variant(6, [1, 2])),
        (ua.Variant([[1, 2], [3, 4]], ua.VariantType.Int32), Variant(6, [1, 2, 3, 4], (2, 2))),
    ):
        assert Reader(variant_to_binary(theirs)).variant() == ours
        assert pack_variant(ours) == variant_to_binary(theirs)
