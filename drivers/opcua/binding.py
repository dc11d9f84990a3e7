"""A plan bound to a session: its nodes as this server counts them, and batches of what they hold."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from drivers.opcua import status
from drivers.opcua.binary import DataValue, NodeId, pack_node_id
from drivers.opcua.plan import Column, Kind, OpcUaPlan
from drivers.opcua.resolver import resolve
from drivers.opcua.session import Garbled, Session
from drivers.opcua.status import ServiceFailed
from drivers.opcua.values import Unfit, ticks_to_ns
from gateway.driver import DeviceSilent
from gateway.model import Batch, DataType, Quality, Value

_log = logging.getLogger(__name__)

RETRY_FIRST_S = 10.0
RETRY_MAX_S = 600.0
"""When a node that isn't there is looked for again; doubled each time."""


class Binding:
    """Good for the life of one session. A *position* is an index into the plan's columns and everything here."""

    def __init__(self, plan: OpcUaPlan, session: Session, device: str) -> None:
        self.plan = plan
        self.session = session
        self.columns = plan.columns
        self.nodes: list[NodeId | None] = [None] * len(plan.columns)
        self.packed: list[bytes] = [b""] * len(plan.columns)
        """The nodes as they stand in a request."""
        self.missing: dict[int, int] = {}
        """Positions without a node, and the status code that says why."""
        self._device = device
        self._delay_s = RETRY_FIRST_S
        self.retry_at = time.monotonic() + RETRY_FIRST_S

    @classmethod
    async def of(cls, plan: OpcUaPlan, session: Session, device: str) -> Binding:
        """Raises LinkDown or DeviceSilent."""
        binding = cls(plan, session, device)
        await binding._resolve(range(len(plan.columns)))
        return binding

    async def retry(self) -> list[int]:
        """Look for missing nodes again, if it is time. Gives the positions found. Raises LinkDown or DeviceSilent."""
        if not self.missing or time.monotonic() < self.retry_at:
            return []
        self._delay_s = min(2 * self._delay_s, RETRY_MAX_S)
        self.retry_at = time.monotonic() + self._delay_s
        missing = sorted(self.missing)
        try:
            await self.session.read_namespaces()
        except Garbled as error:
            raise DeviceSilent(str(error)) from None
        await self._resolve(missing)
        return [position for position in missing if position not in self.missing]

    async def _resolve(self, positions: Sequence[int]) -> None:
        try:
            nodes = await resolve(self.session, [self.columns[position].address for position in positions])
        except Garbled as error:
            raise DeviceSilent(str(error)) from None
        for position, node in zip(positions, nodes, strict=True):
            if isinstance(node, NodeId):
                self.nodes[position], self.packed[position] = node, pack_node_id(node)
                self.missing.pop(position, None)
            else:
                self.missing[position] = node
                column = self.columns[position]
                self.complain(column, node, f"there is no node {column.address} ({status.name(node)})")

    def readable(self) -> list[int]:
        """Positions of values that can be read now."""
        return [
            position
            for position, column in enumerate(self.columns)
            if column.kind is Kind.VALUE and position not in self.missing
        ]

    def value(self, column: Column, data: DataValue) -> tuple[Value, int]:
        """(value, quality) of one column. What doesn't fit its tag is bad, and said once."""
        try:
            return column.converter.convert(data, self.session)
        except Unfit as error:
            if error.quality != Quality.BAD_WAITING_FOR_INITIAL_DATA:
                self.complain(column, error.quality, str(error))
            return None, int(error.quality)

    async def learn(self, values: dict[int, DataValue]) -> None:
        """Look up the structures in `values`, by position. Raises LinkDown or DeviceSilent."""
        for position, data in values.items():
            if self.plan.group.points[self.columns[position].index].type is DataType.JSON:
                self.value(self.columns[position], data)
        await self.look_up()

    async def look_up(self) -> None:
        """Look up the structures that were met. Raises LinkDown or DeviceSilent."""
        try:
            await self.session.structures.learn()
        except (ServiceFailed, Garbled) as error:
            raise DeviceSilent(str(error)) from None

    def whole(self, values: dict[int, DataValue], read_ns: int, mono_ns: int, times: int) -> Batch:
        """A batch of every column of the group; `values` by position."""
        width = len(self.plan.group.points)
        result: list[Value] = [None] * width
        qualities = [int(Quality.BAD_WAITING_FOR_INITIAL_DATA)] * width
        times_ns: list[int | None] = [None] * width
        for index in self.plan.in_error:
            qualities[index] = int(Quality.BAD_CONFIGURATION_ERROR)
        for position, code in self.missing.items():
            qualities[self.columns[position].index] = code
        for position, data in values.items():
            column = self.columns[position]
            result[column.index], quality = self.value(column, data)
            qualities[column.index] = int(quality)
            times_ns[column.index] = ticks_to_ns(data.server_ticks if times else data.source_ticks)
        return Batch(
            self.plan.group.layout,
            read_ns,
            mono_ns,
            tuple(result),
            tuple(qualities) if any(qualities) else None,
            source_ns=tuple(times_ns) if any(times_ns) else None,
        )

    def complain(self, column: Column, quality: int, message: str) -> None:
        """Say what is wrong with a tag, once for every quality that comes of it."""
        said = (column.index, quality)
        if said not in self.plan.complaints:
            self.plan.complaints.add(said)
            _log.warning("device %s, tag %s: %s", self._device, self.plan.group.points[column.index].path, message)
