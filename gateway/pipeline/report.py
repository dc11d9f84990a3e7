"""Report by exception: which of a batch's values are worth sending.

Every comparison is with the value last *reported*, never with the one last read, so a slow drift can't creep past the
deadband. Time is CLOCK_MONOTONIC as the batch carries it. The state is what was accepted last; choosing never changes
it.

- A change of quality passes, always.
- A good or uncertain value without a policy passes, always.
- A bad value of unchanged quality is held back; `max_interval_s` sends it again.
- With a policy, a value passes if it differs by the deadband or more (bool, text or deadband 0: if it differs; an
  array: if an element differs so, or the length), but not sooner than `min_interval_s` after the last report; after
  `max_interval_s` it passes in any case.
- Both intervals are met to within half a poll and a tenth of themselves: polls jitter, and 1.000 s must not become 2 s
  because a poll came after 0.999 s. Where nothing is polled on a grid they are met exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from gateway.model import Value, is_bad
from gateway.settings import TagRules

_NEVER = -1
_FAR = 1 << 63


class Columns:
    """Positions in a row, picked at the speed of a slice where they are contiguous."""

    __slots__ = ("_slice", "pick", "positions")

    def __init__(self, positions: Sequence[int]) -> None:
        self.positions = tuple(positions)
        contiguous = bool(positions) and positions[-1] - positions[0] + 1 == len(positions)
        self._slice = slice(positions[0], positions[-1] + 1) if contiguous else None
        self.pick: Callable[[Sequence[Any]], Sequence[Any]] = itemgetter(
            *((self._slice,) if contiguous else positions or (slice(0),))
        )

    def __bool__(self) -> bool:
        return bool(self.positions)

    def put(self, row: list[Any], values: Sequence[Any]) -> None:
        if self._slice is not None:
            row[self._slice] = values
        else:
            for i, value in zip(self.positions, values, strict=True):
                row[i] = value


@dataclass(frozen=True, slots=True)
class LastReport:
    """What of one tag was reported last, and when it may or must be again. Times are CLOCK_MONOTONIC, ns."""

    value: Value
    quality: int
    at_ns: int
    band: float | None
    """Least change worth reporting; 0: any; None: no filter by value."""
    not_before_ns: int
    due_ns: int | None
    """From then on it is reported in any case; None: never for that reason."""


class ReportFilter:
    """The report state of one group, polled every `interval_s`; 0: its values come when they come."""

    def __init__(self, rules: Sequence[TagRules], interval_s: float) -> None:
        size = len(rules)
        self._all = range(size)
        self._free = [i for i, rule in enumerate(rules) if rule.report is None]
        self._bands = [_band(rule) for rule in rules]
        gated = [i for i in self._all if rules[i].report is not None]
        self._timed_only = [i for i in gated if self._bands[i] is None]
        self._exact = Columns([i for i in gated if self._bands[i] == 0])
        self._arrays = [(i, band) for i, band in enumerate(self._bands) if band and rules[i].count is not None]
        self._banded = Columns([i for i in gated if self._bands[i] and rules[i].count is None])
        self._band_row = [band for i, band in enumerate(self._bands) if band and rules[i].count is None]
        policies = [rule.report for rule in rules]
        self._min_ns = [_whole_polls_ns(policy.min_interval_s, interval_s) if policy else 0 for policy in policies]
        self._has_min = any(self._min_ns)
        self._max_ns = [
            _whole_polls_ns(policy.max_interval_s, interval_s) if policy and policy.max_interval_s is not None else _FAR
            for policy in policies
        ]
        self._max_columns = [i for i in self._all if self._max_ns[i] != _FAR]
        self.filters = bool(gated)
        """False if only repeated bad values are ever held back."""

        self.mono_ns = _NEVER
        """Time of the newest accepted batch."""
        self.all_good = False
        """True if every tag's last report was good."""
        self._values: list[Value] = [0] * size
        self._qualities = [_NEVER] * size
        self._reported_ns = [0] * size
        self._due_ns = 0
        """No tag's `max_interval_s` ends before this."""

    def choose(
        self,
        values: Sequence[Value],
        qualities: Sequence[int] | None,
        columns: Sequence[int] | None,
        mono_ns: int,
    ) -> list[int] | None:
        """Positions in `values` worth reporting, ascending; None means all of them."""
        if columns is None and self._same(qualities) and not self._overdue(mono_ns):
            if qualities is not None:
                keep = self._changed([0 if value is None else value for value in values], mono_ns)
                keep = [at for at in keep if not is_bad(qualities[at])]
            elif self.filters:
                keep = self._changed(values, mono_ns)
            else:
                return None
        else:
            keep = self._choose_any(values, qualities, self._all if columns is None else columns, mono_ns)
        return None if len(keep) == len(values) else keep

    def _same(self, qualities: Sequence[int] | None) -> bool:
        return self.all_good if qualities is None else qualities == self._qualities

    def _overdue(self, mono_ns: int) -> bool:
        if not self._max_columns or mono_ns < self._due_ns:
            return False
        # A report only ever postpones: the bound is worked out again no sooner than it is reached.
        reported, longest = self._reported_ns, self._max_ns
        self._due_ns = min(reported[i] + longest[i] for i in self._max_columns)
        return mono_ns >= self._due_ns

    def _changed(self, values: Sequence[Any], mono_ns: int) -> list[int]:
        """Full batch, qualities as last reported, nothing overdue: which columns' values differ enough.

        Bad ones hold 0, now and in what was reported last.
        """
        last: Sequence[Any] = self._values
        changed = list(self._timed_only)
        if self._exact:
            now, before = self._exact.pick(values), self._exact.pick(last)
            changed += [i for i, value, old in zip(self._exact.positions, now, before, strict=True) if value != old]
        if self._banded:
            rows = zip(
                self._banded.positions,
                self._banded.pick(values),
                self._banded.pick(last),
                self._band_row,
                strict=True,
            )
            changed += [i for i, value, old, band in rows if not -band < value - old < band]
        if self._arrays:
            changed += [i for i, band in self._arrays if _differs(values[i], last[i], band)]
        if self._has_min:
            reported, least = self._reported_ns, self._min_ns
            changed = [i for i in changed if mono_ns - reported[i] >= least[i]]
        if self._free:
            changed += self._free
        changed.sort()
        return changed

    def _choose_any(
        self, values: Sequence[Any], qualities: Sequence[int] | None, columns: Sequence[int], mono_ns: int
    ) -> list[int]:
        keep = []
        for at, column in enumerate(columns):
            quality = 0 if qualities is None else qualities[at]
            if quality != self._qualities[column]:
                keep.append(at)
                continue
            age = mono_ns - self._reported_ns[column]
            if age >= self._max_ns[column]:
                keep.append(at)
            elif is_bad(quality) or age < self._min_ns[column]:
                continue
            else:
                band = self._bands[column]
                value, old = values[at], self._values[column]
                if band is None or (_differs(value, old, band) if band else value != old):
                    keep.append(at)
        return keep

    def last(self, column: int) -> LastReport | None:
        """None if nothing was reported, since the start or since :meth:`forget`. Without any policy in the group no
        value is remembered: it is None then, and the time is that of the group."""
        quality = self._qualities[column]
        if quality == _NEVER and not self.all_good:
            return None
        quality = max(quality, 0)
        at_ns = self._reported_ns[column] if self.filters else self.mono_ns
        longest = self._max_ns[column]
        return LastReport(
            None if is_bad(quality) or not self.filters else self._values[column],
            quality,
            at_ns,
            self._bands[column],
            at_ns + self._min_ns[column],
            None if longest == _FAR else at_ns + longest,
        )

    def forget(self) -> None:
        """Take nothing for reported: every tag passes at its next value, good or bad."""
        self._qualities = [_NEVER] * len(self._qualities)
        self.all_good = False

    def accept(
        self,
        values: Sequence[Value],
        qualities: Sequence[int] | None,
        columns: Sequence[int] | None,
        mono_ns: int,
    ) -> None:
        """`values` of `columns` are reported."""
        self.mono_ns = mono_ns
        if columns is None:
            if self.filters:
                self._values = [0 if value is None else value for value in values] if qualities else list(values)
                self._reported_ns = [mono_ns] * len(values)
            if qualities is not None or not self.all_good:
                self._qualities = [0] * len(values) if qualities is None else list(qualities)
                self.all_good = not any(self._qualities)
            return
        if self.filters:
            last, reported = self._values, self._reported_ns
            for at, column in enumerate(columns):
                value = values[at]
                last[column] = 0 if value is None else value
                reported[column] = mono_ns
        if qualities is not None or not self.all_good:
            for at, column in enumerate(columns):
                self._qualities[column] = 0 if qualities is None else qualities[at]
            self.all_good = not any(self._qualities)


