"""Forecasts of backlogs, from samples whose end is known."""

from __future__ import annotations

from typing import Any

from gateway.diagnostics.backlog import Backlog, Forecast, Phase

NOW_MS = 1_800_000_000_000


def status(pending: int, used: int = 0, *, oldest_s: float | None = None, dropped: int = 0, room: int = 1 << 30) -> Any:
    return {
        "used_bytes": used,
        "max_bytes": room,
        "disk_free_bytes": 1 << 40,
        "oldest_ms": None if oldest_s is None else NOW_MS - int(oldest_s * 1000),
        "sinks": {
            "plant": {"pending": pending, "stored": pending if oldest_s else 0, "dropped": dropped, "refused": 0}
        },
    }


def after(samples: list[Any], now: Any, *, connected: bool, max_age_s: float = 7 * 86_400) -> Forecast:
    """The forecast a minute after the first of samples that are evenly spaced in it."""
    backlog = Backlog(max_age_s)
    for index, sample in enumerate(samples):
        backlog.sample(sample, 60.0 * index / len(samples))
    return backlog.forecast("plant", now, connected=connected, now_s=60.0, now_ms=NOW_MS)


def test_an_outage_is_told_calmly_with_how_long_it_may_last() -> None:
    held_s = 2 * 3600 + 600
    found = after([status(0, 1 << 20)], status(600_000, (1 << 20) + 60 * 2000, oldest_s=held_s), connected=False)
    assert found.phase is Phase.BUFFERING
    # 2,000 bytes a second into a little less than 1 GiB last 6 days; the age would end it after nearly 7.
    assert found.sentence == "Buffering: 2 h 10 min held, full in 6 d"
    assert found.rate_per_s == 10_000


def test_age_ends_it_where_that_comes_first() -> None:
    found = after([status(0)], status(10, 60, oldest_s=3000), connected=False, max_age_s=3600)
    assert found.full_in_s == 600


def test_a_backlog_that_shrinks_has_an_end() -> None:
    found = after([status(66_000, oldest_s=2400)], status(6000, oldest_s=2400), connected=True)
    assert found.phase is Phase.DRAINING
    assert (found.sentence, found.drained_in_s) == ("Draining: 40 min held, done in 6 s", 6.0)


def test_a_broker_that_takes_less_than_comes_up_is_said() -> None:
    found = after([status(1000, oldest_s=60)], status(7000, 1200, oldest_s=120), connected=True)
    assert found.phase is Phase.BUFFERING
    assert found.sentence.endswith(", and the broker takes less than comes up")


def test_what_is_just_on_its_way_is_no_backlog() -> None:
    assert after([status(30)], status(50), connected=True).phase is Phase.DELIVERING
    assert after([], status(50), connected=True).sentence == "Delivering: nothing is held back"


def test_a_full_journal_says_that_values_go() -> None:
    found = after([status(900, dropped=0)], status(900, oldest_s=3600, dropped=40), connected=False)
    assert found.phase is Phase.FULL
    assert "make room" in found.sentence
