"""A whole stage: conversion, limits, and that the fast way and the careful way agree."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import DataType, Quality, Scalar, Value
from gateway.pipeline import Stage, to_published
from gateway.pipeline.convert import Conversion
from gateway.settings import TagRules
from tests.pipeline.build import U16, batch, group, policy, rows

D = DataType
EXCEEDED = Quality.UNCERTAIN_ENGINEERING_UNITS_EXCEEDED
LAST_USABLE = Quality.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE
OVERRIDE = Quality.GOOD_LOCAL_OVERRIDE
TIMEOUT = Quality.BAD_TIMEOUT


def test_without_rules_the_very_same_batch_comes_out() -> None:
    settings = group(*[U16] * 125)
    stage = Stage(settings)
    for at_s in range(3):
        given_batch = batch(settings, tuple(range(125)), at_s=at_s)
        assert stage.process(given_batch) is given_batch
        stage.accept()


def test_finite_floats_come_out_as_the_very_same_batch() -> None:
    settings = group(*[TagRules(D.FLOAT32, D.FLOAT32)] * 3, U16)
    stage = Stage(settings)
    stage.process(batch(settings, (0.0, 0.0, 0.0, 0)))
    stage.accept()
    given_batch = batch(settings, (1.0, 2.0, 3.0, 4), at_s=1)
    assert stage.process(given_batch) is given_batch


def test_the_cost_of_doing_nothing_doesnt_grow_with_the_batch() -> None:
    def cost(size: int) -> float:
        settings = group(*[U16] * size)
        stage = Stage(settings)
        one = batch(settings, [0] * size)
        best = math.inf
        for _ in range(20):
            begun = time.perf_counter()
            for _ in range(200):
                stage.process(one)
                stage.accept()
            best = min(best, time.perf_counter() - begun)
        return best

    assert cost(2000) < 5 * cost(2)


def test_everything_a_batch_carries_goes_on() -> None:
    settings = group(TagRules(D.UINT16, D.FLOAT64, scale=0.1), policy(D.UINT16, deadband=5), U16)
    stage = Stage(settings)
    first = stage.process(batch(settings, [10, 100, 7], source_ns=[1, None, 3]))
    assert first is not None
    assert (first.values, first.columns, first.qualities) == ([1.0, 100, 7], None, None)
    assert (first.source_ns, first.trusted, first.read_ns) == ([1, None, 3], False, 1)
    stage.accept()
    second = stage.process(batch(settings, [20, 104, 8], at_s=1, source_ns=[4, 5, 6]))
    assert second is not None
    assert (second.values, second.columns, second.source_ns) == ([2.0, 8], [0, 2], [4, 6])
    assert second.layout is settings.poll.layout
    assert second.mono_ns == 10**12 + 10**9


def test_the_batch_itself_stays_as_it_was() -> None:
    settings = group(TagRules(D.UINT16, D.FLOAT64, scale=0.1, low=0, high=1, clamp=True), U16)
    values, qualities = [100, 2], [0, TIMEOUT]
    Stage(settings).process(batch(settings, values, qualities))
    assert (values, qualities) == ([100, 2], [0, TIMEOUT])


LIMITED = TagRules(D.INT16, D.FLOAT64, scale=0.1, low=0, high=100)
CLAMPED = TagRules(D.INT16, D.FLOAT64, scale=0.1, low=0, high=100, clamp=True)
CLAMPED_INTEGER = TagRules(D.INT16, D.INT16, low=-0.5, high=99.5, clamp=True)


@pytest.mark.parametrize(
    ("rules", "wire", "quality", "expected"),
    [
        (LIMITED, 1000, 0, (100.0, 0)),
        (LIMITED, 1001, 0, (100.1, EXCEEDED)),
        (LIMITED, -1, 0, (-0.1, EXCEEDED)),
        (CLAMPED, 1001, 0, (100.0, EXCEEDED)),
        (CLAMPED, -1, 0, (0.0, EXCEEDED)),
        (CLAMPED_INTEGER, 120, 0, (99, EXCEEDED)),
        (CLAMPED_INTEGER, -120, 0, (0, EXCEEDED)),
        (CLAMPED_INTEGER, 99, 0, (99, 0)),
        (TagRules(D.INT16, D.INT16, high=5), 6, 0, (6, EXCEEDED)),
        (TagRules(D.INT16, D.INT16, low=5, clamp=True), 4, 0, (5, EXCEEDED)),
        (LIMITED, 1001, LAST_USABLE, (100.1, LAST_USABLE)),
        (CLAMPED, 1001, LAST_USABLE, (100.0, LAST_USABLE)),
        (LIMITED, 500, LAST_USABLE, (50.0, LAST_USABLE)),
        (LIMITED, 500, OVERRIDE, (50.0, OVERRIDE)),
        (LIMITED, 1001, OVERRIDE, (100.1, EXCEEDED)),
        (LIMITED, 500, TIMEOUT, (None, TIMEOUT)),
        (LIMITED, None, TIMEOUT, (None, TIMEOUT)),
        (U16, 5, TIMEOUT, (None, TIMEOUT)),
        (U16, 5, 0x80AB0000, (None, 0x80AB0000)),
        (LIMITED, None, 0, (None, Quality.BAD_INTERNAL_ERROR)),
        (TagRules(D.FLOAT32, D.FLOAT32), math.nan, 0, (None, Quality.BAD_SENSOR_FAILURE)),
        (TagRules(D.FLOAT32, D.FLOAT32, low=0, high=1), math.inf, 0, (None, Quality.BAD_OUT_OF_RANGE)),
        (TagRules(D.FLOAT32, D.FLOAT32), math.nan, LAST_USABLE, (None, Quality.BAD_SENSOR_FAILURE)),
        (TagRules(D.FLOAT64, D.FLOAT64), 1.7e308, 0, (1.7e308, 0)),
    ],
)
def test_value_and_quality(rules: TagRules, wire: Value, quality: int, expected: tuple[Value, int]) -> None:
    settings = group(rules, rules)
    result = Stage(settings).process(batch(settings, [wire, wire], [quality, quality] if quality else None))
    assert rows(result) == {0: expected, 1: expected}


def test_one_odd_value_doesnt_touch_its_neighbours() -> None:
    settings = group(*[TagRules(D.FLOAT64, D.FLOAT64)] * 4)
    result = Stage(settings).process(batch(settings, [1.0, math.nan, 1e308, 1e308]))
    assert rows(result) == {0: (1.0, 0), 1: (None, Quality.BAD_SENSOR_FAILURE), 2: (1e308, 0), 3: (1e308, 0)}


@pytest.mark.parametrize(
    "rules",
    [
        TagRules(D.INT16, D.INT16, low=0.2, high=0.8, clamp=True),
        TagRules(D.STRING, D.FLOAT64),
        policy(deadband=None, percent=5),
    ],
)
def test_rules_that_contradict_themselves_are_refused(rules: TagRules) -> None:
    with pytest.raises(ValueError, match=r"clamp|can't|percent"):
        Stage(group(rules))


# -- the fast way and the careful way ----------------------------------------------------------------------------------

numbers = [kind for kind in DataType if not kind.is_text]
counts = st.sampled_from([None, None, None, 0, 2])


@st.composite
def any_rules(draw: st.DrawFn) -> TagRules:
    wire = draw(st.sampled_from(list(DataType)))
    if wire.is_text:
        return TagRules(wire, wire, count=draw(counts))
    out = draw(st.sampled_from([wire, D.FLOAT64, draw(st.sampled_from(numbers))]))
    scale = draw(st.sampled_from([1.0, 1.0, 0.1, 0.5, 2.0, 10.0]))
    offset = draw(st.sampled_from([0.0, 0.0, 1.0, -40.5]))
    low, high = draw(st.sampled_from([(None, None), (0.0, 100.0), (-10.0, None)]))
    clamp = draw(st.booleans())
    return TagRules(wire, out, scale=scale, offset=offset, low=low, high=high, clamp=clamp, count=draw(counts))


def any_value(rules: TagRules) -> st.SearchStrategy[Value]:
    element = any_scalar(rules.wire_type)
    if rules.count is None:
        return element
    return st.lists(element | st.none(), max_size=3).map(tuple)


def any_scalar(kind: DataType) -> st.SearchStrategy[Scalar]:
    if kind.is_text:
        return st.sampled_from(["", "007", "NaN"])
    if kind is D.BOOL:
        return st.booleans()
    if kind.is_integer:
        return st.one_of(st.integers(0, 100), st.integers(*kind.bounds))
    return st.one_of(st.floats(0, 100, width=16), st.floats(width={"float16": 16, "float32": 32}.get(kind, 64)))


codes = st.sampled_from([0, 0, 0, 0, OVERRIDE, LAST_USABLE, EXCEEDED, TIMEOUT])


@given(st.data(), st.lists(any_rules(), min_size=1, max_size=8))
def test_by_row_and_by_value_give_the_same(data: st.DataObject, rules: list[TagRules]) -> None:
    rules = rules * data.draw(st.integers(1, 2))  # columns of one kind, next to each other or not
    conversion = Conversion(rules)
    wire = [data.draw(any_value(rule)) for rule in rules]
    careful = conversion.each(wire, None, range(len(rules)))
    fast = conversion.row(wire)
    if fast is not None:
        assert (list(fast[0]), fast[1] or [0] * len(rules)) == careful
        assert [type(value) for value in fast[0]] == [type(value) for value in careful[0]]
    qualities = [data.draw(codes) for _ in rules]
    holes = [None if code == TIMEOUT else value for value, code in zip(wire, qualities, strict=True)]
    mixed = conversion.mixed(holes, qualities)
    if mixed is not None:
        assert mixed == conversion.each(holes, qualities, range(len(rules)))


@given(st.data(), st.lists(any_rules(), min_size=1, max_size=8))
def test_null_only_with_a_bad_quality_and_never_without(data: st.DataObject, rules: list[TagRules]) -> None:
    settings = group(*rules)
    qualities = [data.draw(codes) for _ in rules]
    wire = [
        None if code == TIMEOUT else data.draw(any_value(rule)) for rule, code in zip(rules, qualities, strict=True)
    ]
    result = rows(Stage(settings).process(batch(settings, wire, qualities)))
    assert list(result) == list(range(len(rules)))
    for value, code in result.values():
        assert (value is None) == (code >= 0x80000000)
        elements = value if isinstance(value, tuple) else (value,)
        assert not any(isinstance(element, float) and not math.isfinite(element) for element in elements)
        if isinstance(value, tuple) and None in value:
            assert code >= 0x40000000


@given(st.data(), st.lists(any_rules(), min_size=2, max_size=6))
def test_a_partial_batch_is_treated_like_its_columns(data: st.DataObject, rules: list[TagRules]) -> None:
    settings = group(*rules)
    columns = sorted(data.draw(st.sets(st.integers(0, len(rules) - 1), min_size=1)))
    wire = [data.draw(any_value(rules[column])) for column in columns]
    result = rows(Stage(settings).process(batch(settings, wire, columns=columns)))
    assert list(result) == columns
    for column, value in zip(columns, wire, strict=True):
        if rules[column].low is None:
            assert result[column] == to_published(rules[column], value)
