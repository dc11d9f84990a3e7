"""Values as JSON that a browser can't misread.

An integer beyond ±2^53 of a 64-bit tag is a string of its digits: the tag's type says what it is. What isn't a finite
number is null, and its quality bad. A text or an array too long for a table is an object with its length and its
beginning, marked by the key ``cut``.
"""

from __future__ import annotations

import math
from typing import Any, Final

from gateway.model import Quality, Tag, Value, is_bad

JSON_SAFE: Final = 1 << 53
LONGEST_TEXT: Final = 200
LONGEST_ARRAY: Final = 16
_SHOWN_TEXT: Final = 120
_SHOWN_ARRAY: Final = 8


def is_simple(tag: Tag) -> bool:
    """Whether every value of a tag is its own JSON, but for floats that aren't finite."""
    return tag.count is None and not tag.type.is_text and not tag.type.exceeds_json


def whole(value: Value) -> Any:
    """A value in full."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -JSON_SAFE <= value <= JSON_SAFE else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return _text(value)
    return [whole(element) for element in value]


def short(value: Value) -> Any:
    """A value as a table shows it."""
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return {"cut": len(value), "head": _text(value[:_SHOWN_TEXT])}
    if isinstance(value, tuple) and len(value) > LONGEST_ARRAY:
        return {"cut": len(value), "head": [short(element) for element in value[:_SHOWN_ARRAY]]}
    return whole(value)


def honest(value: Any, quality: int) -> int:
    """The quality of a value that has become JSON: null never looks good."""
    return int(Quality.BAD) if value is None and not is_bad(quality) else quality


def _text(value: str) -> str | None:
    """None if it holds half a surrogate pair: that is no Unicode."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value
