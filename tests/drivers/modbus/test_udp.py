"""Modbus over UDP: datagrams are lost, late, doubled; none becomes a wrong value."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.driver import DeviceSilent, LinkDown
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.points import group, point
from tests.support import raw_modbus as raw
from tests.support.raw_modbus import RawSlave, Request

POINTS = group(point("a", "hr:100"), point("b", "hr:101"))
GOOD = (1100, 1101)


class UdpSlave(RawSlave, asyncio.DatagramProtocol):
    """The same slave behind a UDP port."""

    async def start(self, port: int = 0) -> int:
        loop = asyncio.get_running_loop()
        self._closed = loop.create_future()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", port or self.port))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self.port

    async def stop(self) -> None:
        self._transport.close()
        await self._closed
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set_result(None)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        request = Request(int.from_bytes(data[:2], "big"), data[6], data[7:])
        self.requests.append(request)
        behaviour = self._queue.popleft() if self._queue else self._always
        task = asyncio.ensure_future(behaviour(self, request, lambda frame: self._transport.sendto(frame, addr)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@pytest.fixture
async def udp() -> AsyncIterator[UdpSlave]:
    slave = UdpSlave()
    slave.holding[:200] = range(1000, 1200)
    await slave.start()
    yield slave
    await slave.stop()


async def read(device: Any) -> tuple[object, ...]:
    batch = await device.read(device.plan(POINTS))
    assert batch.qualities is None
    return tuple(batch.values)


async def test_reads_and_writes(plant: Plant, udp: UdpSlave) -> None:
    device = await plant.device(udp.port, link={"transport": "udp"})
    for _ in range(3):
        assert await read(device) == GOOD
    assert await device.write(point("a", "hr:100"), 5) == 5


@pytest.mark.parametrize("behaviour", [raw.stale_first(), raw.twice, raw.late(0.02)])
async def test_what_networks_do_to_datagrams(plant: Plant, udp: UdpSlave, behaviour: raw.Behaviour) -> None:
    """Late, doubled, overtaken. (Two frames in one datagram are taken as two: some gateways do that.)"""
    device = await plant.device(udp.port, link={"transport": "udp"})
    assert await read(device) == GOOD
    for value in range(5):
        udp.holding[100] = value
        udp.then(behaviour)
        assert await read(device) == (value, 1101)


async def test_a_lost_reply_is_a_timeout_and_a_late_one_thrown_away(plant: Plant, udp: UdpSlave) -> None:
    device = await plant.device(udp.port, link={"transport": "udp", "timeout_ms": 100})
    for value in range(3):
        udp.holding[100] = value
        udp.then(raw.late(0.15))
        with pytest.raises(DeviceSilent):
            await read(device)
        udp.holding[100] = 500 + value
        udp.then(raw.late(0.06))
        assert await read(device) == (500 + value, 1101)
    assert plant.counters["late_replies"] == 3


@pytest.mark.parametrize("behaviour", [raw.garbage, raw.wrong_unit, raw.wrong_function, raw.cut_short])
async def test_what_is_no_answer_ends_the_connection(plant: Plant, udp: UdpSlave, behaviour: raw.Behaviour) -> None:
    device = await plant.device(udp.port, link={"transport": "udp"})
    udp.then(behaviour)
    with pytest.raises(LinkDown):
        await read(device)
    await plant.buses[0].connect()
    assert await read(device) == GOOD


async def test_nobody_there_is_told_by_the_far_kernel(plant: Plant, udp: UdpSlave) -> None:
    device = await plant.device(udp.port, link={"transport": "udp"})
    await udp.stop()
    with pytest.raises(LinkDown, match="can't be reached: Connection refused"):
        await read(device)
    await udp.start()
    await plant.buses[0].connect()
    assert await read(device) == GOOD


async def test_lasting_silence_is_the_link(plant: Plant, udp: UdpSlave) -> None:
    device = await plant.device(udp.port, link={"transport": "udp", "timeout_ms": 20})
    udp.always(raw.mute)
    for _ in range(2):
        with pytest.raises(DeviceSilent):
            await read(device)
    with pytest.raises(LinkDown, match="left 3 requests in a row unanswered"):
        await read(device)
