"""The plant on a clock: steps the process and serves its devices, each in its own protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from hil.plant.line import RtuLine
from hil.plant.maps import DEVICES
from hil.plant.opcua import OpcUaServer
from hil.plant.process import Process
from hil.plant.registers import Bank, DeviceMap
from hil.plant.scale import Scale
from hil.plant.server import ModbusServer

STEP_S = 0.1
_MOST_CATCHING_UP_S = 1.0
"""After a longer pause of the machine the plant's time stands still instead."""
WARM_UP_S = 40.0
"""Long enough for the first bottles to have passed the last machine."""


class Plant:
    """The process, and what its devices are reached through: a Modbus TCP or OPC UA server each, a serial port each.

    ``async with`` starts and stops the servers; ``run`` moves time.
    """

    def __init__(
        self,
        seed: int = 1,
        host: str = "127.0.0.1",
        ports: Mapping[str, int] | None = None,
        devices: Sequence[DeviceMap] = DEVICES,
    ) -> None:
        """`ports` fixes endpoints' ports; the others take any free one."""
        self.process = Process(seed)
        self.process.step(WARM_UP_S)
        fixed = ports or {}
        self.banks = {
            device.name: Bank(device, self.process) for device in devices if device.protocol in ("modbus", "rtu")
        }
        units: dict[tuple[str, str], dict[int, Bank]] = {}
        for device in devices:
            if device.name in self.banks:
                units.setdefault((device.protocol, device.endpoint), {})[device.unit] = self.banks[device.name]
        self._modbus = {
            endpoint: ModbusServer(banks, host, fixed.get(endpoint, 0))
            for (protocol, endpoint), banks in units.items()
            if protocol == "modbus"
        }
        self._lines = {endpoint: RtuLine(banks) for (protocol, endpoint), banks in units.items() if protocol == "rtu"}
        self._opcua = {
            device.endpoint: OpcUaServer(device, self.process, host, fixed.get(device.endpoint, 0))
            for device in devices
            if device.protocol == "opcua"
        }
        self._scales = {
            device.endpoint: Scale(self.process.checkweigher) for device in devices if device.protocol == "sics"
        }
        self._stack = AsyncExitStack()

    @property
    def ports(self) -> dict[str, int]:
        """Endpoint → TCP port, once started."""
        return {endpoint: server.port for endpoint, server in (self._modbus | self._opcua).items()}

    @property
    def paths(self) -> dict[str, str]:
        """Endpoint → serial port, once started."""
        return {endpoint: port.path for endpoint, port in (self._scales | self._lines).items()}

    async def __aenter__(self) -> Plant:
        """Raises OSError if a port can't be had."""
        async with AsyncExitStack() as stack:
            parts: list[AbstractAsyncContextManager[object]] = [
                *self._modbus.values(),
                *self._lines.values(),
                *self._opcua.values(),
                *self._scales.values(),
            ]
            for part in parts:
                await stack.enter_async_context(part)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def step(self, dt: float) -> None:
        """Advance the process by `dt` seconds and have every device show its state."""
        self.process.step(dt)
        for bank in self.banks.values():
            bank.refresh()
        for scale in self._scales.values():
            scale.refresh()
        for server in self._opcua.values():
            await server.refresh()

    async def run(self) -> None:
        """Step on the wall's time until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + STEP_S, loop.time() - _MOST_CATCHING_UP_S)
            await asyncio.sleep(due - loop.time())
            await self.step(STEP_S)
