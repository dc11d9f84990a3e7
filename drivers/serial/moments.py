"""Formats of dates and times, in the letters of strftime(3)."""

from __future__ import annotations

import re
from functools import cache

from drivers.common.quoting import quoted

_TOKENS = {
    "Y": "(?P<Y>[0-9]{4})",
    "y": "(?P<y>[0-9]{2})",
    "m": "(?P<m>[0-9]{1,2})",
    "d": "(?P<d>[0-9]{1,2})",
    "H": "(?P<H>[0-9]{1,2})",
    "M": "(?P<M>[0-9]{2})",
    "S": "(?P<S>[0-9]{2})",
    "f": "(?P<f>[0-9]{1,9})",
    "%": "%",
}
PIVOT = 80
"""Two-digit years from here on belong to the last century."""


@cache
def moment_pattern(format_: str) -> re.Pattern[bytes]:
    """The moments that a format describes. Raises ValueError, in one sentence."""
    seen: list[str] = []

    def token(match: re.Match[str]) -> str:
        letter = match[1]
        if letter is None:
            return re.escape(match[0])
        if letter not in _TOKENS or letter in seen:
            raise ValueError(
                f"{quoted('%' + letter)} in {quoted(format_)} isn't known or stands twice: use %Y %y %m %d %H %M %S %f"
            )
        if letter != "%":
            seen.append(letter)
        return _TOKENS[letter]

    pattern = re.sub(r"%(.?)|[^%]+", token, format_)
    # Instruments leave the fraction out when they have none.
    pattern = re.sub(r"(\\[.,])(\(\?P<f>[^)]*\))", r"(?:\1\2)?", pattern)
    if not {"m", "d"} <= {*seen} or ("Y" in seen) == ("y" in seen):
        raise ValueError(f"{quoted(format_)} has no whole date: it needs %Y or %y, %m and %d")
    # Digits side by side must not shift between one token and the next.
    if re.search(r"\{1,2\}\)\(", pattern):
        pattern = pattern.replace("[0-9]{1,2}", "[0-9]{2}")
    return re.compile(pattern.encode("latin-1", "replace"))
