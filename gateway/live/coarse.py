"""The longer memory of a group: one row for many of the fine ones, peaks and gaps kept."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, Final

from gateway.live.track import Track
from gateway.model import Value, is_bad

PERIOD_MS: Final = 60_000

_ABOVE: Final = math.inf
_BELOW: Final = -math.inf


class Coarse:
    """Gathers fine rows and puts one into `track`, which is ranged, for every PERIOD_MS."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self._end_ms = 0
        self._last: tuple[int, Sequence[Value], Sequence[int] | None] | None = None
        self._lows: Sequence[Any] = ()
        self._highs: Sequence[Any] = ()
        """Of the columns that are kept; infinite where there was no usable value."""
        self._broken: set[int] = set()

    def take(
        self,
        mono_ms: int,
        values: Sequence[Value],
        qualities: Sequence[int] | None,
        lows: Sequence[Any] | None,
        highs: Sequence[Any] | None,
        broken: Collection[int],
    ) -> None:
        """A row as :meth:`Track.write` takes it."""
        if mono_ms >= self._end_ms:
            self._close()
            self._end_ms = mono_ms + PERIOD_MS
        row = self.track.pick(values)
        lows, highs = (row, row) if lows is None or highs is None else (lows, highs)
        if qualities is not None or broken:
            if qualities is not None:
                self._broken.update(place for place, code in enumerate(self.track.pick(qualities)) if is_bad(code))
            self._broken.update(broken)
            lows = [_ABOVE if low is None else low for low in lows]
            highs = [_BELOW if high is None else high for high in highs]
        if self._last is None:
            self._lows, self._highs = lows, highs
        else:
            self._lows, self._highs = list(map(min, self._lows, lows)), list(map(max, self._highs, highs))
        self._last = mono_ms, values, qualities

    def _close(self) -> None:
        if self._last is None:
            return
        lows, highs = self._lows, self._highs
        if self._broken:
            lows = [None if low == _ABOVE else low for low in lows]
            highs = [None if high == _BELOW else high for high in highs]
        self.track.write(*self._last, lows, highs, self._broken)
        self._last = None
        self._broken.clear()
