"""Durations in words."""

from __future__ import annotations

import pytest

from gateway.durations import duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 ms"),
        (0.85, "850 ms"),
        (12.4, "12 s"),
        (89, "89 s"),
        (180, "3 min"),
        (7200, "2 h"),
        (7800, "2 h 10 min"),
        (86_400 * 2 + 3600 * 5, "2 d 5 h"),
        (86_400 * 6 + 3600, "6 d"),
    ],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said
