"""How long something takes, in words: the same on the command line, on the page and in every sentence.

The page's scripts say it likewise: ``gateway/web/frontend/src/words.ts``.
"""

from __future__ import annotations


def duration(seconds: float) -> str:
    """``850 ms``, ``12 s``, ``3 min``, ``2 h 10 min``, ``6 d``: no more exact than anybody needs."""
    if seconds < 1:
        return f"{max(0.0, seconds * 1000):.0f} ms"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours and days < 3 else f"{days} d"
