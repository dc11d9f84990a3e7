"""Which of many readings of the same bytes somebody is likely to have meant."""

from __future__ import annotations

import math
import time

from gateway.driver import Decoding
from gateway.model import DataType

_SHORT = 10_000
_LONG = 10_000_000
"""Counters and measurements are seldom larger; bytes read in the wrong order nearly always are."""
_SMALLEST = 1e-4
_YEARS_AGO, _YEARS_AHEAD = 10, 1
"""A clock is seldom far from now. Any large number is a moment of some century, and zero the beginning of one."""


def is_plausible(decoding: Decoding) -> bool:
    """A guess for the eye. Zero says nothing: every number of zero bytes is zero."""
    kind, value = decoding.type, decoding.value
    if kind is DataType.STRING:
        return isinstance(value, str) and bool(value.strip()) and value.isprintable()
    if kind is DataType.DATETIME:
        year = value[:4] if isinstance(value, str) else ""
        return year.isdecimal() and -_YEARS_AGO <= int(year) - time.gmtime().tm_year <= _YEARS_AHEAD
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if kind.is_float:
        return math.isfinite(value) and _SMALLEST <= abs(value) < _LONG
    return 0 < abs(value) < (_LONG if len(decoding.raw) > 2 else _SHORT)
