"""How many recent rows each group may keep, so that all reach back equally far within one budget.

Half of it is for rows a second apart, half for coarse rows a minute apart, which reach back for hours. Where the budget
is so small that the fine rows wouldn't bridge the minutes between coarse ones, all of it is for the fine ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.live.coarse import PERIOD_MS
from gateway.live.track import row_bytes
from gateway.settings import GroupSettings

_LEAST_ROWS: Final = 2
_MOST_ROWS: Final = 86_400
"""A day at one a second, two months at one a minute: a few tags needn't fill a budget."""
_ROW_S: Final = 1.0
_COARSE_S: Final = PERIOD_MS / 1000
_BRIDGED: Final = 3
"""Fine rows reach back at least so many periods of the coarse ones, or there are none of these."""


@dataclass(frozen=True, slots=True)
class Rows:
    fine: int
    coarse: int


def rows_of(groups: Sequence[GroupSettings], budget_bytes: int) -> list[Rows]:
    """Rows of each group: 0 where it has nothing to keep, and for all without a budget."""
    wanted = [_Wanted.of(group) for group in groups]
    if budget_bytes <= 0:
        return [Rows(0, 0)] * len(groups)
    often = sum(each.per_s for each in wanted if each.coarse_size)
    if often and budget_bytes / 2 / often < _BRIDGED * _COARSE_S:
        span_s = budget_bytes / sum(each.per_s for each in wanted)
        return [Rows(_count(each.size, span_s / each.period_s), 0) for each in wanted]
    long = sum(each.coarse_size / _COARSE_S if each.coarse_size else each.per_s for each in wanted)
    if not long:
        return [Rows(0, 0)] * len(groups)
    fine_s = budget_bytes / 2 / often if often else 0.0
    long_s = budget_bytes / (2 if often else 1) / long
    return [
        Rows(
            _count(each.size, (fine_s if each.coarse_size else long_s) / each.period_s),
            _count(each.coarse_size, long_s / _COARSE_S),
        )
        for each in wanted
    ]


@dataclass(frozen=True, slots=True)
class _Wanted:
    size: int
    """Bytes of a row."""
    period_s: float
    coarse_size: int
    """Bytes of a coarse row; 0 for a group that is read so seldom that it needs none."""

    @property
    def per_s(self) -> float:
        return self.size / self.period_s

    @classmethod
    def of(cls, group: GroupSettings) -> _Wanted:
        poll = group.poll
        often = poll.subscribed or poll.interval_s < _ROW_S
        period_s = _ROW_S if poll.subscribed else max(_ROW_S, poll.interval_s)
        coarse = row_bytes(poll.layout, ranged=True) if 2 * period_s <= _COARSE_S else 0
        return cls(row_bytes(poll.layout, ranged=often), period_s, coarse)


def _count(size: int, rows: float) -> int:
    return min(max(int(rows), _LEAST_ROWS), _MOST_ROWS) if size else 0
