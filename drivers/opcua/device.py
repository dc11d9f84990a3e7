"""One device: what of a server's address space is read, subscribed to, written and called."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from weakref import WeakKeyDictionary

from drivers.opcua import services
from drivers.opcua.binding import Binding
from drivers.opcua.browse import browse
from drivers.opcua.bus import OpcUaBus
from drivers.opcua.options import DeviceOptions
from drivers.opcua.plan import OpcUaPlan
from drivers.opcua.reading import read_all
from drivers.opcua.session import configured_limits
from gateway.driver import Item, Plan, PollGroup
from gateway.model import Batch


class OpcUaDevice:
    """Implements :class:`gateway.driver.Driver`."""

    def __init__(self, bus: OpcUaBus, name: str, options: DeviceOptions) -> None:
        self._bus = bus
        self._name = name
        self._options = options
        self._times = services.SOURCE_TIME if options.timestamp == "source" else services.SERVER_TIME
        self._bindings: WeakKeyDictionary[OpcUaPlan, Binding] = WeakKeyDictionary()

    def plan(self, group: PollGroup) -> OpcUaPlan:
        return OpcUaPlan(group, configured_limits(self._bus.options))

    async def read(self, plan: Plan) -> Batch:
        """See :meth:`gateway.driver.Driver.read`. The batch is stamped when its last reply was complete."""
        assert isinstance(plan, OpcUaPlan)
        binding = await self._bind(plan)
        values = await read_all(binding.session, binding.packed, self._times)
        return binding.whole(values, time.time_ns(), time.monotonic_ns(), self._times)

    def browse(self, start: str | None, depth: int | None) -> AsyncIterator[Item]:
        """See :meth:`gateway.driver.Browses.browse`."""
        return browse(self._bus.session, start, depth)

    async def _bind(self, plan: OpcUaPlan) -> Binding:
        """The plan as it is under the present session. Raises LinkDown or DeviceSilent."""
        session = self._bus.session
        binding = self._bindings.get(plan)
        if binding is None or binding.session is not session:
            binding = self._bindings[plan] = await Binding.of(plan, session, self._name)
        return binding
