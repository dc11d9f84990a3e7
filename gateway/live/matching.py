"""Shell patterns that anybody may choose who looks at values: bounded in what they cost, and not kept."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable

PATTERN = r"^[^*?\[]*([*?\[][^*?\[]*){0,32}$"
"""What may be asked for: each wildcard costs time when the pattern is compiled, on the loop that polls."""


def matcher(pattern: str) -> Callable[[str], object]:
    """Says whether a name matches, case and all. (`fnmatch` itself keeps the last 32,768 patterns: 13 kB each.)"""
    if pattern == "*":
        return lambda name: True
    if not any(wildcard in pattern for wildcard in "*?["):
        return pattern.__eq__
    return re.compile(fnmatch.translate(pattern)).match
