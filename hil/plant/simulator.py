"""The plant on a clock: steps the process and serves its devices, each in its own protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from hil.plant.maps import DEVICES, ENDPOINTS
from hil.plant.opcua import OpcUaServer
from hil.plant.process import Process
from hil.plant.registers import Bank
from hil.plant.scale import Scale
from hil.plant.server import ModbusServer

STEP_S = 0.1
_MOST_CATCHING_UP_S = 1.0
"""After a longer pause of the machine the plant's time stands still instead."""
WARM_UP_S = 40.0
"""Long enough for the first bottles to have passed the last machine."""


class Plant:
    """The process, a Modbus TCP server for each Modbus endpoint, an OPC UA server and a scale on a serial port.

    ``async with`` starts and stops the servers; ``run`` moves time.
    """

    def __init__(self, seed: int = 1, host: str = "127.0.0.1", ports: Mapping[str, int] | None = None) -> None:
        """`ports` fixes endpoints' ports; the others take any free one."""
        self.process = Process(seed)
        self.process.step(WARM_UP_S)
        self.banks = {device.name: Bank(device, self.process) for device in DEVICES if device.protocol == "modbus"}
        self._modbus = {
            endpoint: ModbusServer(
                {device.unit: self.banks[device.name] for device in DEVICES if device.endpoint == endpoint},
                host,
                (ports or {}).get(endpoint, 0),
            )
            for endpoint, protocol in ENDPOINTS.items()
            if protocol == "modbus"
        }
        self._opcua = {
            device.endpoint: OpcUaServer(device, self.process, host, (ports or {}).get(device.endpoint, 0))
            for device in DEVICES
            if device.protocol == "opcua"
        }
        self._scales = {
            device.endpoint: Scale(self.process.checkweigher) for device in DEVICES if device.protocol == "sics"
        }
        self._stack = AsyncExitStack()

    @property
    def ports(self) -> dict[str, int]:
        """Endpoint → TCP port, once started."""
        return {endpoint: server.port for endpoint, server in (self._modbus | self._opcua).items()}

    @property
    def paths(self) -> dict[str, str]:
        """Endpoint → serial port, once started."""
        return {endpoint: scale.path for endpoint, scale in self._scales.items()}

    async def __aenter__(self) -> Plant:
        """Raises OSError if a port can't be had."""
        async with AsyncExitStack() as stack:
            parts: list[AbstractAsyncContextManager[object]] = [
                *self._modbus.values(),
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
