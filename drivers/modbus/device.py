"""One Modbus server on a bus: what the runtime calls. The everyday read is here, what needs care is elsewhere."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Generic, TypeVar

from drivers.modbus.bus import ModbusBus
from drivers.modbus.careful import CarefulReader
from drivers.modbus.errors import Refused, ReplyTimeout
from drivers.modbus.explore import Explorer
from drivers.modbus.identity import Identity
from drivers.modbus.memory import Memory
from drivers.modbus.options import DeviceOptions
from drivers.modbus.plan import ReadPlan
from drivers.modbus.writes import Writer
from gateway.driver import Decoding, Item, Plan, Point, PollGroup
from gateway.model import Batch, Value

P = TypeVar("P")
_NEVER = math.inf


def memory_of(bus: ModbusBus[P], name: str, options: DeviceOptions) -> Memory:
    """What is remembered of a device, as long as it and its place on the bus are configured as they were."""
    if bus.state is None:
        return Memory()
    configured = f"{bus.options.peer}\n{options.model_dump_json()}"
    return Memory(bus.state / f"{name}.json", hashlib.sha256(configured.encode()).hexdigest())


class ModbusDevice(Generic[P]):
    """Implements :class:`gateway.driver.Driver`; its powers: Writes, Previews, Browses, Decodes and Identifies."""

    def __init__(self, bus: ModbusBus[P], name: str, options: DeviceOptions, memory: Memory | None = None) -> None:
        self._bus = bus
        self._options = options
        self._memory = memory or Memory()
        self._identity = Identity()
        self._careful = CarefulReader(bus, name, options, self._memory, self._identity)
        self._writer = Writer(bus, name, options)
        self._explorer = Explorer(bus, options)

    def plan(self, group: PollGroup) -> ReadPlan[P]:
        return ReadPlan(group, self._options, self._bus, self._memory, self._identity)

    async def read(self, plan: Plan) -> Batch:
        """See :meth:`gateway.driver.Driver.read`. The batch is stamped when its last reply was complete."""
        assert isinstance(plan, ReadPlan)
        bus = self._bus
        plan.keep_up()
        parts: list[tuple[Value, ...]] = []
        if (
            plan.first
            or not plan.requests
            or (plan.review_at < _NEVER and plan.review_at <= time.monotonic())
            or (plan.objects and plan.wants_identity)
        ):
            return await self._careful.read(plan, parts, None)
        try:
            for request in plan.requests:
                # One by one: what came before a fault is kept.
                parts.append(request.decode(await bus.transact(request.prepared)))  # noqa: PERF401
        except (ReplyTimeout, Refused) as fault:
            return await self._careful.read(plan, parts, fault)
        return plan.assemble(parts, bus.reply_ns, bus.reply_mono_ns)

    async def write(self, point: Point, value: Value) -> Value:
        """See :meth:`gateway.driver.Writes.write`."""
        return await self._writer.write(point, value)

    def preview(self, point: Point, value: Value) -> Sequence[str]:
        """See :meth:`gateway.driver.Previews.preview`."""
        return self._writer.preview(point, value)

    def browse(self, start: str | None, depth: int | None) -> AsyncIterator[Item]:
        """See :meth:`gateway.driver.Browses.browse`. Folders are the tables and the identification."""
        return self._explorer.browse(start, depth)

    async def decode(self, address: str) -> Sequence[Decoding]:
        """See :meth:`gateway.driver.Decodes.decode`."""
        return await self._explorer.decode(address)

    async def identify(self) -> Mapping[str, str]:
        """See :meth:`gateway.driver.Identifies.identify`."""
        return await self._explorer.identify()
