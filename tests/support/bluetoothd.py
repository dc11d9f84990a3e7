"""A D-Bus service that plays bluetoothd's adapter, on a bus of its own, for bleak's own BlueZ backend to talk to.

It has what scanning needs (doc/org.bluez.Adapter.rst): objects, discovery, adverts as properties of devices, power. As
with BlueZ 5.82, an advert that is like the one before is told only to those who asked for such. It connects to nothing.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusSignature
from dbus_fast.constants import BusType, PropertyAccess
from dbus_fast.errors import DBusError
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property
from dbus_fast.signature import Variant

ADAPTER_PATH = "/org/bluez/hci0"
_SAME_RSSI = 8
"""Strengths that differ by less are the same, in dB."""

_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"""


class _Adapter(ServiceInterface):
    """dbus-fast reads the annotations: a method that returns nothing must have none."""

    def __init__(self, powered: bool) -> None:
        super().__init__("org.bluez.Adapter1")
        self.powered = powered
        self.discovering = False
        self.discoveries = 0
        self.duplicates = False

    @dbus_method(name="SetDiscoveryFilter")
    def set_discovery_filter(self, properties: Annotated[dict[str, Any], DBusSignature("a{sv}")]):
        asked = properties.get("DuplicateData")
        self.duplicates = asked is not None and asked.value

    @dbus_method(name="StartDiscovery")
    def start_discovery(self):
        if not self.powered:
            raise DBusError("org.bluez.Error.NotReady", "Resource Not Ready")
        self.discovering = True
        self.discoveries += 1

    @dbus_method(name="StopDiscovery")
    def stop_discovery(self):
        self.discovering = False

    @dbus_property(access=PropertyAccess.READ, name="Powered")
    def powered_property(self) -> Annotated[bool, DBusSignature("b")]:
        return self.powered

    @dbus_property(access=PropertyAccess.READ, name="Roles")
    def roles(self) -> Annotated[list[str], DBusSignature("as")]:
        return ["central", "peripheral"]


class _Device(ServiceInterface):
    def __init__(self, address: str, company: int, data: bytes, rssi: int) -> None:
        super().__init__("org.bluez.Device1")
        self._address = address
        self._company = company
        self._data = data
        self._rssi = rssi
        self.is_connected = False

    def advertise(self, data: bytes, rssi: int, duplicates: bool) -> None:
        if not duplicates and data == self._data and abs(rssi - self._rssi) < _SAME_RSSI:
            return
        self._data, self._rssi = data, rssi
        self.emit_properties_changed({"ManufacturerData": {self._company: Variant("ay", data)}, "RSSI": rssi})

    def connection_ends(self) -> None:
        """Nothing was received, but something has changed."""
        self.emit_properties_changed({"Connected": False}, ["RSSI"])

    @dbus_property(access=PropertyAccess.READ, name="Address")
    def address(self) -> Annotated[str, DBusSignature("s")]:
        return self._address

    @dbus_property(access=PropertyAccess.READ, name="Alias")
    def alias(self) -> Annotated[str, DBusSignature("s")]:
        return self._address.replace(":", "-")

    @dbus_property(access=PropertyAccess.READ, name="Adapter")
    def adapter(self) -> Annotated[str, DBusSignature("o")]:
        return ADAPTER_PATH

    @dbus_property(access=PropertyAccess.READ, name="Connected")
    def connected(self) -> Annotated[bool, DBusSignature("b")]:
        return self.is_connected

    @dbus_method(name="Disconnect")
    def disconnect(self):
        self.is_connected = False

    @dbus_property(access=PropertyAccess.READ, name="RSSI")
    def rssi(self) -> Annotated[int, DBusSignature("n")]:
        return self._rssi

    @dbus_property(access=PropertyAccess.READ, name="ManufacturerData")
    def manufacturer_data(self) -> Annotated[dict[int, Any], DBusSignature("a{qv}")]:
        return {self._company: Variant("ay", self._data)}


class Bluetoothd:
    """The service. Its bus is :func:`system_bus`."""

    def __init__(self) -> None:
        self.adapter = _Adapter(powered=True)
        self._devices: dict[str, _Device] = {}
        self._bus: MessageBus | None = None

    async def start(self, *, adapter: bool = True, powered: bool = True) -> None:
        bus = self._bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        self.adapter = _Adapter(powered)
        self._devices = {}
        if adapter:
            bus.export(ADAPTER_PATH, self.adapter)
        await bus.request_name("org.bluez")

    async def stop(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()
            await bus.wait_for_disconnect()

    def advertise(self, address: str, company: int, data: bytes, rssi: int = -60) -> None:
        """While discovery is on, as the daemon would report it."""
        if not self.adapter.discovering:
            return
        if address in self._devices:
            self._devices[address].advertise(data, rssi, self.adapter.duplicates)
            return
        assert self._bus is not None
        device = self._devices[address] = _Device(address, company, data, rssi)
        self._bus.export(f"{ADAPTER_PATH}/dev_{address.replace(':', '_')}", device)

    def keep_connected(self, address: str) -> None:
        """As of a client that was killed."""
        self._devices[address].is_connected = True

    def is_connected(self, address: str) -> bool:
        return self._devices[address].is_connected

    def end_connection(self, address: str) -> None:
        self._devices[address].connection_ends()

    def power(self, on: bool) -> None:
        """Discovery ends with the power, and doesn't begin again by itself."""
        self.adapter.powered = on
        if not on:
            self.adapter.discovering = False
        self.adapter.emit_properties_changed({"Powered": on})

    def take_away(self) -> None:
        """The adapter is pulled out."""
        assert self._bus is not None
        self._bus.unexport(ADAPTER_PATH, self.adapter)


@asynccontextmanager
async def system_bus(directory: Path) -> AsyncIterator[str]:
    """A D-Bus daemon; yields the address to put into DBUS_SYSTEM_BUS_ADDRESS."""
    socket = directory / "bus"
    configuration = directory / "bus.conf"
    configuration.write_text(_CONFIGURATION.format(socket=socket))
    command = ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile", "--print-address"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        address = (await asyncio.to_thread(daemon.stdout.readline)).decode().strip()
        assert address, "dbus-daemon didn't start"
        try:
            yield address
        finally:
            daemon.terminate()
