"""Scaling: ``published = wire × scale + offset``, never rounded silently.

Scale and offset are taken as the decimals the user wrote (0.1 is one tenth, not the binary fraction next to it), so
they are exact fractions. From there on:

============================  =========================================================================================
wire → published              result
============================  =========================================================================================
integer → integer             exact integer arithmetic; a fractional result or one outside the type is BadOutOfRange
integer → float64             the float64 nearest to the exact result: 713 × 0.1 is 71.3, not 71.30000000000001
float → float64               float64 arithmetic; a result that isn't finite is BadOutOfRange
float → integer               exact; a fractional result or one outside the type is BadOutOfRange
any number → float32, float16 the value must be representable as it is, else BadOutOfRange
any number → bool             0 is false, 1 is true, anything else is BadOutOfRange
text of any kind              as it is
============================  =========================================================================================

A 64-bit integer that a float64 can't hold is BadOutOfRange when published as a float. NaN on the wire is
BadSensorFailure: it is how field devices say that a measurement is missing. Infinity on the wire is BadOutOfRange.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

from gateway.model import DataType, Quality, Value
from gateway.settings import TagRules

Converter: TypeAlias = Callable[[Any], tuple[Value, int]]
"""One wire value (never None) → published value and quality; None exactly with a bad quality."""

_GOOD = int(Quality.GOOD)
_OUT_OF_RANGE: tuple[None, int] = (None, int(Quality.BAD_OUT_OF_RANGE))
_SENSOR_FAILURE: tuple[None, int] = (None, int(Quality.BAD_SENSOR_FAILURE))

NARROW = {DataType.FLOAT16: struct.Struct("<e"), DataType.FLOAT32: struct.Struct("<f")}
_FLOAT_WIDTH = {DataType.FLOAT16: 16, DataType.FLOAT32: 32, DataType.FLOAT64: 64}


def decimal(number: float) -> Fraction:
    """The number as the user wrote it: 0.1 → 1/10."""
    return Fraction(repr(number))


def needs_conversion(rules: TagRules) -> bool:
    """False if every wire value is its own published value. Floats always need a look: they may be NaN."""
    return rules.scaled or rules.wire_type != rules.type or rules.type.is_float


def is_widening(rules: TagRules) -> bool:
    """True for an unscaled float published in an equal or wider type: finite values stay as they are."""
    wire, out = _FLOAT_WIDTH.get(rules.wire_type), _FLOAT_WIDTH.get(rules.type)
    return not rules.scaled and wire is not None and out is not None and wire <= out


def ratio(rules: TagRules) -> tuple[int, int, int]:
    """(p, r, q) such that ``published = (wire·p + r) / q`` exactly, q > 0."""
    scale, offset = decimal(rules.scale), decimal(rules.offset)
    q = math.lcm(scale.denominator, offset.denominator)
    return int(scale * q), int(offset * q), q


def converter(rules: TagRules) -> Converter:
    """The rule of one tag as a function. Raises ValueError for a pair of types that has no conversion."""
    wire, out = rules.wire_type, rules.type
    if wire.is_text or out.is_text:
        if wire != out or rules.scaled:
            raise ValueError(f"{wire} can't be scaled or converted to {out}")
        return lambda value: (value, _GOOD)
    to_type = _typed(out)
    if wire.is_float:
        return _from_float(rules, to_type)
    return _from_integer(rules, to_type)


def _from_integer(rules: TagRules, to_type: Callable[[Any, int], tuple[Value, int]]) -> Converter:
    p, r, q = ratio(rules)
    check_exact = rules.wire_type.exceeds_json and rules.type.is_float

    def convert(value: Any) -> tuple[Value, int]:
        if check_exact and float(value) != value:
            return _OUT_OF_RANGE
        return to_type(value * p + r, q)

    return convert


def _from_float(rules: TagRules, to_type: Callable[[Any, int], tuple[Value, int]]) -> Converter:
    scaled, scale, offset = rules.scaled, float(rules.scale), float(rules.offset)
    to_float = rules.type.is_float
    exact_scale, exact_offset = decimal(rules.scale), decimal(rules.offset)
    widening = is_widening(rules)

    def convert(value: Any) -> tuple[Value, int]:
        if not math.isfinite(value):
            return _SENSOR_FAILURE if math.isnan(value) else _OUT_OF_RANGE
        if widening:
            return value, _GOOD
        if to_float:
            return to_type(value * scale + offset if scaled else value, 1)
        exact = Fraction(value) * exact_scale + exact_offset
        return to_type(exact.numerator, exact.denominator)

    return convert


def _typed(out: DataType) -> Callable[[Any, int], tuple[Value, int]]:
    """(numerator, denominator) → a value of type `out`, or None with BadOutOfRange."""
    if out is DataType.BOOL:
        return lambda num, den: (num == den, _GOOD) if num in (0, den) else _OUT_OF_RANGE
    if out.is_integer:
        low, high = out.bounds

        def integer(num: Any, den: int) -> tuple[Value, int]:
            value, rest = divmod(num, den)
            return (value, _GOOD) if rest == 0 and low <= value <= high else _OUT_OF_RANGE

        return integer

    narrow = NARROW.get(out)

    def floating(num: Any, den: int) -> tuple[Value, int]:
        try:
            value = num / den
            if not math.isfinite(value) or (narrow and narrow.unpack(narrow.pack(value))[0] != value):
                return _OUT_OF_RANGE
        except OverflowError:
            return _OUT_OF_RANGE
        return value, _GOOD

    return floating
