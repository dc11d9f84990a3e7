"""Short ways to write Modbus points, groups and devices in tests."""

from __future__ import annotations

from typing import Any

from drivers.modbus import KIND
from gateway.driver import Point, PollGroup
from gateway.model import DataType, Layout, Tag


def point(
    path: str,
    address: str,
    type: DataType = DataType.UINT16,  # noqa: A002
    count: int | None = None,
    **options: Any,
) -> Point:
    return Point(path, type, KIND.tag_options(address=address, **options), count)


def group(*points: Point, writable: bool = False) -> PollGroup:
    tags = tuple(Tag(point.path, point.type, writable=writable, count=point.count) for point in points)
    return PollGroup("fast", Layout("filler1", "fast", ("acme", "plant1", "filler1"), tags), points, 1.0)
