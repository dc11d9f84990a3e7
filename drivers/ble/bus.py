"""One radio shared by all its devices: a scanner that never stops, its watchdog, and few connections at a time.

Adverts are handed over from the scanner's callback, whatever else goes on: nobody's connecting, reading or being absent
delays them. Connections are made one after the other, since radios can't do better, and only to a device that was heard
a moment ago: one that is away costs the others nothing.

Every call into bleak goes through :meth:`BleBus.bounded`. It ends with its deadline or with the radio, even if bleak
doesn't: a read of a protected characteristic can hang for ever, and a cancelled connect can take its time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from drivers.ble.hearing import Hearing
from drivers.ble.options import LinkOptions
from drivers.ble.radio import Heard, Radio
from drivers.ble.tracing import Tracer
from gateway.driver import LinkDown
from gateway.wire import Take

if TYPE_CHECKING:
    from bleak import BleakScanner
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

    from drivers.ble.subscription import Subscription

_log = logging.getLogger(__name__)

T = TypeVar("T")

SCANNER_LIMIT_S = 10.0
"""Starting to scan takes bluetoothd a few round trips; longer than this it won't."""
CLOSE_LIMIT_S = 1.5
_NAME_KEPT_S = 60.0
"""A device known by its name is looked for at its last address for so long, then wherever the name is heard."""


