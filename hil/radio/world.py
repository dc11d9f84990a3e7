"""Peripherals, beacons and the gateway's controller, with everything that can go wrong between them.

The gateway's controller is offered over HCI on a TCP port: each connection gets one of its own, as if an adapter were
plugged in, and takes it away when it ends.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from typing import Any

from bumble import data_types, hci
from bumble.att import ATT_Error, ErrorCode
from bumble.core import UUID, AdvertisingData
from bumble.device import Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.host import Host
from bumble.transport.common import StreamPacketSource

from hil.radio.air import Air, VirtualController

SENSOR = "C0:00:00:00:00:01"
SENSOR_NAME = "ESS-1"
GATEWAY = "F0:F1:F2:F3:F4:F5"
CUSTOM = "12340000-0000-1000-8000-00805f9b34fb"
PROTECTED = "12340001-0000-1000-8000-00805f9b34fb"
"""Refuses everybody it isn't paired with."""
LONG = "12340002-0000-1000-8000-00805f9b34fb"
SETPOINT = "12340003-0000-1000-8000-00805f9b34fb"
"""uint16, can be written."""
HANGING = "12340004-0000-1000-8000-00805f9b34fb"
"""Never answers a read."""
CLAMPED = "12340005-0000-1000-8000-00805f9b34fb"
"""uint8, can be written, but holds no more than 100."""
BONDED = "12340006-0000-1000-8000-00805f9b34fb"
"""Can be read over an encrypted link only."""

ADVERT_PERIOD_S = 0.02

# The sensors restart advertising without bumble's knowledge, about which it would warn at each connection.
logging.getLogger("bumble.device").setLevel(logging.ERROR)

_P, _R = Characteristic.Properties, Characteristic.Permissions


def advert(
    *, name: str = "", service_data: dict[int, bytes] | None = None, company: dict[int, bytes] | None = None
) -> bytes:
    """An advertising payload."""
    flags = AdvertisingData.Flags.LE_GENERAL_DISCOVERABLE_MODE | AdvertisingData.Flags.BR_EDR_NOT_SUPPORTED
    items: list[Any] = [data_types.Flags(flags)]
    items += [
        data_types.ServiceData16BitUUID(UUID.from_16_bits(uuid), data) for uuid, data in (service_data or {}).items()
    ]
    items += [data_types.ManufacturerSpecificData(number, data) for number, data in (company or {}).items()]
    if name:
        items.append(data_types.CompleteLocalName(name))
    return bytes(AdvertisingData(items))