def _differs(value: Any, old: Any, band: float) -> bool:
    """Whether a value, or an element of an array, differs by the band or more. A 0 may stand for a bad value."""
    if not isinstance(value, tuple):
        return not -band < value - old < band
    if not isinstance(old, tuple) or len(value) != len(old):
        return True
    return any(
        new is not before if new is None or before is None else not -band < new - before < band
        for new, before in zip(value, old, strict=True)
    )


def _whole_polls_ns(limit_s: float, interval_s: float) -> int:
    """An age that stands for `limit_s` although polls jitter."""
    return round((limit_s - min(interval_s / 2, limit_s / 10)) * 1e9)


def _band(rules: TagRules) -> float | None:
    """Least change worth reporting: None for no filter by value, 0 for any change.

    Where an absolute and a relative deadband are given, the finer one counts: neither then hides what it must show.
    Raises ValueError for a percentage without a range.
    """
    policy = rules.report
    if policy is None or (policy.deadband is None and policy.deadband_percent is None):
        return None
    if not rules.type.is_numeric:
        return 0
    bands = [] if policy.deadband is None else [policy.deadband]
    if policy.deadband_percent is not None:
        if rules.low is None or rules.high is None:
            raise ValueError("a deadband in percent needs low and high")
        bands.append((rules.high - rules.low) * policy.deadband_percent / 100)
    return min(bands)
