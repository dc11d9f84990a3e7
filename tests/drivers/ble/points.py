"""Points and groups of the Bluetooth driver, in short."""

from __future__ import annotations

from typing import Any

from drivers.ble import KIND
from gateway.driver import Point, PollGroup
from gateway.model import DataType, Layout, Tag


def tag(path: str, type_: str, **options: Any) -> Point:
    return Point(path, DataType(type_), KIND.tag_options(**options))


def group(*points: Point, name: str = "main", interval_s: float = 60.0, subscribed: bool = True) -> PollGroup:
    tags = tuple(Tag(point.path, point.type) for point in points)
    return PollGroup(name, Layout("device1", name, ("acme", "plant1", "device1"), tags), points, interval_s, subscribed)
