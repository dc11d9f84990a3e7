"""One device: what of a server's address space is read, subscribed to, written and called."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping

from drivers.opcua import services, writing
from drivers.opcua.binding import Binding
from drivers.opcua.browse import browse
from drivers.opcua.bus import OpcUaBus
from drivers.opcua.identity import identify
from drivers.opcua.options import DeviceOptions
from drivers.opcua.plan import OpcUaPlan
from drivers.opcua.reading import read_all
from drivers.opcua.session import configured_limits
from drivers.opcua.subscription import Subscription
from gateway.driver import Item, NotWritten, Plan, Point, PollGroup, Receiver
from gateway.model import Batch, Value


class OpcUaDevice:
    """Implements Driver, Subscribes, Releases, Writes, Browses and Identifies of :mod:`gateway.driver`."""

    def __init__(self, bus: OpcUaBus, name: str, options: DeviceOptions) -> None:
        self._bus = bus
        self._name = name
        self._options = options
        self._times = services.SOURCE_TIME if options.timestamp == "source" else services.BOTH_TIMES
        self._bindings: dict[OpcUaPlan, Binding] = {}

    def plan(self, group: PollGroup) -> OpcUaPlan:
        return OpcUaPlan(group, configured_limits(self._bus.options))

    async def read(self, plan: Plan) -> Batch:
        """See :meth:`gateway.driver.Driver.read`. The batch is stamped when its last reply was complete."""
        assert isinstance(plan, OpcUaPlan)
        binding = await self._bind(plan)
        await binding.retry()
        positions = binding.readable()
        values = await read_all(binding.session, [binding.packed[position] for position in positions], self._times)
        by_position = dict(zip(positions, values, strict=True))
        await binding.learn(by_position)
        return binding.whole(by_position, time.time_ns(), time.monotonic_ns(), self._times)

    async def subscribe(self, plan: Plan, receiver: Receiver) -> None:
        """See :meth:`gateway.driver.Subscribes.subscribe`."""
        assert isinstance(plan, OpcUaPlan)
        bus = self._bus
        key = (self._name, plan.group.name)
        binding = await self._bind(plan)
        publisher = bus.publisher
        assert publisher is not None
        previous = bus.subscriptions.pop(key, None)
        if previous is not None:
            await previous.close()
        kept = bus.kept.pop(key, None)
        subscription = Subscription(binding, publisher, receiver, self._name, self._options)
        try:
            await subscription.open(kept if kept is not None and kept.plan is plan else None)
        except BaseException:
            subscription.stop()
            raise
        bus.subscriptions[key] = subscription

    async def release(self, group: str | None) -> None:
        """See :meth:`gateway.driver.Releases.release`. The server deletes the subscription."""
        mine = [plan for plan in self._bindings if group in (None, plan.group.name)]
        for plan in mine:
            del self._bindings[plan]
        bus = self._bus
        for key, subscription in [*bus.subscriptions.items()]:
            if subscription.plan in mine:
                del bus.subscriptions[key]
                await subscription.close()
        for key, kept in [*bus.kept.items()]:
            if kept.plan in mine:
                del bus.kept[key]
                await kept.forsake(bus.session)

    async def write(self, point: Point, value: Value) -> Value:
        """See :meth:`gateway.driver.Writes.write`."""
        session = self._bus.session
        if point.options.events:
            raise NotWritten(f"{point.path} can't be written: it is events")
        if point.options.method is not None:
            return await writing.call(session, point, value)
        return await writing.write(session, point, value, self._options.read_back_delay_ms / 1000)

    def browse(self, start: str | None, depth: int | None) -> AsyncIterator[Item]:
        """See :meth:`gateway.driver.Browses.browse`."""
        return browse(self._bus.session, start, depth)

    async def identify(self) -> Mapping[str, str]:
        """See :meth:`gateway.driver.Identifies.identify`."""
        return await identify(self._bus.session)

    async def _bind(self, plan: OpcUaPlan) -> Binding:
        """The plan as it is under the present session. Raises LinkDown or DeviceSilent."""
        session = self._bus.session
        binding = self._bindings.get(plan)
        if binding is None or binding.session is not session:
            binding = self._bindings[plan] = await Binding.of(plan, session, self._name)
        return binding