class Sensor:
    """A peripheral with everything the tests ask for, at `address`."""

    def __init__(self, air: Air, address: str = SENSOR, name: str = SENSOR_NAME) -> None:
        self.air = air
        self.hundredths = 2150
        self.setpoint = 900
        self.clamped = 7
        self.delay_s = 0.0
        self._stopped = True
        self._orphans: set[int] = set()
        self.requests = 0
        """Reads and writes that arrived."""
        self.writes = 0
        self.on_request: Callable[[], None] = lambda: None
        self.answering = asyncio.Event()
        self.answering.set()
        self.controller = VirtualController(name, air)
        config = DeviceConfiguration(
            name=name, address=hci.Address(address), advertising_interval_min=20, advertising_interval_max=20
        )
        self.device = Device(config=config, host=Host(self.controller, self.controller))
        self.temperature = self._readable(0x2A6E, lambda: struct.pack("<h", self.hundredths), _P.READ | _P.NOTIFY)
        thermometer = self._readable(0x2A1C, lambda: b"", _P.INDICATE)
        self.thermometer = thermometer
        self.device.add_services(
            [
                Service(UUID.from_16_bits(0x181A), [self.temperature, self._readable(0x2A6F, lambda: b"\xc6\x11")]),
                Service(UUID.from_16_bits(0x180F), [self._readable(0x2A19, lambda: b"\x57")]),
                Service(UUID.from_16_bits(0x180A), [self._readable(0x2A29, lambda: b"ACME")]),
                Service(UUID.from_16_bits(0x1809), [thermometer]),
                Service(
                    CUSTOM,
                    [
                        self._readable(PROTECTED, self._refuse),
                        self._readable(LONG, lambda: bytes(range(256)) + bytes(144)),
                        self._writable(SETPOINT, lambda: struct.pack("<H", self.setpoint), self._set),
                        self._hanging(),
                        self._writable(CLAMPED, lambda: bytes((self.clamped,)), self._clamp),
                        Characteristic(BONDED, _P.READ, _R.READABLE | _R.READ_REQUIRES_ENCRYPTION, b"\x2a"),
                    ],
                ),
            ]
        )
        self.device.advertising_data = advert(name=name)

    async def start(self) -> None:
        await self.device.power_on()
        await self.device.start_advertising()
        self._stopped = False
        # bumble would restart it in a task of its own, some time after.
        self.device.on("connection", lambda connection: connection.on("disconnection", self._advertise_again))

    @property
    def advertising(self) -> bool:
        return self.controller.le_legacy_advertiser.enabled

    async def stop(self) -> None:
        self.answering.set()
        self._stopped = True
        self.controller.le_legacy_advertiser.stop()

    def supervise(self) -> None:
        """What a radio does by itself, and bumble doesn't: a connection whose far end is gone since the last look runs
        out, and who has none is heard again, though the last one ended before the host knew of it."""
        if self._stopped or self.controller not in self.air.controllers:
            return
        orphans = self.controller.orphans()
        for handle in orphans & self._orphans:
            connection = self.controller.find_connection_by_handle(handle)
            if connection is not None:
                self.controller.on_le_disconnected(connection, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
        self._orphans = orphans
        if not self.controller.le_connections and not self.advertising:
            self.controller.le_legacy_advertiser.start()

    def _advertise_again(self, _: Any) -> None:
        if not self._stopped:
            self.controller.le_legacy_advertiser.start()

    async def set_temperature(self, hundredths: int) -> None:
        """And notify whoever wants to know."""
        self.hundredths = hundredths
        if self.answering.is_set():
            await self.device.notify_subscribers(self.temperature, struct.pack("<h", hundredths))

    async def measure(self, data: bytes) -> None:
        """Indicate a temperature measurement."""
        await self.device.indicate_subscribers(self.thermometer, data)

    async def drop(self) -> None:
        """Hang up."""
        for connection in [*self.device.connections.values()]:
            await connection.disconnect(hci.HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR)

    def vanish(self) -> None:
        """Out of range, and noticed."""
        self.controller.lose_links()
        self.air.remove(self.controller)

    def go_deaf(self) -> None:
        """Out of range, and nobody has noticed yet."""
        self.air.remove(self.controller)

    def come_back(self) -> None:
        """In range again; what had been a connection before has run out meanwhile."""
        self.controller.lose_links()
        self.air.bring_back(self.controller)

    # -- characteristics

    def _readable(
        self, uuid: int | str, value: Callable[[], bytes], properties: Any = _P.READ
    ) -> Characteristic[bytes]:
        async def read(connection: Any) -> bytes:
            await self._answer(connection)
            return value()

        return Characteristic(_uuid(uuid), properties, _R.READABLE, CharacteristicValue(read=read))

    def _writable(self, uuid: str, value: Callable[[], bytes], write: Callable[[bytes], None]) -> Characteristic[bytes]:
        async def read(connection: Any) -> bytes:
            await self._answer(connection)
            return value()

        async def take(connection: Any, data: bytes) -> None:
            self.writes += 1
            await self._answer(connection)
            write(data)

        return Characteristic(
            _uuid(uuid), _P.READ | _P.WRITE, _R.READABLE | _R.WRITEABLE, CharacteristicValue(read=read, write=take)
        )

    def _hanging(self) -> Characteristic[bytes]:
        async def read(_: Any) -> bytes:
            self._count()
            await asyncio.Event().wait()
            raise AssertionError

        return Characteristic(_uuid(HANGING), _P.READ, _R.READABLE, CharacteristicValue(read=read))

    def _count(self) -> None:
        self.requests += 1
        self.on_request()

    async def _answer(self, connection: Any) -> None:
        self._count()
        # What was asked over a connection that has ended is forgotten: bumble would answer it over the next one.
        await connection.cancel_on_disconnection(self._think())

    async def _think(self) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        await self.answering.wait()

    def _refuse(self) -> bytes:
        raise ATT_Error(ErrorCode.INSUFFICIENT_AUTHENTICATION)

    def _set(self, data: bytes) -> None:
        (self.setpoint,) = struct.unpack("<H", data)

    def _clamp(self, data: bytes) -> None:
        self.clamped = min(data[0], 100)


def _uuid(uuid: int | str) -> UUID:
    return UUID.from_16_bits(uuid) if isinstance(uuid, int) else UUID(uuid)


class World:
    """The air, what is in it, and the port a gateway's radio is plugged into."""

    def __init__(self, advert_period_s: float = ADVERT_PERIOD_S) -> None:
        """`advert_period_s`: between two adverts of a beacon."""
        self._advert_period_s = advert_period_s
        self.air = Air()
        self.sensors: dict[str, Sensor] = {}
        self.port = 0
        self._beacons: dict[str, bytes] = {}
        self._server: asyncio.Server | None = None
        self._adapters: dict[_Adapter, VirtualController] = {}
        self._clock: asyncio.TimerHandle | None = None
        self.air.prompted = self._beam

    async def start(self, port: int = 0) -> None:
        await self.plug_in(port)
        self._tick()

    async def stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        self.take_away()
        for sensor in self.sensors.values():
            await sensor.stop()

    async def add_sensor(self, address: str = SENSOR, name: str = SENSOR_NAME) -> Sensor:
        sensor = self.sensors[address] = Sensor(self.air, address, name)
        await sensor.start()
        return sensor

    def beacon(self, address: str, data: bytes, rssi: int = -60) -> None:
        """From now on it says `data`, again and again."""
        self._beacons[address] = data
        self.air.rssi[address] = rssi
        self.air.beacons_only.add(address)

    def say(self, address: str, data: bytes) -> None:
        """Once."""
        self.air.beacons_only.add(address)
        self.air.say(hci.Address(address), data)

    def hush(self, address: str) -> None:
        """The beacon's battery is empty."""
        self._beacons.pop(address, None)

    # -- the gateway's adapter

    async def plug_in(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Adapter(self), "127.0.0.1", port or self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def take_away(self) -> None:
        """The adapter is pulled out, and isn't plugged in again."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    def reset(self) -> None:
        """The adapter is pulled out and plugged in again."""
        for adapter in [*self._adapters]:
            adapter.pull()

    def stop_scanning(self) -> None:
        """Scanning ends, and nobody is told."""
        for controller in self._adapters.values():
            controller.le_scan_enable = False

    def joined(self, adapter: _Adapter, controller: VirtualController) -> None:
        self._adapters[adapter] = controller

    def left(self, adapter: _Adapter) -> None:
        controller = self._adapters.pop(adapter, None)
        if controller is not None:
            controller.lose_links()
            controller.host = None
            self.air.remove(controller)

    def _beam(self) -> None:
        for address, data in self._beacons.items():
            self.air.say(hci.Address(address), data)

    def _tick(self) -> None:
        self._beam()
        for sensor in self.sensors.values():
            sensor.supervise()
        self._clock = asyncio.get_running_loop().call_later(self._advert_period_s, self._tick)


class _Adapter(asyncio.Protocol):
    """One HCI connection: a controller of its own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._source = StreamPacketSource()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        controller = VirtualController("GATEWAY", self._world.air, host_source=self._source, host_sink=self)
        self._world.joined(self, controller)

    def data_received(self, data: bytes) -> None:
        self._source.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._world.left(self)

    def on_packet(self, packet: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(packet)

    def pull(self) -> None:
        self._world.left(self)
        if self._transport is not None:
            self._transport.abort()
