from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from drivers.ble import KIND
from drivers.ble.bus import BleBus
from drivers.ble.device import BleDevice
from gateway.driver import Point
from gateway.model import Batch
from hil.radio.host import BumbleRadio
from hil.radio.process import WorldProcess
from hil.radio.world import SENSOR
from tests.conformance.rig import Listener
from tests.drivers.ble.points import group


@dataclass
class Site:
    """One radio plugged into a world in another process, and devices on it."""

    world: WorldProcess
    bus: BleBus
    radio: BumbleRadio
    devices: list[BleDevice] = field(default_factory=list)

    def device(self, device: str = "device1", /, **options: Any) -> BleDevice:
        timeouts = {"timeout_ms": 300, "advert_timeout_ms": 1000, "connect_timeout_ms": 2000}
        known = {} if "local_name" in options else {"address": SENSOR}
        opened = BleDevice(self.bus, device, KIND.device_options(**{**timeouts, **known, **options}))
        self.devices.append(opened)
        return opened

    async def read(self, device: BleDevice, *points: Point) -> Batch:
        return await device.read(device.plan(group(*points, subscribed=False)))

    async def listen(self, device: BleDevice, *points: Point, name: str = "main", interval_s: float = 60.0) -> Listener:
        plan = device.plan(group(*points, name=name, interval_s=interval_s))
        listener = Listener(plan)
        await device.subscribe(plan, listener)
        return listener


@pytest.fixture(scope="session")
def world_process() -> Iterator[WorldProcess]:
    with WorldProcess() as running:
        yield running


@pytest.fixture
async def world(world_process: WorldProcess) -> WorldProcess:
    await world_process.renew()
    return world_process


@pytest.fixture
async def site(world: WorldProcess, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """Link options by ``@pytest.mark.parametrize("site", [{…}], indirect=True)``."""
    radio = BumbleRadio(world.port)
    bus = BleBus("link1", KIND.link_options(**getattr(request, "param", {})), radio)
    await bus.connect()
    yield Site(world, bus, radio)
    await bus.close()
