"""The radio that ships: BlueZ, over D-Bus.

bleak scans and connects. What it doesn't tell is how the adapter is: whether it is there, powered, and stays so. That
is asked of ``org.bluez`` here, over a D-Bus connection of the radio's own (doc/org.bluez.Adapter.rst).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivers.ble.radio import Heard
from gateway.driver import LinkDown

if TYPE_CHECKING:
    from bleak import BleakClient, BleakScanner
    from bleak.args.bluez import BlueZScannerArgs, OrPatternLike
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData
    from dbus_fast.aio import MessageBus
    from dbus_fast.message import Message

_log = logging.getLogger(__name__)

SERVICE = "org.bluez"
ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_OBJECTS = "org.freedesktop.DBus.ObjectManager"
_DBUS = "org.freedesktop.DBus"

_ASK_LIMIT_S = 5.0
_NO_RSSI = -127
_SYSFS = Path("/sys/class/bluetooth")
_NO_BLUETOOTHD = "bluetoothd isn't running: install BlueZ and start it (systemctl enable --now bluetooth)"
_DENIED = (
    "D-Bus doesn't let the gateway use Bluetooth: add its user to the group bluetooth, "
    "or allow it org.bluez in /etc/dbus-1/system.d"
)
_MATCHES = (
    f"type='signal',sender='{SERVICE}',interface='{_PROPERTIES}',member='PropertiesChanged',arg0='{ADAPTER}'",
    f"type='signal',sender='{SERVICE}',interface='{_OBJECTS}',member='InterfacesRemoved'",
    f"type='signal',sender='{_DBUS}',interface='{_DBUS}',member='NameOwnerChanged',arg0='{SERVICE}'",
)


class BluezRadio:
    """Implements :class:`drivers.ble.radio.Radio`."""

    def __init__(self, adapter: str, *, passive: bool = False) -> None:
        self.name = adapter
        self._passive = passive
        self._bus: MessageBus | None = None

    async def open(self, lost: Callable[[str], None]) -> None:
        from dbus_fast.aio import MessageBus
        from dbus_fast.constants import BusType

        await self.close()
        try:
            bus = self._bus = MessageBus(bus_type=BusType.SYSTEM)
            async with asyncio.timeout(_ASK_LIMIT_S):
                await bus.connect()
                bus.add_message_handler(lambda message: self._listen(message, lost))
                for match in _MATCHES:
                    await self._call(_DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", "s", [match])
                objects = await self._call(SERVICE, "/", _OBJECTS, "GetManagedObjects")
        except TimeoutError:
            raise LinkDown(
                f"bluetoothd didn't answer within {_ASK_LIMIT_S:g} s: restart it (systemctl restart bluetooth)"
            ) from None
        except LinkDown:
            raise
        except Exception as error:  # dbus-fast lets errors of sockets, of authentication and of its own through
            raise LinkDown(self.explain(error)) from error
        trouble = adapter_trouble(self.name, objects)
        if trouble:
            raise LinkDown(trouble)

    async def close(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()

    def scanner(self, heard: Heard) -> BleakScanner:
        from bleak import BleakScanner

        def heard_now(device: BLEDevice, advert: AdvertisementData) -> None:
            # bleak reports every change of a device's properties; what was really received has a strength.
            if advert.rssi != _NO_RSSI:
                heard(device, advert)

        # Without it bluetoothd says nothing of a device whose advert and strength stay the same: it would seem away,
        # and would never be connected to.
        arguments: BlueZScannerArgs = {"adapter": self.name, "filters": {"DuplicateData": True}}
        if self._passive:
            arguments["or_patterns"] = _passive_patterns()
            return BleakScanner(heard_now, scanning_mode="passive", bluez=arguments)
        return BleakScanner(heard_now, bluez=arguments)

    def client(self, device: BLEDevice, gone: Callable[[], None], timeout_s: float, pair: bool) -> BleakClient:
        from bleak import BleakClient

        return BleakClient(
            device,
            disconnected_callback=lambda _: gone(),
            timeout=timeout_s,
            pair=pair,
            bluez={"adapter": self.name},
        )

    async def let_go(self, address: str | None, name: str | None) -> None:
        # BlueZ keeps the connections of a process that was killed; only its own clients' discoveries end with them.
        for path, interfaces in (await self._call(SERVICE, "/", _OBJECTS, "GetManagedObjects")).items():
            told = {key: variant.value for key, variant in interfaces.get(DEVICE, {}).items()}
            ours = told.get("Address") == address if address else told.get("Name") == name
            if ours and told.get("Connected") and path.startswith(f"/org/bluez/{self.name}/"):
                _log.info("%s was still connected, from before: its connection is ended", told.get("Address"))
                await self._call(SERVICE, path, DEVICE, "Disconnect")

    def explain(self, error: Exception) -> str:
        return explain(self.name, error)

    def _listen(self, message: Message, lost: Callable[[str], None]) -> None:
        trouble = signal_trouble(self.name, message)
        if trouble and self._bus is not None:
            lost(trouble)

    async def _call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", body: Any = ()
    ) -> Any:
        """The first value of the reply. Raises BleakDBusError."""
        from bleak.exc import BleakDBusError
        from dbus_fast.constants import MessageType
        from dbus_fast.message import Message

        assert self._bus is not None
        reply = await self._bus.call(
            Message(
                destination=destination,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=list(body),
            )
        )
        assert reply is not None  # only of messages that want no reply
        if reply.message_type is MessageType.ERROR:
            raise BleakDBusError(reply.error_name or "", reply.body)
        return reply.body[0] if reply.body else None


def adapter_trouble(adapter: str, objects: Mapping[str, Mapping[str, Any]], sysfs: Path = _SYSFS) -> str:
    """What keeps an adapter from working, in one sentence, or nothing. `objects` are those of BlueZ's ObjectManager."""
    interfaces = objects.get(f"/org/bluez/{adapter}", {})
    if ADAPTER not in interfaces:
        there = sorted(path.rpartition("/")[2] for path, each in objects.items() if ADAPTER in each)
        mend = (
            f"there is {', '.join(there)}" if there else "plug one in, or check that the kernel has its driver (dmesg)"
        )
        return f"there is no Bluetooth adapter {adapter}: {mend}"
    properties = {name: variant.value for name, variant in interfaces[ADAPTER].items()}
    if "central" not in properties.get("Roles", ["central"]):
        return f"Bluetooth adapter {adapter} is for classic Bluetooth only: use one that has Low Energy"
    return "" if properties.get("Powered", True) else _powered_off(adapter, sysfs)


