"""A ring of one group's recent numbers: packed rows of the columns' own types, so that every number is exact.

A row is a moment: one byte of quality a column, then the last value of each, and where the group is read more often
than rows are kept also the least and the greatest since the row before. What isn't a number or a boolean isn't kept.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.model import DataType, Layout, Quality, Scalar, Tag, Value, is_bad

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
    DataType.FLOAT16: "f",  # published as float32
    DataType.FLOAT32: "f",
    DataType.FLOAT64: "d",
}
_BROKEN: Final = 0x80
"""Bit of a quality byte: some value since the row before was bad."""
_OTHER: Final = 0x7F
"""The quality byte of codes that came after the table was full. Only a bad one is ever put there."""
_TIME_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """One tag at one moment."""

    mono_ms: int
    """CLOCK_MONOTONIC."""
    quality: int
    last: Scalar | None
    """None: it was bad then."""
    low: Scalar | None
    high: Scalar | None
    """Least and greatest since the sample before; None if there was no usable value."""
    broken: bool
    """Some value since the sample before was bad."""


def is_kept(tag: Tag) -> bool:
    """Whether a tag's values are numbers that a track keeps."""
    return tag.count is None and tag.type in _CODES


def row_bytes(layout: Layout, *, ranged: bool) -> int:
    """What one row of this layout takes; 0 if nothing of it is kept."""
    codes = "".join(_CODES[tag.type] for tag in layout.tags if is_kept(tag))
    if not codes:
        return 0
    return _TIME_BYTES + len(codes) + struct.calcsize("<" + codes) * (3 if ranged else 1)


