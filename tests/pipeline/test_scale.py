"""Scaling is exact, or it says so; and it can be undone."""

import math
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import DataType, Quality, Value
from gateway.pipeline import NotRepresentable, to_published, to_wire
from gateway.settings import TagRules, WriteRules

D = DataType
OUT = (None, Quality.BAD_OUT_OF_RANGE)
INTEGERS = [kind for kind in DataType if kind.is_integer]
NUMBERS = [kind for kind in DataType if kind.is_numeric]

decimals = st.decimals(-10_000, 10_000, allow_nan=False, places=4).map(float)
scales = st.one_of(st.sampled_from([0.1, 0.01, 0.001, 0.5, 0.25, 2.0, 10.0, -0.1, 1.0]), decimals.filter(bool))


def integers_of(kind: DataType) -> st.SearchStrategy[int]:
    return st.integers(*kind.bounds)


@pytest.mark.parametrize(
    ("rules", "wire", "published"),
    [
        (TagRules(D.UINT16, D.FLOAT64, scale=0.1), 713, (71.3, 0)),
        (TagRules(D.INT16, D.FLOAT64, scale=0.01, offset=-40), 1, (-39.99, 0)),
        (TagRules(D.UINT16, D.UINT32, scale=10, offset=5), 65535, (655355, 0)),
        (TagRules(D.UINT16, D.UINT16, scale=10), 6554, OUT),
        (TagRules(D.UINT16, D.UINT16, offset=-1), 0, OUT),
        (TagRules(D.INT16, D.INT16, scale=0.5), 4, (2, 0)),
        (TagRules(D.INT16, D.INT16, scale=0.5), 5, OUT),
        (TagRules(D.INT64, D.INT64, scale=3), 3074457345618258602, (9223372036854775806, 0)),
        (TagRules(D.INT64, D.INT64, scale=3), 3074457345618258603, OUT),
        (TagRules(D.INT64, D.FLOAT64), 2**53, (2.0**53, 0)),
        (TagRules(D.INT64, D.FLOAT64), 2**53 + 1, OUT),
        (TagRules(D.UINT64, D.FLOAT64, scale=0.001), 2**53 + 1, OUT),
        (TagRules(D.UINT16, D.FLOAT32), 7, (7.0, 0)),
        (TagRules(D.UINT16, D.FLOAT32, scale=0.5), 7, (3.5, 0)),
        (TagRules(D.UINT16, D.FLOAT32, scale=0.1), 7, OUT),
        (TagRules(D.INT32, D.FLOAT32), 2**24 + 1, OUT),
        (TagRules(D.UINT16, D.FLOAT16), 65535, OUT),
        (TagRules(D.FLOAT64, D.FLOAT32), 1e300, OUT),
        (TagRules(D.FLOAT64, D.FLOAT32), 0.1, OUT),
        (TagRules(D.FLOAT32, D.FLOAT32), 0.5, (0.5, 0)),
        (TagRules(D.FLOAT64, D.FLOAT64), math.nan, (None, Quality.BAD_SENSOR_FAILURE)),
        (TagRules(D.FLOAT64, D.FLOAT64), math.inf, OUT),
        (TagRules(D.FLOAT64, D.FLOAT64), -math.inf, OUT),
        (TagRules(D.FLOAT64, D.FLOAT64, scale=10), 1e308, OUT),
        (TagRules(D.FLOAT32, D.INT32), 3.0, (3, 0)),
        (TagRules(D.FLOAT32, D.INT32), 3.5, OUT),
        (TagRules(D.FLOAT32, D.INT32, scale=2), 3.5, (7, 0)),
        (TagRules(D.FLOAT64, D.INT64), 2.0**63, OUT),
        (TagRules(D.BOOL, D.UINT8), True, (1, 0)),
        (TagRules(D.UINT16, D.BOOL), 1, (True, 0)),
        (TagRules(D.UINT16, D.BOOL), 2, OUT),
        (TagRules(D.BOOL, D.BOOL), True, (True, 0)),
        (TagRules(D.STRING, D.STRING), "007", ("007", 0)),
        (TagRules(D.UINT16, D.FLOAT64, scale=1e308), 65535, OUT),
        (TagRules(D.UINT16, D.FLOAT64), None, (None, Quality.BAD_INTERNAL_ERROR)),
    ],
)
def test_examples(rules: TagRules, wire: Value, published: tuple[Value, int]) -> None:
    result = to_published(rules, wire)
    assert result == published
    assert type(result[0]) is type(published[0])


@pytest.mark.parametrize("rules", [TagRules(D.STRING, D.FLOAT64), TagRules(D.UINT16, D.STRING)])
def test_a_string_is_no_number(rules: TagRules) -> None:
    with pytest.raises(ValueError, match="can't be"):
        to_published(rules, "1" if rules.wire_type is D.STRING else 1)


@given(st.data(), st.sampled_from(INTEGERS), st.integers(-(10**6), 10**6).filter(bool), st.integers(-(2**53), 2**53))
def test_integers_are_exact(data: st.DataObject, wire: DataType, scale: int, offset: int) -> None:
    out = data.draw(st.sampled_from(INTEGERS))
    value = data.draw(integers_of(wire))
    exact = value * scale + offset
    low, high = out.bounds
    result = to_published(TagRules(wire, out, scale=float(scale), offset=float(offset)), value)
    assert result == ((exact, 0) if low <= exact <= high else OUT)


