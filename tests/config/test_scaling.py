"""The published type, and that whatever is accepted can hold every value and is taken by the pipeline."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.scaling import Scaling, array_findings, published_type
from gateway.driver import Point, PollGroup
from gateway.model import DataType, Layout, Tag
from gateway.pipeline import Stage
from gateway.settings import GroupSettings, TagRules


def scaling(
    wire: str, scale: float = 1, offset: float = 0, output: str | None = None, clamp: tuple[float, float] | None = None
) -> Scaling:
    low, high = clamp or (None, None)
    return Scaling(DataType(wire), scale, offset, DataType(output) if output else None, low, high, clamp is not None)


@pytest.mark.parametrize(
    ("given_", "published"),
    [
        (scaling("uint16"), "uint16"),
        (scaling("bool"), "bool"),
        (scaling("string"), "string"),
        (scaling("bytes"), "bytes"),
        (scaling("datetime"), "datetime"),
        (scaling("json"), "json"),
        (scaling("float16"), "float32"),
        (scaling("float32"), "float32"),
        (scaling("float32", 2), "float64"),
        (scaling("uint16", 0.1), "float64"),
        (scaling("uint16", 10), "uint32"),
        (scaling("uint16", -1), "int32"),
        (scaling("uint16", 1, -40), "int32"),
        (scaling("uint16", 1, 40), "uint32"),
        (scaling("int8", 2), "int16"),
        (scaling("uint8", 1, 0.5), "float64"),
        (scaling("uint32", 1000), "uint64"),
        (scaling("int64", 0.001), "float64"),
        (scaling("uint16", 10, output="int64"), "int64"),
        (scaling("uint16", output="float32"), "float32"),
        (scaling("int16", clamp=(-0.5, 100.5)), "int16"),
    ],
)
def test_the_published_type(given_: Scaling, published: str) -> None:
    assert published_type(given_) == (DataType(published), ())


INTEGERS = [kind for kind in DataType if kind.is_integer]


@given(
    st.sampled_from(INTEGERS),
    st.integers(-1000, 1000),
    st.integers(-100_000, 100_000),
    st.none() | st.sampled_from(INTEGERS),
)
def test_an_accepted_integer_type_holds_every_value_and_a_refused_one_does_not(
    wire: DataType, scale: int, offset: int, output: DataType | None
) -> None:
    published, findings = published_type(Scaling(wire, scale, offset, output, None, None, False))
    ends = [Fraction(bound) * scale + offset for bound in wire.bounds]

    def fits(kind: DataType) -> bool:
        return kind.bounds[0] <= min(ends) and max(ends) <= kind.bounds[1]

    if not scale:
        assert findings
    elif findings:
        assert not fits(output) if output else not any(fits(kind) for kind in INTEGERS)
    else:
        assert fits(published)
        assert output in (None, published)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-100, 100).map(float)


@given(
    st.sampled_from(list(DataType)),
    NUMBERS | st.just(1.0),
    NUMBERS | st.just(0.0),
    st.none() | st.sampled_from(list(DataType)),
    st.none() | NUMBERS,
    st.none() | NUMBERS,
    st.booleans(),
    st.sampled_from([None, 0, 3]),
)
def test_whatever_is_accepted_the_pipeline_takes(
    wire: DataType,
    scale: float,
    offset: float,
    output: DataType | None,
    low: float | None,
    high: float | None,
    clamp: bool,
    count: int | None,
) -> None:
    published, findings = published_type(Scaling(wire, scale, offset, output, low, high, clamp))
    if findings or array_findings(wire, count):
        return
    rules = TagRules(wire, published, scale, offset, low, high, clamp, count=count)
    layout = Layout("d", "g", ("e", "s", "d"), (Tag("t", published, count=count),))
    Stage(GroupSettings(PollGroup("g", layout, (Point("t", wire, None, count),), 1.0), (rules,)))
