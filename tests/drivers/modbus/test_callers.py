"""Devices that call us: registration, allowed networks, and the newest caller counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from drivers.modbus import KIND
from drivers.modbus.device import ModbusDevice
from drivers.modbus.transport.wire import WireBus
from gateway.driver import DeviceSilent, LinkDown
from tests.drivers.modbus.lines import device_on
from tests.drivers.modbus.points import group, point
from tests.support import raw_modbus as raw
from tests.support.mosquitto import free_port
from tests.support.raw_line import LineSlave
from tests.support.raw_modbus import RawSlave
from tests.support.site import SITE

POINTS = group(point("a", "hr:100"), point("b", "hr:101"))
GOOD = (1100, 1101)


class Router:
    """A slave behind a mobile router: it makes the connection and then serves on it."""

    def __init__(self, port: int, slave: RawSlave | None = None) -> None:
        self.slave = slave or RawSlave()
        self.slave.holding[:200] = range(1000, 1200)
        self._port = port
        self._tasks: list[asyncio.Task[None]] = []

    async def dial(self, first: bytes = b"", source: str = "127.0.0.1") -> asyncio.StreamWriter:
        """Call, as soon as somebody listens, and say `first`."""
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(source, 0))
                if writer.get_extra_info("sockname") != writer.get_extra_info("peername"):
                    break
                writer.close()  # nobody listened yet, and the call from that very port met itself
            await asyncio.sleep(0)
        writer.write(first)
        self._tasks.append(asyncio.create_task(self.slave._serve(reader, writer)))
        return writer

    async def stop(self) -> None:
        await self.slave.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Exchange:
    """A bus that is called, and the routers that call it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.routers: list[Router] = []
        self.bus: WireBus[Any]

    def open(self, **link: Any) -> ModbusDevice[Any]:
        options = {"dial": "in", "host": "127.0.0.1", "port": self.port, "timeout_ms": 100, "connect_timeout_ms": 300}
        bus = KIND.open_bus("link1", KIND.link_options(**{**options, **link}), SITE)
        assert isinstance(bus, WireBus)
        self.bus = bus
        return device_on(bus)

    def router(self, slave: RawSlave | None = None) -> Router:
        self.routers.append(Router(self.port, slave))
        return self.routers[-1]

    @property
    def counters(self) -> dict[str, int]:
        return dict(KIND.counters(self.bus))


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    opened = Exchange()
    yield opened
    await opened.bus.close()
    for router in opened.routers:
        await router.stop()


async def read(device: ModbusDevice[Any]) -> tuple[object, ...]:
    return tuple((await device.read(device.plan(POINTS))).values)


@pytest.mark.parametrize("transport", ["tcp", "rtu-over-tcp", "ascii-over-tcp"])
async def test_a_caller_is_read_from(exchange: Exchange, transport: str) -> None:
    device = exchange.open(transport=transport, connect_timeout_ms=5000)
    slave = None if transport == "tcp" else LineSlave(transport.removesuffix("-over-tcp"))
    connecting = asyncio.create_task(exchange.bus.connect())
    await exchange.router(slave).dial()
    await connecting
    assert await read(device) == GOOD
    assert await device.write(point("a", "hr:100"), 5) == 5


async def test_nobody_calls(exchange: Exchange) -> None:
    exchange.open()
    with pytest.raises(LinkDown, match=f"no device has dialled in on 127.0.0.1:{exchange.port} within 0.3 s"):
        await exchange.bus.connect()
    await exchange.bus.close()
    # Nobody listens any more.
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", exchange.port)


async def test_a_port_that_is_taken_is_one_sentence(exchange: Exchange) -> None:
    exchange.open()
    async with RawSlave() as other:
        exchange.port = other.port
        exchange.open()
        with pytest.raises(LinkDown, match=r"Address already in use.*host must be an address of this machine"):
            await exchange.bus.connect()
    exchange.open(host="192.0.2.1")
    with pytest.raises(LinkDown, match="host must be an address of this machine"):
        await exchange.bus.connect()


async def test_a_caller_must_register_and_may_send_heartbeats(exchange: Exchange) -> None:
    device = exchange.open(registration="GW-007\r\n", heartbeat="\u00fe\u00fe", connect_timeout_ms=5000)
    connecting = asyncio.create_task(exchange.bus.connect())
    impostor, router = exchange.router(), exchange.router()
    await impostor.dial(b"GW-008\r\n")
    writer = await router.dial(b"GW-007\r\n\xfe\xfe")
    await connecting
    for _ in range(3):
        writer.write(b"\xfe\xfe")
        assert await read(device) == GOOD
    assert exchange.counters["heartbeats"] >= 3
    await exchange.bus.close()
    assert exchange.counters["callers_rejected"] == 1
    assert not impostor.slave.requests


