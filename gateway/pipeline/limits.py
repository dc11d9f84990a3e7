"""The engineering range of a tag: what lies outside is uncertain, and clamped where that is wanted."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from gateway.model import Quality, Value, is_good
from gateway.settings import TagRules

_EXCEEDED = int(Quality.UNCERTAIN_ENGINEERING_UNITS_EXCEEDED)


class Limit(NamedTuple):
    """A range, its ends included, and what is published in place of a value below and above it."""

    low: float
    high: float
    floor: float | None
    """None: the value itself."""
    ceiling: float | None

    def apply(self, value: Any, quality: int) -> tuple[Value, int]:
        """(value, quality) of a value that isn't bad."""
        if self.low <= value <= self.high:
            return value, quality
        if self.floor is not None and value < self.low:
            value = self.floor
        elif self.ceiling is not None and value > self.high:
            value = self.ceiling
        # An uncertain code from the device says more than ours would.
        return value, _EXCEEDED if is_good(quality) else quality


def limit(rules: TagRules) -> Limit | None:
    """None without a range. Raises ValueError if the type has no value to clamp to."""
    if not rules.type.is_numeric or (rules.low is None and rules.high is None):
        return None
    low = -math.inf if rules.low is None else rules.low
    high = math.inf if rules.high is None else rules.high
    floor: float | None = None
    ceiling: float | None = None
    if rules.clamp:
        integer = rules.type.is_integer
        if rules.low is not None:
            floor = math.ceil(rules.low) if integer else float(rules.low)
        if rules.high is not None:
            ceiling = math.floor(rules.high) if integer else float(rules.high)
        if floor is not None and ceiling is not None and floor > ceiling:
            raise ValueError(f"there is no {rules.type} between {rules.low} and {rules.high} to clamp to")
    return Limit(low, high, floor, ceiling)
