"""Conversion of a whole batch, column by column, compiled once per group.

Two ways to the same result, and a property test that says so: :class:`Conversion` works over runs of columns that share
a formula and gives up (returns None) as soon as anything is out of the ordinary; :meth:`Conversion.each` takes value by
value and knows every case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.model import Quality, Value, is_bad, is_good
from gateway.pipeline.arrays import array_converter
from gateway.pipeline.blocks import Block, block
from gateway.pipeline.limits import limit
from gateway.pipeline.report import Columns
from gateway.pipeline.scale import Converter, converter, needs_conversion
from gateway.settings import TagRules

_INTERNAL_ERROR = int(Quality.BAD_INTERNAL_ERROR)


class Conversion:
    """Scaling and limits of one group."""

    def __init__(self, rules: Sequence[TagRules]) -> None:
        """Raises ValueError for rules that contradict themselves."""
        self._converters = [_converter(rule) for rule in rules]
        self._arrays = [column for column, rule in enumerate(rules) if rule.count is not None]
        self._limits = [limit(rule) if rule.count is None else None for rule in rules]
        blocks: dict[object, list[int]] = {}
        formulas: dict[object, Block] = {}
        for column, rule in enumerate(rules):
            if rule.count is None and needs_conversion(rule):
                key, formula = block(rule)
                formulas.setdefault(key, formula)
                blocks.setdefault(key, []).append(column)
        self._blocks = [(Columns(columns), formulas[key]) for key, columns in blocks.items()]
        ranges = [each for each in self._limits if each is not None]
        self._limited = Columns([column for column, each in enumerate(self._limits) if each is not None])
        self._lows = [each.low for each in ranges]
        self._highs = [each.high for each in ranges]
        self.changes = bool(self._blocks or self._limited or self._arrays)
        """False if every good value passes as it is."""

    def row(self, wire: Sequence[Value]) -> tuple[Sequence[Value], list[int] | None] | None:
        """All columns, all good on the wire → values and qualities (None: all good).

        None if :meth:`each` must do it. The values are `wire` itself if there was nothing to change.
        """
        changed: list[Any] | None = None
        exceeded: Sequence[int] = ()
        try:
            for columns, formula in self._blocks:
                before = columns.pick(wire)
                after = formula(before)
                if after is None:
                    return None
                if after is not before:
                    if changed is None:
                        changed = list(wire)
                    columns.put(changed, after)
            if self._limited:
                values = self._limited.pick(wire if changed is None else changed)
                rows = zip(self._limited.positions, values, self._lows, self._highs, strict=True)
                exceeded = [column for column, value, low, high in rows if not low <= value <= high]
        except (TypeError, OverflowError):
            return None
        out: Sequence[Any] = wire if changed is None else changed
        return self._odd(out, exceeded) if exceeded or self._arrays else (out, None)

    def _odd(self, out: Sequence[Any], exceeded: Sequence[int]) -> tuple[Sequence[Value], list[int] | None]:
        """What a row of scalars has no time for: columns beyond their range, and arrays."""
        values, qualities = list(out), [0] * len(out)
        for column in exceeded:
            values[column], qualities[column] = self._limit(column, out[column], 0)
        for column in self._arrays:
            convert = self._converters[column]
            assert convert is not None
            values[column], qualities[column] = convert(out[column])
        return values, qualities if any(qualities) else None

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
                out[column], codes[column] = None, quality
            else:
                codes[column] = _joined(quality, codes[column])
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
                    quality = _joined(quality, code)
                if value is not None and self._limits[column] is not None:
                    value, quality = self._limit(column, value, quality)
            out.append(value)
            codes.append(quality)
        return out, codes

    def _limit(self, column: int, value: Any, quality: int) -> tuple[Value, int]:
        found = self._limits[column]
        assert found is not None
        return found.apply(value, quality)


def _converter(rules: TagRules) -> Converter | None:
    """None if every good value passes as it is."""
    if rules.count is not None:
        return array_converter(rules)
    return converter(rules) if needs_conversion(rules) else None


def _joined(quality: int, code: int) -> int:
    """The wire's quality, not bad, and ours: a bad one counts, else the wire's own unless it is good."""
    return code if is_bad(code) or (code and is_good(quality)) else quality
