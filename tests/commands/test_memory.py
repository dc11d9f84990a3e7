"""What is remembered of writes: for a day, over crashes, bounded, and nothing damaged is believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.commands.memory import CONTINUED_BYTES, KEPT_S, SEGMENT_S, Memory, MemoryFull
from gateway.commands.request import Outcome, WriteRecord
from gateway.model import Value

HOUR_NS = 3_600_000_000_000


class Clock:
    def __init__(self) -> None:
        self.ns = 1_800_000_000_000_000_000
        self.s = 0.0
        self.trusted = True

    def forward(self, seconds: float) -> None:
        self.s += seconds
        self.ns += round(seconds * 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def memory(directory: Path, clock: Clock, **more: int) -> Memory:
    return Memory(directory, now_ns=lambda: clock.ns, trusted=lambda: clock.trusted, monotonic=lambda: clock.s, **more)


def record(number: int, value: Value = 5) -> WriteRecord:
    return WriteRecord(f"id-{number:08d}", "digest", "d/setpoint", value, None, "olga", "operator", "page", 1)


def written(number: int, value: Value = 5) -> WriteRecord:
    return replace(record(number, value), outcome=Outcome.WRITTEN, sent=True, read_back=value, done_ns=2)


def test_an_outcome_is_remembered_over_restarts(tmp_path: Path, clock: Clock) -> None:
    kept = memory(tmp_path, clock)
    assert kept.open() == ([], [])
    kept.asked(record(1))
    kept.done(written(1))
    assert kept.get("id-00000001") == written(1)
    kept.close()
    again = memory(tmp_path, clock)
    assert again.open() == ([], [written(1)])
    assert again.get("id-00000001") == written(1)
    assert again.get("id-00000002") is None
    again.close()


@pytest.mark.parametrize("value", [True, 5, -(2**63), 2**64 - 1, 0.1, "größe\n", (1, None, 2.5), ("a", "b"), ()])
def test_values_come_back_as_they_were(tmp_path: Path, clock: Clock, value: Value) -> None:
    kept = memory(tmp_path, clock)
    kept.open()
    kept.done(written(1, value))
    again = kept.get("id-00000001")
    kept.close()
    assert again == written(1, value)
    assert type(again.value) is type(value)


def test_what_a_crash_left_open_is_unknown_from_then_on(tmp_path: Path, clock: Clock) -> None:
    kept = memory(tmp_path, clock)
    kept.open()
    kept.asked(record(1))
    kept.close()
    again = memory(tmp_path, clock)
    (lost,), _ = again.open()
    assert (lost.outcome, lost.sent) == (Outcome.UNKNOWN, None)
    assert lost.message == "the gateway stopped while d/setpoint was being written; whether it was written is unknown"
    again.close()
    third = memory(tmp_path, clock)
    assert third.open() == ([], [lost])
    third.close()


def test_ids_are_kept_for_a_day_of_use_and_then_forgotten(tmp_path: Path, clock: Clock) -> None:
    kept = memory(tmp_path, clock)
    kept.open()
    for hour in range(60):
        kept.asked(record(hour))
        kept.done(written(hour))
        clock.forward(3600)
        for earlier in range(max(0, hour - 23), hour + 1):
            assert kept.get(f"id-{earlier:08d}") is not None
    assert kept.get("id-00000000") is None
    assert len(list(tmp_path.iterdir())) <= (KEPT_S + 2 * SEGMENT_S) / SEGMENT_S + 1
    kept.close()


def test_a_clock_that_jumps_forgets_nothing(tmp_path: Path, clock: Clock) -> None:
    """A board without a battery wakes up in 1970 and learns the time later."""
    clock.ns, clock.trusted = 0, False
    kept = memory(tmp_path, clock)
    kept.open()
    kept.done(written(1))
    clock.ns, clock.trusted = 1_800_000_000_000_000_000, True
    clock.s += SEGMENT_S
    kept.asked(record(2))
    assert kept.get("id-00000001") is not None
    kept.close()
    again = memory(tmp_path, clock)
    again.open()
    assert again.get("id-00000001") is not None
    again.close()


def test_a_day_with_the_power_off_counts_if_the_clock_was_right(tmp_path: Path, clock: Clock) -> None:
    kept = memory(tmp_path, clock)
    kept.open()
    kept.done(written(1))
    clock.forward(SEGMENT_S)
    kept.asked(record(2))
    kept.close()
    clock.ns += 25 * HOUR_NS
    again = memory(tmp_path, clock)
    again.open()
    assert again.get("id-00000001") is None
    again.close()


def test_starting_often_leaves_few_files(tmp_path: Path, clock: Clock) -> None:
    for number in range(50):
        kept = memory(tmp_path, clock)
        kept.open()
        kept.done(written(number))
        kept.close()
    assert len(list(tmp_path.iterdir())) == 1
    assert next(tmp_path.iterdir()).stat().st_size < CONTINUED_BYTES


def test_it_is_bounded(tmp_path: Path, clock: Clock) -> None:
    kept = memory(tmp_path, clock, most_ids=3)
    kept.open()
    for number in range(3):
        kept.asked(record(number))
        kept.done(written(number))
    with pytest.raises(MemoryFull, match="3 writes in a day are the most"):
        kept.asked(record(3))
    for _ in range(14):
        clock.forward(SEGMENT_S)
        try:
            kept.asked(record(4))
            break
        except MemoryFull:
            continue
    assert kept.get("id-00000004") == record(4)
    kept.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_torn_or_flipped_is_never_believed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory, clock = tmp_path_factory.mktemp("ids"), Clock()
    kept = memory(directory, clock)
    kept.open()
    for number in range(4):
        kept.asked(record(number))
        kept.done(written(number))
    kept.close()
    (path,) = directory.iterdir()
    body = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del body[data.draw(st.integers(0, len(body) - 1)) :]
    else:
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(body)
    again = memory(directory, clock)
    again.open()
    for number in range(4):
        found = again.get(f"id-{number:08d}")
        assert found is None or found.outcome is Outcome.UNKNOWN or found == written(number)
    again.done(written(9))
    again.close()
    third = memory(directory, clock)
    third.open()
    assert third.get("id-00000009") == written(9)
    third.close()
