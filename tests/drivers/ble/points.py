"""Points and groups of the Bluetooth driver, in short."""

from __future__ import annotations

from typing import Any

from drivers.ble import KIND
from gateway.driver import Point, PollGroup
from gateway.model import DataType
from tests.support.groups import group_of


def tag(path: str, type_: str, **options: Any) -> Point:
    return Point(path, DataType(type_), KIND.tag_options(**options))


def group(*points: Point, name: str = "main", interval_s: float = 60.0, subscribed: bool = True) -> PollGroup:
    return group_of(*points, name=name, interval_s=interval_s, subscribed=subscribed)
