"""Bluetooth Low Energy, against bumble peripherals: one that is connected to, and one that only advertises."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any, cast

from drivers.ble import KIND
from drivers.ble.bus import BleBus
from drivers.ble.device import BleDevice
from gateway.driver import Bus, Point, Site
from gateway.model import DataType, Value
from hil.radio.host import BumbleRadio
from hil.radio.world import SENSOR, SETPOINT, Sensor, World, advert
from tests.conformance.adapters.adapter import TIMEOUT_S

BEACON = "C0:00:00:00:00:03"


class _BleAdapter:
    kind = KIND
    silence_is_loss = False  # a device may be off or out of range; of the radio that says nothing
    connects_slowly = True  # a controller and a host come up, which are simulated down to each packet

    def __init__(self) -> None:
        self.world = World()
        self.kind = dataclasses.replace(KIND, open_bus=self._open_bus)
        self._radios: list[BumbleRadio] = []

    def _open_bus(self, name: str, options: Any, site: Site) -> Bus:
        self._radios.append(BumbleRadio(self.world.port))
        return BleBus(name, options, self._radios[-1])

    async def start(self) -> None:
        if self.world.port:
            await self.world.plug_in()
        else:
            await self.world.start()
            await self.populate()

    async def populate(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        self.world.take_away()
        await self._noticed()

    def link_options(self) -> Any:
        return KIND.link_options()

    async def disconnect(self) -> None:
        self.world.reset()
        await self._noticed()

    async def _noticed(self) -> None:
        """That it is gone reaches a radio by way of a socket."""
        for radio in self._radios:
            if radio.host is not None:
                await radio.gone.wait()


class BleAdapter(_BleAdapter):
    """Characteristics over a connection."""

    row = "ble-gatt"
    timeout_s = 2 * TIMEOUT_S
    requests_per_read = 3

    def __init__(self) -> None:
        super().__init__()
        self.points = (
            _characteristic("temperature", DataType.FLOAT64, "2A6E"),
            _characteristic("setpoint", DataType.UINT16, SETPOINT),
            _characteristic("maker", DataType.STRING, "2A29"),
        )
        self.impossible = _characteristic("wrong", DataType.BOOL, "2A6E")
        self.missing = _characteristic("absent", DataType.UINT8, "2A76")
        self.writable = self.points[1]
        self.written = 1200
        self._sensor: Sensor | None = None
        self._arrived = asyncio.Event()

    async def populate(self) -> None:
        self._sensor = await self.world.add_sensor()
        self._sensor.on_request = self._arrived.set

    @property
    def sensor(self) -> Sensor:
        assert self._sensor is not None
        return self._sensor

    @property
    def values(self) -> Sequence[Value]:
        return self.sensor.hundredths / 100, self.sensor.setpoint, "ACME"

    async def disconnect(self) -> None:
        await super().disconnect()
        while self.sensor.device.connections or not self.sensor.advertising:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    def device_options(self) -> Any:
        return KIND.device_options(
            address=SENSOR.lower(),
            timeout_ms=int(1000 * self.timeout_s),
            advert_timeout_ms=1000,
            connect_timeout_ms=1000,
        )

    def silence(self) -> None:
        self.sensor.answering.clear()

    def slow_down(self, delay_s: float) -> None:
        self.sensor.delay_s = delay_s

    def speak(self) -> None:
        self.sensor.delay_s = 0.0
        self.sensor.answering.set()

    async def change(self) -> tuple[int, Value]:
        await self.sensor.set_temperature(self.sensor.hundredths + 1)
        return 0, self.sensor.hundredths / 100

    async def asked(self, count: int) -> None:
        while self.sensor.requests < count:
            self._arrived.clear()
            await self._arrived.wait()

    def requests(self) -> int:
        return self.sensor.requests


class _ListeningOnly:
    """A device as one that advertises is used: there is nothing to write to."""

    def __init__(self, bus: Bus, name: str, options: Any) -> None:
        device = BleDevice(cast(BleBus, bus), name, options)
        self.plan, self.read, self.subscribe, self.release = device.plan, device.read, device.subscribe, device.release


class BleBeaconAdapter(_BleAdapter):
    """Adverts."""

    row = "ble-advert"
    timeout_s = TIMEOUT_S

    def __init__(self) -> None:
        super().__init__()
        self.kind = dataclasses.replace(self.kind, open_device=_ListeningOnly)
        self.points = (
            _field("temperature", DataType.FLOAT64),
            _field("battery", DataType.UINT8),
            _field("text", DataType.STRING),
        )
        self.impossible = _field("colour", DataType.STRING)
        self.missing = _field("humidity", DataType.FLOAT64)
        self._hundredths = 2506

    async def populate(self) -> None:
        self.speak()

    @property
    def values(self) -> Sequence[Value]:
        return self._hundredths / 100, 97, "Filler"

    def device_options(self) -> Any:
        return KIND.device_options(address=BEACON, format="bthome", advert_timeout_ms=int(1000 * self.timeout_s))

    def silence(self) -> None:
        self.world.hush(BEACON)

    def speak(self) -> None:
        temperature = self._hundredths.to_bytes(2, "little", signed=True)
        objects = b"\x40\x01\x61\x02" + temperature + b"\x53\x06Filler"
        self.world.beacon(BEACON, advert(service_data={0xFCD2: objects}))

    async def change(self) -> tuple[int, Value]:
        self._hundredths += 1
        self.speak()
        return 0, self._hundredths / 100


def _characteristic(path: str, type_: DataType, uuid: str) -> Point:
    return Point(path, type_, KIND.tag_options(characteristic=uuid))


def _field(path: str, type_: DataType) -> Point:
    return Point(path, type_, KIND.tag_options(field=path))
