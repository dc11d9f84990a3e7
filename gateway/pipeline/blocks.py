"""Formulas over many values at once: columns of one kind, or the elements of an array."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from gateway.model import DataType
from gateway.pipeline.scale import Converter, converter, is_widening, ratio
from gateway.settings import TagRules

Block: TypeAlias = Callable[[Sequence[Any]], Sequence[Any] | None]
"""At least one good wire value → published values, or None if one of them isn't ordinary."""


def block(rules: TagRules) -> tuple[object, Block]:
    """(what columns must share to share it, formula). Raises ValueError for types that have no conversion."""
    wire, out = rules.wire_type, rules.type
    narrow_wire = not wire.exceeds_json
    if out is DataType.FLOAT64 and narrow_wire and not wire.is_float:
        p, r, q = ratio(rules)
        return ("ratio", p, r, q), _quotient(p, r, q)
    if wire.is_integer and out.is_integer and ratio(rules)[2] == 1:
        p, r, _ = ratio(rules)
        return ("integer", p, r, out), _exact(p, r, *out.bounds)
    if out is DataType.FLOAT64 and wire.is_float and rules.scaled:
        return ("linear", rules.scale, rules.offset), _linear(float(rules.scale), float(rules.offset))
    if is_widening(rules):
        return "finite", _finite
    convert = converter(rules)
    return ("each", wire, out, rules.scale, rules.offset), lambda values: _one_by_one(convert, values)


def _quotient(p: int, r: int, q: int) -> Block:
    if p == 1 and r == 0:
        return lambda values: [value / q for value in values]
    if r == 0:
        return lambda values: [value * p / q for value in values]
    return lambda values: [(value * p + r) / q for value in values]


def _exact(p: int, r: int, low: int, high: int) -> Block:
    def exact(values: Sequence[Any]) -> Sequence[Any] | None:
        result = values if p == 1 and r == 0 else [value * p + r for value in values]
        return result if low <= min(result) and max(result) <= high else None

    return exact


def _linear(scale: float, offset: float) -> Block:
    def exact(values: Sequence[Any]) -> Sequence[Any] | None:
        result = [value * scale + offset for value in values]
        return result if math.isfinite(sum(result)) else None

    return exact


def _finite(values: Sequence[Any]) -> Sequence[Any] | None:
    # One addition per value: a sum is finite only if every term is. (A sum that overflows only takes the slow way.)
    return values if math.isfinite(sum(values)) else None


def _one_by_one(convert: Converter, values: Sequence[Any]) -> Sequence[Any] | None:
    result = []
    for value in values:
        published, quality = convert(value)
        if quality:
            return None
        result.append(published)
    return result
