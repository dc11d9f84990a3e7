"""How records lie on disk: many in one chunk, their columns packed by layout, nothing ever changed by storing it.

A chunk is::

    version u8 · flags u8 · records u32 · heads u32 · values u32 · CRC-32 of heads · CRC-32 of values   (little endian)
    heads    what each record is: id, layout, sequence number, count, times; a column for each, packed to its range
    values   what each record holds, one after the other, zlib level 1 where that makes it shorter

Heads and values have their own checksum: what a damaged chunk *was* stays known even if its values are lost.

The values of a record are packed by the types of its layout (``<125H`` is 250 bytes); texts and arrays follow as JSON.
A value its type can't hold exactly is never rounded: float32 grows to float64, and anything else that doesn't fit (an
integer in a float column, a bool in an integer column) sends the whole record through JSON, which keeps every int,
float, bool, string and array of them as it is.

Format 2 added arrays, the types that are carried as text and the flag for values of the past. What format 1 wrote reads
the same.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, Final

from gateway.model import Batch, DataType, Layout, Record, Value

BOOT_SHIFT: Final = 40
"""An id is ``boot << 40 | n``: ids rise over all boots, and 2^40 records are 34 years at 1,000 a second."""

MAX_RECORDS: Final = 512
MAX_WEIGHT: Final = 65_536
"""A chunk holds no more, so that reading one back is a matter of milliseconds and a few megabytes; but one record at
least. See :mod:`gateway.journal.weight`."""


class Damaged(Exception):
    """A chunk's bytes aren't what was written."""


class NotStorable(TypeError):
    """A batch holds something that is no value: not bool, int, float, str, None or a tuple of these."""


_VERSION: Final = 2
_READABLE: Final = frozenset({1, _VERSION})
_COMPRESSED: Final = 1
_SIZES: Final = struct.Struct("<BBIII")
_SUMS: Final = struct.Struct("<II")
_PREFIX: Final = _SIZES.size + _SUMS.size
_COLUMN: Final = struct.Struct("<qc")
_NO_TIME: Final = -(1 << 63)
_SCALAR_TYPES: Final = frozenset({bool, int, float, str, type(None)})

# What the payload of a record consists of, in this order; the last two say something of the record.
_JSON, _COLUMNS, _QUALITIES, _SOURCE_NS, _NULLS, _WIDE, _UNTRUSTED, _HISTORY, _EVENT = 1, 2, 4, 8, 16, 32, 64, 128, 256

_CODES: Final = {
    DataType.BOOL: "?",
    DataType.INT8: "b",
    DataType.UINT8: "B",
    DataType.INT16: "h",
    DataType.UINT16: "H",
    DataType.INT32: "i",
    DataType.UINT32: "I",
    DataType.INT64: "q",
    DataType.UINT64: "Q",
    DataType.FLOAT16: "e",
    DataType.FLOAT32: "f",
    DataType.FLOAT64: "d",
    DataType.STRING: "s",
    DataType.BYTES: "s",
    DataType.DATETIME: "s",
    DataType.JSON: "s",
}
_ARRAY: Final = "a"
_PYTHON_TYPES: Final[dict[str, type]] = {"?": bool, "e": float, "f": float, "d": float, "s": str, _ARRAY: tuple}
_ZERO: Final[dict[type, Value]] = {bool: False, int: 0, float: 0.0, str: "", tuple: ()}


class _ValueCodec:
    """Packs the values of columns with the given type codes. Texts and arrays follow the numbers, as JSON."""

    __slots__ = ("_listed", "_narrow", "_wide", "arrays", "types")

    def __init__(self, codes: str) -> None:
        self.types = tuple(_PYTHON_TYPES.get(code, int) for code in codes)
        self.arrays = tuple(position for position, code in enumerate(codes) if code == _ARRAY)
        self._listed = tuple(position for position, code in enumerate(codes) if code in ("s", _ARRAY))
        numbers = codes.replace("s", "").replace(_ARRAY, "")
        self._wide = struct.Struct(_format(numbers.replace("e", "d").replace("f", "d")))
        self._narrow = struct.Struct(_format(numbers)) if "e" in numbers or "f" in numbers else None

    def pack(self, values: Sequence[Value]) -> tuple[int, bytes]:
        """(flags, bytes). Raises struct.error if an integer is out of its type's range. Types are the caller's care."""
        listed = b""
        if self._listed:
            listed = _json([values[position] for position in self._listed])
            values = [value for value in values if type(value) is not str and type(value) is not tuple]
        if self._narrow is not None:
            try:
                packed = self._narrow.pack(*values)
            except OverflowError:
                pass
            else:
                if self._narrow.unpack(packed) == tuple(values):
                    return 0, packed + listed
        return _WIDE, self._wide.pack(*values) + listed

    def unpack(self, flags: int, payload: bytes, start: int) -> tuple[Value, ...]:
        packing = self._wide if flags & _WIDE or self._narrow is None else self._narrow
        numbers: tuple[Value, ...] = packing.unpack_from(payload, start)
        if not self._listed:
            return numbers
        values = list(numbers)
        listed = json.loads(payload[start + packing.size :])
        for position, value in zip(self._listed, _arrays(listed) if self.arrays else listed, strict=True):
            values.insert(position, value)  # positions ascend, so each lands where it was
        return tuple(values)


def _format(codes: str) -> str:
    return "<" + "".join(f"{len(list(run))}{code}" for code, run in groupby(codes))


@lru_cache(maxsize=512)
def _value_codec(codes: str) -> _ValueCodec:
    return _ValueCodec(codes)


@lru_cache(maxsize=4096)
def _layout_codes(layout: Layout) -> str:
    return "".join(_CODES[tag.type] if tag.count is None else _ARRAY for tag in layout.tags)


def layout_key(layout: Layout) -> int:
    """The number a stored record names its layout by: 63 bits of the layout's digest."""
    return int(layout.digest[:16], 16) >> 1


