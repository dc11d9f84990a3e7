"""How long the sink waits, on a clock of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.northbound.backoff import Backoff


@given(st.floats(0.1, 60), st.floats(0, 0.999))
def test_quick_at_first_then_patient(max_s: float, jitter: float) -> None:
    backoff, now = Backoff(max_s, lambda: jitter), 1000.0
    first = backoff.after_failure(now)
    assert 0 < first <= 0.2
    while now < 1060:
        delay_s = backoff.after_failure(now)
        assert 0 < delay_s <= min(1.0, max_s)
        now += delay_s
    for _ in range(20):
        last = backoff.after_failure(now)
    assert max_s / 2 <= last <= max_s


def test_a_connection_that_was_good_for_something_starts_anew() -> None:
    backoff = Backoff(5.0, lambda: 1.0)
    for now in range(0, 100, 5):
        backoff.after_failure(now)
    backoff.connected(0.1, delivered=False)
    assert backoff.after_failure(100) == 5.0
    backoff.connected(0.1, delivered=True)
    assert backoff.after_failure(101) == 0.2
    backoff.connected(5.0, delivered=False)
    assert backoff.after_failure(102) == 0.2


def test_a_contested_name_is_left_alone_longer_each_time() -> None:
    backoff = Backoff(5.0, lambda: 1.0)
    assert [backoff.after_takeover() for _ in range(6)] == [60, 120, 240, 480, 900, 900]
    backoff.connected(10.0, delivered=True)
    assert backoff.after_takeover() == 900
    backoff.connected(60.0, delivered=True)
    assert backoff.after_takeover() == 60