class Track:
    """At most `rows` rows, the oldest overwritten. Memory is taken as it fills."""

    def __init__(self, layout: Layout, rows: int, *, ranged: bool) -> None:
        """`ranged`: least and greatest values are kept too. The layout must have a column that is kept."""
        self.rows = rows
        self.ranged = ranged
        self._columns = [i for i, tag in enumerate(layout.tags) if is_kept(tag)]
        self._places = {column: place for place, column in enumerate(self._columns)}
        self._whole = len(self._columns) == len(layout.tags)
        codes = [_CODES[layout.tags[column].type] for column in self._columns]
        size = len(codes)
        self._pack = struct.Struct(f"<{size}x" + "".join(codes) * (3 if ranged else 1))
        self._cells = [struct.Struct("<" + code) for code in codes]
        width = struct.calcsize("<" + "".join(codes))
        offsets = [size]
        for cell in self._cells[:-1]:
            offsets.append(offsets[-1] + cell.size)
        self._offsets = offsets
        self._width = width
        self._zeros = [0] * size
        self._ones = [1] * size
        # Pages of the system's own, which become memory as they are written to.
        self._times = memoryview(_pages(_TIME_BYTES * rows)).cast("q")
        self._data = _pages(self._pack.size * rows)
        self._next = 0
        self._filled = 0
        self._bytes: dict[int, int] = {0: 0}
        self._qualities = [0]

    def __len__(self) -> int:
        return self._filled

    @property
    def since_ms(self) -> int | None:
        """Time of the oldest row, once older ones had to make way. None: all there ever was is here."""
        return self._times[self._next] if self._filled == self.rows else None

    def place(self, column: int) -> int | None:
        """Where a column stands among those that are kept; None if it isn't."""
        return self._places.get(column)

    def pick(self, row: Sequence[Any]) -> Sequence[Any]:
        """Of a whole row, the columns that are kept."""
        return row if self._whole else [row[column] for column in self._columns]

    def write(
        self,
        mono_ms: int,
        values: Sequence[Value],
        qualities: Sequence[int] | None,
        lows: Sequence[Any] | None = None,
        highs: Sequence[Any] | None = None,
        broken: Collection[int] = (),
    ) -> None:
        """One row. `values` and `qualities` are of all columns of the layout; `lows` and `highs`, of a ranged track,
        only of those that are kept, with None where there was none; `broken` are places among the kept ones."""
        row = self.pick(values)
        at = self._next * self._pack.size
        codes: bytes | None = None
        if qualities is not None or broken:
            marks = [0] * len(row) if qualities is None else [self._mark(code) for code in self.pick(qualities)]
            row = [value if value is not None else 0 for value in row]
            for place in broken:
                marks[place] |= _BROKEN
            codes = bytes(marks)
        ranges: tuple[Any, ...] = ()
        if self.ranged:
            if lows is None or highs is None:
                lows, highs = (row, row) if codes is None else self._of_row(row, codes)
            elif codes is not None:
                # Where nothing was usable the least is greater than the greatest.
                lows = [1 if low is None else low for low in lows]
                highs = [0 if high is None else high for high in highs]
            ranges = (*lows, *highs)
        try:
            self._pack.pack_into(self._data, at, *row, *ranges)
        except (struct.error, OverflowError, TypeError):
            codes = self._pack_each(at, row, codes or bytes(len(row)))
        if codes is not None:
            self._data[at : at + len(codes)] = codes
        self._times[self._next] = mono_ms
        self._next = (self._next + 1) % self.rows
        self._filled = min(self._filled + 1, self.rows)

    def _of_row(self, row: Sequence[Any], codes: bytes) -> tuple[list[Any], list[Any]]:
        bad = [is_bad(self._qualities[code & _OTHER]) for code in codes]
        lows = [1 if missing else value for missing, value in zip(bad, row, strict=True)]
        highs = [0 if missing else value for missing, value in zip(bad, row, strict=True)]
        return lows, highs

    def _mark(self, code: int) -> int:
        mark = self._bytes.get(code)
        if mark is None:
            if len(self._qualities) < _OTHER:
                mark = self._bytes[code] = len(self._qualities)
                self._qualities.append(code)
            else:
                mark = _OTHER
        return mark

    def _pack_each(self, at: int, row: Sequence[Any], codes: bytes) -> bytes:
        """A row in which something isn't of its type: that becomes a gap, the rest stays."""
        marks = bytearray(codes)
        self._pack.pack_into(self._data, at, *self._zeros, *((*self._ones, *self._zeros) if self.ranged else ()))
        for place, value in enumerate(row):
            try:
                for start in range(at, at + self._width * (3 if self.ranged else 1), self._width):
                    self._cells[place].pack_into(self._data, start + self._offsets[place], value)
            except (struct.error, OverflowError, TypeError):
                marks[place] = self._mark(Quality.BAD_INTERNAL_ERROR) | _BROKEN
        return bytes(marks)

    def samples(self, column: int, since_ms: int = 0) -> Iterator[Sample]:
        """Those of one column not older than `since_ms` (CLOCK_MONOTONIC), oldest first. Raises KeyError if it isn't
        kept."""
        place = self._places[column]
        unpack, offset = self._cells[place].unpack_from, self._offsets[place]
        data, size, width = self._data, self._pack.size, self._width
        for turn in range(self._filled):
            slot = (self._next - self._filled + turn) % self.rows
            if self._times[slot] < since_ms:
                continue
            at = slot * size
            mark = data[at + place]
            code = mark & _OTHER
            quality = self._qualities[code] if code < len(self._qualities) else int(Quality.BAD)
            bad = is_bad(quality)
            last = None if bad else unpack(data, at + offset)[0]
            low = high = last
            if self.ranged:
                low = unpack(data, at + width + offset)[0]
                high = unpack(data, at + 2 * width + offset)[0]
                if low > high:
                    low = high = None
            yield Sample(self._times[slot], quality, last, low, high, bad or bool(mark & _BROKEN))

    def carry(self, older: Track) -> None:
        """Take over the newest rows of a track of the same layout."""
        size = self._pack.size
        count = min(older._filled, self.rows)
        for turn in range(count):
            slot = (older._next - count + turn) % older.rows
            self._data[turn * size : (turn + 1) * size] = older._data[slot * size : (slot + 1) * size]
            self._times[turn] = older._times[slot]
        self._filled = count
        self._next = count % self.rows
        self._bytes, self._qualities = dict(older._bytes), list(older._qualities)


def _pages(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
