"""How figures and states are put into words, the same on every page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gateway.durations import duration
from gateway.model import quality_name
from gateway.web.diffs import lines_of

_GOOD, _UNCERTAIN = 0, 1
_EXACT = 2**53
_NOW_S = 5.0
_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
"""The first that is found: browsers also name those they resemble."""
_SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def ago(seconds: float) -> str:
    """How long it is since something: ``now``, ``3 min ago``."""
    return "now" if seconds < _NOW_S else f"{duration(seconds)} ago"


def browser(agent: str) -> str:
    """What a browser says of itself, short: ``Firefox on Windows``; as it is where that isn't known."""
    family = next((name for mark, name in _BROWSERS if mark in agent), None)
    system = next((name for mark, name in _SYSTEMS if mark in agent), None)
    return agent if family is None or system is None else f"{family} on {system}"


def count(number: float | None) -> str:
    """With narrow spaces between thousands: ``12 345``."""
    return "–" if number is None else f"{number:,.0f}".replace(",", "\u202f")


def size(number: float | None) -> str:
    """``512 B``, ``3.4 MB``."""
    if number is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"


def moment(ms: float | None) -> str:
    """ms since 1970 as ``2026-11-25 17:54:14 UTC``."""
    if ms is None:
        return "–"
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "beyond the calendar"


def plain(value: Any) -> str:
    """A value as it is, no digit changed: ``71.3``, ``true``, ``[1, 2]``; ``–`` for none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    return f"[{', '.join(map(plain, value))}]" if isinstance(value, list) else str(value)


def quality(code: int) -> dict[str, str]:
    """An OPC UA status code as `kind` (good, uncertain, bad), which is an icon and a colour, and its word."""
    severity = code >> 30
    kind = "good" if severity == _GOOD else "uncertain" if severity == _UNCERTAIN else "bad"
    return {"kind": kind, "word": quality_name(code)}


FILTERS: dict[str, Callable[..., Any]] = {
    "duration": lambda seconds: "–" if seconds is None else duration(seconds),
    "ago": ago,
    "browser": browser,
    "count": count,
    "size": size,
    "moment": moment,
    "plain": plain,
    "quality": quality,
    "lines_of": lines_of,
}