class BleBus:
    """One Bluetooth adapter. Implements :class:`gateway.driver.Bus`."""

    def __init__(self, name: str, options: LinkOptions, radio: Radio, also: Heard | None = None) -> None:
        """`also`: is told of every advert of any device."""
        self.name = name
        self.options = options
        self.radio = radio
        self._also = also
        self.counters: Counter[str] = Counter()
        self.connecting = asyncio.Lock()
        self.slots = asyncio.Semaphore(options.max_connections)
        self.subscriptions: dict[tuple[str, str], Subscription] = {}
        """By device and group."""
        self._by_address: dict[str, dict[str, Hearing]] = {}
        self._by_name: dict[str, dict[str, Hearing]] = {}
        self._drops: dict[str, Callable[[], None]] = {}
        self._ended: asyncio.Future[str] | None = None
        """Of the radio opened last: done, with the reason, once it is of no more use."""
        self._scanner: BleakScanner | None = None
        self.tracer: Tracer | None = None
        """Who is shown what is heard and exchanged."""
        self._watchdog: asyncio.TimerHandle | None = None
        self._life_at = 0.0
        self._renewed = False
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- life ----------------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        await self.close()
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        try:
            await self.radio.open(self.down)
            await self._scan()
        except BaseException:
            await self.close()
            raise
        self.counters["connects"] += 1
        self._life_at, self._renewed = loop.time(), False
        self._wind()

    async def close(self) -> None:
        self._end(f"radio {self.radio.name} is closed")
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        for subscription in self.subscriptions.values():
            subscription.end()
        self.subscriptions.clear()
        for drop in self._drops.values():
            drop()
        for hearings in (*self._by_address.values(), *self._by_name.values()):
            for hearing in hearings.values():
                hearing.forget()
        scanner, self._scanner = self._scanner, None
        if scanner is not None:
            self.spawn(quietly(scanner.stop()))
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_LIMIT_S)
            for task in late:
                task.cancel()
        await self.radio.close()
        # What came too late to let its connection go is gone with the radio.
        self.slots = asyncio.Semaphore(self.options.max_connections)
        self.connecting = asyncio.Lock()

    def down(self, reason: str) -> None:
        """The radio is lost: everybody who waits or listens is told."""
        if self._end(reason):
            for subscription in [*self.subscriptions.values()]:
                subscription.down(reason)

    def require_open(self) -> None:
        """Raises LinkDown."""
        if self._ended is None:
            raise LinkDown(f"radio {self.radio.name} isn't open")
        if self._ended.done():
            raise LinkDown(self._ended.result())

    def _end(self, reason: str) -> bool:
        if self._ended is None or self._ended.done():
            return False
        self._ended.set_result(reason)
        return True

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def bounded(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """The result of `work`, which is left to itself, cancelled, if it isn't done in time.

        Raises TimeoutError, LinkDown if the radio is lost meanwhile, or what `work` raises.
        """
        try:
            self.require_open()
        except LinkDown:
            work.close()
            raise
        ended = self._ended
        assert ended is not None
        task = self.spawn(work)
        waits: set[asyncio.Future[Any]] = {task, ended}
        try:
            await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
        if task.done() and not task.cancelled() and not (ended.done() and task.exception()):
            return task.result()
        self.require_open()  # a radio that goes makes everything fail
        raise TimeoutError

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that ends before the bus is closed, or is cancelled then."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_look)
        return task

    # -- hearing -------------------------------------------------------------------------------------------------------

    def attach(self, device: str, hearing: Hearing, drop: Callable[[], None]) -> None:
        """Tell `hearing` of every advert of its device, and call `drop` when the bus is closed; in place of what was
        attached under the same device name before."""
        options = hearing.options
        where, key = (self._by_address, options.address) if options.address else (self._by_name, options.local_name)
        assert key is not None
        where.setdefault(key, {})[device] = hearing
        if device in self._drops:
            self._drops[device]()
        self._drops[device] = drop

    def trace(self, take: Take | None) -> None:
        """See :meth:`gateway.driver.Traces.trace`. Of adverts it shows those of its own devices."""
        self.tracer = None if take is None else Tracer(take)

    def detach(self, device: str, hearing: Hearing) -> None:
        """Undo :meth:`attach`, unless something else is attached under that name by now."""
        for hearings in (self._by_address, self._by_name):
            for key, by_device in [*hearings.items()]:
                if by_device.get(device) is hearing:
                    del by_device[device]
                    self._drops.pop(device)()
                if not by_device:
                    del hearings[key]

    def alive(self) -> None:
        """The radio works: something was heard."""
        self._life_at = asyncio.get_running_loop().time()
        self._renewed = False

    def _heard(self, device: BLEDevice, advert: AdvertisementData) -> None:
        if self._ended is None or self._ended.done():
            return
        self.alive()
        self.counters["adverts"] += 1
        if self._also is not None:
            self._also(device, advert)
        mono_ns = time.monotonic_ns()
        hearings = self._by_address.get(device.address)
        if self.tracer is not None and (hearings or (advert.local_name or device.name or "") in self._by_name):
            self.tracer.advert(device.address, advert)
        if hearings is not None:
            for hearing in hearings.values():
                hearing.hear(device, advert, time.time_ns(), mono_ns)
        if self._by_name:
            for hearing in self._by_name.get(advert.local_name or device.name or "", {}).values():
                known = hearing.sighting
                if known is None or known.device.address == device.address:
                    hearing.hear(device, advert, time.time_ns(), mono_ns)
                elif mono_ns - known.mono_ns > _NAME_KEPT_S * 1e9:
                    _log.info("%s has moved from %s to %s", hearing.name, known.device.address, device.address)
                    hearing.hear(device, advert, time.time_ns(), mono_ns)
                else:
                    self.counters["same_names"] += 1

    async def _scan(self) -> None:
        scanner = self.radio.scanner(self._heard)
        try:
            await self.bounded(scanner.start(), SCANNER_LIMIT_S)
        except LinkDown:
            raise
        except TimeoutError:
            raise LinkDown(
                f"scanning with {self.radio.name} didn't start within {SCANNER_LIMIT_S:g} s: "
                "restart bluetoothd (systemctl restart bluetooth)"
            ) from None
        except Exception as error:  # bleak lets errors of D-Bus and of sockets through
            raise LinkDown(self.radio.explain(error)) from error
        self._scanner = scanner

    # -- the watchdog --------------------------------------------------------------------------------------------------

    def _wind(self) -> None:
        quiet_s = self.options.quiet_s
        if quiet_s:
            loop = asyncio.get_running_loop()
            self._watchdog = loop.call_at(max(self._life_at, loop.time() - quiet_s) + quiet_s, self._watch)

    def _watch(self) -> None:
        """Scanning can die without a word, after a power cycle of the radio or a restart of bluetoothd."""
        if self._ended is None or self._ended.done():
            return
        loop = asyncio.get_running_loop()
        quiet_s = self.options.quiet_s
        if loop.time() - self._life_at < quiet_s:
            self._wind()
        elif self._renewed:
            self.down(
                f"{self.radio.name} has heard nothing at all for {2 * quiet_s} s, though scanning was started anew: "
                "check the antenna and bluetoothd, or raise 'quiet_s' if devices send so rarely here"
            )
        else:
            self._renewed = True
            self._life_at = loop.time()
            self.counters["scanner_renewals"] += 1
            _log.info("link %s: nothing heard for %d s; scanning is started anew", self.name, quiet_s)
            self.spawn(self._renew())
            self._wind()

    async def _renew(self) -> None:
        scanner, self._scanner = self._scanner, None
        try:
            if scanner is not None:
                # What has died may refuse to be stopped.
                await self.bounded(quietly(scanner.stop()), CLOSE_LIMIT_S)
        except TimeoutError:
            pass
        except LinkDown:
            return
        try:
            await self._scan()
        except LinkDown as error:
            self.down(str(error))


async def quietly(work: Coroutine[Any, Any, None]) -> None:
    """`work`, whose failure is of no interest to anybody: whatever it was for is tried again, or over."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - bleak lets errors of D-Bus and of sockets through
        _log.debug("letting go: %s", error)


def _look(task: asyncio.Task[Any]) -> None:
    """A task nobody waits for any more must not be complained about."""
    if not task.cancelled():
        task.exception()
