"""The chunk format: what comes back is what went in, exactly; what is damaged says so."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

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
from gateway.model import Batch, DataType, Layout, Record, Tag, Value
from tests.journal.toys import layout

anything: st.SearchStrategy[Value] = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(), st.text(max_size=8)
)


def fitting(type_: DataType) -> st.SearchStrategy[Value]:
    if type_ is DataType.BOOL:
        return st.booleans()
    if type_ is DataType.STRING:
        return st.text(max_size=12)
    if type_.is_integer:
        low, high = type_.bounds
        return st.integers(low, high)
    width = {DataType.FLOAT16: 16, DataType.FLOAT32: 32, DataType.FLOAT64: 64}[type_]
    return st.one_of(st.floats(width=width), st.floats())


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    types = draw(st.lists(st.sampled_from(list(DataType)), min_size=1, max_size=9))
    of = Layout("s", "g", ("a", "b"), tuple(Tag(f"t{i}", type_) for i, type_ in enumerate(types)))
    columns: Sequence[int] | None = None
    if draw(st.booleans()):
        columns = draw(st.lists(st.integers(0, len(types) - 1), min_size=1, max_size=9))
    used = range(len(types)) if columns is None else columns
    odd = draw(st.booleans())
    values = [draw(anything if odd else st.one_of(fitting(types[i]), st.none())) for i in used]
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
    )


def same(a: Value, b: Value) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or struct.pack("d", a) == struct.pack("d", b)
    return a == b


def listed(column: Sequence[object] | None) -> list[object] | None:
    return None if column is None else list(column)


@example([Batch(layout(count=1), 0, 0, [7], source_ns=[-(1 << 63)])], 1)
@settings(max_examples=400, deadline=None)
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
        assert (new.batch.read_ns, new.batch.mono_ns, new.batch.trusted) == (
            old.batch.read_ns,
            old.batch.mono_ns,
            old.batch.trusted,
        )
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


def test_what_is_no_value_is_refused() -> None:
    record = Record(1, 0, 1, Batch(layout(count=1), 1, 1, (b"bytes",)))  # type: ignore[arg-type]
    assert not storable(record)
    with pytest.raises(NotStorable, match="bytes"):
        encode_chunk([record])


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
