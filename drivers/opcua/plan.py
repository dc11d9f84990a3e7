"""A prepared group: where its points are and how their values are made. What depends on a session is learnt later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drivers.opcua.address import Address
from drivers.opcua.options import TagOptions
from drivers.opcua.profiles import Limits
from drivers.opcua.values import Converter
from gateway.driver import Point, PointError, PollGroup
from gateway.model import DataType


@dataclass(frozen=True, slots=True)
class Column:
    """One point that can be read."""

    index: int
    address: Address
    converter: Converter
    options: TagOptions


class OpcUaPlan:
    """Implements :class:`gateway.driver.Plan`. Belongs to one device."""

    def __init__(self, group: PollGroup, limits: Limits) -> None:
        self.group = group
        self._limits = limits
        self.columns: list[Column] = []
        errors: list[PointError] = []
        for index, point in enumerate(group.points):
            try:
                self.columns.append(_column(index, point))
            except ValueError as error:
                errors.append(PointError(point.path, str(error)))
        self._errors = tuple(errors)
        self.complaints: set[tuple[int, int]] = set()
        """(column, quality) of what has been said about a tag, so that it is said once."""
        self.in_error = tuple(sorted(set(range(len(group.points))) - {column.index for column in self.columns}))

    @property
    def errors(self) -> Sequence[PointError]:
        return self._errors

    @property
    def asks(self) -> bool:
        return bool(self.columns)

    def describe(self) -> Sequence[str]:
        size, verb = (
            (self._limits.items_per_call, "subscribe to")
            if self.group.subscribed
            else (self._limits.nodes_per_read, "read")
        )
        total = len(self.columns)
        step = size or max(total, 1)
        counts = [min(step, total - start) for start in range(0, total, step)]
        return [f"{verb} {count} {'nodes' if count != 1 else 'node'}" for count in counts]


def _column(index: int, point: Point) -> Column:
    if point.type is DataType.FLOAT16:
        raise ValueError("OPC UA has no float16: set type = 'float32'")
    return Column(index, point.options.node, Converter(point), point.options)
