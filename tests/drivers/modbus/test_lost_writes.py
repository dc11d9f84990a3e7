"""Writes whose replies are lost: a thousand of them, not one sent twice. The control is pymodbus's own client."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from drivers.modbus.transport.wire import WireBus
from gateway.driver import DeviceSilent, LinkDown
from gateway.model import DataType
from tests.drivers.modbus.lines import device_on
from tests.drivers.modbus.points import point
from tests.drivers.modbus.test_late import open_line, open_tcp
from tests.support import raw_line, raw_modbus
from tests.support.raw_line import LineSlave
from tests.support.raw_modbus import RawSlave

WRITES = 1000
SLAVES = 50
TARGETS = (
    (point("coil", "co:3", DataType.BOOL), True),
    (point("word", "hr:100"), 7),
    (point("pair", "hr:200", DataType.FLOAT32), 1.5),
    (point("bit", "hr:300.4", DataType.BOOL), True),
)


async def write_and_lose(slave: RawSlave, bus: WireBus[Any], writes: int) -> None:
    slave.always(raw_modbus.mute)
    device = device_on(bus)
    await bus.connect()
    for number in range(writes):
        target, value = TARGETS[number % len(TARGETS)]
        try:
            with pytest.raises(DeviceSilent, match="was written is unknown"):
                await device.write(target, value)
        except LinkDown:
            await bus.connect()
        assert len(slave.requests) == number + 1
    await bus.close()
    await slave.stop()


@pytest.mark.parametrize("transport", ["tcp", "rtu"])
async def test_a_write_whose_reply_is_lost_is_never_sent_again(transport: str) -> None:
    pairs = [await (open_tcp() if transport == "tcp" else open_line(transport)) for _ in range(SLAVES)]
    await asyncio.gather(*(write_and_lose(slave, bus, WRITES // SLAVES) for slave, bus in pairs))
    functions = [request.function for slave, _ in pairs for request in slave.requests]
    assert {function: functions.count(function) for function in {*functions}} == dict.fromkeys(
        (5, 6, 16, 22), WRITES // 4
    )


async def test_control_pymodbus_sends_it_four_times() -> None:
    slave = LineSlave("rtu")
    slave.always(raw_line.mute)
    client = AsyncModbusTcpClient(
        "127.0.0.1", port=await slave.start(), framer=FramerType.RTU, timeout=0.02, retries=3, reconnect_delay=0
    )
    await client.connect()
    for _ in range(5):
        with contextlib.suppress(ModbusException):
            await client.write_coil(3, True)
        if not client.connected:
            await client.connect()
    client.close()
    await slave.stop()
    assert len(slave.requests) == 20
