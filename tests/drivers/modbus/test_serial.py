"""RTU and ASCII on serial ports: pseudo-terminals in place of cables."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers.modbus import KIND
from drivers.modbus.device import ModbusDevice
from drivers.modbus.transport.wire import WireBus
from gateway.driver import DeviceSilent, LinkDown
from gateway.model import DataType
from tests.drivers.modbus.lines import device_on
from tests.drivers.modbus.points import group, point
from tests.support import raw_line as raw
from tests.support.libmodbus_peer import LibmodbusPeer
from tests.support.pty_port import PtyPort
from tests.support.raw_line import LineSlave
from tests.support.site import SITE

POINTS = group(point("a", "hr:100"), point("b", "hr:101"))
GOOD = (1100, 1101)
_COUNT = itertools.count()


@pytest.fixture
def port(tmp_path: Path) -> AsyncIterator[PtyPort]:
    return PtyPort(tmp_path)


class Buses(list[WireBus[Any]]):
    async def device(self, port: PtyPort, **link: Any) -> ModbusDevice[Any]:
        options = {"transport": "rtu", "device": port.device, "timeout_ms": 100, **link}
        bus = KIND.open_bus("link1", KIND.link_options(**options), SITE)
        assert isinstance(bus, WireBus)
        self.append(bus)
        await bus.connect()
        return device_on(bus)


@pytest.fixture
async def buses() -> AsyncIterator[Buses]:
    opened = Buses()
    yield opened
    for bus in opened:
        await bus.close()


@pytest.fixture
async def slave() -> AsyncIterator[LineSlave]:
    running = LineSlave("rtu")
    running.holding[:200] = range(1000, 1200)
    yield running
    await running.stop()


async def values(device: ModbusDevice[Any]) -> tuple[object, ...]:
    return tuple((await device.read(device.plan(POINTS))).values)


async def test_reads_and_writes(port: PtyPort, buses: Buses, slave: LineSlave) -> None:
    slave.on(port)
    with port:
        device = await buses.device(port)
        assert await values(device) == GOOD
        assert await device.write(point("a", "hr:100"), 5) == 5
        assert buses[0].peer == port.device == KIND.describe_link(buses[0].options)


async def test_ascii(port: PtyPort, buses: Buses) -> None:
    slave = LineSlave("ascii")
    slave.holding[:200] = range(1000, 1200)
    slave.on(port)
    with port:
        assert await values(await buses.device(port, transport="ascii")) == GOOD
    await slave.stop()


async def test_an_adapter_may_be_pulled_out_and_put_back(port: PtyPort, buses: Buses, slave: LineSlave) -> None:
    """It comes back under another number and is found by its lasting name."""
    slave.on(port)
    with port:
        device = await buses.device(port)
        for _ in range(3):
            assert await values(device) == GOOD
            number = os.readlink(port.path)
            port.unplug()
            with pytest.raises(LinkDown, match=f"{port.device} is gone: check the cable"):
                await values(device)
            with pytest.raises(LinkDown, match=f"there is no port {port.device}"):
                await buses[0].connect()
            with contextlib.ExitStack() as others:
                port.plug()
                while os.readlink(port.path) == number:
                    port.unplug()
                    others.enter_context(PtyPort(port.path.parent, f"other{next(_COUNT)}"))
                    port.plug()
                await buses[0].connect()
        assert await values(device) == GOOD


async def test_an_adapter_pulled_out_during_a_request_is_noticed_at_once(
    port: PtyPort, buses: Buses, slave: LineSlave
) -> None:
    slave.on(port)
    slave.always(raw.mute)
    with port:
        device = await buses.device(port, timeout_ms=1500)
        reading = asyncio.create_task(values(device))
        await slave.asked(1)
        port.unplug()
        async with asyncio.timeout(1.2):
            with pytest.raises(LinkDown):
                await reading


async def test_a_port_is_opened_by_one_alone(port: PtyPort, buses: Buses, slave: LineSlave) -> None:
    slave.on(port)
    with port:
        device = await buses.device(port)
        with pytest.raises(LinkDown, match="is in use"):
            await buses.device(port)
        assert await values(device) == GOOD
        await buses[0].close()
        await buses[1].connect()


async def test_a_port_without_rs485_mode_says_so(port: PtyPort, buses: Buses) -> None:
    with port, pytest.raises(LinkDown, match="has no RS-485 mode: take rs485 out"):
        await buses.device(port, rs485={})


async def test_silence_is_kept_before_each_request(port: PtyPort, buses: Buses, slave: LineSlave) -> None:
    slave.on(port)
    with port:
        device = await buses.device(port, baud=1200)
        assert buses[0].options.silence_s == 3.5 * 11 / 1200
        for _ in range(3):
            await values(device)
    times = [request.heard_at for request in slave.requests if isinstance(request, raw.HeardRequest)]
    assert all(later - earlier >= buses[0].options.silence_s for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize(
    ("options", "silence_s"),
    [
        ({}, 3.5 * 11 / 19200),
        ({"parity": "none"}, 3.5 * 10 / 19200),
        ({"baud": 38400}, 0.00175),
        ({"baud": 115200, "frame_silence_ms": 0.5}, 0.0005),
        ({"transport": "ascii"}, 0.0),
    ],
)
def test_the_silence_between_frames_is_the_standards(options: dict[str, Any], silence_s: float) -> None:
    assert KIND.link_options(**{"transport": "rtu", "device": "/dev/ttyS0", **options}).silence_s == silence_s


async def test_a_slow_line_has_the_time_it_takes(port: PtyPort, buses: Buses, slave: LineSlave) -> None:
    """At 300 baud two registers take 0.6 s there and back, beside the timeout of 100 ms."""
    slave.on(port)
    slave.always(raw.late(0.4))
    with port:
        assert await values(await buses.device(port, baud=300)) == GOOD
        await buses[0].close()
        fast = await buses.device(port, baud=115200)
        with pytest.raises(DeviceSilent):
            await values(fast)


@pytest.mark.integration
async def test_libmodbus_on_the_other_end(tmp_path: Path, buses: Buses) -> None:
    near, far = PtyPort(tmp_path, "near"), PtyPort(tmp_path, "far")
    near.answer, far.answer = far.send, near.send
    types = {
        "hr:100": (DataType.UINT16, 0x1234),
        "hr:102": (DataType.FLOAT32, 100.0),
        "co:3": (DataType.BOOL, True),
        "hr:110.5": (DataType.BOOL, True),
        "hr:120": (DataType.UINT64, 2**64 - 2),
    }
    with near, far, LibmodbusPeer(device=far.device) as peer:
        device = await buses.device(near, timeout_ms=1000)
        for address, (kind, value) in types.items():
            assert await device.write(point("x", address, kind), value) == value
        assert peer.holding(100) == [0x1234]
        assert peer.holding(102, 2) == [0x42C8, 0]
        batch = await device.read(
            device.plan(group(*(point(address, address, kind) for address, (kind, _) in types.items())))
        )
        assert tuple(batch.values) == tuple(value for _, value in types.values())
        wide = device.plan(group(*(point(f"t{index}", f"hr:{index}") for index in range(1000, 1125))))
        assert (await device.read(wide)).qualities is None


@pytest.mark.integration
async def test_the_raw_slave_is_understood_by_mbpoll(port: PtyPort, slave: LineSlave) -> None:
    """Who tests with a slave of one's own making must have that slave tested."""
    slave.on(port)
    with port:
        process = await asyncio.create_subprocess_exec(
            *("mbpoll", "-m", "rtu", "-b", "19200", "-a", "1", "-r", "101", "-c", "2", "-1", "-q", port.device),
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        output, _ = await process.communicate()
    assert b"1100" in output
    assert b"1101" in output
