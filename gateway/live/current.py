"""What every tag of one group is now, and the way of its recent values into the track.

On the hot path a batch of the whole group costs a few assignments: its columns are kept as they came. Batches of single
columns, from devices that speak by themselves, are put into the row only when somebody looks, or when many have come.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.live.coarse import Coarse
from gateway.live.track import Sample, Track
from gateway.model import Batch, Layout, Quality, Record, Value, is_bad

_ROW_NS: Final = 1_000_000_000
"""Rows of a group that is read more often than this are this far apart."""
_KEPT_ROWS: Final = 12
"""Batches whose columns wait to be narrowed to the least and the greatest: few at once is dear, many is memory."""
_KEPT_RECORDS: Final = 32
_WAITING: Final = int(Quality.BAD_WAITING_FOR_INITIAL_DATA)
_NEVER: Final = -1
_ABOVE: Final = math.inf
_BELOW: Final = -math.inf


@dataclass(frozen=True, slots=True)
class State:
    """A group at a moment. Read-only: later states have sequences of their own."""

    version: int
    """Grows with everything that was heard."""
    values: Sequence[Value]
    qualities: Sequence[int] | None
    """None: all good."""
    mono_ns: int
    """When the group was last heard of, CLOCK_MONOTONIC."""
    times: Sequence[int] | None
    """The same for each column; None: as the group."""

    def quality(self, column: int) -> int:
        return 0 if self.qualities is None else self.qualities[column]

    def heard_ns(self, column: int) -> int:
        """When a column was last heard of; negative: never."""
        return self.mono_ns if self.times is None else self.times[column]


class Current:
    """One group. :meth:`take` is the hot path."""

    def __init__(self, layout: Layout, *, fast: bool) -> None:
        """`fast`: it may be heard of more than once a second."""
        size = len(layout.tags)
        self.layout = layout
        self.fast = fast
        self.track: Track | None = None
        """Where recent values go; None: nowhere."""
        self.records: deque[Record] = deque(maxlen=_KEPT_RECORDS)
        """What of the group was reported last, the newest at the end: the last report of all columns, and later ones of
        some of them."""
        self.coarse: Coarse | None = None
        """The same for longer, a row of many."""
        self._ranged: Track | None = None
        """The track, if it wants least and greatest values."""
        self._window_ns = _ROW_NS if fast else 0
        self._window_end = 0
        self._open = False
        """Whether something was heard that is in no row yet."""
        self._version = 0
        self._values: Sequence[Value] = [None] * size
        self._qualities: Sequence[int] | None = [_WAITING] * size
        self._mono_ns = _NEVER
        self._times: list[int] | None = [_NEVER] * size
        self._row_ns = _NEVER
        """When the whole group was last heard of."""
        self._singles: list[tuple[int, Sequence[Value], Sequence[int] | None, Sequence[int]]] = []
        self._single_values = 0
        self._most_singles = max(size, 64)
        self._low_rows: list[Sequence[Any]] = []
        self._high_rows: list[Sequence[Any]] = []
        """Columns that are kept, of the batches since the last row; infinite where a value was bad."""
        self._spread: dict[int, tuple[Any, Any]] = {}
        """Least and greatest of columns that were told by themselves since the last row."""
        self._broken: set[int] = set()
        """Places in the track of columns that were bad at some moment since the last row."""

    # -- the hot path --------------------------------------------------------------------------------------------------

    def take(self, batch: Batch, values: Sequence[Value], qualities: Sequence[int] | None) -> None:
        """A batch of the group, `values` and `qualities` as they are published. What is older than what is known is
        left out, and so is the past."""
        mono_ns = batch.mono_ns
        if mono_ns < self._mono_ns or batch.history:
            return
        if mono_ns >= self._window_end:
            if self._open:
                self._close()
            self._window_end = mono_ns + self._window_ns
        self._open = True
        self._version += 1
        columns = batch.columns
        if columns is None:
            if self._singles:
                self._fold()
            self._values, self._qualities, self._times = values, qualities, None
            self._mono_ns = self._row_ns = mono_ns
            if self._ranged is not None:
                self._keep_row(self._ranged, values, qualities)
            return
        self._mono_ns = mono_ns
        self._singles.append((mono_ns, values, qualities, columns))
        self._single_values += len(values)
        if self._single_values > self._most_singles:
            self._fold()

    def _keep_row(self, track: Track, values: Sequence[Value], qualities: Sequence[int] | None) -> None:
        row: Sequence[Any] = track.pick(values)
        if qualities is None:
            self._low_rows.append(row)
            self._high_rows.append(row)
        else:
            self._broken.update(place for place, code in enumerate(track.pick(qualities)) if is_bad(code))
            self._low_rows.append([_ABOVE if value is None else value for value in row])
            self._high_rows.append([_BELOW if value is None else value for value in row])
        if len(self._low_rows) > _KEPT_ROWS:
            self._narrow()

    def _narrow(self) -> None:
        if len(self._low_rows) > 1:
            self._low_rows = [list(map(min, *self._low_rows))]
            self._high_rows = [list(map(max, *self._high_rows))]

    def _fold(self) -> None:
        """Put single columns into the row."""
        values = list(self._values)
        size = len(values)
        codes = [0] * size if self._qualities is None else list(self._qualities)
        times = [self._row_ns] * size if self._times is None else list(self._times)
        track = self._ranged
        for mono_ns, some, qualities, columns in self._singles:
            for at, column in enumerate(columns):
                value = some[at]
                if track is not None and (place := track.place(column)) is not None:
                    if value is None:
                        self._broken.add(place)
                    else:
                        self._widen(place, value)
                values[column] = value
                codes[column] = 0 if qualities is None else qualities[at]
                times[column] = mono_ns
        self._values, self._qualities, self._times = values, codes if any(codes) else None, times
        self._singles.clear()
        self._single_values = 0

    def _widen(self, place: int, value: Any) -> None:
        spread = self._spread.get(place)
        if spread is None:
            self._spread[place] = value, value
        elif value < spread[0]:
            self._spread[place] = value, spread[1]
        elif value > spread[1]:
            self._spread[place] = spread[0], value

    # -- rows ----------------------------------------------------------------------------------------------------------

    def keep(self, track: Track | None, coarse: Track | None = None) -> None:
        """Put recent values into `track` from now on, and one row of many into `coarse`; None: nowhere."""
        if self.coarse is None or self.coarse.track is not coarse:
            self.coarse = None if coarse is None else Coarse(coarse)
        if track is self.track:
            return
        self.track = track
        self._ranged = track if track is not None and track.ranged else None
        self._reset()

    def _reset(self) -> None:
        self._low_rows, self._high_rows = [], []
        self._spread.clear()
        self._broken.clear()

    def _close(self) -> None:
        """What was heard since the last row becomes the next one."""
        self._open = False
        if self._singles:
            self._fold()
        if self.track is not None:
            row = self._mono_ns // 1_000_000, self._values, self._qualities, *self._range()
            self.track.write(*row)
            if self.coarse is not None:
                self.coarse.take(*row)
            self._reset()

    def _range(self) -> tuple[Sequence[Any] | None, Sequence[Any] | None, set[int]]:
        """(least, greatest, broken) since the last row, of the columns that are kept."""
        track = self._ranged
        if track is None or not (self._low_rows or self._spread):
            return None, None, self._broken
        self._narrow()
        if self._low_rows:
            lows, highs = self._low_rows[0], self._high_rows[0]
        else:
            # What wasn't told since still holds.
            lows = highs = [None if place in self._spread else v for place, v in enumerate(track.pick(self._values))]
        if self._broken:
            lows = [None if low == _ABOVE else low for low in lows]
            highs = [None if high == _BELOW else high for high in highs]
        if self._spread:
            lows, highs = list(lows), list(highs)
            for place, (low, high) in self._spread.items():
                lows[place] = low if lows[place] is None else min(low, lows[place])
                highs[place] = high if highs[place] is None else max(high, highs[place])
        return lows, highs, self._broken

    def reported(self, record: Record) -> None:
        """The journal took a report of the group."""
        if record.batch.columns is None:
            self.records.clear()
        self.records.append(record)

    # -- for those who look --------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        return self._version

    @property
    def record(self) -> Record | None:
        """What of the group was reported last."""
        return self.records[-1] if self.records else None

    def last_record(self, column: int) -> tuple[Record, int] | None:
        """The last report that had a column, and the column's position in it; None: too long ago."""
        for record in reversed(self.records):
            columns = record.batch.columns
            if columns is None:
                return record, column
            if column in columns:
                return record, columns.index(column)
        return None

    def state(self) -> State:
        if self._singles:
            self._fold()
        return State(self._version, self._values, self._qualities, self._mono_ns, self._times)

    def samples(self, column: int, since_ms: int = 0) -> Iterator[Sample]:
        """Recent values of one column that is kept, oldest first, what is so now last of all."""
        if self.track is None:
            return
        yield from self._kept(self.track, column, since_ms)
        if not self._open:
            return
        state = self.state()
        place = self.track.place(column)
        if place is None or state.mono_ns // 1_000_000 < since_ms:
            return
        quality, value = state.quality(column), state.values[column]
        last: Any = None if is_bad(quality) else value
        lows, highs, broken = self._range()
        yield Sample(
            state.mono_ns // 1_000_000,
            quality,
            last,
            last if lows is None else lows[place],
            last if highs is None else highs[place],
            last is None or place in broken,
        )

    def _kept(self, track: Track, column: int, since_ms: int) -> Iterator[Sample]:
        """Coarse rows as far as they are needed, then fine ones: nothing twice, and nothing left out between them."""
        fine_ms = track.since_ms
        joint_ms = since_ms - 1
        if self.coarse is not None and fine_ms is not None and since_ms < fine_ms:
            for sample in self.coarse.track.samples(column, since_ms):
                joint_ms = sample.mono_ms
                yield sample
                if sample.mono_ms >= fine_ms:
                    break
        yield from track.samples(column, joint_ms + 1)