def signal_trouble(adapter: str, message: Message, sysfs: Path = _SYSFS) -> str:
    """Why an adapter has stopped working, if this D-Bus signal says so; else nothing."""
    body = message.body
    if message.member == "NameOwnerChanged" and body[0] == SERVICE:
        return "bluetoothd has stopped" if not body[2] else "bluetoothd was restarted"
    path = f"/org/bluez/{adapter}"
    if message.member == "InterfacesRemoved" and body[0] == path and ADAPTER in body[1]:
        return f"Bluetooth adapter {adapter} was taken away"
    if message.member == "PropertiesChanged" and message.path == path and body[0] == ADAPTER:
        powered = body[1].get("Powered")
        if powered is not None and not powered.value:
            return _powered_off(adapter, sysfs)
    return ""


def explain(adapter: str, error: Exception) -> str:
    """One sentence about an error that D-Bus or bleak raised."""
    from bleak.exc import BleakDBusError
    from dbus_fast.errors import AuthError

    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return "D-Bus isn't running, which Bluetooth needs: install and start it (systemctl start dbus)"
    if isinstance(error, AuthError | PermissionError):
        return _DENIED
    if isinstance(error, BleakDBusError):
        match error.dbus_error:
            case "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner":
                return _NO_BLUETOOTHD
            case "org.freedesktop.DBus.Error.AccessDenied":
                return _DENIED
            case "org.bluez.Error.NotReady":
                return _powered_off(adapter, _SYSFS)
            case "org.bluez.Error.InProgress":
                return f"Bluetooth adapter {adapter} is busy with another scan: stop that, or restart bluetoothd"
    text = " ".join(str(error).split()) or type(error).__name__
    if "--experimental" in text:
        return f'{adapter} can\'t scan passively: start bluetoothd with --experimental, or set scanning = "active"'
    return f"Bluetooth adapter {adapter} can't be used: {text}"


def _powered_off(adapter: str, sysfs: Path) -> str:
    for switch in sorted(sysfs.glob(f"{adapter}/rfkill*")):
        if (switch / "hard").read_text().strip() == "1":
            return f"Bluetooth adapter {adapter} is blocked by a switch of the machine: turn it on there"
        if (switch / "soft").read_text().strip() == "1":
            return f"Bluetooth adapter {adapter} is blocked: run rfkill unblock bluetooth"
    return f"Bluetooth adapter {adapter} is powered off: run bluetoothctl power on"


def _passive_patterns() -> list[OrPatternLike]:
    """BlueZ wants to know what a passive scan is for: the usual flags, and the formats that may come without them."""
    from bleak.assigned_numbers import AdvertisementDataType

    flags: list[OrPatternLike] = [
        (0, AdvertisementDataType.FLAGS, bytes((value,))) for value in (0x02, 0x04, 0x05, 0x06, 0x18, 0x1A, 0x1E)
    ]
    services: list[OrPatternLike] = [
        (0, AdvertisementDataType.SERVICE_DATA_UUID16, uuid.to_bytes(2, "little")) for uuid in (0xFCD2, 0x181A, 0xFEAA)
    ]
    companies: list[OrPatternLike] = [
        (0, AdvertisementDataType.MANUFACTURER_SPECIFIC_DATA, company.to_bytes(2, "little"))
        for company in (0x0499, 0x004C)
    ]
    return flags + services + companies
