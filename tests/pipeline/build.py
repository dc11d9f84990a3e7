"""Groups and batches for the pipeline's tests."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.driver import Point, PollGroup
from gateway.model import Batch, DataType, Layout, Tag, Value
from gateway.settings import GroupSettings, ReportPolicy, TagRules

U16 = TagRules(DataType.UINT16, DataType.UINT16)


def group(*rules: TagRules, interval_s: float = 0.0) -> GroupSettings:
    layout = Layout(
        "d",
        "g",
        ("acme", "plant1", "d"),
        tuple(Tag(f"t{i}", rule.type, count=rule.count) for i, rule in enumerate(rules)),
    )
    points = tuple(
        Point(tag.path, rule.wire_type, None, rule.count) for tag, rule in zip(layout.tags, rules, strict=True)
    )
    return GroupSettings(PollGroup("g", layout, points, interval_s), rules)


def batch(
    settings: GroupSettings,
    values: Sequence[Value],
    qualities: Sequence[int] | None = None,
    *,
    at_s: float = 0.0,
    columns: Sequence[int] | None = None,
    source_ns: Sequence[int | None] | None = None,
) -> Batch:
    mono_ns = 10**12 + round(at_s * 1e9)
    return Batch(settings.poll.layout, 1, mono_ns, values, qualities, columns, source_ns, trusted=False)


def policy(
    wire: DataType = DataType.INT64,
    deadband: float | None = None,
    percent: float | None = None,
    least_s: float = 0.0,
    most_s: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> TagRules:
    return TagRules(wire, wire, low=low, high=high, report=ReportPolicy(deadband, percent, least_s, most_s))


def rows(result: Batch | None) -> dict[int, tuple[Value, int]]:
    """Column → value and quality."""
    if result is None:
        return {}
    columns = range(len(result.values)) if result.columns is None else result.columns
    qualities = [0] * len(result.values) if result.qualities is None else result.qualities
    return dict(zip(columns, zip(result.values, qualities, strict=True), strict=True))
