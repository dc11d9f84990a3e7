"""The virtual radio: what is in its air behaves like something with an antenna."""

from __future__ import annotations

import asyncio

from bumble import hci
from bumble.device import Device
from bumble.host import Host

from hil.radio.air import VirtualController
from hil.radio.world import SENSOR, Sensor, World


async def heard_again(sensor: Sensor) -> None:
    async with asyncio.timeout(10):
        while not sensor.advertising or sensor.controller.le_connections:  # noqa: ASYNC110 — the air wakes nobody
            await asyncio.sleep(0.01)


async def test_a_sensor_whose_connection_ended_before_its_host_knew_of_it_is_heard_again() -> None:
    world = World()
    await world.start()
    sensor = await world.add_sensor()
    sensor.controller.le_legacy_advertiser.stop()  # as when somebody connects, who is gone at once
    await heard_again(sensor)
    await world.stop()


async def test_a_connection_whose_far_end_lost_its_power_runs_out() -> None:
    world = World()
    await world.start()
    sensor = await world.add_sensor()
    controller = VirtualController("CENTRAL", world.air)
    central = Device(name="central", address=hci.Address("F0:00:00:00:00:01"), host=Host(controller, controller))
    await central.power_on()
    await central.connect(hci.Address(SENSOR))
    assert sensor.controller.le_connections
    world.air.controllers.discard(controller)  # and nobody is told
    await heard_again(sensor)
    await world.stop()
