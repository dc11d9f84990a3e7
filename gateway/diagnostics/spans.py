"""Times and spans in words."""

from __future__ import annotations

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60))


def span(seconds: float) -> str:
    """``0.4 s``, ``48 s``, ``2 h 10 m``, ``6 d``: two units at most, and no more exact than anybody needs."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    for at, (name, size) in enumerate(_UNITS):
        if whole >= size:
            count, rest = divmod(whole, size)
            lower, lower_size = (*_UNITS, ("s", 1))[at + 1]
            rest //= lower_size
            return f"{count} {name}" + (f" {rest} {lower}" if rest and count < 10 else "")
    return f"{whole} s"