@pytest.mark.parametrize("heartbeat", ["\u0000\u0005", "\u0000", "\u0000\u0003\u0000\u0000\u0000\u0007"])
async def test_a_heartbeat_is_never_a_part_of_a_reply(exchange: Exchange, heartbeat: str) -> None:
    device = exchange.open(heartbeat=heartbeat, connect_timeout_ms=5000)
    connecting = asyncio.create_task(exchange.bus.connect())
    router = exchange.router()
    writer = await router.dial(heartbeat.encode("latin-1"))
    await connecting
    router.slave.always(raw.dribble)
    for _ in range(8):
        writer.write(heartbeat.encode("latin-1"))
        assert await read(device) == GOOD


async def test_heartbeats_on_a_line(exchange: Exchange) -> None:
    device = exchange.open(transport="rtu-over-tcp", heartbeat="PING", connect_timeout_ms=5000)
    connecting = asyncio.create_task(exchange.bus.connect())
    writer = await exchange.router(LineSlave("rtu")).dial(b"PING")
    await connecting
    for _ in range(3):
        writer.write(b"PING")
        assert await read(device) == GOOD


async def test_a_registration_may_come_in_pieces(exchange: Exchange) -> None:
    device = exchange.open(registration="REG", connect_timeout_ms=5000)
    connecting = asyncio.create_task(exchange.bus.connect())
    writer = await exchange.router().dial(b"R")
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.write(b"EG")
    await connecting
    assert await read(device) == GOOD


async def test_who_was_turned_away_is_said(exchange: Exchange) -> None:
    exchange.open(registration="GW-007", allow=["127.0.0.1"])
    connecting = asyncio.create_task(exchange.bus.connect())
    await exchange.router().dial(b"hello")
    with pytest.raises(LinkDown, match=r"1 callers were turned away: 127.0.0.1 registered as b'hello'"):
        await connecting


async def test_only_allowed_networks_may_call(exchange: Exchange) -> None:
    device = exchange.open(allow=["127.0.1.0/24"], connect_timeout_ms=5000)
    connecting = asyncio.create_task(exchange.bus.connect())
    stranger, router = exchange.router(), exchange.router()
    await stranger.dial(source="127.0.0.1")
    await router.dial(source="127.0.1.5")
    await connecting
    assert await read(device) == GOOD
    assert not stranger.slave.requests


async def test_the_newest_caller_counts(exchange: Exchange) -> None:
    """The earlier connection may be half-open for long. The link doesn't go down for it."""
    device = exchange.open(connect_timeout_ms=5000)
    connecting = asyncio.create_task(exchange.bus.connect())
    old, new = exchange.router(), exchange.router()
    await old.dial()
    await connecting
    assert await read(device) == GOOD
    await new.dial()
    new.slave.holding[100] = 7
    while exchange.counters["connects"] < 2:  # noqa: ASYNC110 - what is waited for is in the code under test
        await asyncio.sleep(0)
    assert await read(device) == (7, 1101)
    assert len(old.slave.requests) == 1

    # With a request under way that request fails, as it would have on the dead connection.
    new.slave.always(raw.mute)
    reading = asyncio.create_task(read(device))
    await new.slave.asked(2)
    newest = exchange.router()
    await newest.dial()
    with pytest.raises(DeviceSilent, match="called anew"):
        await reading
    assert await read(device) == GOOD
    assert len(newest.slave.requests) == 1


async def test_a_caller_that_hangs_up_is_waited_for_again(exchange: Exchange) -> None:
    device = exchange.open(connect_timeout_ms=5000)
    router = exchange.router()
    for _ in range(3):
        connecting = asyncio.create_task(exchange.bus.connect())
        writer = await router.dial()
        await connecting
        assert await read(device) == GOOD
        writer.transport.abort()
        with pytest.raises(LinkDown):
            await read(device)
        await exchange.bus.close()


async def test_a_crowd_at_the_door_is_bounded(exchange: Exchange) -> None:
    exchange.open(registration="GW-007")
    connecting = asyncio.create_task(exchange.bus.connect())
    router = exchange.router()
    for _ in range(30):
        await router.dial()
    with pytest.raises(LinkDown, match="one too many at once"):
        await connecting


async def test_a_cancelled_wait_leaves_nothing(exchange: Exchange) -> None:
    device = exchange.open(connect_timeout_ms=5000)
    for _ in range(3):
        connecting = asyncio.create_task(exchange.bus.connect())
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await exchange.bus.close()
    connecting = asyncio.create_task(exchange.bus.connect())
    await exchange.router().dial()
    await connecting
    assert await read(device) == GOOD
