"""Short ways to write Modbus points, groups and devices in tests."""

from __future__ import annotations

from typing import Any

from drivers.modbus import KIND
from gateway.driver import Point, PollGroup
from gateway.model import DataType
from tests.support.groups import group_of


def point(
    path: str,
    address: str,
    type: DataType = DataType.UINT16,  # noqa: A002
    count: int | None = None,
    **options: Any,
) -> Point:
    return Point(path, type, KIND.tag_options(address=address, **options), count)


def group(*points: Point, writable: bool = False) -> PollGroup:
    return group_of(*points, device="filler1", writable=writable)
