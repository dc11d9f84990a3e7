"""An OPC UA link as the runtime would open it, and one who listens."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

from drivers.opcua import KIND
from drivers.opcua.bus import OpcUaBus
from drivers.opcua.device import OpcUaDevice
from drivers.opcua.plan import OpcUaPlan
from gateway.driver import Point, PollGroup
from gateway.model import Batch, DataType, Value
from tests.support import receiver
from tests.support.groups import group_of
from tests.support.opcua_server import NAMESPACE
from tests.support.site import SITE


def point(node: str, kind: DataType, count: int | None = None, **options: Any) -> Point:
    """A tag of the test server's line, named like its node."""
    address = node if "=" in node or node.startswith("/") else f"nsu={NAMESPACE};s={node}"
    return Point(node.replace("/", "_"), kind, KIND.tag_options(node=address, **options), count)


def group(*points: Point, interval_s: float = 0.1, subscribed: bool = True, **options: Any) -> PollGroup:
    return group_of(*points, interval_s=interval_s, subscribed=subscribed, **options)


class Ear(receiver.Ear):
    """Tells what it heard by columns."""

    def take(self, batch: Batch) -> None:
        columns = batch.columns
        assert columns is not None
        assert len(set(columns)) == len(columns) == len(batch.values)
        super().take(batch)

    def confirmations(self, column: int) -> int:
        return sum(list(columns or ()).count(column) for columns in self.confirmed)

    def of(self, column: int, *, history: bool | None = None) -> list[tuple[Value, int, int | None]]:
        """(value, quality, source time in ns) of one column, in order."""
        heard = []
        for batch in self.batches:
            columns = list(batch.columns or ())
            if column in columns and history in (None, batch.history):
                at = columns.index(column)
                quality = batch.qualities[at] if batch.qualities else 0
                heard.append((batch.values[at], quality, batch.source_ns[at] if batch.source_ns else None))
        return heard

    def values(self, column: int = 0, *, history: bool | None = None) -> list[Value]:
        return [value for value, _, _ in self.of(column, history=history)]


@dataclass
class Rig:
    bus: OpcUaBus
    device: OpcUaDevice

    def plan(self, *points: Point, **options: Any) -> OpcUaPlan:
        return self.device.plan(group(*points, **options))

    async def listen(self, plan: OpcUaPlan) -> Ear:
        ear = Ear()
        await self.device.subscribe(plan, ear)
        return ear

    async def reconnect(self, plan: OpcUaPlan) -> Ear:
        """As the runtime does after `down`."""
        await self.bus.close()
        await self.bus.connect()
        return await self.listen(plan)


@contextlib.asynccontextmanager
async def connected(url: str, device: dict[str, Any] | None = None, **link: Any) -> AsyncIterator[Rig]:
    rig = unconnected(url, device, **link)
    try:
        await rig.bus.connect()
        yield rig
    finally:
        await rig.bus.close()


def unconnected(url: str, device: dict[str, Any] | None = None, **link: Any) -> Rig:
    options = KIND.link_options(url=url, security_policy="None", **link)
    bus = KIND.open_bus("link1", options, SITE)
    made = KIND.open_device(bus, "device1", KIND.device_options(**(device or {})))
    return Rig(cast(OpcUaBus, bus), cast(OpcUaDevice, made))
