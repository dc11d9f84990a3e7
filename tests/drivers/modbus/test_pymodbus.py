"""What pymodbus's own client does wrong, and that the driver doesn't: one test for each line of the README's list.

When one of the controls fails, pymodbus has changed: take the line out of the README, or say what it does now.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from gateway.driver import DeviceSilent, LinkDown
from gateway.model import DataType
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.points import group, point
from tests.support import raw_modbus as raw
from tests.support.raw_modbus import RawSlave

TIMES = 20


@pytest.fixture(params=[5.0])
async def client(slave: RawSlave, request: pytest.FixtureRequest) -> AsyncIterator[AsyncModbusTcpClient]:
    """Its timeout in seconds is the parameter; only a test that waits for it needs a short one."""
    opened = AsyncModbusTcpClient("127.0.0.1", port=slave.port, timeout=request.param, retries=3, reconnect_delay=0)
    await opened.connect()
    yield opened
    opened.close()


async def other_function(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
    """Two input registers where one holding register was asked for, under the right transaction id."""
    send(raw.frame(request.transaction, request.unit, bytes((4, 4, 0xFF, 0xFF, 0xFF, 0xFF))))


@pytest.mark.parametrize("behaviour", [other_function, raw.lying_byte_count])
async def test_a_reply_of_the_wrong_shape(
    plant: Plant, slave: RawSlave, client: AsyncModbusTcpClient, behaviour: raw.Behaviour
) -> None:
    right = slave.holding[0:2]
    slave.always(behaviour)
    taken = 0
    for _ in range(TIMES):
        with contextlib.suppress(ModbusException):
            reply = await client.read_holding_registers(0, count=2)
            taken += not reply.isError() and reply.registers != right
    assert taken == TIMES, "control: pymodbus takes it for the answer"

    device = await plant.device(slave.port)
    plan = device.plan(group(point("a", "hr:0"), point("b", "hr:1")))
    for _ in range(TIMES):
        with pytest.raises(LinkDown):
            await device.read(plan)
        await plant.buses[-1].connect()


@pytest.mark.parametrize("client", [0.05], indirect=True)
async def test_a_write_whose_reply_is_lost(plant: Plant, slave: RawSlave, client: AsyncModbusTcpClient) -> None:
    slave.always(raw.mute)
    with contextlib.suppress(ModbusException):
        await client.write_coil(3, True)
    assert [request.function for request in slave.requests] == [5] * 4, "control: pymodbus repeats it"

    slave.requests.clear()
    device = await plant.device(slave.port)
    with pytest.raises(DeviceSilent):
        await device.write(point("pump", "co:3", DataType.BOOL), True)
    assert [request.function for request in slave.requests] == [5]
