"""The latest value of every tag, and the rows that are kept of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.live.current import Current
from gateway.live.track import Sample, Track, row_bytes
from gateway.model import DataType, Quality, Record, Tag, Value
from tests.live.build import START_NS, batch, feed, group, live_of, numbers, settings

BAD = int(Quality.BAD_TIMEOUT)
UNCERTAIN = int(Quality.UNCERTAIN_SENSOR_NOT_ACCURATE)


def test_a_tag_nobody_has_heard_of_waits() -> None:
    of = group("d", *numbers(2))
    state = Current(of.poll.layout, fast=False).state()
    assert state.values == [None, None]
    assert state.qualities == [Quality.BAD_WAITING_FOR_INITIAL_DATA] * 2
    assert state.heard_ns(0) < 0


def test_the_newest_whole_batch_is_kept_as_it_came() -> None:
    of = group("d", *numbers(2))
    current = Current(of.poll.layout, fast=False)
    values = [1, 2]
    current.take(batch(of, values), values, None)
    state = current.state()
    assert state.values is values
    assert state.qualities is None
    assert state.heard_ns(1) == START_NS


def test_older_values_and_values_of_the_past_never_become_the_latest() -> None:
    of = group("d", *numbers(1))
    current = Current(of.poll.layout, fast=False)
    current.take(batch(of, [5], at_s=2), [5], None)
    current.take(batch(of, [4], at_s=1), [4], None)
    current.take(batch(of, [3], at_s=3, history=True), [3], None)
    assert list(current.state().values) == [5]


def test_single_columns_are_put_over_what_was_known() -> None:
    of = group("d", *numbers(3), subscribed=True)
    current = Current(of.poll.layout, fast=True)
    current.take(batch(of, [1, 2, 3]), [1, 2, 3], None)
    before = current.state()
    current.take(batch(of, [None, 9], [BAD, 0], at_s=0.5, columns=[2, 0]), [None, 9], [BAD, 0])
    state = current.state()
    assert list(state.values) == [9, 2, None]
    assert state.qualities == [0, 0, BAD]
    assert [state.heard_ns(i) - START_NS for i in range(3)] == [500_000_000, 0, 500_000_000]
    assert list(before.values) == [1, 2, 3]  # a state that was handed out stays as it was


def test_a_flaw_in_here_never_reaches_the_data_path(caplog: pytest.LogCaptureFixture) -> None:
    of = group("d", *numbers(1), subscribed=True)
    live, _ = live_of(of)
    for at in range(3):
        feed(live, batch(of, [at], at_s=2 * at, columns=[99]))
    assert len(caplog.records) == 1


def test_what_comes_late_of_a_layout_that_is_gone_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    of, gone = group("d", *numbers(1)), group("e", *numbers(1))
    live, _ = live_of(of)
    feed(live, batch(gone, [1]))
    live.reported(Record(1, 1, 1, batch(gone, [1])))
    feed(live, batch(of, [7]))
    assert live.directory.find("d/t0").group.current.state().values[0] == 7
    assert not caplog.records


def recent(current: Current, column: int = 0) -> list[Sample]:
    return list(current.samples(column))


def tracked(*tags: Tag, fast: bool, rows: int = 100) -> tuple[Current, object]:
    of = group("d", *tags)
    current = Current(of.poll.layout, fast=fast)
    current.keep(Track(of.poll.layout, rows, ranged=fast))
    return current, of


def test_a_peak_between_two_rows_is_kept_as_the_greatest() -> None:
    of = group("d", *numbers(1), interval_s=0.1)
    current = Current(of.poll.layout, fast=True)
    current.keep(Track(of.poll.layout, 10, ranged=True))
    for tenth in range(20):
        value = 65535 if tenth == 3 else 0 if tenth == 7 else 100 + tenth
        current.take(batch(of, [value], at_s=tenth / 10), [value], None)
    first, second = recent(current)
    assert (first.last, first.low, first.high, first.broken) == (109, 0, 65535, False)
    assert (second.last, second.low, second.high) == (119, 110, 119)


def test_a_bad_value_is_a_gap_and_never_a_number() -> None:
    of = group("d", *numbers(2, DataType.FLOAT64))
    current = Current(of.poll.layout, fast=False)
    current.keep(Track(of.poll.layout, 10, ranged=False))
    for at, (value, code) in enumerate([(1.5, 0), (None, BAD), (2.5, UNCERTAIN), (3.5, 0)]):
        values, codes = [value, 7.0], [code, 0]
        current.take(batch(of, values, codes, at_s=at), values, codes if any(codes) else None)
    assert [(sample.last, sample.quality, sample.broken) for sample in recent(current)] == [
        (1.5, 0, False),
        (None, BAD, True),
        (2.5, UNCERTAIN, False),
        (3.5, 0, False),
    ]
    assert [sample.last for sample in recent(current, 1)] == [7.0] * 4


def test_a_short_gap_between_two_rows_breaks_the_line() -> None:
    of = group("d", *numbers(1), interval_s=0.1)
    current = Current(of.poll.layout, fast=True)
    current.keep(Track(of.poll.layout, 10, ranged=True))
    for tenth in range(11):
        values, codes = ([None], [BAD]) if tenth == 4 else ([tenth], None)
        current.take(batch(of, values, codes, at_s=tenth / 10), values, codes)
    first, _ = recent(current)
    assert (first.last, first.low, first.high, first.broken) == (9, 0, 9, True)


def test_what_came_last_before_a_silence_is_not_forgotten() -> None:
    of = group("d", *numbers(1), subscribed=True)
    current = Current(of.poll.layout, fast=True)
    current.keep(Track(of.poll.layout, 10, ranged=True))
    for at_s, value in ((0.0, 1), (0.5, 2)):
        current.take(batch(of, [value], at_s=at_s, columns=[0]), [value], None)
    assert [(s.mono_ms, s.last) for s in recent(current)] == [(1_000_500, 2)]
    current.take(batch(of, [3], at_s=3600, columns=[0]), [3], None)
    assert [(s.mono_ms, s.last, s.low) for s in recent(current)] == [(1_000_500, 2, 1), (4_600_000, 3, 3)]


EXTREMES: list[tuple[DataType, list[Value]]] = [
    (DataType.BOOL, [True, False]),
    (DataType.INT64, [-(2**63), 2**63 - 1, 2**53 + 1]),
    (DataType.UINT64, [0, 2**64 - 1]),
    (DataType.INT8, [-128, 127]),
    (DataType.FLOAT32, [0.5, -3.4028234663852886e38]),
    (DataType.FLOAT64, [0.1, 5e-324, 1.7976931348623157e308]),
]


@pytest.mark.parametrize(("kind", "values"), EXTREMES, ids=lambda value: str(value) if isinstance(value, str) else "")
@pytest.mark.parametrize("ranged", [False, True])
def test_every_number_comes_back_exactly(kind: DataType, values: list[Value], ranged: bool) -> None:
    of = group("d", Tag("x", kind))
    track = Track(of.poll.layout, 10, ranged=ranged)
    for at, value in enumerate(values):
        track.write(at, [value], None)
    assert [(s.last, s.low, s.high) for s in track.samples(0)] == [(value,) * 3 for value in values]
    assert all(type(s.last) is type(values[0]) for s in track.samples(0))


def test_a_value_that_is_not_of_its_type_is_a_gap_and_spares_its_neighbours() -> None:
    of = group("d", *numbers(3))
    for ranged in (False, True):
        track = Track(of.poll.layout, 4, ranged=ranged)
        track.write(0, [1, 70000, 3], None)
        track.write(1, [1, "x", 3], None)
        columns = [[sample.last for sample in track.samples(i)] for i in range(3)]
        assert columns == [[1, 1], [None, None], [3, 3]]


def test_texts_and_arrays_are_left_out_of_the_track() -> None:
    of = group("d", Tag("s", DataType.STRING), Tag("n", DataType.INT16), Tag("a", DataType.INT16, count=3))
    current = Current(of.poll.layout, fast=False)
    current.keep(Track(of.poll.layout, 4, ranged=False))
    current.take(batch(of, ["on", 5, (1, 2, 3)]), ["on", 5, (1, 2, 3)], None)
    assert [sample.last for sample in current.samples(1)] == [5]
    assert row_bytes(group("d", Tag("s", DataType.STRING)).poll.layout, ranged=True) == 0


def test_more_kinds_of_quality_than_a_byte_holds_stay_bad() -> None:
    of = group("d", *numbers(1))
    track = Track(of.poll.layout, 200, ranged=False)
    for at in range(200):
        track.write(at, [None], [0x80000000 + (at << 16)])
    found = list(track.samples(0))
    assert [sample.quality for sample in found[:126]] == [0x80000000 + (at << 16) for at in range(126)]
    assert {sample.quality for sample in found[126:]} == {int(Quality.BAD)}
    assert not [sample for sample in found if sample.last is not None]


def test_the_oldest_row_makes_way() -> None:
    of = group("d", *numbers(1))
    track = Track(of.poll.layout, 3, ranged=False)
    for at in range(5):
        track.write(at * 1000, [at], None)
    assert [sample.last for sample in track.samples(0)] == [2, 3, 4]
    assert [sample.last for sample in track.samples(0, since_ms=3000)] == [3, 4]


@pytest.mark.parametrize("rows", [2, 3, 10])
def test_the_newest_rows_go_over_into_a_track_of_another_size(rows: int) -> None:
    of = group("d", *numbers(1))
    old, new = Track(of.poll.layout, 4, ranged=True), Track(of.poll.layout, rows, ranged=True)
    for at in range(6):
        old.write(at, [None if at == 5 else at], [BAD] if at == 5 else None)
    new.carry(old)
    expected = [2, 3, 4, None][-rows:]
    assert [sample.last for sample in new.samples(0)] == expected
    new.write(6, [6], None)
    assert [sample.last for sample in new.samples(0)] == [*expected, 6][-rows:]


@dataclass
class Window:
    """What a row must say of one column, worked out the slow way."""

    last: Value = None
    usable: list[int] = field(default_factory=list)
    broken: bool = False


Told = tuple[int, list[tuple[int, int | None]], bool]
tellings = st.lists(
    st.tuples(
        st.integers(0, 700),
        st.lists(
            st.tuples(st.integers(0, 2), st.none() | st.integers(-50, 50)),
            min_size=1,
            max_size=3,
            unique_by=lambda x: x[0],
        ),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


@given(tellings)
def test_rows_say_the_same_as_a_model_that_forgets_nothing(told: list[Told]) -> None:
    of = group("d", *numbers(3, DataType.INT16), subscribed=True)
    current = Current(of.poll.layout, fast=True)
    current.keep(Track(of.poll.layout, 100, ranged=True))
    now_ms, end = 0, -math.inf
    state: list[int | None] = [None, None, None]
    rows: list[list[Window]] = []
    for step_ms, columns, full in told:
        now_ms += step_ms
        if now_ms >= end:
            end = now_ms + 1000
            rows.append([Window() for _ in range(3)])
        values = dict(columns)
        if full:
            values = {i: values.get(i) for i in range(3)}
        for column, value in values.items():
            state[column] = value
            window = rows[-1][column]
            if value is None:
                window.broken = True
            else:
                window.usable.append(value)
        for column, window in enumerate(rows[-1]):
            window.last = state[column]
        chosen = None if full else list(values)
        row = list(values.values())
        codes = [BAD if value is None else 0 for value in row]
        given_codes = codes if any(codes) else None
        current.take(batch(of, row, given_codes, at_s=now_ms / 1000, columns=chosen), row, given_codes)
    assert list(current.state().values) == state
    for column in range(3):
        samples = recent(current, column)
        assert len(samples) == len(rows)
        for sample, row_windows in zip(samples, rows, strict=True):
            window = row_windows[column]
            held = window.usable or ([] if window.last is None else [window.last])
            assert sample.last == window.last
            assert sample.low == (min(held) if held else None)  # type: ignore[type-var]
            assert sample.high == (max(held) if held else None)  # type: ignore[type-var]
            assert sample.broken == (window.broken or window.last is None)


def test_memory_for_recent_values_keeps_within_its_budget_and_all_tags_reach_back_equally_far() -> None:
    fast = group("a", *numbers(200), interval_s=0.1)
    usual = group("b", *numbers(500, DataType.FLOAT64))
    slow = group("c", *numbers(300, DataType.INT32), interval_s=10.0)
    live, _ = live_of(fast, usual, slow, recent_bytes=1 << 20)
    spans, taken = [], 0
    for entry in live.directory.groups:
        track = entry.current.track
        assert track is not None
        spans.append(track.rows * max(1.0, entry.settings.poll.interval_s))
        taken += track.rows * row_bytes(entry.layout, ranged=track.ranged)
    assert taken <= 1 << 20
    assert max(spans) - min(spans) <= 10


def test_a_larger_budget_is_shared_with_rows_a_minute_apart() -> None:
    usual, slow = group("b", *numbers(100)), group("c", *numbers(300, DataType.INT32), interval_s=60.0)
    live, _ = live_of(usual, slow, recent_bytes=1 << 20)
    spans, taken = {}, 0
    for entry in live.directory.groups:
        track, coarse = entry.current.track, entry.current.coarse
        assert track is not None
        period_s = max(1.0, entry.settings.poll.interval_s)
        spans[entry.device.name] = track.rows * period_s, coarse and coarse.track.rows * 60
        taken += track.rows * row_bytes(entry.layout, ranged=False)
        taken += coarse.track.rows * row_bytes(entry.layout, ranged=True) if coarse else 0
    assert taken <= 1 << 20
    (fine_s, coarse_s), (slow_s, none) = spans["b"], spans["c"]
    assert none is None
    assert coarse_s is not None
    assert 1500 < fine_s < 1800
    assert abs(coarse_s - slow_s) <= 60
    assert coarse_s > 5 * fine_s


def test_what_is_too_old_for_the_seconds_is_still_in_the_minutes() -> None:
    of = group("d", *numbers(2, DataType.INT16))
    current = Current(of.poll.layout, fast=False)
    current.keep(Track(of.poll.layout, 200, ranged=False), Track(of.poll.layout, 100, ranged=True))
    for at in range(1000):
        value = 30_000 if at == 33 else -30_000 if at == 400 else None if at == 95 else at
        values, codes = [value, 7], None if value is not None else [BAD, 0]
        current.take(batch(of, values, codes, at_s=at), values, codes)
    found = recent(current)
    times = [(sample.mono_ms - 1_000_000) // 1000 for sample in found]
    assert times == sorted(set(times))
    assert times[:3] == [59, 119, 179], "a row a minute"
    joint = next(place for place in range(len(times)) if times[place + 1] - times[place] == 1)
    assert 799 - 60 < times[joint - 1] + 60 <= 860
    assert times[joint:] == list(range(times[joint], 1000)), "then a row a second, none left out"
    assert [sample.high for sample in found].count(30_000) == 1
    assert [sample.low for sample in found].count(-30_000) == 1
    assert [sample.broken for sample in found].count(True) == 1
    assert found[1].broken
    assert (found[0].last, found[0].low, found[0].high) == (59, 0, 30_000)
    assert {(sample.low, sample.high) for sample in recent(current, 1)} == {(7, 7)}
    late = list(current.samples(0, since_ms=found[joint + 5].mono_ms))
    assert [sample.mono_ms for sample in late] == [sample.mono_ms for sample in found[joint + 5 :]]


def test_while_nothing_had_to_make_way_all_is_in_seconds() -> None:
    of = group("d", *numbers(1))
    current = Current(of.poll.layout, fast=False)
    current.keep(Track(of.poll.layout, 200, ranged=False), Track(of.poll.layout, 100, ranged=True))
    for at in range(150):
        current.take(batch(of, [at], at_s=at), [at], None)
    assert [sample.last for sample in recent(current)] == list(range(150))


def test_without_a_budget_nothing_is_kept_but_the_latest() -> None:
    of = group("d", *numbers(1))
    live, _ = live_of(of, recent_bytes=0)
    for at in range(3):
        feed(live, batch(of, [at], at_s=at))
    current = live.directory.find("d/t0").group.current
    assert list(current.samples(0)) == []
    assert current.state().values[0] == 2


def test_a_new_configuration_keeps_what_is_the_same_in_both() -> None:
    same, gone, new = group("a", *numbers(2)), group("b", *numbers(2)), group("c", *numbers(2))
    live, _ = live_of(same, gone)
    for at in range(5):
        feed(live, batch(same, [at, at], at_s=at))
    generation = live.generation
    live.configure(settings(same, new, recent_bytes=1 << 19))
    assert live.generation != generation
    kept = live.directory.find("a/t0").group.current
    assert [sample.last for sample in kept.samples(0)] == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError):
        live.directory.find("b/t0")
    assert live.directory.find("c/t0").group.current.state().values[0] is None
