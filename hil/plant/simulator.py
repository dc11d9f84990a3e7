"""The plant on a clock: steps the process and serves its devices."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

from hil.plant.maps import DEVICES, ENDPOINTS
from hil.plant.process import Process
from hil.plant.registers import Bank
from hil.plant.server import ModbusServer

STEP_S = 0.1
_MOST_CATCHING_UP_S = 1.0
"""After a longer pause of the machine the plant's time stands still instead."""
WARM_UP_S = 5.0


class Plant:
    """The process and a Modbus TCP server for each endpoint.

    ``async with`` starts and stops the servers; ``run`` moves time.
    """

    def __init__(self, seed: int = 1, host: str = "127.0.0.1", ports: Mapping[str, int] | None = None) -> None:
        """`ports` fixes endpoints' ports; the others take any free one."""
        self.process = Process(seed)
        self.process.step(WARM_UP_S)
        self.banks = {device.name: Bank(device, self.process) for device in DEVICES}
        self._servers = {
            endpoint: ModbusServer(
                {device.unit: self.banks[device.name] for device in DEVICES if device.endpoint == endpoint},
                host,
                (ports or {}).get(endpoint, 0),
            )
            for endpoint in ENDPOINTS
        }
        self._stack = AsyncExitStack()

    @property
    def ports(self) -> dict[str, int]:
        """Endpoint → TCP port, once started."""
        return {endpoint: server.port for endpoint, server in self._servers.items()}

    async def __aenter__(self) -> Plant:
        """Raises OSError if a port can't be had."""
        async with AsyncExitStack() as stack:
            for server in self._servers.values():
                await stack.enter_async_context(server)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def step(self, dt: float) -> None:
        """Advance the process by `dt` seconds and show its state in the registers."""
        self.process.step(dt)
        for bank in self.banks.values():
            bank.refresh()

    async def run(self) -> None:
        """Step on the wall's time until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + STEP_S, loop.time() - _MOST_CATCHING_UP_S)
            await asyncio.sleep(due - loop.time())
            self.step(STEP_S)
