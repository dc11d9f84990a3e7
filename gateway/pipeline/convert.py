"""Conversion of a whole batch, column by column, compiled once per group.

Two ways to the same result, and a property test that says so: :class:`Conversion` works over runs of columns that share
a formula and gives up (returns None) as soon as anything is out of the ordinary; :meth:`Conversion.each` takes value by
value and knows every case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from gateway.model import DataType, Quality, Value, is_bad, is_good
from gateway.pipeline.report import Columns
from gateway.pipeline.scale import Converter, converter, is_widening, needs_conversion, ratio
from gateway.settings import TagRules

_Block: TypeAlias = Callable[[Sequence[Any]], Sequence[Any] | None]
"""Good wire values of columns sharing one formula → published values, or None if one of them isn't ordinary."""

_EXCEEDED = int(Quality.UNCERTAIN_ENGINEERING_UNITS_EXCEEDED)
_INTERNAL_ERROR = int(Quality.BAD_INTERNAL_ERROR)


class Conversion:
    """Scaling and limits of one group."""

    def __init__(self, rules: Sequence[TagRules]) -> None:
        """Raises ValueError for rules that contradict themselves."""
        self._converters: list[Converter | None] = [
            converter(rule) if needs_conversion(rule) else None for rule in rules
        ]
        self._limits = [_limit(rule) for rule in rules]
        blocks: dict[object, list[int]] = {}
        formulas: dict[object, _Block] = {}
        for column, rule in enumerate(rules):
            if needs_conversion(rule):
                key, block = _block(rule)
                formulas.setdefault(key, block)
                blocks.setdefault(key, []).append(column)
        self._blocks = [(Columns(columns), formulas[key]) for key, columns in blocks.items()]
        limited = [(column, limit) for column, limit in enumerate(self._limits) if limit is not None]
        self._limited = Columns([column for column, _ in limited])
        self._lows = [limit[0] for _, limit in limited]
        self._highs = [limit[1] for _, limit in limited]
        self.changes = bool(self._blocks or self._limited)
        """False if every good value passes as it is."""

    def row(self, wire: Sequence[Value]) -> tuple[Sequence[Value], list[int] | None] | None:
        """All columns, all good on the wire → values and qualities (None: all good).

        None if :meth:`each` must do it. The values are `wire` itself if there was nothing to change.
        """
        changed: list[Any] | None = None
        try:
            for columns, formula in self._blocks:
                before = columns.pick(wire)
                block = formula(before)
                if block is None:
                    return None
                if block is not before:
                    if changed is None:
                        changed = list(wire)
                    columns.put(changed, block)
            out: Sequence[Any] = wire if changed is None else changed
            if not self._limited:
                return out, None
            rows = zip(self._limited.positions, self._limited.pick(out), self._lows, self._highs, strict=True)
            exceeded = [column for column, value, low, high in rows if not low <= value <= high]
        except (TypeError, OverflowError):
            return None
        if not exceeded:
            return out, None
        limited, qualities = list(out), [0] * len(out)
        for column in exceeded:
            limited[column], qualities[column] = self._limit(column, out[column], 0)
        return limited, qualities

    def mixed(self, wire: Sequence[Value], qualities: Sequence[int]) -> tuple[list[Value], list[int]] | None:
        """All columns, some not good → values and qualities; None if :meth:`each` must do it.

        One address a device doesn't have is bad on every poll, and must not slow down its neighbours.
        """
        odd = [column for column, quality in enumerate(qualities) if quality]
        filled = list(wire)
        for column in odd:
            if is_bad(qualities[column]):
                filled[column] = 0  # keeps the column in step; what becomes of it is thrown away below
        converted = self.row(filled)
        if converted is None:
            return None
        out, codes = list(converted[0]), converted[1] or [0] * len(filled)
        for column in odd:
            quality = qualities[column]
            if is_bad(quality):
                out[column] = None
            if not (is_good(quality) and codes[column]):
                codes[column] = quality
        return out, codes

    def each(
        self, wire: Sequence[Value], qualities: Sequence[int] | None, columns: Sequence[int]
    ) -> tuple[list[Value], list[int]]:
        """Any values of any columns → values and qualities."""
        out: list[Value] = []
        codes: list[int] = []
        for at, column in enumerate(columns):
            value, quality = wire[at], 0 if qualities is None else qualities[at]
            if is_bad(quality):
                value = None
            elif value is None:
                quality = _INTERNAL_ERROR  # the driver broke its contract: only a bad value has none
            else:
                convert = self._converters[column]
                if convert is not None:
                    value, code = convert(value)
                    quality = code or quality
                if value is not None and self._limits[column] is not None:
                    value, quality = self._limit(column, value, quality)
            out.append(value)
            codes.append(quality)
        return out, codes

    def _limit(self, column: int, value: Any, quality: int) -> tuple[Value, int]:
        limit = self._limits[column]
        assert limit is not None
        low, high, floor, ceiling = limit
        if low <= value <= high:
            return value, quality
        if floor is not None and value < low:
            value = floor
        elif ceiling is not None and value > high:
            value = ceiling
        # An uncertain code from the device says more than ours would.
        return value, _EXCEEDED if is_good(quality) else quality


def _limit(rules: TagRules) -> tuple[float, float, float | None, float | None] | None:
    """(low, high, value to clamp to below, above); None without a range."""
    if not rules.type.is_numeric or (rules.low is None and rules.high is None):
        return None
    low = -math.inf if rules.low is None else rules.low
    high = math.inf if rules.high is None else rules.high
    floor: float | None = None
    ceiling: float | None = None
    if rules.clamp:
        integer = rules.type.is_integer
        if rules.low is not None:
            floor = math.ceil(rules.low) if integer else float(rules.low)
        if rules.high is not None:
            ceiling = math.floor(rules.high) if integer else float(rules.high)
        if floor is not None and ceiling is not None and floor > ceiling:
            raise ValueError(f"there is no {rules.type} between {rules.low} and {rules.high} to clamp to")
    return low, high, floor, ceiling


def _block(rules: TagRules) -> tuple[object, _Block]:
    """(what columns must share to share it, formula)."""
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


def _quotient(p: int, r: int, q: int) -> _Block:
    if p == 1 and r == 0:
        return lambda values: [value / q for value in values]
    if r == 0:
        return lambda values: [value * p / q for value in values]
    return lambda values: [(value * p + r) / q for value in values]


def _exact(p: int, r: int, low: int, high: int) -> _Block:
    def block(values: Sequence[Any]) -> Sequence[Any] | None:
        result = values if p == 1 and r == 0 else [value * p + r for value in values]
        return result if low <= min(result) and max(result) <= high else None

    return block


def _linear(scale: float, offset: float) -> _Block:
    def block(values: Sequence[Any]) -> Sequence[Any] | None:
        result = [value * scale + offset for value in values]
        return result if math.isfinite(sum(result)) else None

    return block


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
