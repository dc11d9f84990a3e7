"""A plan bound to a session: its nodes as this server counts them, and batches of what they hold."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from drivers.opcua import status
from drivers.opcua.address import NodeAddress, PathAddress
from drivers.opcua.binary import DataValue, NodeId, pack_node_id
from drivers.opcua.plan import Column, OpcUaPlan
from drivers.opcua.resolver import resolve
from drivers.opcua.session import Garbled, Session
from drivers.opcua.values import Unfit, ticks_to_ns
from gateway.driver import DeviceSilent
from gateway.model import Batch, Quality, Value

_log = logging.getLogger(__name__)


class Binding:
    """Good for the life of one session. `columns[i]` is the node `nodes[i]`, packed as `packed[i]`."""

    def __init__(self, plan: OpcUaPlan, session: Session, device: str, nodes: Sequence[NodeId | int]) -> None:
        self.plan = plan
        self.session = session
        self.columns: list[Column] = []
        self.nodes: list[NodeId] = []
        self.failed: dict[int, int] = {index: int(Quality.BAD_CONFIGURATION_ERROR) for index in plan.in_error}
        """Columns without a node, and the quality that says why."""
        self._device = device
        for column, node in zip(plan.columns, nodes, strict=True):
            if isinstance(node, NodeId):
                self.columns.append(column)
                self.nodes.append(node)
            else:
                self.failed[column.index] = node
                self._complain(column, node, f"there is no node {column.address} ({status.name(node)})")
        self.packed = [pack_node_id(node) for node in self.nodes]

    @classmethod
    async def of(cls, plan: OpcUaPlan, session: Session, device: str) -> Binding:
        """Raises LinkDown or DeviceSilent."""
        addresses: list[NodeAddress | PathAddress] = [column.address for column in plan.columns]
        try:
            nodes = await resolve(session, addresses)
        except Garbled as error:
            raise DeviceSilent(str(error)) from None
        return cls(plan, session, device, nodes)

    def value(self, column: Column, data: DataValue) -> tuple[Value, int]:
        """(value, quality) of one column. What doesn't fit its tag is bad, and said once."""
        try:
            return column.converter.convert(data, self.session)
        except Unfit as error:
            self._complain(column, error.quality, str(error))
            return None, int(error.quality)

    def whole(self, values: Sequence[DataValue], read_ns: int, mono_ns: int, times: int) -> Batch:
        """A batch of every column of the group; `values` are those of `columns`."""
        width = len(self.plan.group.points)
        result: list[Value] = [None] * width
        qualities = [0] * width
        times_ns: list[int | None] = [None] * width
        for index, code in self.failed.items():
            qualities[index] = code
        for column, data in zip(self.columns, values, strict=True):
            index = column.index
            result[index], qualities[index] = self.value(column, data)
            times_ns[index] = ticks_to_ns(data.server_ticks if times else data.source_ticks)
        return Batch(
            self.plan.group.layout,
            read_ns,
            mono_ns,
            tuple(result),
            tuple(map(int, qualities)) if any(qualities) else None,
            source_ns=tuple(times_ns) if any(times_ns) else None,
        )

    def _complain(self, column: Column, quality: int, message: str) -> None:
        said = (column.index, quality)
        if said not in self.plan.complaints:
            self.plan.complaints.add(said)
            _log.warning("device %s, tag %s: %s", self._device, self.plan.group.points[column.index].path, message)
