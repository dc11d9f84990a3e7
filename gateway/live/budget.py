"""How many recent rows each group may keep, so that all reach back equally far within one budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.live.track import row_bytes
from gateway.settings import GroupSettings

_LEAST_ROWS: Final = 2
_MOST_ROWS: Final = 86_400
"""A day at one a second: a few tags needn't fill a budget."""
_ROW_S: Final = 1.0


def rows_of(groups: Sequence[GroupSettings], budget_bytes: int) -> list[int]:
    """Rows of each group; 0 for one that has nothing to keep, and for all without a budget."""
    if budget_bytes <= 0:
        return [0] * len(groups)
    periods = [_ROW_S if group.poll.subscribed else max(_ROW_S, group.poll.interval_s) for group in groups]
    sizes = [
        row_bytes(group.poll.layout, ranged=group.poll.subscribed or group.poll.interval_s < _ROW_S) for group in groups
    ]
    per_s = sum(size / period for size, period in zip(sizes, periods, strict=True))
    if not per_s:
        return [0] * len(groups)
    span_s = budget_bytes / per_s
    return [
        min(max(int(span_s / period), _LEAST_ROWS), _MOST_ROWS) if size else 0
        for size, period in zip(sizes, periods, strict=True)
    ]
