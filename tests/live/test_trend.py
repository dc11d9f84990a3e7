"""A trend of few points hides neither a peak nor a gap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.live import trend
from gateway.live.track import Sample
from gateway.model import Quality

BAD = int(Quality.BAD_TIMEOUT)


def sample(at_s: float, value: int | None) -> Sample:
    return Sample(round(at_s * 1000), 0 if value is not None else BAD, value, value, value, value is None)


def test_few_samples_are_given_as_they_are() -> None:
    found = trend([sample(0, 1), sample(1, None), sample(2, 3)], 1000, 10)
    assert found.t == [1000, 2000, 3000]
    assert found.last == [1, None, 3]
    assert found.quality == [0, BAD, 0]
    assert found.broken == [0, 1, 0]


def test_nothing_is_nothing() -> None:
    assert trend([], 0, 10).t == []


def test_an_integer_beyond_what_json_holds_stays_exact() -> None:
    assert trend([sample(0, 2**60)], 0, 10).last == [str(2**60)]


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.none() | st.integers(-1000, 1000)), min_size=1, max_size=300),
    st.integers(2, 50),
)
def test_thinned_out_it_keeps_every_extreme_and_every_gap(told: list[tuple[int, int | None]], points: int) -> None:
    samples, at_ms = [], 0
    for step_ms, value in told:
        at_ms += step_ms
        samples.append(sample(at_ms / 1000, value))
    found = trend(samples, 0, points)
    usable = [s.last for s in samples if s.last is not None]
    assert 1 <= len(found.t) <= points
    assert found.t == sorted(found.t)
    assert found.t[-1] == samples[-1].mono_ms
    assert found.last[-1] == samples[-1].last
    assert [low for low in found.low if low is not None] == [] or min(
        low for low in found.low if low is not None
    ) == min(usable)  # type: ignore[type-var]
    assert max((high for high in found.high if high is not None), default=None) == max(usable, default=None)  # type: ignore[type-var]
    assert any(found.broken) == any(s.last is None for s in samples)
