"""Replies that come after their request was given up: hundreds of them, not one wrong value."""

from __future__ import annotations

import random

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from gateway.driver import DeviceSilent, LinkDown
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.points import group, point
from tests.support import raw_modbus as raw
from tests.support.raw_modbus import RawSlave

READS = 300


def disturb(slave: RawSlave, chance: random.Random, number: int) -> None:
    """Before read `number`: new contents everywhere, and one of the ways to be late or stale."""
    slave.holding[:10] = [number] * 10
    slave.then(
        chance.choice(
            [
                raw.answer,
                raw.late(0.008),
                raw.late(0.012),
                raw.stale_first(pdu=lambda pdu: pdu[:2] + b"\xff" * (len(pdu) - 2)),
                raw.stale_first(pdu=lambda pdu: bytes((4, 2, 0xFF, 0xFF))),
                raw.twice,
            ]
        )
    )


async def test_late_and_stale_replies_never_become_values(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port, link={"timeout_ms": 10, "timeouts_before_reconnect": 0})
    plans = [device.plan(group(*(point(f"t{index}", f"hr:{index}") for index in range(count)))) for count in (1, 2, 10)]
    chance = random.Random(5)
    right = silent = 0
    for number in range(READS):
        disturb(slave, chance, number)
        try:
            batch = await device.read(chance.choice(plans))
        except DeviceSilent:
            silent += 1
            continue
        except LinkDown:
            await plant.buses[-1].connect()
            continue
        assert batch.qualities is None
        assert set(batch.values) == {number}
        right += 1
    assert right > READS // 2
    assert silent > READS // 20
    assert plant.counters["late_replies"] > READS // 4


async def test_control_a_client_that_trusts_the_transaction_id_takes_wrong_replies(slave: RawSlave) -> None:
    """Why the checks are ours: pymodbus's own client takes another function's reply of another size for an answer."""
    client = AsyncModbusTcpClient("127.0.0.1", port=slave.port, timeout=0.2, retries=0)
    await client.connect()
    wrong = 0

    async def other_request_answered(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        send(raw.frame(request.transaction, request.unit, bytes((4, 4, 0xFF, 0xFF, 0xFF, 0xFF))))

    try:
        for number in range(20):
            slave.holding[0] = number
            slave.then(other_request_answered)
            try:
                reply = await client.read_holding_registers(0, count=1)
            except ModbusException:
                continue
            wrong += not reply.isError() and reply.registers != [number]
    finally:
        client.close()
    assert wrong == 20


async def test_the_same_replies_are_refused_here(plant: Plant, slave: RawSlave) -> None:
    async def other_request_answered(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        send(raw.frame(request.transaction, request.unit, bytes((4, 4, 0xFF, 0xFF, 0xFF, 0xFF))))

    device = await plant.device(slave.port)
    plan = device.plan(group(point("a", "hr:0")))
    refused = 0
    for _ in range(20):
        slave.then(other_request_answered)
        try:
            await device.read(plan)
        except LinkDown:
            refused += 1
            await plant.buses[-1].connect()
    assert refused == 20
