"""Arrays: every element under the tag's rules, one quality for the whole."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import DataType, Quality, Value, is_bad
from gateway.pipeline import NotRepresentable, Stage, to_published, to_wire
from gateway.settings import ReportPolicy, TagRules
from tests.pipeline.build import batch, group, rows

D = DataType
EXCEEDED = Quality.UNCERTAIN_ENGINEERING_UNITS_EXCEEDED
SUB_NORMAL = Quality.UNCERTAIN_SUB_NORMAL
LAST_USABLE = Quality.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE
SENSOR = Quality.BAD_SENSOR_FAILURE
OUT = Quality.BAD_OUT_OF_RANGE
NAN = math.nan


def array(wire: DataType, out: DataType | None = None, *, count: int = 0, **more: Any) -> TagRules:
    return TagRules(wire, out or wire, count=count, **more)


LIMITED = array(D.INT16, D.FLOAT64, scale=0.1, low=0, high=10)
CLAMPED = array(D.INT16, D.INT16, low=0, high=10.5, clamp=True)
FLOATS = array(D.FLOAT32)


@pytest.mark.parametrize(
    ("rules", "wire", "quality", "expected"),
    [
        (array(D.UINT16), (1, 2, 3), 0, ((1, 2, 3), 0)),
        (array(D.UINT16), (), 0, ((), 0)),
        (array(D.UINT16, count=2), (1, 2), 0, ((1, 2), 0)),
        (array(D.UINT16, count=2), (1, 2, 3), 0, (None, OUT)),
        (array(D.UINT16, count=2), (), 0, (None, OUT)),
        (array(D.UINT16), (1, None, 3), 0, ((1, None, 3), SUB_NORMAL)),
        (array(D.UINT16), (None, None), 0, (None, Quality.BAD)),
        (array(D.BOOL), (True, None), 0, ((True, None), SUB_NORMAL)),
        (array(D.STRING), ("a", "007"), 0, (("a", "007"), 0)),
        (array(D.DATETIME), ("2026-01-31T12:00:00Z", None), 0, (("2026-01-31T12:00:00Z", None), SUB_NORMAL)),
        (array(D.FLOAT16, D.FLOAT32), (0.5, 1.5), 0, ((0.5, 1.5), 0)),
        (array(D.UINT16, D.FLOAT64, scale=0.1), (713, 0), 0, ((71.3, 0.0), 0)),
        (array(D.INT64, D.FLOAT64), (2**53 + 1, 4), 0, ((None, 4.0), SUB_NORMAL)),
        (array(D.INT64, D.FLOAT64), (2**53 + 1,), 0, (None, OUT)),
        (FLOATS, (1.5, NAN, 2.5), 0, ((1.5, None, 2.5), SUB_NORMAL)),
        (FLOATS, (1.5, math.inf), 0, ((1.5, None), SUB_NORMAL)),
        (FLOATS, (NAN, math.inf), 0, (None, SENSOR)),
        (FLOATS, (1.5, NAN), LAST_USABLE, ((1.5, None), LAST_USABLE)),
        (FLOATS, (NAN,), LAST_USABLE, (None, SENSOR)),
        (LIMITED, (0, 100), 0, ((0.0, 10.0), 0)),
        (LIMITED, (0, 101), 0, ((0.0, 10.1), EXCEEDED)),
        (LIMITED, (0, 101), LAST_USABLE, ((0.0, 10.1), LAST_USABLE)),
        (LIMITED, (None, 101), 0, ((None, 10.1), EXCEEDED)),
        (CLAMPED, (-5, 5, 20), 0, ((0, 5, 10), EXCEEDED)),
        (LIMITED, (1,), Quality.BAD_TIMEOUT, (None, Quality.BAD_TIMEOUT)),
        (LIMITED, None, Quality.BAD_TIMEOUT, (None, Quality.BAD_TIMEOUT)),
        (LIMITED, None, 0, (None, Quality.BAD_INTERNAL_ERROR)),
        (LIMITED, 5, 0, (None, Quality.BAD_INTERNAL_ERROR)),
    ],
)
def test_value_and_quality(rules: TagRules, wire: Value, quality: int, expected: tuple[Value, int]) -> None:
    settings = group(rules, TagRules(D.UINT16, D.UINT16), rules)
    codes = [quality, 0, quality] if quality else None
    got = rows(Stage(settings).process(batch(settings, [wire, 7, wire], codes)))
    assert got == {0: expected, 1: (7, 0), 2: expected}
    value, (want, _) = got[0][0], expected
    if isinstance(value, tuple) and isinstance(want, tuple):
        assert list(map(type, value)) == list(map(type, want))
    if not quality and wire is not None and rules.low is None:
        assert to_published(rules, wire) == expected


def test_without_rules_the_very_same_array_comes_out() -> None:
    settings = group(array(D.FLOAT32))
    wave = tuple(float(i) for i in range(1000))
    result = Stage(settings).process(batch(settings, [wave]))
    assert result is not None
    assert result.values[0] is wave


elements = st.one_of(st.none(), st.floats(width=32), st.floats(0, 10, width=16))


@given(st.lists(elements, max_size=6), st.sampled_from([(None, None), (0.0, 5.0)]), st.booleans())
def test_an_element_is_published_like_a_value_of_its_own(
    wire: list[float | None], ends: tuple[float | None, float | None], clamp: bool
) -> None:
    """None where a single value would be bad; uncertain if one of them would be."""
    low, high = ends
    single = TagRules(D.FLOAT32, D.FLOAT64, scale=2, low=low, high=high, clamp=clamp)
    of_array = array(D.FLOAT32, D.FLOAT64, scale=2, low=low, high=high, clamp=clamp)
    settings, of_one = group(of_array), group(single)
    value, code = rows(Stage(settings).process(batch(settings, [tuple(wire)])))[0]
    alone = [
        (None, Quality.BAD) if each is None else rows(Stage(of_one).process(batch(of_one, [each])))[0] for each in wire
    ]
    if wire and all(is_bad(quality) for _, quality in alone):
        assert (value, code) == (None, alone[0][1])
    else:
        assert value == tuple(each for each, _ in alone)
        worst = EXCEEDED if any(quality == EXCEEDED for _, quality in alone) else SUB_NORMAL
        assert code == (worst if any(quality for _, quality in alone) else 0)


def reported(rules: TagRules, *waves: Value) -> list[bool]:
    settings = group(rules)
    stage = Stage(settings)
    seen = []
    for at_s, wave in enumerate(waves):
        codes = [Quality.BAD_TIMEOUT] if wave is None else None
        seen.append(stage.process(batch(settings, [wave], codes, at_s=at_s)) is not None)
        stage.accept()
    return seen


def test_an_array_is_reported_if_an_element_leaves_the_band_or_the_length_changes() -> None:
    rules = array(D.INT16, report=ReportPolicy(deadband=5))
    assert reported(rules, (10, 20), (14, 16), (10, 25), (14, 25), (14, 25, 0), (14, 25)) == [
        *(True, False, True, False),
        *(True, True),
    ]
    assert reported(rules, (1, 2), None, None, (1, 2), (2, 3), (2, 30)) == [True, True, False, True, False, True]
    assert reported(rules, (1, None), (2, None), (2, 0), (9, None)) == [True, False, True, True]


def test_an_array_is_reported_at_any_change_where_that_is_wanted() -> None:
    for kind, one, other in ((D.BOOL, (True,), (False,)), (D.STRING, ("a",), ("b",)), (D.INT16, (1, 2), (1, 3))):
        rules = array(kind, report=ReportPolicy(deadband=0))
        assert reported(rules, one, one, other, other, ()) == [True, False, True, False, True]


@given(st.data())
def test_what_was_last_reported_is_within_the_band(data: st.DataObject) -> None:
    """Also of part of a group, where the careful way decides."""
    settings = group(array(D.INT16, report=ReportPolicy(deadband=5)), TagRules(D.UINT16, D.UINT16))
    stage = Stage(settings)
    wave: Value = ()
    for at_s in range(6):
        read = data.draw(st.lists(st.integers(0, 12), max_size=2).map(tuple))
        whole = data.draw(st.booleans())
        result = stage.process(
            batch(settings, [read, 1] if whole else [read], columns=None if whole else [0], at_s=at_s)
        )
        stage.accept()
        wave = rows(result).get(0, (wave, 0))[0]
        assert isinstance(wave, tuple)
        assert len(wave) == len(read)
        assert all(isinstance(old, int) and abs(old - new) < 5 for old, new in zip(wave, read, strict=True))


@pytest.mark.parametrize(
    ("rules", "value", "wire"),
    [
        (array(D.UINT16, D.FLOAT64, scale=0.1), (71.3, 0), (713, 0)),
        (array(D.UINT16, count=2), (1, 2), (1, 2)),
        (array(D.BOOL), (True, False), (True, False)),
        (array(D.STRING), ("a", ""), ("a", "")),
        (array(D.UINT16), (), ()),
        (TagRules(D.BYTES, D.BYTES), "00FFab", "00ffab"),
        (TagRules(D.BYTES, D.BYTES), "", ""),
        (TagRules(D.DATETIME, D.DATETIME), "2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123456789Z"),
        (TagRules(D.JSON, D.JSON), '{"a":[1,null]}', '{"a":[1,null]}'),
    ],
)
def test_what_is_written(rules: TagRules, value: Value, wire: Value) -> None:
    assert to_wire(rules, value) == wire


@pytest.mark.parametrize(
    ("rules", "value", "message"),
    [
        (array(D.UINT16, count=2), (1, 2, 3), "has 3 elements, but the tag has 2"),
        (array(D.UINT16), 5, "5 isn't an array"),
        (array(D.UINT16), (1, None), "element 1: None isn't a number"),
        (array(D.UINT16, low=0, high=10), (1, 11), "element 1: 11 is over the greatest value"),
        (array(D.BOOL), (1,), "element 0: 1 isn't a bool"),
        (array(D.STRING), ("a", None), "element 1: None isn't a string"),
        (TagRules(D.UINT16, D.UINT16), (1,), "isn't a number"),
        (TagRules(D.STRING, D.STRING), ("a",), "isn't a string"),
        (TagRules(D.BYTES, D.BYTES), "0f0", "pairs of hexadecimal digits"),
        (TagRules(D.BYTES, D.BYTES), "0f 0f", "pairs of hexadecimal digits"),
        (TagRules(D.DATETIME, D.DATETIME), "2026-01-31 12:00:00", "RFC 3339"),
        (TagRules(D.DATETIME, D.DATETIME), "2026-02-31T12:00:00Z", "RFC 3339"),
        (TagRules(D.JSON, D.JSON), "{", "isn't JSON"),
        (TagRules(D.JSON, D.JSON), "[NaN]", "isn't JSON"),
        (TagRules(D.JSON, D.JSON), {"a": 1}, "isn't a json"),
    ],
)
def test_what_cant_be_written_exactly_is_refused(rules: TagRules, value: Any, message: str) -> None:
    with pytest.raises(NotRepresentable, match=message):
        to_wire(rules, value)


@given(st.lists(st.integers(-(2**15), 2**15 - 1)).map(tuple))
def test_what_was_read_can_be_written_back(wire: tuple[int, ...]) -> None:
    rules = array(D.INT16, D.FLOAT64, scale=0.01, offset=-40)
    assert to_wire(rules, to_published(rules, wire)[0]) == wire
