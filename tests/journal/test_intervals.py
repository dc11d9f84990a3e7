"""Interval sets against Python's own sets."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.journal.intervals import IntervalSet, Progress

ranges = st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))
steps = st.lists(st.tuples(st.booleans(), ranges), max_size=25)


def built(actions: list[tuple[bool, tuple[int, int]]]) -> tuple[IntervalSet, set[int]]:
    intervals, model = IntervalSet(), set[int]()
    for adding, (first, last) in actions:
        if adding:
            intervals.add(first, last)
            model |= set(range(first, last + 1))
        else:
            intervals.remove(first, last)
            model -= set(range(first, last + 1))
    return intervals, model


def flat(found: object) -> set[int]:
    return {number for first, last in found for number in range(first, last + 1)}  # type: ignore[attr-defined]


@given(steps, ranges)
def test_it_is_a_set_of_integers(actions: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]) -> None:
    intervals, model = built(actions)
    assert flat(intervals) == model
    assert intervals.size == len(model)
    assert bool(intervals) == bool(model)
    listed = list(intervals)
    assert len(listed) == len(intervals)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(listed)), "not merged"
    wanted = set(range(asked[0], asked[1] + 1))
    assert intervals.covers(*asked) == (wanted <= model)
    assert flat(intervals.within(*asked)) == wanted & model
    assert flat(intervals.gaps(*asked)) == wanted - model
    for number in range(75):
        assert (number in intervals) == (number in model)
        around = intervals.around(number)
        if number not in model:
            assert around is None
        else:
            assert around is not None
            assert around[0] <= number <= around[1]
            assert flat([around]) <= model
            assert around[0] - 1 not in model
            assert around[1] + 1 not in model
    twin = intervals.copy()
    assert twin == intervals
    twin.clear()
    assert flat(intervals) == model


@given(st.integers(0, 10), st.lists(ranges, max_size=25), ranges)
def test_progress_is_a_watermark_and_what_lies_ahead(
    start: int, settled: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    progress, model = Progress(start), set(range(start + 1))
    for first, last in settled:
        progress.settle(first, last)
        model |= set(range(first, last + 1))
    assert progress.watermark == next(number for number in range(200) if number + 1 not in model)
    assert flat(progress.ahead) == {number for number in model if number > progress.watermark}
    assert progress.covers(*asked) == (set(range(asked[0], asked[1] + 1)) <= model)
    for number in range(75):
        assert (number in progress) == (number in model)
        around = progress.around(number)
        assert (around is None) == (number not in model)
        if around is not None:
            assert flat([around]) <= model


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        IntervalSet().add(2, 1)
    with pytest.raises(ValueError, match="empty"):
        IntervalSet().remove(2, 1)
