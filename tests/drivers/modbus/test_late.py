"""Replies that come after their request was given up: thousands of them, not one wrong value.

The control is pymodbus's own client on the same disturbed line.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from drivers.modbus import KIND
from drivers.modbus.transport.wire import WireBus
from gateway.driver import DeviceSilent, LinkDown
from tests.drivers.modbus.lines import device_on, null_modem
from tests.drivers.modbus.points import group, point
from tests.support import raw_line, raw_modbus
from tests.support.effort import times
from tests.support.raw_line import LineSlave
from tests.support.raw_modbus import Behaviour, RawSlave
from tests.support.site import SITE

REPLIES = times(10_000)
TIMEOUT_S = 0.02
SLAVES = 100
_NUMBERS = itertools.count()

LATE = (1.1, 1.3, 1.6, 1.8)
"""In reply timeouts. What comes later than two can't be told from the answer without a transaction id."""


def of_another(pdu: bytes) -> bytes:
    """The reply PDU to a read of input registers, of the same size."""
    return bytes((4,)) + pdu[1:2] + b"\xff" * (len(pdu) - 2)


def stale_first(slave: LineSlave) -> Behaviour:
    """What another request might have been answered with, and then the right reply."""

    async def stale(_: RawSlave, request: raw_modbus.Request, send: raw_modbus.Send) -> None:
        right = slave.reply(request)
        send(slave.frame(request.unit, of_another(right)) + slave.frame(request.unit, right))

    return stale


def disturbances(slave: RawSlave) -> Sequence[Behaviour]:
    """Ways to be late or stale."""
    if isinstance(slave, LineSlave):
        late = [raw_line.late(TIMEOUT_S * factor) for factor in LATE]
        return [*late, raw_line.twice, stale_first(slave)]
    late = [raw_modbus.late(TIMEOUT_S * factor) for factor in (*LATE, 2.5, 5.0)]
    changes: list[Callable[[bytes], bytes]] = [
        lambda pdu: pdu,
        lambda pdu: pdu[:2] + b"\xff" * (len(pdu) - 2),
        of_another,
    ]
    return [*late, raw_modbus.twice, *(raw_modbus.stale_first(pdu=change) for change in changes)]


async def read_disturbed(slave: RawSlave, bus: WireBus[Any], disturbed: int, seed: int) -> Counter[str]:
    """Read until so many replies were late or stale, with other contents each time."""
    device = device_on(bus)
    plans = [device.plan(group(*(point(f"t{index}", f"hr:{index}") for index in range(size)))) for size in (1, 2, 10)]
    chance = random.Random(seed)
    ways = disturbances(slave)
    seen: Counter[str] = Counter()
    await bus.connect()
    while seen["disturbed"] < disturbed:
        number = next(_NUMBERS) & 0x7FFF
        slave.holding[:10] = [number] * 10
        if chance.random() < 0.8:
            seen["disturbed"] += 1
            slave.then(chance.choice(ways))
        try:
            batch = await device.read(chance.choice(plans))
        except DeviceSilent:
            seen["silent"] += 1
        except LinkDown:
            seen["lost"] += 1
            await bus.connect()
        else:
            seen["right" if set(batch.values) == {number} and batch.qualities is None else "wrong"] += 1
    seen["late"] = bus.counters["late_replies"]
    await bus.close()
    await slave.stop()
    return seen


async def open_tcp() -> tuple[RawSlave, WireBus[Any]]:
    slave = RawSlave()
    port = await slave.start()
    options = KIND.link_options(
        host="127.0.0.1", port=port, timeout_ms=round(TIMEOUT_S * 1000), timeouts_before_reconnect=0
    )
    bus = KIND.open_bus("link1", options, SITE)
    assert isinstance(bus, WireBus)
    return slave, bus


async def open_line(framing: str) -> tuple[RawSlave, WireBus[Any]]:
    slave = LineSlave(framing)
    # With 1 every other one is opened anew after each timeout: what is late may come in then, too.
    patience = next(_NUMBERS) & 1
    return slave, null_modem(slave, timeout_ms=round(TIMEOUT_S * 1000), timeouts_before_reconnect=patience)


@pytest.mark.parametrize("transport", ["tcp", "rtu", "ascii"])
async def test_late_and_stale_replies_never_become_values(transport: str) -> None:
    replies = REPLIES if transport != "ascii" else REPLIES // 10
    pairs = [await (open_tcp() if transport == "tcp" else open_line(transport)) for _ in range(SLAVES)]
    results = await asyncio.gather(
        *(read_disturbed(slave, bus, -(-replies // SLAVES), seed) for seed, (slave, bus) in enumerate(pairs))
    )
    total: Counter[str] = sum(results, Counter())
    assert total["wrong"] == 0
    assert total["disturbed"] >= replies
    # It must have been worth calling a test: late ones came and were told apart, and reading went on.
    assert total["late"] > replies // 5
    assert total["silent"] > replies // 5
    assert total["right"] > replies // 4


async def test_control_pymodbus_takes_a_late_reply_for_the_answer_to_the_next_request() -> None:
    slave = LineSlave("rtu")
    lateness = itertools.cycle((1.5, 1.2))

    async def late(slave: RawSlave, request: raw_modbus.Request, send: raw_modbus.Send) -> None:
        await raw_line.late(next(lateness) * TIMEOUT_S)(slave, request, send)

    slave.always(late)
    client = AsyncModbusTcpClient(
        "127.0.0.1", port=await slave.start(), framer=FramerType.RTU, timeout=TIMEOUT_S, retries=3, reconnect_delay=0
    )
    await client.connect()
    wrong = 0
    for number in range(20):
        slave.holding[0] = number
        with contextlib.suppress(ModbusException):
            reply = await client.read_holding_registers(0, count=1)
            wrong += not reply.isError() and reply.registers != [number]
        if not client.connected:
            await client.connect()
    client.close()
    await slave.stop()
    assert wrong > 0
