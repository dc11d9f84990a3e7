"""Conversion of arrays: each element like a value of its own, and one quality for the whole.

- An element that can't be published (NaN, out of its type's range) or that the device doesn't have is None.
- If only some are None, the value is UncertainSubNormal; if all are, it is None with the first one's quality.
- If one is outside the engineering range, the value is UncertainEngineeringUnitsExceeded; clamping is by element.
- Another number of elements than the configured one is BadOutOfRange.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.model import Quality, Scalar, Value
from gateway.pipeline.blocks import block
from gateway.pipeline.limits import limit
from gateway.pipeline.scale import Converter, converter, needs_conversion
from gateway.settings import TagRules

_EXCEEDED = int(Quality.UNCERTAIN_ENGINEERING_UNITS_EXCEEDED)
_SUB_NORMAL = int(Quality.UNCERTAIN_SUB_NORMAL)
_MISSING: tuple[None, int] = (None, int(Quality.BAD))


def array_converter(rules: TagRules, *, limited: bool = True) -> Converter:
    """The rule of one array as a function. Raises ValueError for rules that contradict themselves."""
    count = rules.count
    formula = block(rules)[1] if needs_conversion(rules) else _complete
    convert = converter(rules)
    bounds = limit(rules) if limited else None

    def at_once(wire: Sequence[Any]) -> Sequence[Any] | None:
        """None if an element is out of the ordinary."""
        try:
            published = formula(wire)
            if published is None or (bounds and not bounds.low <= min(published) <= max(published) <= bounds.high):
                return None
        except (TypeError, OverflowError):
            return None
        return published

    def one_by_one(wire: Sequence[Scalar | None]) -> tuple[Value, int]:
        elements: list[Any] = []
        codes: list[int] = []
        for element in wire:
            value, code = _MISSING if element is None else convert(element)
            if value is not None and bounds is not None:
                value, code = bounds.apply(value, code)
            elements.append(value)
            codes.append(code)
        if all(element is None for element in elements):
            return None, codes[0]
        return tuple(elements), _EXCEEDED if _EXCEEDED in codes else _SUB_NORMAL if any(codes) else 0

    def convert_array(wire: Any) -> tuple[Value, int]:
        if not isinstance(wire, tuple):
            return None, int(Quality.BAD_INTERNAL_ERROR)  # the driver broke its contract
        if count and len(wire) != count:
            return None, int(Quality.BAD_OUT_OF_RANGE)
        published = at_once(wire) if wire else wire
        if published is None:
            return one_by_one(wire)
        return published if isinstance(published, tuple) else tuple(published), 0

    return convert_array


def _complete(wire: Sequence[Any]) -> Sequence[Any] | None:
    return None if None in wire else wire
