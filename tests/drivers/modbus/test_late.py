"""Replies that come after their request was given up: hundreds of them, not one wrong value."""

from __future__ import annotations

import random

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
