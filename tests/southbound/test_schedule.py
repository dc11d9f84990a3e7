"""Grid, phases, back-off and histogram: the arithmetic below the runtime."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.southbound.histogram import Histogram
from gateway.southbound.schedule import Backoff, Grid, phase

intervals = st.floats(0.001, 3600.0)
fractions = st.floats(0.0, 1.0, exclude_max=True)
moments = st.floats(0.0, 1e8)


@given(intervals, fractions, moments)
def test_the_next_slot_is_the_first_after_now(interval: float, fraction: float, now: float) -> None:
    grid = Grid(interval, fraction)
    slot = grid.next_slot(now)
    assert grid.due(slot) > now
    assert grid.due(slot - 1) <= now + 1e-6


@given(intervals, fractions, moments, st.integers(0, 10**6))
def test_the_grid_doesnt_drift(interval: float, fraction: float, now: float, polls: int) -> None:
    grid = Grid(interval, fraction)
    slot = grid.next_slot(now)
    expected = grid.due(slot) + polls * interval
    assert grid.due(slot + polls) == pytest.approx(expected, abs=1e-5, rel=1e-12)


@given(st.integers(2, 2000))
def test_phases_stay_apart_for_any_number_of_groups(count: int) -> None:
    phases = sorted(phase(index) for index in range(count))
    gaps = [b - a for a, b in zip(phases, [*phases[1:], phases[0] + 1.0], strict=True)]
    assert min(gaps) > 0.3 / count
    assert max(gaps) < 2.7 / count


def test_phases_of_neighbours_are_far_apart() -> None:
    assert all(0.3 < abs(phase(i + 1) - phase(i)) < 0.7 for i in range(100))


@given(st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=1, max_size=40))
def test_backoff_is_immediate_once_then_grows_to_the_cap(cuts: list[float]) -> None:
    rest = iter(cuts)
    backoff = Backoff(0.1, 5.0, lambda: next(rest))
    assert backoff.next_s() == 0.0
    for tries in range(len(cuts)):
        full = min(5.0, 0.1 * 2**tries)
        assert full / 2 <= backoff.next_s() <= full
    backoff.reset()
    assert backoff.next_s() == 0.0


@given(st.lists(st.floats(0.0, 60.0), min_size=1), st.sampled_from([0.5, 0.9, 0.99]))
def test_quantiles_are_right_to_within_a_bucket(samples: list[float], fraction: float) -> None:
    histogram = Histogram()
    for sample in samples:
        histogram.add(sample)
    rank = max(0, -int(-fraction * len(samples) // 1) - 1)
    exact = sorted(samples)[rank]
    assert exact / 1.26 - 50e-6 <= histogram.quantile_s(fraction) <= exact * 1.26 + 50e-6
    assert histogram.max_s == max(samples)


@given(st.lists(st.floats(0.0, 200.0)), st.lists(st.floats(0.0, 200.0)))
def test_merged_histograms_equal_one_over_all_samples(left: list[float], right: list[float]) -> None:
    parts = [Histogram(), Histogram()]
    whole = Histogram()
    for part, samples in zip(parts, (left, right), strict=True):
        for sample in samples:
            part.add(sample)
            whole.add(sample)
    assert Histogram.merged(parts).summary() == whole.summary()


def test_an_empty_histogram_says_zero() -> None:
    assert Histogram().summary() == {"p50": 0.0, "p99": 0.0, "max": 0.0}
