"""Which type a tag is published as, and whether its scaling, range and report policy make sense together.

The rule for the published type, where none is given:

- not scaled: the wire type (``float16`` becomes ``float32``);
- an integer scaled by whole numbers: the smallest integer type that holds every possible value, never narrower than
  the wire type;
- scaled otherwise: ``float64``.

For an array all of it is said of its elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import ceil, floor
from typing import NamedTuple

from gateway.model import DataType

_SIGNED = (DataType.INT8, DataType.INT16, DataType.INT32, DataType.INT64)
_UNSIGNED = (DataType.UINT8, DataType.UINT16, DataType.UINT32, DataType.UINT64)
_LARGEST = {
    DataType.FLOAT16: 65504.0,
    DataType.FLOAT32: 3.4028234663852886e38,
    DataType.FLOAT64: 1.7976931348623157e308,
}


class Finding(NamedTuple):
    """What is wrong about one key of a tag."""

    key: tuple[str, ...]
    message: str
    hint: str


class Scaling(NamedTuple):
    """The keys of a tag that decide what is published."""

    wire: DataType
    scale: float
    offset: float
    output: DataType | None
    low: float | None
    high: float | None
    clamp: bool


@lru_cache(maxsize=4096)
def published_type(scaling: Scaling) -> tuple[DataType, tuple[Finding, ...]]:
    """The type a tag is published as, and everything that is wrong with its scaling and range.

    The type is meaningless if there are findings.
    """
    wire, scale, offset, output = scaling[:4]
    if findings := tuple(_range_findings(scaling)):
        return wire, findings
    scaled = scale != 1 or offset != 0
    if not wire.is_numeric:
        if scaled:
            key = "scale" if scale != 1 else "offset"
            return wire, (Finding((key,), f"{_one(wire)} can't be scaled", f"take {key} out, or mend the type"),)
        if output not in (None, wire):
            message = f'output is "{output}", but {_one(wire)} can only be published as it is'
            return wire, (Finding(("output",), message, "take output out"),)
        return wire, ()
    if scale == 0:
        return wire, (
            Finding(("scale",), "scale is 0, so every value would be the same", "take scale out, or mend it"),
        )
    if output is None:
        return _clamped(scaling, *_default_type(scaling, scaled))
    return _clamped(scaling, output, tuple(_output_findings(scaling, output)))


def _one(kind: DataType) -> str:
    return f"a {kind} value" if kind in (DataType.BYTES, DataType.JSON) else f"a {kind}"


def _clamped(scaling: Scaling, output: DataType, findings: tuple[Finding, ...]) -> tuple[DataType, tuple[Finding, ...]]:
    """Clamping publishes the limits themselves, rounded inwards to what the type can hold."""
    low, high = scaling.low, scaling.high
    if scaling.clamp and output.is_integer and low is not None and high is not None and ceil(low) > floor(high):
        message = f"there is no {output} between low ({low:g}) and high ({high:g}) to clamp to"
        findings = (*findings, Finding(("clamp",), message, 'widen the range, or write output = "float64"'))
    return output, findings


def _range_findings(scaling: Scaling) -> list[Finding]:
    wire, low, high, clamp = scaling.wire, scaling.low, scaling.high, scaling.clamp
    if not wire.is_numeric:
        return [
            Finding((key,), f"{_one(wire)} has no engineering range", f"take {key} out")
            for key, given in (("low", low is not None), ("high", high is not None), ("clamp", clamp))
            if given
        ]
    if low is not None and high is not None and low >= high:
        return [Finding(("low",), f"low ({low:g}) must be less than high ({high:g})", "swap them, or mend one")]
    if clamp and low is None and high is None:
        return [Finding(("clamp",), "clamp needs a range to limit to", "give low or high, or take clamp out")]
    return []


def _whole(*numbers: float) -> bool:
    return all(float(number).is_integer() for number in numbers)


def _span(scaling: Scaling) -> tuple[float, float]:
    """Smallest and largest value after scaling. A range or clamp doesn't narrow it: values are converted first."""
    wire = scaling.wire
    least, most = wire.bounds if wire.is_integer else (-_LARGEST[wire], _LARGEST[wire])
    if wire.is_integer and _whole(scaling.scale, scaling.offset):
        scale, offset = int(scaling.scale), int(scaling.offset)
        ends: tuple[float, float] = (least * scale + offset, most * scale + offset)
    else:
        ends = (least * scaling.scale + scaling.offset, most * scaling.scale + scaling.offset)
    return min(ends), max(ends)


def _default_type(scaling: Scaling, scaled: bool) -> tuple[DataType, tuple[Finding, ...]]:
    wire = scaling.wire
    if wire.is_float:
        plain = DataType.FLOAT32 if wire is DataType.FLOAT16 else wire
        return (DataType.FLOAT64 if scaled else plain), ()
    if not _whole(scaling.scale, scaling.offset):
        return DataType.FLOAT64, ()
    if not scaled:
        return wire, ()
    least, most = _span(scaling)
    signed = wire in _SIGNED or least < 0
    width = (_SIGNED if wire in _SIGNED else _UNSIGNED).index(wire)
    for candidate in (_SIGNED if signed else _UNSIGNED)[width:]:
        if candidate.bounds[0] <= least and most <= candidate.bounds[1]:
            return candidate, ()
    message = f"scaled, the values reach from {least:.3g} to {most:.3g}, which no integer type can hold"
    return wire, (Finding(("scale",), message, 'write output = "float64"'),)


