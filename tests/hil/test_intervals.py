"""The interval set against a plain set of numbers."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hil.ledger_check.intervals import Intervals

spans = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 8)).map(lambda at: (at[0], at[0] + at[1])), max_size=25)


@given(spans, st.integers(1, 70), st.integers(1, 70))
def test_it_is_a_set_of_numbers(added: list[tuple[int, int]], low: int, high: int) -> None:
    intervals, model = Intervals(), set[int]()
    for start, end in added:
        numbers = set(range(start, end + 1))
        assert intervals.add(start, end) == len(numbers - model)
        model |= numbers
    assert {n for start, end in intervals for n in range(start, end + 1)} == model
    assert intervals.count == len(model)
    pieces = list(intervals)
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(pieces))
    asked = set(range(low, high + 1))
    assert intervals.within(low, high) == len(asked & model)
    assert {n for start, end in intervals.gaps(low, high) for n in range(start, end + 1)} == asked - model
    if model:
        assert (intervals.first, intervals.last) == (min(model), max(model))


def test_a_long_ordered_run_is_one_interval() -> None:
    intervals = Intervals()
    for number in range(1, 10_001):
        intervals.add(number, number)
    assert len(intervals) == 1
    assert intervals.count == 10_000