@given(st.data(), st.sampled_from(INTEGERS), scales, decimals)
def test_a_scaled_float_is_the_nearest_to_the_exact_decimal_result(
    data: st.DataObject, wire: DataType, scale: float, offset: float
) -> None:
    value = data.draw(integers_of(wire))
    result, quality = to_published(TagRules(wire, D.FLOAT64, scale=scale, offset=offset), value)
    if float(value) != value:
        assert (result, quality) == OUT
    else:
        exact = value * Fraction(str(scale)) + Fraction(str(offset))
        assert (result, quality) == (float(exact), 0)


@given(st.data(), st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), scales, decimals)
def test_what_comes_out_fits_the_declared_type(
    data: st.DataObject, wire: DataType, out: DataType, scale: float, offset: float
) -> None:
    value = data.draw(st.floats(width=64) if wire.is_float else integers_of(wire))
    result, quality = to_published(TagRules(wire, out, scale=scale, offset=offset), value)
    if quality:
        assert result is None
        assert quality in (Quality.BAD_OUT_OF_RANGE, Quality.BAD_SENSOR_FAILURE)
    elif out.is_integer:
        assert type(result) is int
        assert out.bounds[0] <= result <= out.bounds[1]
    else:
        assert type(result) is float
        assert math.isfinite(result)
        if out is D.FLOAT32:
            assert struct.unpack("<f", struct.pack("<f", result))[0] == result


@given(st.data(), st.sampled_from(INTEGERS), st.sampled_from([*INTEGERS, D.FLOAT64]), scales, decimals)
def test_writing_what_was_read_gives_the_same_register(
    data: st.DataObject, wire: DataType, out: DataType, scale: float, offset: float
) -> None:
    # Where a float64 has digits to spare; beyond, two registers may publish as one value.
    value = data.draw(integers_of(wire).filter(lambda number: abs(number) < 2**40))
    rules = TagRules(wire, out, scale=scale, offset=offset)
    published, quality = to_published(rules, value)
    if quality == 0:
        assert to_wire(rules, published) == value


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.sampled_from([D.FLOAT32, D.FLOAT64]))
def test_floats_are_written_as_they_are_read(value: float, wire: DataType) -> None:
    rules = TagRules(wire, wire)
    assert to_wire(rules, to_published(rules, value)[0]) == value


@pytest.mark.parametrize(
    ("rules", "value", "message"),
    [
        (TagRules(D.UINT16, D.FLOAT64, scale=0.1), 71.34, "between two steps"),
        (TagRules(D.UINT16, D.FLOAT64, scale=0.1), 6553.6, "beyond what uint16 holds"),
        (TagRules(D.UINT16, D.UINT16), 1.5, "between two steps"),
        (TagRules(D.UINT16, D.UINT16), True, "isn't a number"),
        (TagRules(D.UINT16, D.UINT16), None, "isn't a number"),
        (TagRules(D.UINT16, D.UINT16, low=10, high=20), 21, "21 is over the greatest value that may be written, 20"),
        (TagRules(D.UINT16, D.UINT16, low=10), 9, "9 is under the least value that may be written, 10"),
        (TagRules(D.UINT16, D.UINT16, low=10, write=WriteRules(low=12)), 11, "under the least value .*, 12"),
        (TagRules(D.UINT16, D.UINT16, high=10, write=WriteRules(high=8)), 9, "over the greatest value .*, 8"),
        (TagRules(D.UINT16, D.UINT16, low=10, write=WriteRules(step=4)), 16, "only 10 and steps of 4 from there"),
        (TagRules(D.INT16, D.INT16, write=WriteRules(step=4)), -6, "only 0 and steps of 4 from there"),
        (TagRules(D.UINT16, D.FLOAT64, scale=0.1, write=WriteRules(step=0.5)), 1.3, "only 0 and steps of 0.5"),
        (TagRules(D.FLOAT64, D.FLOAT64), math.nan, "can't be written"),
        (TagRules(D.FLOAT64, D.FLOAT64), math.inf, "can't be written"),
        (TagRules(D.FLOAT32, D.FLOAT64), 1e300, "beyond what float32 holds"),
        (TagRules(D.FLOAT64, D.FLOAT64, scale=1e-300), 1e300, "beyond what float64 holds"),
        (TagRules(D.UINT16, D.UINT16, scale=0), 1, "scale 0"),
        (TagRules(D.BOOL, D.BOOL), 1, "isn't a bool"),
        (TagRules(D.STRING, D.STRING), 1, "isn't a string"),
        (TagRules(D.BOOL, D.UINT8), 2, "neither on nor off"),
    ],
)
def test_what_cant_be_written_exactly_is_refused(rules: TagRules, value: Value, message: str) -> None:
    with pytest.raises(NotRepresentable, match=message):
        to_wire(rules, value)


@pytest.mark.parametrize(
    ("rules", "value", "wire"),
    [
        (TagRules(D.UINT16, D.FLOAT64, scale=0.1), 71.3, 713),
        (TagRules(D.UINT16, D.FLOAT64, scale=0.1), 71, 710),
        (TagRules(D.FLOAT32, D.FLOAT64, scale=0.1), 71.3, 713.0),
        (TagRules(D.FLOAT32, D.FLOAT32), 0.1, struct.unpack("<f", struct.pack("<f", 0.1))[0]),
        (TagRules(D.BOOL, D.BOOL), True, True),
        (TagRules(D.UINT16, D.BOOL), True, 1),
        (TagRules(D.BOOL, D.UINT8), 1, True),
        (TagRules(D.STRING, D.STRING), "007", "007"),
        (TagRules(D.INT64, D.INT64), 2**63 - 1, 2**63 - 1),
    ],
)
def test_what_is_written(rules: TagRules, value: Value, wire: Value) -> None:
    result = to_wire(rules, value)
    assert result == wire
    assert type(result) is type(wire)
