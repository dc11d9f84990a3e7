"""Nothing is left open: 200 lives of a connection over each transport that the conformance suite doesn't have."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import pytest

from drivers.modbus import KIND
from drivers.modbus.transport.wire import WireBus
from gateway.driver import LinkDown
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.lines import device_on
from tests.drivers.modbus.points import group, point
from tests.drivers.modbus.test_callers import Exchange, Router
from tests.drivers.modbus.test_udp import UdpSlave
from tests.support.descriptors import descriptors
from tests.support.mosquitto import free_port
from tests.support.raw_line import LineSlave
from tests.support.raw_modbus import RawSlave
from tests.support.site import SITE

CYCLES = 200


async def live(slave: RawSlave, cycles: int, **link: Any) -> None:
    options = {"host": "127.0.0.1", "port": slave.port, "timeout_ms": 200, **link}
    bus = KIND.open_bus("link1", KIND.link_options(**options), SITE)
    assert isinstance(bus, WireBus)
    device = device_on(bus)
    plan = device.plan(group(point("a", "hr:100")))
    for cycle in range(cycles):
        await bus.connect()
        assert (await device.read(plan)).qualities is None
        if cycle % 20 == 1:
            await slave.hang_up()
            with contextlib.suppress(LinkDown):
                await device.read(plan)
        if cycle % 3 != 2:  # or connect without closing
            await bus.close()
    await bus.close()
    await slave.hang_up()


@pytest.mark.parametrize(
    ("make", "link"),
    [
        (UdpSlave, {"transport": "udp"}),
        (LineSlave, {"transport": "rtu-over-tcp"}),
        (lambda: LineSlave("ascii"), {"transport": "ascii-over-tcp"}),
        (RawSlave, {"backup_host": "127.0.0.1", "backup_port": 1}),
    ],
    ids=["udp", "rtu-over-tcp", "ascii-over-tcp", "backup"],
)
async def test_out(make: Callable[[], RawSlave], link: dict[str, Any]) -> None:
    slave = make()
    await slave.start()
    await live(slave, 3, **link)
    tasks, before = len(asyncio.all_tasks()), descriptors()
    await live(slave, CYCLES, **link)
    assert len(asyncio.all_tasks()) <= tasks
    assert descriptors() <= before + 3
    await slave.stop()


async def test_on_the_backup_with_the_primary_tried_in_vain() -> None:
    slave = RawSlave()
    await slave.start()
    link = {"port": free_port(), "backup_host": "127.0.0.1", "backup_port": slave.port, "failback_s": 0.1}
    await live(slave, 3, **link)
    tasks, before = len(asyncio.all_tasks()), descriptors()
    await live(slave, CYCLES, **link)
    assert len(asyncio.all_tasks()) <= tasks
    assert descriptors() <= before + 3
    await slave.stop()


async def test_called() -> None:
    exchange = Exchange()
    device = exchange.open(connect_timeout_ms=5000)
    plan = device.plan(group(point("a", "hr:100")))

    async def call(cycles: int) -> None:
        for _ in range(cycles):
            connecting = asyncio.create_task(exchange.bus.connect())
            router = Router(exchange.port)
            await router.dial()
            await connecting
            assert (await device.read(plan)).qualities is None
            await exchange.bus.close()
            await router.stop()

    await call(3)
    tasks, before = len(asyncio.all_tasks()), descriptors()
    await call(CYCLES)
    assert len(asyncio.all_tasks()) <= tasks
    assert descriptors() <= before + 3


async def test_a_half_open_caller_is_noticed_by_the_kernel_within_10_s() -> None:
    exchange = Exchange()
    exchange.open(connect_timeout_ms=5000)
    connecting = asyncio.create_task(exchange.bus.connect())
    router = Router(exchange.port)
    await router.dial()
    await connecting
    connection = exchange.bus._connection
    assert connection is not None
    assert connection._transport is not None
    assert watched(connection._transport.get_extra_info("socket"))
    await exchange.bus.close()
    await router.stop()


async def test_a_half_open_converter_is_noticed_by_the_kernel_within_10_s(plant: Plant) -> None:
    slave = LineSlave()
    await plant.device(await slave.start(), link={"transport": "rtu-over-tcp"})
    connection = plant.buses[0]._connection
    assert connection is not None
    assert connection._transport is not None
    assert watched(connection._transport.get_extra_info("socket"))
    await plant.buses[0].close()
    await slave.stop()


def watched(sock: socket.socket) -> bool:
    """Idle, by keepalive; with a request under way, by unacknowledged data."""

    def option(name: str) -> int:
        return sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))

    idle_s = option("TCP_KEEPIDLE") + option("TCP_KEEPINTVL") * option("TCP_KEEPCNT")
    return (
        bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        and max(idle_s, option("TCP_USER_TIMEOUT") / 1000) < 10
    )
