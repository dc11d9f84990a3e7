"""The process image of a subscribed group: what each of its tags was last said to be, and when. One row, no history."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Sequence

from gateway.model import Batch, Layout, Quality, Value, is_bad

_NOTHING = -1
"""Quality of a column of which nothing was ever handed on."""
_STALE = int(Quality.BAD_TIMEOUT)

_FINENESS = 20
"""Staleness is looked for at most this often per `stale_s`: one look at all columns then serves many of them."""
_ROUNDING_S = 1e-6


class Image:
    """Times are CLOCK_MONOTONIC in seconds.

    A column is *known* once the device told it since the last :meth:`begin`, *stale* once nothing was heard of it for
    `stale_s`. What a stale column was is kept: it may be confirmed to hold.
    """

    def __init__(self, layout: Layout, stale_s: float | None) -> None:
        """`stale_s` None: nothing ever gets stale."""
        size = len(layout.tags)
        self._layout = layout
        self._stale_s = stale_s
        self._all = range(size)
        self._values: list[Value] = [None] * size
        self._qualities = [_NOTHING] * size
        self._source_ns: list[int | None] = [None] * size
        self._heard = [0.0] * size
        self._unknown = set(self._all)
        self._stale: set[int] = set()
        self._exempt: frozenset[int] = frozenset()

    # -- what is heard -------------------------------------------------------------------------------------------------

    def begin(self, exempt: Collection[int], now: float) -> None:
        """A subscription begins. Until a column is told again it stays what it was last reported as.

        `exempt` can't be read at all: they are never heard of, and never stale.
        """
        for column in self._stale:
            if not is_bad(self._qualities[column]):
                self._forget(column, _STALE)
        self._unknown.update(self._all)
        self._exempt = frozenset(exempt)
        self._stale -= self._exempt
        self._heard = [heard if i in self._stale else now for i, heard in enumerate(self._heard)]

    def take(self, batch: Batch, now: float) -> None:
        """What the device says, as it is handed on. Of values without a time of their own, when they were read."""
        values, codes, columns = batch.values, batch.qualities, batch.columns
        read_ns = batch.read_ns if batch.trusted else None
        times = batch.source_ns
        if columns is None:
            size = len(values)
            self._values = list(values)
            self._qualities = [0] * size if codes is None else list(codes)
            self._source_ns = [read_ns] * size if times is None else [_or(ns, read_ns) for ns in times]
            self._heard = [now] * size
            self._unknown.clear()
            self._stale.clear()
            return
        for at, column in enumerate(columns):
            self._values[column] = values[at]
            self._qualities[column] = 0 if codes is None else codes[at]
            self._source_ns[column] = read_ns if times is None else _or(times[at], read_ns)
            self._heard[column] = now
        self._unknown.difference_update(columns)
        if self._stale:
            self._stale.difference_update(columns)

    def confirm(self, columns: Sequence[int] | None, now: float) -> list[int]:
        """The known ones of `columns` (None: all) hold unchanged. Return those that had turned bad for being stale."""
        known = [column for column in (self._all if columns is None else columns) if column not in self._unknown]
        for column in known:
            self._heard[column] = now
        if not self._stale:
            return []
        back = [column for column in known if column in self._stale]
        self._stale.difference_update(back)
        return [column for column in back if not is_bad(self._qualities[column])]

    def mark(self, code: Quality, columns: Collection[int] | None = None) -> list[int]:
        """`columns` (None: all) are bad for a reason of the runtime's. Return those that weren't already, just so."""
        chosen = self._all if columns is None else columns
        news = [i for i in chosen if self.quality(i) != code or self._value(i) is not None]
        for column in chosen:
            self._forget(column, int(code))
        self._unknown.update(chosen)
        self._stale.difference_update(chosen)
        return news

    def _forget(self, column: int, code: int) -> None:
        self._values[column], self._qualities[column], self._source_ns[column] = None, code, None

    # -- staleness -----------------------------------------------------------------------------------------------------

    def expire(self, now: float) -> list[int]:
        """Find what is stale by now; return those whose quality thereby changes.

        What the device itself called bad stays as it said: that says more than that it was long ago.
        """
        if self._stale_s is None:
            return []
        limit = now - self._stale_s + _ROUNDING_S
        late = [
            column
            for column, heard in enumerate(self._heard)
            if heard <= limit and column not in self._stale and column not in self._exempt
        ]
        news = [
            i for i in late if self._qualities[i] != _STALE and (i in self._unknown or not is_bad(self._qualities[i]))
        ]
        self._stale.update(late)
        for column in news:
            if self._qualities[column] == _NOTHING:
                self._qualities[column] = _STALE
        return news

    def next_expiry(self, now: float) -> float:
        """When to look for stale columns again; infinite if there can't be any."""
        if self._stale_s is None:
            return math.inf
        fresh = [heard for i, heard in enumerate(self._heard) if i not in self._stale and i not in self._exempt]
        return max(min(fresh) + self._stale_s, now + self._stale_s / _FINENESS) if fresh else math.inf

    @property
    def stale(self) -> int:
        return len(self._stale)

    @property
    def all_stale(self) -> bool:
        """True if nothing that can be heard of is. False if nothing can."""
        return bool(self._stale) and len(self._stale) + len(self._exempt) == len(self._all)

    @property
    def mute(self) -> bool:
        """True if no column can be heard of at all."""
        return len(self._exempt) == len(self._all)

    # -- what holds ----------------------------------------------------------------------------------------------------

    @property
    def unreported(self) -> list[int]:
        """Columns of which nothing was ever handed on."""
        return [column for column in self._all if self._qualities[column] == _NOTHING]

    def quality(self, column: int) -> int:
        """As it was last handed on."""
        quality = self._qualities[column]
        if column in self._stale and (column in self._unknown or not is_bad(quality)):
            return _STALE
        return quality

    def _value(self, column: int) -> Value:
        return None if column in self._stale else self._values[column]

    def bad(self) -> Iterator[tuple[int, int]]:
        """(column, quality) of all that are bad now."""
        for column in self._all:
            if is_bad(code := self.quality(column)):
                yield column, code

    def current(self, columns: Sequence[int]) -> list[int]:
        """Those of `columns` that are as the device said."""
        return [column for column in columns if column not in self._unknown and column not in self._stale]

    def batch(self, columns: Sequence[int] | None, now: float) -> Batch | None:
        """`columns` (None: all that was ever reported) as they are now, or None if there is nothing to say.

        It holds now, so it is stamped now; since when it holds stands in `source_ns`.
        """
        chosen = [i for i in (self._all if columns is None else columns) if self._qualities[i] != _NOTHING]
        if not chosen:
            return None
        codes = [self.quality(column) for column in chosen]
        times = [None if column in self._stale else self._source_ns[column] for column in chosen]
        return Batch(
            self._layout,
            time.time_ns(),
            round(now * 1e9),
            [self._value(column) for column in chosen],
            codes if any(codes) else None,
            None if len(chosen) == len(self._all) else chosen,
            times if any(ns is not None for ns in times) else None,
        )


def _or(ns: int | None, other: int | None) -> int | None:
    return other if ns is None else ns
