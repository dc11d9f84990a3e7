"""How a backlog will end: from samples of the journal's status, when it is delivered, or when it is full.

A broker that is away for a while is what the journal is for: it is said calmly, with how long it can go on.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.durations import duration
from gateway.journal.status import JournalStatus

EVERY_S = 5.0
_WINDOW_S = 300.0
_LEAST_S = 10.0
"""Samples closer together than this tell no rate."""
_DELIVERING_S = 5.0
"""A backlog that takes no longer than this to deliver is none."""
_FEW = 200
"""Nor is one of so few values, which are just on their way."""


class Phase(enum.StrEnum):
    DELIVERING = "delivering"
    BUFFERING = "buffering"
    DRAINING = "draining"
    FULL = "full"
    """The oldest values make room for new ones."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of one sink. Times in s, to a tenth."""

    phase: Phase
    sentence: str
    pending: int
    """Values still to be delivered."""
    held_s: float | None
    """Age of the oldest of them on disk."""
    rate_per_s: float | None
    """Values by which the backlog grows a second; negative: shrinks. None: not known yet."""
    drained_in_s: float | None
    full_in_s: float | None


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    used_bytes: int
    pending: Mapping[str, int]
    dropped: Mapping[str, int]


class Backlog:
    """Samples of one journal."""

    def __init__(self, max_age_s: float) -> None:
        """`max_age_s`: what is older is dropped."""
        self._max_age_s = max_age_s
        self._samples: deque[_Sample] = deque()

    def sample(self, status: JournalStatus, now_s: float) -> None:
        """`now_s`: monotonic. Call it every :data:`EVERY_S` or so."""
        sinks = status["sinks"]
        self._samples.append(
            _Sample(
                now_s,
                status["used_bytes"],
                {name: sink["pending"] for name, sink in sinks.items()},
                {name: sink["dropped"] for name, sink in sinks.items()},
            )
        )
        while self._samples[0].at_s < now_s - _WINDOW_S:
            self._samples.popleft()

    def forecast(self, sink: str, status: JournalStatus, *, connected: bool, now_s: float, now_ms: int) -> Forecast:
        """Raises KeyError for an unknown sink."""
        totals = status["sinks"][sink]
        pending, stored = totals["pending"], totals["stored"]
        oldest_ms = status["oldest_ms"]
        held_s = max(0.0, (now_ms - oldest_ms) / 1000) if stored and oldest_ms is not None else None
        rate = self._rate(sink, pending, now_s)
        drained_s = pending / -rate if rate is not None and rate < 0 else None
        full_s = self._full_in(status, held_s, now_s)
        dropping = self._drops(sink, totals["dropped"], now_s)
        held = f"{duration(held_s)} held" if held_s is not None else f"{pending} values held"
        if dropping:
            phase, sentence = Phase.FULL, f"Full: {held}, and the oldest make room for new ones"
        elif connected and (pending <= _FEW or (drained_s is not None and drained_s <= _DELIVERING_S)):
            phase, sentence = Phase.DELIVERING, "Delivering: nothing is held back"
        elif connected and drained_s is not None:
            phase, sentence = Phase.DRAINING, f"Draining: {held}, done in {duration(drained_s)}"
        elif connected and rate is None:
            phase, sentence = Phase.DRAINING, f"Draining: {held}"
        else:
            until = f"full in {duration(full_s)}" if full_s is not None else "room for long"
            slow = ", and the broker takes less than comes up" if connected else ""
            phase, sentence = Phase.BUFFERING, f"Buffering: {held}, {until}{slow}"
        return Forecast(
            phase, sentence, pending, _rounded(held_s), _rounded(rate), _rounded(drained_s), _rounded(full_s)
        )

    def _since(self, now_s: float) -> _Sample | None:
        """The oldest sample that something can be compared with."""
        first = self._samples[0] if self._samples else None
        return first if first is not None and now_s - first.at_s >= _LEAST_S else None

    def _rate(self, sink: str, pending: int, now_s: float) -> float | None:
        first = self._since(now_s)
        if first is None or sink not in first.pending:
            return None
        return (pending - first.pending[sink]) / (now_s - first.at_s)

    def _drops(self, sink: str, dropped: int, now_s: float) -> bool:
        return any(sample.dropped.get(sink, dropped) < dropped for sample in self._samples)

    def _full_in(self, status: JournalStatus, held_s: float | None, now_s: float) -> float | None:
        """By bytes or by age, whichever comes first; None: neither in sight."""
        ends: list[float] = []
        if held_s is not None:
            ends.append(max(0.0, self._max_age_s - held_s))
        first = self._since(now_s)
        if first is not None:
            growth = (status["used_bytes"] - first.used_bytes) / (now_s - first.at_s)
            if growth > 0:
                room = min(status["max_bytes"] - status["used_bytes"], status["disk_free_bytes"])
                ends.append(max(0.0, room / growth))
        return min(ends, default=None)


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)
