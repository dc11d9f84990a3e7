"""How hard the tests try that could go on for ever. ``TIDEGATE_TEST_EFFORT=10`` has them try ten times as hard."""

from __future__ import annotations

import os

_EFFORT = float(os.environ.get("TIDEGATE_TEST_EFFORT", "1"))


def times(usual: int) -> int:
    """What is tried `usual` times in every run."""
    return round(usual * _EFFORT)