def _json(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _arrays(listed: Iterable[Any]) -> tuple[Value, ...]:
    """Values as they come out of JSON: a list among them was an array."""
    return tuple(tuple(value) if type(value) is list else value for value in listed)


def _check(batch: Batch, values: Iterable[object]) -> None:
    """Raises NotStorable if one of them is no value."""
    for value in values:
        for element in value if type(value) is tuple else (value,):
            if type(element) not in _SCALAR_TYPES:
                raise NotStorable(
                    f"a batch of {batch.layout.source!r} holds {type(element).__name__}, which is no value"
                )


def _record_flags(batch: Batch) -> int:
    meaning = (_HISTORY if batch.history else 0) | (_EVENT if batch.event else 0)
    return meaning | (0 if batch.trusted else _UNTRUSTED)


def _encode_payload(batch: Batch) -> tuple[int, bytes]:
    """(flags, bytes) of one batch. Raises NotStorable."""
    values = batch.values
    codes = _layout_codes(batch.layout)
    if batch.columns is not None:
        codes = "".join([codes[column] for column in batch.columns])
    flags = _record_flags(batch)
    parts: list[bytes] = []
    count = len(values)
    codec = _value_codec(codes)
    try:
        if batch.columns is not None:
            flags |= _COLUMNS
            parts.append(struct.pack(f"<{count}{_position_code(batch.layout)}", *batch.columns))
        if batch.qualities is not None:
            flags |= _QUALITIES
            parts.append(struct.pack(f"<{count}I", *batch.qualities))
        if batch.source_ns is not None:
            flags |= _SOURCE_NS
            if _NO_TIME in batch.source_ns:
                return _encode_generic(batch)
            parts.append(struct.pack(f"<{count}q", *[_NO_TIME if ns is None else ns for ns in batch.source_ns]))
        types = tuple(map(type, values))
        if types != codec.types:
            mask = 0
            filled = list(values)
            for position, value in enumerate(values):
                if value is None:
                    mask |= 1 << position
                    filled[position] = _ZERO[codec.types[position]]
            if not mask or tuple(map(type, filled)) != codec.types:
                return _encode_generic(batch)
            values = filled
            flags |= _NULLS
            parts.append(mask.to_bytes((count + 7) // 8, "little"))
        if codec.arrays:
            _check(batch, [values[position] for position in codec.arrays])
        packed_flags, packed = codec.pack(values)
    except struct.error:
        return _encode_generic(batch)
    parts.append(packed)
    return flags | packed_flags, b"".join(parts)


def _encode_generic(batch: Batch) -> tuple[int, bytes]:
    _check(batch, batch.values)
    body = [
        list(batch.values),
        None if batch.columns is None else list(batch.columns),
        None if batch.qualities is None else list(batch.qualities),
        None if batch.source_ns is None else list(batch.source_ns),
    ]
    return _JSON | _record_flags(batch), _json(body)


def _position_code(layout: Layout) -> str:
    return "H" if len(layout.tags) <= 1 << 16 else "I"


def _decode_payload(layout: Layout, head: Head, payload: bytes) -> Batch:
    flags, count = head.flags, head.count
    columns: Sequence[int] | None = None
    qualities: Sequence[int] | None = None
    source_ns: Sequence[int | None] | None = None
    values: Sequence[Value]
    if flags & _JSON:
        listed, columns, qualities, source_ns = json.loads(payload)
        values = _arrays(listed)
    else:
        start = 0
        codes = _layout_codes(layout)
        if flags & _COLUMNS:
            packing = struct.Struct(f"<{count}{_position_code(layout)}")
            columns = packing.unpack_from(payload, start)
            start += packing.size
            codes = "".join([codes[column] for column in columns])
        if flags & _QUALITIES:
            qualities = struct.unpack_from(f"<{count}I", payload, start)
            start += 4 * count
        if flags & _SOURCE_NS:
            stamps = struct.unpack_from(f"<{count}q", payload, start)
            source_ns = tuple(None if ns == _NO_TIME else ns for ns in stamps)
            start += 8 * count
        mask = 0
        if flags & _NULLS:
            size = (count + 7) // 8
            mask = int.from_bytes(payload[start : start + size], "little")
            start += size
        values = _value_codec(codes).unpack(flags, payload, start)
        if mask:
            values = tuple(None if mask >> position & 1 else value for position, value in enumerate(values))
    return Batch(
        *(layout, head.read_ns, head.mono_ns, values, qualities, columns, source_ns),
        trusted=not flags & _UNTRUSTED,
        history=bool(flags & _HISTORY),
        event=bool(flags & _EVENT),
    )


@dataclass(slots=True)
class Head:
    """What a stored record is, without its values."""

    id: int
    layout: int
    """:func:`layout_key` of its layout."""
    seq: int
    count: int
    read_ns: int
    mono_ns: int
    flags: int
    size: int
    """Bytes its values take."""

    @property
    def boot(self) -> int:
        return self.id >> BOOT_SHIFT


def encode_chunk(records: Sequence[Record]) -> bytes:
    """The chunk that holds `records`. Raises NotStorable; see :func:`storable` to find which."""
    payloads: list[bytes] = []
    all_flags: list[int] = []
    keys: dict[int, int] = {}
    indexes: list[int] = []
    for record in records:
        flags, payload = _encode_payload(record.batch)
        all_flags.append(flags)
        payloads.append(payload)
        indexes.append(keys.setdefault(layout_key(record.batch.layout), len(keys)))
    heads = b"".join(
        (
            _pack_column(list(keys)),
            _pack_column(indexes),
            _pack_column([record.id for record in records]),
            _pack_column([record.seq for record in records]),
            _pack_column([len(record.batch.values) for record in records]),
            _pack_column([record.batch.read_ns for record in records]),
            _pack_column([record.batch.mono_ns for record in records]),
            _pack_column(all_flags),
            _pack_column([len(payload) for payload in payloads]),
        )
    )
    values = b"".join(payloads)
    chunk_flags = 0
    shorter = zlib.compress(values, 1)
    if len(shorter) < len(values):
        values = shorter
        chunk_flags = _COMPRESSED
    heads = struct.pack("<I", len(keys)) + heads
    sizes = _SIZES.pack(_VERSION, chunk_flags, len(records), len(heads), len(values))
    sums = _SUMS.pack(zlib.crc32(heads, zlib.crc32(sizes)), zlib.crc32(values))
    return b"".join((sizes, sums, heads, values))


def storable(record: Record) -> bool:
    """False if the record holds what :func:`encode_chunk` can't keep."""
    try:
        _encode_payload(record.batch)
    except NotStorable:
        return False
    return True


def decode_heads(chunk: bytes) -> list[Head]:
    """What the records of a chunk are, even if their values are damaged. Raises Damaged."""
    version, count, heads_end, crc = _prefix(chunk)
    body = chunk[_PREFIX:heads_end]
    if zlib.crc32(body, zlib.crc32(chunk[: _SIZES.size])) != crc:
        raise Damaged("the checksum of a chunk's heads is wrong")
    if version not in _READABLE:
        raise Damaged(f"a chunk of format {version}, which this version doesn't know")
    (layouts,) = struct.unpack_from("<I", body)
    keys, start = _unpack_column(body, 4, layouts)
    columns: list[Sequence[int]] = []
    for _ in range(8):
        column, start = _unpack_column(body, start, count)
        columns.append(column)
    indexes, ids, seqs, counts, read_ns, mono_ns, flags, sizes = columns
    return [
        Head(*fields)
        for fields in zip(
            ids, [keys[index] for index in indexes], seqs, counts, read_ns, mono_ns, flags, sizes, strict=True
        )
    ]


def decode_chunk(
    chunk: bytes, layout: Callable[[int], Layout], after: int = -1, limit: int | None = None
) -> list[Record]:
    """The records with an id above `after`, at most `limit`, as backfill. `layout` finds a layout by its key.

    Raises Damaged, and whatever `layout` raises.
    """
    heads = decode_heads(chunk)
    values = _values(chunk)
    records: list[Record] = []
    start = 0
    for head in heads:
        payload = values[start : start + head.size]
        start += head.size
        if head.id <= after:
            continue
        if limit is not None and len(records) >= limit:
            break
        try:
            batch = _decode_payload(layout(head.layout), head, payload)
        except (struct.error, ValueError, IndexError) as error:
            raise Damaged(f"record {head.id} doesn't fit its layout: {error}") from error
        records.append(Record(head.id, head.boot, head.seq, batch, backfill=True))
    return records


def check_chunk(chunk: bytes) -> list[Head]:
    """Heads of a chunk whose checksums are right, those of the values too. Raises Damaged."""
    heads = decode_heads(chunk)
    if sum(head.size for head in heads) != len(_values(chunk)):
        raise Damaged("a chunk's values are not as long as its heads say")
    return heads


def _prefix(chunk: bytes) -> tuple[int, int, int, int]:
    """(version, records, end of the heads, CRC of the heads)."""
    if len(chunk) < _PREFIX:
        raise Damaged(f"a chunk of {len(chunk)} bytes")
    version, _, count, heads_size, values_size = _SIZES.unpack_from(chunk)
    if _PREFIX + heads_size + values_size != len(chunk):
        raise Damaged("a chunk isn't as long as it says")
    return version, count, _PREFIX + heads_size, _SUMS.unpack_from(chunk, _SIZES.size)[0]


def _values(chunk: bytes) -> bytes:
    _, flags, _, heads_size, _ = _SIZES.unpack_from(chunk)
    values = chunk[_PREFIX + heads_size :]
    _, crc = _SUMS.unpack_from(chunk, _SIZES.size)
    if zlib.crc32(values) != crc:
        raise Damaged("the checksum of a chunk's values is wrong")
    if not flags & _COMPRESSED:
        return values
    try:
        return zlib.decompress(values)
    except zlib.error as error:
        raise Damaged(f"a chunk's values don't decompress: {error}") from error


def _pack_column(numbers: Sequence[int]) -> bytes:
    """Integers as offsets from the smallest, in the fewest whole bytes that hold the largest."""
    base = min(numbers)
    span = max(numbers) - base
    code = "B" if span < 1 << 8 else "H" if span < 1 << 16 else "I" if span < 1 << 32 else "Q"
    return _COLUMN.pack(base, code.encode()) + struct.pack(
        f"<{len(numbers)}{code}", *[number - base for number in numbers]
    )


def _unpack_column(body: bytes, start: int, count: int) -> tuple[Sequence[int], int]:
    """(the integers, where the next column starts). Raises Damaged."""
    try:
        base, code = _COLUMN.unpack_from(body, start)
        packing = struct.Struct(f"<{count}{code.decode()}")
        offsets = packing.unpack_from(body, start + _COLUMN.size)
    except (struct.error, UnicodeDecodeError) as error:
        raise Damaged(f"a chunk's heads are too short: {error}") from error
    return [base + offset for offset in offsets], start + _COLUMN.size + packing.size
