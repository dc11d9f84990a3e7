"""The chunk format: what comes back is what went in, exactly; what is damaged says so."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from gateway.journal.record import (
    BOOT_SHIFT,
    Damaged,
    NotStorable,
    check_chunk,
    decode_chunk,
    decode_heads,
    encode_chunk,
    layout_key,
    storable,
)
from gateway.journal.weight import weight
from gateway.model import Batch, DataType, Layout, Record, Scalar, Tag, Value
from tests.journal.toys import batch, layout

FORMAT_1 = (
    "010103000000770000003f000000e53603ae26aca75a01000000cc96b90de9d6d36f42000000000000000000420000000100000000030000"
    "4200010201000000000000004200040602000000000000004202000200002a36fe9c9717490000000000ca9a3b0094357705000000000000"
    "0042000102000000000000000042003e410d000000000000004200190f78016367606058e3c818ad949fa714cbc0c004e4723500091868e0"
    "81b2181918808ad2d29462a3a30d758c74942a94740c6275f24a737210442c00bd600f17"
)
"""Three records as version 1 of the format wrote them."""

scalars: st.SearchStrategy[Scalar | None] = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(), st.text(max_size=8)
)
anything: st.SearchStrategy[Value] = st.one_of(scalars, st.lists(scalars, max_size=4).map(tuple))


def fitting(tag: Tag) -> st.SearchStrategy[Value]:
    element = fitting_one(tag.type)
    return element if tag.count is None else st.lists(st.none() | element, max_size=5).map(tuple)


def fitting_one(type_: DataType) -> st.SearchStrategy[Scalar]:
    if type_ is DataType.BOOL:
        return st.booleans()
    if type_.is_text:
        return st.text(st.characters(exclude_categories=[]), max_size=12)
    if type_.is_integer:
        low, high = type_.bounds
        return st.integers(low, high)
    width = {DataType.FLOAT16: 16, DataType.FLOAT32: 32, DataType.FLOAT64: 64}[type_]
    return st.one_of(st.floats(width=width), st.floats())


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    tag = st.builds(Tag, st.just("t"), st.sampled_from(list(DataType)), count=st.sampled_from([None, None, 0, 3]))
    tags = tuple(draw(st.lists(tag, min_size=1, max_size=9)))
    of = Layout("s", "g", ("a", "b"), tags)
    columns: Sequence[int] | None = None
    if draw(st.booleans()):
        columns = draw(st.lists(st.integers(0, len(tags) - 1), min_size=1, max_size=9))
    used = range(len(tags)) if columns is None else columns
    odd = draw(st.booleans())
    values = [draw(anything if odd else st.one_of(fitting(tags[i]), st.none())) for i in used]
    codes = st.one_of(st.just(0), st.integers(0, (1 << 32) - 1), st.integers(-5, 1 << 40))
    stamps = st.one_of(st.none(), st.integers(-(1 << 65), 1 << 65))
    return Batch(
        of,
        draw(st.integers(-(1 << 62), 1 << 62)),
        draw(st.integers(0, 1 << 62)),
        values,
        draw(st.none() | st.lists(codes, min_size=len(values), max_size=len(values))),
        columns,
        draw(st.none() | st.lists(stamps, min_size=len(values), max_size=len(values))),
        trusted=draw(st.booleans()),
        history=draw(st.booleans()),
        event=draw(st.booleans()),
    )


def same(a: Value, b: Value) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def listed(column: Sequence[object] | None) -> list[object] | None:
    return None if column is None else list(column)


@example([Batch(layout(count=1), 0, 0, [7], source_ns=[-(1 << 63)])], 1)
@settings(max_examples=400)
@given(st.lists(batches(), min_size=1, max_size=5), st.integers(0, 1000))
def test_what_comes_back_is_what_went_in(some: list[Batch], boot: int) -> None:
    records = [Record((boot << BOOT_SHIFT) + 7 * i, boot, 100 * i + 1, batch) for i, batch in enumerate(some)]
    layouts = {layout_key(batch.layout): batch.layout for batch in some}
    chunk = encode_chunk(records)
    back = decode_chunk(chunk, layouts.__getitem__)
    assert len(back) == len(records)
    for old, new in zip(records, back, strict=True):
        assert (new.id, new.boot, new.seq, new.backfill) == (old.id, old.boot, old.seq, True)
        assert new.batch.layout == old.batch.layout
        assert [getattr(new.batch, name) for name in ("read_ns", "mono_ns", "trusted", "history", "event")] == [
            getattr(old.batch, name) for name in ("read_ns", "mono_ns", "trusted", "history", "event")
        ]
        assert all(same(a, b) for a, b in zip(old.batch.values, new.batch.values, strict=True)), (
            old.batch.values,
            new.batch.values,
        )
        assert listed(new.batch.qualities) == listed(old.batch.qualities)
        assert listed(new.batch.columns) == listed(old.batch.columns)
        assert listed(new.batch.source_ns) == listed(old.batch.source_ns)
    heads = check_chunk(chunk)
    assert [(head.id, head.boot, head.seq, head.count) for head in heads] == [
        (record.id, record.boot, record.seq, len(record.batch)) for record in records
    ]


@given(st.data())
def test_any_damage_is_noticed(data: st.DataObject) -> None:
    of = layout(count=20)
    records = [Record((3 << BOOT_SHIFT) + i, 3, 20 * i + 1, Batch(of, i, i, range(20))) for i in range(4)]
    chunk = bytearray(encode_chunk(records))
    if data.draw(st.booleans()):
        chunk[data.draw(st.integers(0, len(chunk) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del chunk[data.draw(st.integers(0, len(chunk) - 1)) :]
    with pytest.raises(Damaged):
        check_chunk(bytes(chunk))
    with pytest.raises(Damaged):
        decode_chunk(bytes(chunk), lambda _: of)


def test_damaged_values_leave_the_heads_readable() -> None:
    of = layout(count=20)
    chunk = bytearray(encode_chunk([Record(1, 0, 5, Batch(of, 1, 1, range(20)))]))
    chunk[-1] ^= 1
    (head,) = decode_heads(bytes(chunk))
    assert (head.id, head.seq, head.count) == (1, 5, 20)
    with pytest.raises(Damaged, match="values"):
        decode_chunk(bytes(chunk), lambda _: of)


def test_records_up_to_an_id_are_left_out() -> None:
    of = layout()
    chunk = encode_chunk([Record(i, 0, 3 * i, Batch(of, i, i, (i, i, i))) for i in range(1, 9)])
    assert [record.id for record in decode_chunk(chunk, lambda _: of, after=5)] == [6, 7, 8]


@pytest.mark.parametrize("count", [None, 0])
@pytest.mark.parametrize("value", [b"bytes", [1, 2], (1, b"bytes"), (1, (2, 3)), ([1],)])
def test_what_is_no_value_is_refused(value: Any, count: int | None) -> None:
    of = Layout("s", "g", ("a", "b"), (Tag("t", DataType.UINT16, count=count),))
    record = Record(1, 0, 1, Batch(of, 1, 1, (value,)))
    assert not storable(record)
    with pytest.raises(NotStorable, match="which is no value"):
        encode_chunk([record])


def test_what_format_1_wrote_is_read() -> None:
    of = Layout(
        *("filler1", "fast", ("acme", "plant1", "filler1")),
        (
            Tag("a", DataType.UINT16),
            Tag("b", DataType.FLOAT32, "Cel"),
            Tag("c", DataType.STRING),
            Tag("d", DataType.BOOL),
        ),
    )
    records = decode_chunk(bytes.fromhex(FORMAT_1), {layout_key(of): of}.__getitem__)
    assert [record.batch.values for record in records] == [(7, 21.5, "on", True), (None, "off"), (1, 2, "x", 0)]
    assert [(record.seq, record.batch.trusted, record.batch.history) for record in records] == [
        (1, True, False),
        (5, True, False),
        (7, False, False),
    ]
    assert records[1].batch == Batch(
        *(of, 1_700_000_001_000_000_000, 6, (None, "off"), (0x800A0000, 0), (0, 2), (None, 12))
    )


def test_a_format_to_come_is_not_guessed_at() -> None:
    chunk = bytearray(encode_chunk([Record(1, 0, 1, batch(layout()))]))
    chunk[0] += 1
    heads_crc = zlib.crc32(chunk[22 : 22 + int.from_bytes(chunk[6:10], "little")], zlib.crc32(chunk[:14]))
    chunk[14:18] = heads_crc.to_bytes(4, "little")
    with pytest.raises(Damaged, match="a chunk of format 3, which this version doesn't know"):
        decode_heads(bytes(chunk))


@pytest.mark.parametrize(
    ("values", "columns", "expected"),
    [
        ([1, "x" * 31, (), ()], None, 4),
        ([1, "x" * 64, (1, 2, 3), None], None, 4 + 2 + 3),
        ([1, None, ("y" * 320, None), ()], None, 4 + 2 + 10),
        (["x" * 64, (4.0,)], [1, 3], 2 + 2 + 1),
        ([1, ("a", "b")], [0, 2], 2 + 2),
    ],
)
def test_texts_and_arrays_weigh_what_they_take(values: list[Value], columns: list[int] | None, expected: int) -> None:
    first = (Tag("a", DataType.UINT16), Tag("b", DataType.JSON), Tag("c", DataType.STRING, count=0))
    of = Layout("s", "g", ("a", "b"), (*first, Tag("d", DataType.FLOAT32, count=0)))
    assert weight(Batch(of, 1, 1, values, columns=columns)) == expected


def test_numbers_beside_an_array_are_still_packed() -> None:
    of = Layout("s", "g", ("a", "b"), (*layout(count=125).tags, Tag("wave", DataType.FLOAT32, count=2)))
    noise = [i * 40_503 % 65_521 for i in range(125)]
    records = [Record(i + 1, 0, 1 + 126 * i, Batch(of, i, i, [*noise[i:], *noise[:i], (0.5, None)])) for i in range(12)]
    assert len(encode_chunk(records)) / (12 * 125) < 2.4


def test_a_hundred_registers_take_two_bytes_each_and_little_more() -> None:
    of = layout(count=125)
    noise = [(i * 40_503 + 12_345) * 2_654_435_761 % 65_521 for i in range(12 * 125)]
    chunk = encode_chunk(
        [
            Record((9 << BOOT_SHIFT) + i, 9, 1 + 125 * i, Batch(of, 10**18 + i, i, noise[125 * i :][:125]))
            for i in range(12)
        ]
    )
    assert len(chunk) / 1500 < 2.25
