from __future__ import annotations

import functools

from hypothesis import given
from hypothesis import strategies as st

from drivers.common.blocks import Block, Span, merge

spans = st.lists(st.builds(Span, st.integers(0, 300), st.integers(1, 8)), max_size=40)


@given(spans, st.integers(8, 60), st.integers(0, 20), st.booleans(), st.sets(st.integers(0, 300), max_size=5))
def test_every_span_is_covered_once_within_the_limits(
    given_spans: list[Span], max_size: int, max_gap: int, separate: bool, cuts: set[int]
) -> None:
    blocks = merge(given_spans, max_size=max_size, max_gap=max_gap, separate=separate, cuts=cuts)
    members = [index for block in blocks for index in block.members]
    assert sorted(members) == list(range(len(given_spans)))
    assert [block.address for block in blocks] == sorted(block.address for block in blocks)
    for block in blocks:
        inside = [given_spans[index] for index in block.members]
        assert block.count <= max_size
        # No value is split, nothing is read beyond the first and the last wanted address.
        assert block.address == min(span.address for span in inside)
        assert block.address + block.count == max(span.end for span in inside)
        wanted = {address for span in inside for address in range(span.address, span.end)}
        gap = 0
        for address in range(block.address, block.address + block.count):
            gap = 0 if address in wanted else gap + 1
            assert gap <= max_gap
        if len(inside) > 1:
            assert not separate
            assert not any(block.address < cut < block.address + block.count for cut in cuts)


@given(st.lists(st.builds(Span, st.integers(0, 60), st.integers(1, 4)), max_size=9), st.integers(4, 20))
def test_there_are_no_more_blocks_than_needed(given_spans: list[Span], max_size: int) -> None:
    """Compared with every way to divide the spans into runs of ascending address."""
    ordered = sorted(given_spans, key=lambda span: (span.address, span.end))

    @functools.cache
    def fewest(start: int) -> int:
        if start == len(ordered):
            return 0
        best = len(ordered)
        for stop in range(start + 1, len(ordered) + 1):
            run = ordered[start:stop]
            if max(span.end for span in run) - run[0].address <= max_size:
                best = min(best, 1 + fewest(stop))
        return best

    assert len(merge(given_spans, max_size=max_size, max_gap=100)) == fewest(0)


def test_worked_example() -> None:
    some = [Span(100, 2), Span(102, 1), Span(110, 4), Span(0, 1)]
    assert merge(some, max_size=125, max_gap=7) == [Block(0, 1, (3,)), Block(100, 14, (0, 1, 2))]
    assert merge(some, max_size=125, max_gap=6) == [Block(0, 1, (3,)), Block(100, 3, (0, 1)), Block(110, 4, (2,))]
    assert merge(some, max_size=125, max_gap=7, cuts=[102]) == [
        Block(0, 1, (3,)),
        Block(100, 2, (0,)),
        Block(102, 12, (1, 2)),
    ]


def test_a_value_longer_than_a_read_stands_alone() -> None:
    """A limit may be learnt after the value was found to fit: whether it can be read is the device's affair."""
    assert merge([Span(10, 4), Span(14, 1), Span(12, 1)], max_size=2, max_gap=0) == [
        Block(10, 4, (0,)),
        Block(12, 1, (2,)),
        Block(14, 1, (1,)),
    ]
