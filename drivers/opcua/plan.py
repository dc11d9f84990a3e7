"""A prepared group: where its points are and how their values are made. What depends on a session is learnt later."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.opcua.address import Address
from drivers.opcua.options import OF_SUBSCRIPTIONS, TagOptions
from drivers.opcua.profiles import Limits
from drivers.opcua.values import Converter
from gateway.driver import Point, PointError, PollGroup
from gateway.model import DataType


class Kind(enum.Enum):
    """What a tag stands for."""

    VALUE = "value"
    EVENTS = "events"
    METHOD = "method"


@dataclass(frozen=True, slots=True)
class Column:
    """One point without an error."""

    index: int
    kind: Kind
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
                self.columns.append(_column(index, point, group))
            except ValueError as error:
                errors.append(PointError(point.path, str(error)))
        self._errors = tuple(errors)
        self.in_error = tuple(sorted(set(range(len(group.points))) - {column.index for column in self.columns}))
        self.complaints: set[tuple[int, int]] = set()
        """(column, quality) of what has been said about a tag, so that it is said once."""
        self.heard_ticks = [0] * len(group.points)
        """Source time of what was last reported of each column, over all sessions."""
        self.gap_ticks = [0] * len(group.points)
        """The same, of columns whose next value comes after a gap."""
        self.begun = False
        """Whether there was a subscription before."""

    @property
    def errors(self) -> Sequence[PointError]:
        return self._errors

    @property
    def asks(self) -> bool:
        return any(column.kind is not Kind.METHOD for column in self.columns)

    def describe(self) -> Sequence[str]:
        subscribed = self.group.subscribed
        verb = "subscribe to" if subscribed else "read"
        total = sum(column.kind is not Kind.METHOD for column in self.columns)
        step = (self._limits.items_per_call if subscribed else self._limits.nodes_per_read) or max(total, 1)
        counts = [min(step, total - start) for start in range(0, total, step)]
        return [f"{verb} {count} {'nodes' if count != 1 else 'node'}" for count in counts]


def _column(index: int, point: Point, group: PollGroup) -> Column:
    options: TagOptions = point.options
    if point.type is DataType.FLOAT16:
        raise ValueError("OPC UA has no float16: set type = 'float32'")
    kind = Kind.EVENTS if options.events else Kind.METHOD if options.method is not None else Kind.VALUE
    if kind is not Kind.VALUE and (point.type is not DataType.JSON or point.count is not None):
        raise ValueError(
            f"{'events are' if options.events else 'a method is'} JSON: set type = 'json', without 'count'"
        )
    if kind is Kind.EVENTS and not group.subscribed:
        raise ValueError("events can't be polled: put the tag into a group of mode = 'subscribe'")
    if kind is Kind.EVENTS and group.layout.tags[index].writable:
        raise ValueError("events can't be written: drop 'writable'")
    if not group.subscribed and (given := options.model_fields_set & OF_SUBSCRIPTIONS):
        raise ValueError(f"'{min(given)}' is for subscribed tags, and group {group.name!r} is polled: drop it")
    if options.deadband is not None and not (point.type.is_numeric or point.type is DataType.JSON):
        raise ValueError(f"'{options.deadband}' is for numbers, and this is a {point.type}: drop it")
    return Column(index, kind, options.node, Converter(point), options)