def _output_findings(scaling: Scaling, output: DataType) -> list[Finding]:
    wire, scale, offset = scaling.wire, scaling.scale, scaling.offset
    mend = 'write output = "float64"'
    if not output.is_numeric:
        message = f'output is "{output}", but a {wire} can only be published as a number'
        return [Finding(("output",), message, "take output out")]
    if output is DataType.FLOAT16:
        return [Finding(("output",), "float16 is a wire type only, it isn't published", 'write output = "float32"')]
    least, most = _span(scaling)
    if output.is_float:
        largest = _LARGEST[output]
        if least < -largest or most > largest:
            message = f'output = "{output}" can\'t hold the values, which reach from {least:.3g} to {most:.3g}'
            return [Finding(("output",), message, mend)]
        if output is DataType.FLOAT32 and not _exact_as_float32(scaling, least, most):
            message = 'output = "float32" can\'t hold these values without rounding, and no value is rounded silently'
            return [Finding(("output",), message, mend)]
        return []
    if wire.is_float:
        message = f'output = "{output}" would cut the fraction off a {wire}'
        return [Finding(("output",), message, mend)]
    if not _whole(scale, offset):
        key = "offset" if _whole(scale) else "scale"
        value = offset if key == "offset" else scale
        message = f'output = "{output}" can\'t hold the fractions that {key} = {value:g} makes'
        return [Finding(("output",), message, mend)]
    smallest, largest_integer = output.bounds
    if least < smallest or most > largest_integer:
        message = f'output = "{output}" can\'t hold the values, which reach from {least:.15g} to {most:.15g}'
        fitting = next((kind for kind in _fitting(wire) if kind.bounds[0] <= least and most <= kind.bounds[1]), None)
        return [Finding(("output",), message, f'write output = "{fitting}"' if fitting else mend)]
    return []


def _exact_as_float32(scaling: Scaling, least: float, most: float) -> bool:
    """Whether every value the wire can give is a float32 after scaling (IEEE 754 binary32: 24 significant bits)."""
    if scaling.wire.is_float:
        return scaling.wire is not DataType.FLOAT64 and scaling.scale == 1 and scaling.offset == 0
    return _whole(scaling.scale, scaling.offset) and max(-least, most) <= 1 << 24


def _fitting(wire: DataType) -> tuple[DataType, ...]:
    """Integer types in the order they should be proposed."""
    return (*_SIGNED, *_UNSIGNED) if wire in _SIGNED else (*_UNSIGNED, *_SIGNED)


_NO_ARRAYS = {
    DataType.BYTES: "bytes are as long as they are",
    DataType.JSON: "a structure has arrays of its own",
}


def array_findings(wire: DataType, count: int | None) -> list[Finding]:
    """What is wrong with an array of this type."""
    if count is None or wire not in _NO_ARRAYS:
        return []
    return [Finding(("count",), f"there are no arrays of {wire}: {_NO_ARRAYS[wire]}", "take count out")]


def report_findings(
    wire: DataType,
    low: float | None,
    high: float | None,
    deadband: float | None,
    deadband_percent: float | None,
    min_interval_ms: float,
    max_interval_ms: float | None,
) -> list[Finding]:
    """Everything that is wrong with a tag's report policy."""
    findings = []
    if deadband_percent is not None and (low is None or high is None):
        findings.append(
            Finding(
                ("report", "deadband_percent"),
                "deadband_percent needs the range it is a percentage of",
                "give low and high, or use deadband",
            )
        )
    if not wire.is_numeric and deadband:
        findings.append(
            Finding(
                ("report", "deadband"), f"{_one(wire)} has no size of change", "write deadband = 0: any change counts"
            )
        )
    if max_interval_ms is not None and max_interval_ms < min_interval_ms:
        findings.append(
            Finding(
                ("report", "max_interval_ms"),
                f"max_interval_ms ({max_interval_ms:g}) is less than min_interval_ms ({min_interval_ms:g})",
                "swap them, or mend one",
            )
        )
    return findings


def write_findings(
    wire: DataType, writable: bool, low: float | None, high: float | None, given: Mapping[str, float]
) -> list[Finding]:
    """What is wrong with the bounds on writing a tag. `given`: ``min``, ``max`` and ``step``, as far as they are."""
    findings = []
    if not writable:
        message = "write bounds what is written, but the tag isn't writable"
        findings.append(Finding(("write",), message, "write writable = true, or take write out"))
    if not wire.is_numeric:
        findings += [
            Finding(("write", key), f"{_one(wire)} has no size to bound", f"take {key} out of write") for key in given
        ]
    elif low is not None and high is not None and low > high:
        key = "min" if "min" in given else "max"
        message = f"the least value to write ({low:g}) is over the greatest ({high:g})"
        findings.append(Finding(("write", key), message, "mend one of the two"))
    return findings
