"""The bench's own instruments have to be right: what they say is what the gateway is judged by."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import mqtt
from bench.coverage import Coverage
from bench.report import NAMES, Goal, Results, figures
from bench.sink import Source, Subscriber, window
from bench.workloads import W2, W3

PIECES = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 8), st.booleans()), max_size=40)


@given(PIECES)
def test_coverage_agrees_with_a_plain_set(pieces: list[tuple[int, int, bool]]) -> None:
    coverage = Coverage()
    seen: set[int] = set()
    duplicates = 0
    for first, count, backfill in pieces:
        numbers = set(range(first, first + count))
        duplicates += len(numbers & seen)
        seen |= numbers
        coverage.add(first, count, backfill)
    assert coverage.last == max(seen, default=0)
    assert coverage.missing == len(set(range(1, coverage.last + 1)) - seen)
    assert coverage.duplicates == duplicates


def test_backfill_beside_live_values_is_in_order_and_a_late_value_is_not() -> None:
    coverage = Coverage()
    for first, backfill in ((1, False), (21, False), (6, True), (26, False), (11, True), (16, True)):
        coverage.add(first, 5, backfill)
    assert (coverage.missing, coverage.duplicates, coverage.disordered) == (0, 0, 0)
    coverage.add(36, 5, False)
    coverage.add(31, 5, False)
    assert (coverage.missing, coverage.disordered) == (0, 5)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=12), st.integers(1, 40))
def test_packets_are_found_however_the_stream_is_cut(bodies: list[bytes], step: int) -> None:
    stream = b"".join(mqtt.packet(mqtt.PUBLISH, body) for body in bodies)
    reader = mqtt.Reader()
    found: list[bytes] = []
    for at in range(0, len(stream), step):
        found += [reader.data[start:end] for _, start, end in reader.feed(stream[at : at + step])]
    assert found == bodies


async def test_a_missed_poll_is_missed_and_jitter_at_the_edges_is_not() -> None:
    subscriber = Subscriber("uns/#", asyncio.get_running_loop().create_future())
    source = subscriber.sources["dev"] = Source()
    for slot in range(30):
        if slot != 15:
            stamp = slot * 1000 + (-90 if slot % 2 else 90)
            source.take(stamp, stamp + 7, backfill=False)
    report = window(subscriber, 10_000, 20_000, 1000)
    assert report["polls"] == 9
    assert report["age_p50_us"] == report["age_max_us"] == 7
    assert report["late_max_us"] == 180


def test_a_block_of_registers_is_read_in_as_few_requests_as_the_protocol_allows() -> None:
    assert W2.reads == ((0, 125),)
    assert len(W3.reads) == 8
    assert len(W3.paths) == W3.values == 997


@pytest.mark.parametrize(
    ("value", "ratio", "met"), [(400_000, 0.5, True), (399_999, 0.9, False), (500_000, 0.49, False), (5e6, None, False)]
)
def test_a_goal_with_a_ratio_needs_both(value: float, ratio: float | None, met: bool) -> None:
    assert Goal(400_000, lower_is_better=False, least_ratio=0.5).met(value, ratio) is met


def test_what_was_not_measured_is_named_and_empty() -> None:
    empty = figures(Results())
    assert [figure.name for figure in empty] == list(NAMES)
    assert all(figure.value is figure.floor is figure.ratio is None for figure in empty)
