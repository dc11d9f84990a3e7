"""Poll groups, in short."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.driver import Point, PollGroup
from gateway.model import Layout, Tag


def group_of(
    *points: Point,
    device: str = "device1",
    name: str = "fast",
    interval_s: float = 1.0,
    subscribed: bool = False,
    stale_s: float | None = None,
    units: Sequence[str | None] = (),
    writable: bool = False,
) -> PollGroup:
    """A tag for every point. `units`: of the first ones; the rest has none."""
    wide = [*units, *[None] * len(points)]
    tags = tuple(
        Tag(point.path, point.type, unit=unit, writable=writable, count=point.count)
        for point, unit in zip(points, wide, strict=False)
    )
    return PollGroup(
        name, Layout(device, name, ("acme", "plant1", device), tags), points, interval_s, subscribed, stale_s
    )
