"""What a watcher is told adds up to what is, whatever came in between."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.live import Selection, Watch
from gateway.model import DataType, Quality, Tag, Value
from gateway.settings import GroupSettings
from tests.live.browser import Browser
from tests.live.build import WALL_NS, Clock, batch, feed, group, live_of, numbers, settings

BAD = int(Quality.BAD_TIMEOUT)
WALL_MS = WALL_NS // 1_000_000


def watched(*groups: GroupSettings, **selection: Any) -> tuple[Any, Clock, Watch, Browser]:
    live, clock = live_of(*groups)
    return live, clock, Watch(live, Selection(**selection)), Browser()


def test_the_snapshot_says_what_every_tag_is_called_and_where_it_goes() -> None:
    of = group("filler", Tag("motor/speed", DataType.UINT16, "1/min", writable=True), interval_s=0.5)
    _, _, watch, browser = watched(of)
    body = browser.take(watch.snapshot(interval_ms=1000))
    assert body["interval_ms"] == 1000
    assert body["groups"] == [
        {
            "device": "filler",
            "group": "main",
            "link": "link",
            "driver": "fake",
            "location": ["acme", "plant1", "filler"],
            "interval_ms": 500,
        }
    ]
    assert body["tags"] == {
        "path": ["motor/speed"],
        "unit": ["1/min"],
        "type": ["uint16"],
        "group": [0],
        "topic": ["uns/v1/acme/plant1/filler/motor/speed"],
        "writable": [1],
    }
    assert browser.shown("filler/motor/speed") == (None, "BadWaitingForInitialData", None)


def test_a_tick_says_only_what_changed() -> None:
    of = group("d", *numbers(1000))
    live, clock, watch, browser = watched(of)
    values: list[Value] = list(range(1000))
    feed(live, batch(of, values))
    browser.take(watch.snapshot())
    values = list(values)
    values[17] = 5
    feed(live, batch(of, values, at_s=1))
    clock.s = 1.25
    data = watch.tick()
    assert orjson.loads(data) == {"t": WALL_MS + 1250, "i": [17], "v": [5], "g": [0], "ga": [250]}
    browser.take(data)
    assert browser.shown("d/t17") == (5, "Good", WALL_MS + 1000)
    assert browser.shown("d/t18") == (18, "Good", WALL_MS + 1000)
    assert orjson.loads(watch.tick()) == {"t": WALL_MS + 1250, "i": [], "v": []}


def test_what_a_slow_watcher_missed_is_merged_in_one_tick() -> None:
    of = group("d", *numbers(2))
    live, clock, watch, browser = watched(of)
    browser.take(watch.snapshot())
    for at in range(10_000):
        feed(live, batch(of, [at, 7], at_s=at / 1000))
    clock.s = 10
    data = watch.tick()
    assert len(data) < 100
    browser.take(data)
    assert browser.shown("d/t0")[0] == 9999


def test_a_new_configuration_outdates_the_numbers_of_tags() -> None:
    of, other = group("d", *numbers(2)), group("e", *numbers(2))
    live, _, watch, browser = watched(of)
    browser.take(watch.snapshot())
    assert not watch.outdated
    live.configure(settings(other, of))
    assert watch.outdated
    feed(live, batch(of, [1, 2]))
    browser.take(watch.snapshot())
    assert browser.tags == ["e/t0", "e/t1", "d/t0", "d/t1"]
    assert browser.shown("d/t1")[0] == 2
    assert not watch.outdated


HONEST: list[tuple[DataType, Value, Any, str]] = [
    (DataType.INT64, 2**53, 2**53, "Good"),
    (DataType.INT64, 2**53 + 1, "9007199254740993", "Good"),
    (DataType.UINT64, 2**64 - 1, "18446744073709551615", "Good"),
    (DataType.FLOAT64, float("nan"), None, "Bad"),
    (DataType.FLOAT32, float("inf"), None, "Bad"),
    (DataType.FLOAT64, 0.1, 0.1, "Good"),
    (DataType.BOOL, True, True, "Good"),
    (DataType.BYTES, "00ff", "00ff", "Good"),
    (DataType.STRING, "x\u2028<b>", "x\u2028<b>", "Good"),
    (DataType.STRING, "\ud800", None, "Bad"),
    (DataType.STRING, "a" * 1000, {"cut": 1000, "head": "a" * 120}, "Good"),
]


@pytest.mark.parametrize(("kind", "value", "shown", "quality"), HONEST, ids=lambda v: ascii(v)[:20])
def test_no_value_is_another_one_in_a_browser(kind: DataType, value: Value, shown: Any, quality: str) -> None:
    of = group("d", Tag("x", kind))
    live, _, watch, browser = watched(of)
    feed(live, batch(of, [value]))
    browser.take(watch.snapshot())
    assert browser.shown("d/x")[:2] == (shown, quality)
    feed(live, batch(of, [None], [BAD], at_s=1))
    browser.take(watch.tick())
    feed(live, batch(of, [value], at_s=2))
    browser.take(watch.tick())
    assert browser.shown("d/x")[:2] == (shown, quality)


def test_arrays_are_exact_and_long_ones_cut_with_their_length() -> None:
    of = group("d", Tag("x", DataType.UINT64, count=0))
    live, _, watch, browser = watched(of)
    feed(live, batch(of, [(1, 2**60, None)]))
    browser.take(watch.snapshot())
    assert browser.shown("d/x")[0] == [1, str(2**60), None]
    feed(live, batch(of, [tuple(range(1000))], at_s=1))
    browser.take(watch.tick())
    assert browser.shown("d/x")[0] == {"cut": 1000, "head": list(range(8))}


def test_a_watch_for_errors_tells_of_those_and_of_their_end() -> None:
    of = group("d", *numbers(3))
    live, _, watch, browser = watched(of, errors=True)
    feed(live, batch(of, [1, None, 3], [0, BAD, 0]))
    assert browser.take(watch.snapshot())["i"] == [1]
    feed(live, batch(of, [2, None, 4], [0, BAD, 0], at_s=1))
    assert browser.take(watch.tick())["i"] == []
    feed(live, batch(of, [2, 5, 4], at_s=2))
    assert browser.take(watch.tick())["i"] == [1]
    assert browser.shown("d/t1")[:2] == (5, "Good")
    feed(live, batch(of, [2, 6, 4], at_s=3))
    assert browser.take(watch.tick())["i"] == []


def test_a_selection_numbers_only_its_own_tags() -> None:
    a, b = group("a", *numbers(3)), group("b", *numbers(3))
    live, _, watch, browser = watched(a, b, match="*/t[12]", device="b")
    feed(live, batch(b, [1, 2, 3]))
    browser.take(watch.snapshot())
    assert browser.tags == ["b/t1", "b/t2"]
    assert browser.shown("b/t2")[0] == 3
    feed(live, batch(b, [9, 2, 4], at_s=1))
    feed(live, batch(a, [9, 2, 4], at_s=1))
    assert browser.take(watch.tick())["i"] == [1]


step = st.tuples(
    st.integers(0, 900),
    st.integers(0, 1),
    st.dictionaries(st.integers(0, 3), st.none() | st.sampled_from([0, 1, 2.5, True, 2**60]), min_size=1),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(step, max_size=30))
def test_snapshots_and_ticks_add_up_to_the_truth(steps: list[tuple[int, int, dict[int, Any], bool, bool]]) -> None:
    groups = [group("d0", *numbers(4, DataType.INT64)), group("d1", *numbers(4, DataType.INT64), subscribed=True)]
    live, clock, watch, browser = watched(*groups)
    browser.take(watch.snapshot())
    truth: dict[tuple[int, int], tuple[Any, int, int | None]] = {
        (number, column): (None, int(Quality.BAD_WAITING_FOR_INITIAL_DATA), None)
        for number in range(2)
        for column in range(4)
    }
    now_ms = 0
    for step_ms, number, cells, whole_row, tick in steps:
        now_ms += step_ms
        clock.s = now_ms / 1000
        if whole_row:
            cells = {column: cells.get(column) for column in range(4)}
        values = list(cells.values())
        codes = [BAD if value is None else 0 for value in values]
        columns = None if whole_row else list(cells)
        feed(live, batch(groups[number], values, codes if any(codes) else None, at_s=now_ms / 1000, columns=columns))
        for (column, value), code in zip(cells.items(), codes, strict=True):
            truth[number, column] = (str(value) if value == 2**60 else value, code, WALL_MS + now_ms)
        if tick:
            browser.take(watch.tick())
    browser.take(watch.tick())
    for (number, column), (value, code, heard) in truth.items():
        index = number * 4 + column
        assert browser.values[index] == value
        assert browser.qualities[index] == code
        assert browser.heard[index] == heard
