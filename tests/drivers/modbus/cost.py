"""CPU of one 125-register read: this driver, a raw floor and pymodbus's client, side by side against libmodbus.

Run it with ``python -m tests.drivers.modbus.cost``; ADR 0005 quotes what it prints. Not a test: figures depend on the
machine. The three take turns, so that whatever else the machine does hits them alike; the least round counts. Then ten
devices, each on a link of its own, in parallel.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from typing import cast

import uvloop
from pymodbus.client import AsyncModbusTcpClient

from drivers.modbus import KIND
from gateway.driver import Driver, Plan
from tests.drivers.modbus.points import group, point
from tests.support.libmodbus_peer import LibmodbusPeer
from tests.support.site import SITE

ROUNDS = 15
READS = 1000
DEVICES = 10
Read = Callable[[], Awaitable[object]]


class _Floor(asyncio.Protocol):
    """The least that can be done: no checks, no deadline."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.unpack = struct.Struct(">9x125H").unpack
        self.transaction = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    async def read(self) -> tuple[int, ...]:
        self.transaction = self.transaction + 1 & 0xFFFF
        self.waiter = self.loop.create_future()
        self.transport.write(struct.pack(">HHHBBHH", self.transaction, 0, 6, 1, 3, 100, 125))
        return self.unpack(await self.waiter)

    def data_received(self, data: bytes) -> None:
        self.waiter.set_result(data)


async def _measure(port: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    _, floor = await loop.create_connection(_Floor, "127.0.0.1", port)
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    bus = KIND.open_bus("link", KIND.link_options(host="127.0.0.1", port=port), SITE)
    await bus.connect()
    device = KIND.open_device(bus, "device", KIND.device_options())
    plan = device.plan(group(*(point(f"tag{index}", f"hr:{100 + index}") for index in range(125))))
    contenders: dict[str, Read] = {
        "floor": floor.read,
        "tidegate": lambda: device.read(plan),
        "pymodbus": lambda: client.read_holding_registers(100, count=125),
    }
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for name, read in contenders.items():
            before = time.process_time()
            for _ in range(READS):
                await read()
            best[name] = min(best[name], (time.process_time() - before) / READS * 1e6)
    floor.transport.close()
    client.close()
    await bus.close()
    return best


async def _measure_parallel(port: int) -> float:
    """CPU of one read while ten devices are read at the same time, each as fast as it answers."""
    buses = [KIND.open_bus("link", KIND.link_options(host="127.0.0.1", port=port), SITE) for _ in range(DEVICES)]
    points = group(*(point(f"tag{index}", f"hr:{100 + index}") for index in range(125)))
    devices = [KIND.open_device(bus, "device", KIND.device_options()) for bus in buses]
    plans = [device.plan(points) for device in devices]

    async def read_all(device: Driver, plan: Plan) -> None:
        for _ in range(READS // DEVICES):
            await device.read(plan)

    for bus in buses:
        await bus.connect()
    best = float("inf")
    for _ in range(ROUNDS):
        before = time.process_time()
        await asyncio.gather(*map(read_all, devices, plans))
        best = min(best, (time.process_time() - before) / READS * 1e6)
    for bus in buses:
        await bus.close()
    return best


def main() -> None:
    logging.disable()
    with LibmodbusPeer() as peer:
        for loop_name, run in (("asyncio", asyncio.run), ("uvloop", uvloop.run)):
            best = run(_measure(peer.port))
            figures = ", ".join(f"{name} {cost:.1f} µs" for name, cost in best.items())
            parallel = run(_measure_parallel(peer.port))
            sys.stdout.write(f"{loop_name}: {figures}; {DEVICES} devices in parallel {parallel:.1f} µs\n")


if __name__ == "__main__":
    main()
