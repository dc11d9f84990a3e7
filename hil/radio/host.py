"""A radio for the driver: bleak's own scanner and client classes over a bumble host instead of BlueZ."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from bleak import BleakClient, BleakScanner
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bumble.att import ATT_Error
from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Connection, Device, Peer
from bumble.hci import (
    HCI_CONNECTION_TIMEOUT_ERROR,
    HCI_REMOTE_USER_TERMINATED_CONNECTION_ERROR,
    Address,
    HCI_LE_Create_Connection_Cancel_Command,
)
from bumble.transport import open_transport

from drivers.ble.radio import Heard
from gateway.driver import LinkDown
from hil.radio.world import GATEWAY

T = TypeVar("T")

_AD = AdvertisingData


class BumbleRadio:
    """Implements :class:`drivers.ble.radio.Radio` over HCI at a TCP port of this machine."""

    def __init__(self, port: int, name: str = "hci0") -> None:
        self.name = name
        self.port = port
        self.host: Device | None = None
        self.scanners_made = 0
        self._transport: Any = None
        self._clients: set[_Client] = set()
        self._lost: Callable[[str], None] = lambda reason: None
        self.gone = asyncio.Event()
        """Set once the adapter is found to be gone."""

    async def open(self, lost: Callable[[str], None]) -> None:
        await self.close()
        try:
            transport = self._transport = await open_transport(f"tcp-client:127.0.0.1:{self.port}")
        except OSError:
            raise LinkDown(f"there is no Bluetooth adapter {self.name}: plug one in") from None
        self._lost = lost
        transport.source.terminated.add_done_callback(lambda _: self._gone(transport))
        self.host = Device.with_hci("gateway", Address(GATEWAY), transport.source, transport.sink)
        try:
            async with asyncio.timeout(2):
                await self.host.power_on()
        except TimeoutError:
            raise LinkDown(f"Bluetooth adapter {self.name} doesn't answer: plug it in again") from None
        self.gone.clear()

    async def close(self) -> None:
        transport, self._transport, self.host = self._transport, None, None
        if transport is not None:
            await transport.close()

    async def let_go(self, address: str | None, name: str | None) -> None:
        """Nothing to be done: connections end with the process."""

    def scanner(self, heard: Heard) -> BleakScanner:
        self.scanners_made += 1
        return BleakScanner(heard, backend=type("BumbleScanner", (_Scanner,), {"radio": self}))

    def client(self, device: BLEDevice, gone: Callable[[], None], timeout_s: float, pair: bool) -> BleakClient:
        backend = type("BumbleClient", (_Client,), {"radio": self})
        return BleakClient(
            device, disconnected_callback=lambda _: gone(), timeout=timeout_s, pair=pair, backend=backend
        )

    def explain(self, error: Exception) -> str:
        return f"Bluetooth adapter {self.name} can't be used: {error}"

    def require_host(self) -> Device:
        if self.host is None:
            raise BleakError("the adapter is gone")
        return self.host

    def _gone(self, transport: Any) -> None:
        if self._transport is transport:
            self.host = None
            self.gone.set()
            self._lost(f"Bluetooth adapter {self.name} was taken away")
            for client in [*self._clients]:
                client.cut()

    def joined(self, client: _Client) -> None:
        self._clients.add(client)

    def left(self, client: _Client) -> None:
        self._clients.discard(client)


class _Scanner(BaseBleakScanner):
    radio: BumbleRadio

    def __init__(self, detection_callback: Any, service_uuids: Any, scanning_mode: str, **_: Any) -> None:
        super().__init__(detection_callback, service_uuids)
        self._active = scanning_mode == "active"
        self._merged: dict[str, dict[str, Any]] = {}
        self._host: Device | None = None

    async def start(self) -> None:
        host = self._host = self.radio.require_host()
        self.seen_devices = {}
        host.on("advertisement", self._on_advertisement)
        await host.start_scanning(active=self._active, filter_duplicates=False)

    async def stop(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            host.remove_listener("advertisement", self._on_advertisement)
            if host is self.radio.host:
                await host.stop_scanning()

    def _on_advertisement(self, report: Any) -> None:
        """As BlueZ does, what a device said in earlier adverts is kept."""
        address = report.address.to_string(False)
        kept = self._merged.setdefault(address, {"name": None, "company": {}, "service": {}})
        for kind, data in report.data.ad_structures:
            if kind in (_AD.COMPLETE_LOCAL_NAME, _AD.SHORTENED_LOCAL_NAME):
                kept["name"] = data.decode("utf-8", "replace")
            elif kind == _AD.MANUFACTURER_SPECIFIC_DATA and len(data) >= 2:
                kept["company"][int.from_bytes(data[:2], "little")] = data[2:]
            elif kind == _AD.SERVICE_DATA_16_BIT_UUID and len(data) >= 2:
                kept["service"][_long(UUID.from_bytes(data[:2]))] = data[2:]
        heard = AdvertisementData(
            kept["name"], dict(kept["company"]), dict(kept["service"]), [], None, report.rssi, (report,)
        )
        device = self.create_or_update_device(address, address, kept["name"], report.address, heard)
        self.call_detection_callbacks(device, heard)


class _Client(BaseBleakClient):
    radio: BumbleRadio

    def __init__(self, device: BLEDevice, services: Any = None, **arguments: Any) -> None:
        super().__init__(device, **arguments)
        self._target: Address = device.details
        self._connection: Connection | None = None
        self._subscribed: dict[int, Any] = {}

    @property
    def name(self) -> str:
        return self.address

    @property
    def mtu_size(self) -> int:
        return self._connection.att_mtu if self._connection else 23

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def connect(self, pair: bool, **_: Any) -> None:
        host = self.radio.require_host()
        try:
            connection = self._connection = await host.connect(self._target, timeout=self._timeout)
        except BaseBumbleError:
            raise BleakDeviceNotFoundError(self.address, f"{self.address} not reachable") from None
        except asyncio.CancelledError:
            # bumble would leave the attempt pending, and refuse every other.
            await host.send_sync_command(HCI_LE_Create_Connection_Cancel_Command())
            raise
        connection.on("disconnection", self._on_disconnection)
        self.radio.joined(self)
        try:
            if pair:
                await connection.pair()
            peer = Peer(connection)
            await self._call(peer.request_mtu(247))
            await self._call(peer.discover_all())  # type: ignore[no-untyped-call]
        except BaseException:
            await self.disconnect()
            raise
        self.services = self._collected(peer)

    async def disconnect(self) -> None:
        if self._connection is not None and self._connection.device is self.radio.host:
            with contextlib.suppress(BaseBumbleError):
                await self._connection.disconnect(HCI_REMOTE_USER_TERMINATED_CONNECTION_ERROR)

    async def pair(self, *_: Any, **__: Any) -> None:
        assert self._connection is not None
        await self._connection.pair()

    async def unpair(self) -> None:
        raise NotImplementedError

    async def read_gatt_char(self, characteristic: BleakGATTCharacteristic, **_: Any) -> bytearray:
        return bytearray(await self._call(characteristic.obj.read_value()))

    async def read_gatt_descriptor(self, descriptor: BleakGATTDescriptor, **_: Any) -> bytearray:
        return bytearray(await self._call(descriptor.obj.read_value()))

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: Any, response: bool) -> None:
        await self._call(characteristic.obj.write_value(bytes(data), with_response=response))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: Any) -> None:
        await self._call(descriptor.obj.write_value(bytes(data), with_response=True))

    async def start_notify(self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_: Any) -> None:
        def notified(value: bytes) -> None:
            callback(bytearray(value))

        self._subscribed[characteristic.handle] = notified
        await self._call(characteristic.obj.subscribe(notified, prefer_notify="notify" in characteristic.properties))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        notified = self._subscribed.pop(characteristic.handle, None)
        if notified is not None:
            await self._call(characteristic.obj.unsubscribe(notified))

    def cut(self) -> None:
        """The adapter is gone, and every connection with it."""
        if self._connection is not None:
            self._connection.emit("disconnection", HCI_CONNECTION_TIMEOUT_ERROR)

    def _on_disconnection(self, _: Any) -> None:
        self.radio.left(self)
        self._connection = None
        self.services = None
        if self._disconnected_callback:
            self._disconnected_callback()

    async def _call(self, request: Coroutine[Any, Any, T]) -> T:
        """An ATT error as bleak puts it; a link lost meanwhile ends the request (bumble alone would wait 30 s)."""
        connection = self._connection
        if connection is None:
            request.close()
            raise BleakError("Not connected")
        try:
            return await connection.cancel_on_disconnection(request)
        except ATT_Error as error:
            raise BleakGATTProtocolError(error.error_code) from error
        except BaseBumbleError as error:
            raise BleakError(str(error)) from error
        except asyncio.CancelledError:
            if self._connection is None:
                raise BleakError("disconnected") from None
            raise

    def _collected(self, peer: Peer) -> BleakGATTServiceCollection:
        collection = BleakGATTServiceCollection()
        for service in peer.services:
            bleak_service = BleakGATTService(service, service.handle, _long(service.uuid))
            collection.add_service(bleak_service)
            for each in service.characteristics:
                characteristic = BleakGATTCharacteristic(
                    each,
                    each.handle,
                    _long(each.uuid),
                    list(gatt_char_props_to_strs(each.properties)),
                    lambda: self.mtu_size - 3,
                    bleak_service,
                )
                collection.add_characteristic(characteristic)
                for descriptor in each.descriptors:
                    collection.add_descriptor(
                        BleakGATTDescriptor(descriptor, descriptor.handle, _long(descriptor.type), characteristic)
                    )
        return collection


def _long(uuid: UUID) -> str:
    if len(uuid.uuid_bytes) == 16:
        return uuid.to_hex_str("-").lower()
    return f"{int.from_bytes(uuid.uuid_bytes, 'little'):08x}-0000-1000-8000-00805f9b34fb"
