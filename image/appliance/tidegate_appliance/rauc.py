"""RAUC over D-Bus: ``de.pengutronix.rauc.Installer`` on the system bus, as RAUC 1.13 serves it.

Every call is a connection of its own: nothing is held open between updates, which are rare.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from dbus_fast.aio import MessageBus
from dbus_fast.constants import BusType, MessageType
from dbus_fast.errors import AuthError, DBusError, InvalidAddressError
from dbus_fast.message import Message
from dbus_fast.unpack import unpack_variants

NAME: Final = "de.pengutronix.rauc"
_INTERFACE: Final = "de.pengutronix.rauc.Installer"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"
_CALL_S: Final = 60.0
"""A check of a bundle reads its signature alone; the boot state is one sector. Starting the service is in it."""


class RaucError(Exception):
    """RAUC refused or failed; the message is RAUC's own."""


@dataclass(frozen=True, slots=True)
class RaucSlot:
    """One of the slots that can be booted."""

    name: str
    """``rootfs.0``."""
    bootname: str
    """``A``."""
    booted: bool
    bootable: bool
    """The boot loader would start it; of U-Boot that says that attempts are left, not that it ever worked."""
    status: str
    """``ok`` once an image was written wholly; empty if RAUC never wrote one."""
    version: str | None
    """Of the bundle that was installed there; None: RAUC didn't install what is there."""
    installed: str | None
    """ISO 8601."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of itself, its signature checked."""

    compatible: str
    version: str


class Rauc:
    """A connection. Every method raises RaucError."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus

    async def slots(self) -> list[RaucSlot]:
        """Those with a name in the boot loader, in the order of their names."""
        (listed,) = await self._call("GetSlotStatus")
        found = [_slot(name, unpack_variants(status)) for name, status in listed if "bootname" in status]
        return sorted(found, key=lambda slot: slot.bootname)

    async def primary(self) -> str:
        """Name of the slot that is started next."""
        (name,) = await self._call("GetPrimary")
        return str(name)

    async def compatible(self) -> str:
        """What a bundle must be compatible with."""
        return str(await self._property("Compatible"))

    async def inspect(self, bundle: Path) -> Manifest:
        """Check the signature of a bundle and read its manifest. Nothing is written."""
        (found,) = await self._call("InspectBundle", "sa{sv}", [str(bundle), {}])
        update = unpack_variants(found)["update"]
        return Manifest(str(update["compatible"]), str(update.get("version") or ""))

    async def mark(self, state: Literal["good", "bad", "active"], slot: str) -> None:
        """`slot`: ``booted``, ``other`` or a name."""
        await self._call("Mark", "ss", [state, slot])

    async def install(self, bundle: Path) -> AsyncGenerator[tuple[int, str]]:
        """Install a bundle: percent and what is being done, until it is done.

        Closing the generator ends the watching alone: RAUC knows no way to end an installation.
        """
        news = _News()
        self._bus.add_message_handler(news.take)
        try:
            for rule in (
                f"type='signal',sender='{NAME}'",
                f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{NAME}'",
            ):
                await self._send("org.freedesktop.DBus", "/org/freedesktop/DBus", "AddMatch", "s", [rule])
            await self._call("InstallBundle", "sa{sv}", [str(bundle), {}])
            while news.result is None:
                await news.changed.wait()
                news.changed.clear()
                if news.progress is not None:
                    yield news.progress
                    news.progress = None
            if news.result != 0:
                raise RaucError(news.gone or str(await self._property("LastError")))
        finally:
            self._bus.remove_message_handler(news.take)

    async def _property(self, name: str) -> Any:
        (value,) = await self._call("Get", "ss", [_INTERFACE, name], interface=_PROPERTIES)
        return value.value

    async def _call(self, member: str, signature: str = "", body: Any = (), interface: str = _INTERFACE) -> list[Any]:
        return await self._send(NAME, "/", member, signature, body, interface)

    async def _send(
        self,
        destination: str,
        path: str,
        member: str,
        signature: str,
        body: Any,
        interface: str = "org.freedesktop.DBus",
    ) -> list[Any]:
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        try:
            async with asyncio.timeout(_CALL_S):
                reply = await self._bus.call(message)
        except TimeoutError:
            raise RaucError(f"the update service didn't answer within {_CALL_S:.0f} s") from None
        except (OSError, EOFError, DBusError) as error:
            raise RaucError(f"the connection to the update service broke off: {error}") from None
        assert reply is not None
        if reply.message_type is MessageType.ERROR:
            raise RaucError(str(reply.body[0]) if reply.body else reply.error_name or member)
        return list(reply.body)


class _News:
    """What RAUC says of an installation: of its progress the latest."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.progress: tuple[int, str] | None = None
        self.result: int | None = None
        self.gone = ""

    def take(self, message: Message) -> bool:
        if message.message_type is not MessageType.SIGNAL:
            return False
        match message.member, message.body:
            case "PropertiesChanged", [str(), {"Progress": progress}, *_]:
                percent, doing, _ = progress.value
                self.progress = int(percent), str(doing)
            case "Completed", [int(result)]:
                self.result = result
            case "NameOwnerChanged", [str(), str(old), ""] if old:
                self.result, self.gone = -1, "the update service ended in the midst of it"
            case _:
                return False
        self.changed.set()
        return True


@asynccontextmanager
async def rauc() -> AsyncIterator[Rauc]:
    """A connection to RAUC, which the bus starts. Raises RaucError."""
    try:
        async with asyncio.timeout(_CALL_S):
            bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    except (OSError, EOFError, TimeoutError, AuthError, InvalidAddressError, DBusError) as error:
        raise RaucError(f"there is no system bus: {error}") from None
    try:
        yield Rauc(bus)
    finally:
        bus.disconnect()


def _slot(name: str, status: Mapping[str, Any]) -> RaucSlot:
    return RaucSlot(
        name,
        str(status["bootname"]),
        status.get("state") == "booted",
        status.get("boot-status") == "good",
        str(status.get("status", "")),
        status.get("bundle.version") or None,
        status.get("installed.timestamp") or None,
    )
