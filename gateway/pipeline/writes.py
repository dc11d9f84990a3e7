"""One value at a time, there and back: for writes and probes, not the hot path."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from fractions import Fraction

from gateway.model import DataType, Quality, Scalar, Value
from gateway.pipeline.arrays import array_converter
from gateway.pipeline.scale import NARROW, converter, decimal
from gateway.settings import TagRules

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z", re.ASCII)


class NotRepresentable(ValueError):
    """A value has no exact counterpart on the other side of the scaling. The message is one sentence for a user."""


def to_published(rules: TagRules, wire: Value) -> tuple[Value, int]:
    """One wire value as it is published, with its quality, without limits."""
    if wire is None:
        return None, int(Quality.BAD_INTERNAL_ERROR)
    convert = converter(rules) if rules.count is None else array_converter(rules, limited=False)
    return convert(wire)


def to_wire(rules: TagRules, value: Value) -> Value:
    """The wire value that publishes as `value`: the exact inverse of the scaling, for every element of an array.

    Raises NotRepresentable if `value` is of the wrong kind or length, outside the limits of writing or between their
    steps, not finite, outside the wire type or between two wire values.
    """
    if rules.count is None:
        return _to_wire(rules, value)
    if not isinstance(value, tuple):
        raise NotRepresentable(f"{value!r} isn't an array")
    if rules.count and len(value) != rules.count:
        raise NotRepresentable(f"the array has {len(value)} elements, but the tag has {rules.count}")
    return tuple(_element_to_wire(rules, position, element) for position, element in enumerate(value))


def _element_to_wire(rules: TagRules, position: int, element: Scalar | None) -> Scalar:
    try:
        return _to_wire(rules, element)
    except NotRepresentable as error:
        raise NotRepresentable(f"element {position}: {error}") from None


def _to_wire(rules: TagRules, value: Value) -> Scalar:
    wire, out = rules.wire_type, rules.type
    if out.is_text:
        return _text_to_wire(out, value)
    if out is DataType.BOOL:
        if not isinstance(value, bool):
            raise NotRepresentable(f"{value!r} isn't a bool")
        if wire is out and not rules.scaled:
            return value
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise NotRepresentable(f"{value!r} isn't a number")
    assert isinstance(value, int | float)
    if not math.isfinite(value):
        raise NotRepresentable(f"{value!r} can't be written")
    _within(rules, value)
    if rules.scale == 0:
        raise NotRepresentable("a tag with scale 0 can't be written")
    exact = Fraction(value) if isinstance(value, int) else decimal(value)
    source = (exact - decimal(rules.offset)) / decimal(rules.scale)
    if wire.is_float:
        try:
            result = value if isinstance(value, float) and not rules.scaled else float(source)
            narrow = NARROW.get(wire)
            if narrow:
                result = narrow.unpack(narrow.pack(result))[0]
        except OverflowError:
            raise NotRepresentable(f"{value!r} is beyond what {wire} holds") from None
        return result
    number = round(source)
    # A float64 may have had too few digits for the exact value: what publishes as it is what is meant.
    if number != source and converter(rules)(number) != (value, 0):
        raise NotRepresentable(f"{value!r} is between two steps of the device (scale {rules.scale})")
    if wire is DataType.BOOL:
        if number not in (0, 1):
            raise NotRepresentable(f"{value!r} is neither on nor off")
        return bool(number)
    low, high = wire.bounds
    if not low <= number <= high:
        raise NotRepresentable(f"{value!r} is beyond what {wire} holds")
    return number


def _within(rules: TagRules, value: int | float) -> None:
    """Raises NotRepresentable outside the limits, or between two steps."""
    low, high = rules.write_limits
    if low is not None and value < low:
        raise NotRepresentable(f"{value!r} is under the least value that may be written, {low:.15g}")
    if high is not None and value > high:
        raise NotRepresentable(f"{value!r} is over the greatest value that may be written, {high:.15g}")
    step = rules.write.step if rules.write is not None else None
    if step is None:
        return
    start = 0.0 if low is None else low
    exact = Fraction(value) if isinstance(value, int) else decimal(value)
    if (exact - decimal(start)) % decimal(step):
        raise NotRepresentable(f"{value!r} is between two steps: only {start:.15g} and steps of {step:.15g} from there")


def _text_to_wire(kind: DataType, value: Value) -> str:
    if not isinstance(value, str):
        raise NotRepresentable(f"{value!r} isn't a {kind}")
    if kind is DataType.BYTES:
        if not _HEX.fullmatch(value):
            raise NotRepresentable(f"{value!r} isn't bytes as pairs of hexadecimal digits, such as '00ff'")
        return value.lower()
    if kind is DataType.DATETIME and not _is_moment(value):
        raise NotRepresentable(f"{value!r} isn't a moment in UTC as RFC 3339 writes it, such as '2026-01-31T12:00:00Z'")
    if kind is DataType.JSON and not _is_json(value):
        raise NotRepresentable(f"{value!r} isn't JSON")
    return value


def _is_moment(text: str) -> bool:
    found = _MOMENT.fullmatch(text)
    try:
        return found is not None and bool(datetime.fromisoformat(found[1]))
    except ValueError:
        return False


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}")
