"""The connection to one device: made when it is needed, given up at the first sign of trouble.

A connection that left one request unanswered is never asked again: what comes late on it could be taken for another
answer, and whether it still stands nobody knows (BlueZ may call a dead one connected for 30 s). Whoever needs it next
makes a new one, after a fresh advert of the device: after a failed connect BlueZ forgets a device until it is heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from drivers.ble.bus import BleBus, quietly
from drivers.ble.gatt.errors import NoAnswer, NotThere, Refused, refusal
from drivers.ble.hearing import Hearing
from drivers.ble.options import DeviceOptions
from drivers.ble.plan import Target
from gateway.driver import DeviceSilent, LinkDown

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.characteristic import BleakGATTCharacteristic

T = TypeVar("T")

_DISCONNECT_LIMIT_S = 5.0


class Connection:
    """What the device's reads, writes and subscriptions share."""

    def __init__(self, bus: BleBus, hearing: Hearing, options: DeviceOptions) -> None:
        self._bus = bus
        self._hearing = hearing
        self._options = options
        self._client: BleakClient | None = None
        self._slot: _Slot | None = None
        self._gone: asyncio.Event = asyncio.Event()
        self._users = 0
        self._turn = asyncio.Lock()
        """ATT answers one request at a time; connecting comes first."""
        self._ending: asyncio.Task[None] | None = None
        self._takers: dict[Target, dict[object, Callable[[bytes], None]]] = {}
        """Who is told of the notifications that this connection has been asked for."""
        self._not_before_ns = 0
        """Adverts up to here say nothing about whether connecting makes sense."""

    @property
    def gone(self) -> asyncio.Event:
        """Set when the connection made last has ended."""
        return self._gone

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncIterator[None]:
        """Be connected. Raises DeviceSilent or LinkDown."""
        self._users += 1
        limit_s = (self._options.advert_timeout_ms + self._options.connect_timeout_ms) / 1000 + _DISCONNECT_LIMIT_S
        try:
            try:
                async with asyncio.timeout(limit_s), self._turn:
                    if self._client is None:
                        await self._connect()
            except TimeoutError:
                raise DeviceSilent(
                    f"there was no connection to {self._options.identity} within {limit_s:g} s"
                ) from None
            yield
        finally:
            self._users -= 1
            if not self._users and self._options.connection == "on_demand":
                self.drop()

    def find(self, target: Target) -> BleakGATTCharacteristic:
        """Raises NotThere or DeviceSilent."""
        client = self._require()
        found = [
            each
            for service in client.services
            if target.service in (None, service.uuid)
            for each in service.characteristics
            if each.uuid == target.characteristic
        ]
        if not found:
            raise NotThere(f"{self._options.identity} has no {target}")
        if len(found) > 1:
            raise NotThere(f"{self._options.identity} has {len(found)} times {target}: give its 'service'")
        return found[0]

    async def read(self, target: Target) -> bytes:
        """Raises NoAnswer, NotThere, Refused, DeviceSilent or LinkDown."""
        found = self.find(target)
        tracer = self._bus.tracer
        if tracer is not None:
            tracer.reading(self._address, found.handle + 1)
        data = bytes(await self._request(f"reading {target}", lambda client: client.read_gatt_char(self.find(target))))
        if tracer is not None:
            tracer.was_read(self._address, data)
        return data

    async def write(self, target: Target, data: bytes) -> None:
        """Raises as :meth:`read` does. Sent once; after NoAnswer or DeviceSilent the outcome is unknown."""
        found = self.find(target)
        response = "write" in found.properties
        tracer = self._bus.tracer
        if tracer is not None:
            tracer.writing(self._address, found.handle + 1, data, answered=response)
        await self._request(
            f"writing {target}", lambda client: client.write_gatt_char(self.find(target), data, response=response)
        )
        if tracer is not None and response:
            tracer.was_written(self._address)

    async def notify(self, target: Target, listener: object, take: Callable[[bytes], None]) -> None:
        """Have every notification of it handed to `take`, until :meth:`deafen`. Raises as :meth:`read` does."""
        asked = self._takers
        known = asked.get(target)
        if known is not None:  # asked for already, and not asked for twice on one connection
            known[listener] = take
            return
        takers = {listener: take}

        def notified(characteristic: BleakGATTCharacteristic, data: bytearray) -> None:
            self._alive()
            if self._bus.tracer is not None:
                self._bus.tracer.notified(self._address, characteristic.handle + 1, bytes(data))
            for each in [*takers.values()]:
                each(bytes(data))

        await self._request(f"subscribing to {target}", lambda client: client.start_notify(self.find(target), notified))
        asked[target] = takers

    def deafen(self, listener: object) -> None:
        """It is told of no notification any more."""
        for takers in self._takers.values():
            takers.pop(listener, None)

    @property
    def _address(self) -> str:
        sighting = self._hearing.sighting
        return self._options.identity if sighting is None else sighting.device.address

    @property
    def client(self) -> BleakClient:
        """For browsing. Raises DeviceSilent."""
        return self._require()

    def drop(self) -> None:
        """Let the connection go, without waiting for that."""
        client, self._client = self._client, None
        self._gone.set()
        self._takers = {}
        if client is not None:
            self._not_before_ns = time.monotonic_ns()
            assert self._slot is not None
            self._ending = self._bus.spawn(self._end(client, self._slot))

    async def _request(self, what: str, ask: Callable[[BleakClient], Awaitable[T]]) -> T:
        timeout_s = self._options.timeout_ms / 1000
        async with self._turn:
            client = self._require()
            try:
                answer = await self._bus.bounded(_awaited(ask(client)), timeout_s)
            except TimeoutError:
                self.drop()
                raise NoAnswer(
                    f"{self._options.identity} left {what} unanswered for {self._options.timeout_ms} ms; if it wants "
                    "to be paired first, see 'pair'"
                ) from None
            except (NotThere, DeviceSilent, LinkDown):
                raise
            except asyncio.CancelledError:
                self.drop()
                raise
            except Exception as error:
                refused = refusal(error)
                if refused is None:
                    # bleak lets errors of D-Bus, of sockets and of its own book-keeping through; after none of them
                    # is the connection worth anything.
                    self.drop()
                    raise DeviceSilent(f"{what} of {self._options.identity} failed: {_sentence(error)}") from error
                self._alive()
                raise Refused(f"{self._options.identity} refused {what}: {refused.text}", refused) from None
        self._alive()
        return answer

    def _alive(self) -> None:
        self._bus.alive()
        self._hearing.answered()

    def _require(self) -> BleakClient:
        if self._client is None:
            self._bus.require_open()
            raise DeviceSilent(f"the connection to {self._options.identity} was lost")
        return self._client

    # -- connecting

    async def _let_go(self) -> None:
        """No connection is left of a gateway that was killed, or of an attempt that came too late."""
        bus, options = self._bus, self._options
        with contextlib.suppress(TimeoutError):
            await bus.bounded(quietly(bus.radio.let_go(options.address, options.local_name)), _DISCONNECT_LIMIT_S)

    async def _connect(self) -> None:
        bus, options = self._bus, self._options
        bus.require_open()
        if self._ending is not None:
            await bus.bounded(asyncio.wait({self._ending}), _DISCONNECT_LIMIT_S + 1)
            self._ending = None
        await self._let_go()
        advert_s, connect_s = options.advert_timeout_ms / 1000, options.connect_timeout_ms / 1000
        since_ns = max(self._not_before_ns, time.monotonic_ns() - int(advert_s * 1e9))
        sighting = await bus.bounded(self._hearing.seen(since_ns), advert_s + 1)
        gone = self._gone = asyncio.Event()
        client = bus.radio.client(sighting.device, lambda: self._lost(client, gone), connect_s, options.pair)
        slot = _Slot(bus.slots)
        try:
            await bus.bounded(_connected(client, slot, bus.connecting), connect_s)
            if gone.is_set():
                raise DeviceSilent(f"{options.identity} took the connection and let it go at once")
        except BaseException as error:
            self._not_before_ns = time.monotonic_ns()
            self._ending = bus.spawn(self._end(client, slot))
            bus.counters["failed_connects"] += 1
            if isinstance(error, TimeoutError):
                raise DeviceSilent(self._late(slot)) from None
            if isinstance(error, LinkDown | DeviceSilent) or not isinstance(error, Exception):
                raise
            raise DeviceSilent(f"connecting to {options.identity} failed: {_sentence(error)}") from error
        self._slot = slot
        self._client = client
        bus.counters["device_connects"] += 1
        self._alive()

    def _lost(self, client: BleakClient, gone: asyncio.Event) -> None:
        """bleak says that the connection has ended, by whomever."""
        if self._client is client:
            self._bus.counters["lost_connections"] += 1
            self.drop()
        gone.set()

    def _late(self, slot: _Slot) -> str:
        limit = f"{self._options.connect_timeout_ms} ms"
        if slot.held:
            return f"connecting to {self._options.identity} took longer than {limit}, though it is in range"
        return (
            f"all {self._bus.options.max_connections} connections of {self._bus.radio.name} were in use for {limit}: "
            "raise 'max_connections', or let devices be connected 'on_demand'"
        )

    async def _end(self, client: BleakClient, slot: _Slot) -> None:
        try:
            async with asyncio.timeout(_DISCONNECT_LIMIT_S):
                await client.disconnect()
        except Exception:  # noqa: BLE001 - bleak lets anything through, and none of it matters any more
            self._bus.counters["failed_disconnects"] += 1
        finally:
            slot.release()


class _Slot:
    """One of the few connections a radio can have."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots
        self.held = False

    async def take(self) -> None:
        await self._slots.acquire()
        self.held = True

    def release(self) -> None:
        if self.held:
            self.held = False
            self._slots.release()


async def _connected(client: BleakClient, slot: _Slot, turn: asyncio.Lock) -> None:
    await slot.take()
    async with turn:
        await client.connect()


async def _awaited(answer: Awaitable[T]) -> T:
    return await answer


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
