"""Starts the links, keeps their failures apart, and answers for all of them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

from gateway.delta import same_connection
from gateway.driver import Bus, Decoding, Driver, Item, Releases
from gateway.model import Batch, Value
from gateway.settings import LinkSettings
from gateway.southbound import demand
from gateway.southbound.demand import Reading
from gateway.southbound.health import DeviceHealth
from gateway.southbound.histogram import Histogram
from gateway.southbound.link import CALL_LIMIT_S, Link, LinkState
from gateway.southbound.schedule import phase
from gateway.southbound.status import SouthboundStatus
from gateway.southbound.unit import Device
from gateway.wire import Take

log = logging.getLogger(__name__)

T = TypeVar("T")

FINISH_LIMIT_S = 1.0
"""How long a read under way at a stop may take: what a device has already answered isn't thrown away."""
STOP_LIMIT_S = 4.0
REFIT_LIMIT_S = 10.0
"""How long a driver's call may hold up new settings. Drivers bound their calls; a slow line may take a while."""


class Supervisor:
    """Every link of a configuration. Call from the event loop's thread only."""

    def __init__(
        self,
        links: Sequence[LinkSettings],
        deliver: Callable[[Batch], None],
        on_health: Callable[[DeviceHealth], None],
        *,
        on_link: Callable[[str, LinkState, str], None] = lambda link, state, detail: None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        call_limit_s: float = CALL_LIMIT_S,
    ) -> None:
        """`deliver` takes each batch and must not block. Nothing is opened before :meth:`start`.

        `on_link` is told name, state and detail of a link at every change of them, and must not raise.
        `clock` is CLOCK_MONOTONIC in seconds and must be the event loop's; `jitter` gives numbers in [0, 1).
        """
        self._take = deliver
        self._tell = on_health
        self._on_state = on_link
        self._refused_batches = 0
        self._refused_values = 0
        self._refusing = False
        self._clock = clock
        self._jitter = jitter
        self._call_limit_s = call_limit_s
        self._index = itertools.count()
        self._takes: dict[str, Take | None] = {}
        """By link: who is shown what goes over it, also after it was started anew."""
        self._links = [self._link_of(settings) for settings in links]
        self._devices: dict[str, tuple[Link, Device]] = {}
        self._know_devices()
        self._tasks: dict[Link, asyncio.Task[None]] = {}

    def _link_of(self, settings: LinkSettings) -> Link:
        link = Link(
            settings,
            lambda: phase(next(self._index)),
            self._deliver,
            self._on_health,
            on_state=self._on_state,
            clock=self._clock,
            jitter=self._jitter,
            call_limit_s=self._call_limit_s,
        )
        link.trace(self._takes.get(link.name))
        return link

    def _know_devices(self) -> None:
        self._devices = {device.name: (link, device) for link in self._links for device in link.devices}

    def start(self) -> None:
        """Start all links on the running loop and return at once; each device is read as soon as it is connected."""
        self._tasks = {link: link.start() for link in self._links}

    async def stop(self) -> None:
        """Close everything within FINISH_LIMIT_S + STOP_LIMIT_S. Idempotent, and safe before :meth:`start`."""
        await self._stop(self._links)

    async def _stop(self, links: Collection[Link]) -> None:
        tasks = {link: task for link in links if (task := self._tasks.pop(link, None)) is not None}
        if not tasks:
            return
        for link in tasks:
            link.stop()
        _, busy = await asyncio.wait(tasks.values(), timeout=FINISH_LIMIT_S)
        if not busy:
            return
        for link in tasks:
            link.abort()
        _, stuck = await asyncio.wait(busy, timeout=STOP_LIMIT_S)
        for task in stuck:
            log.error("%s didn't stop within %g s and is abandoned", task.get_name(), FINISH_LIMIT_S + STOP_LIMIT_S)

    async def apply(self, links: Sequence[LinkSettings]) -> None:
        """Run these links from now on. What is equal runs on undisturbed; nothing of what left is handed on after this.

        A link keeps its bus where :func:`gateway.delta.same_connection` says so; one whose driver doesn't return from a
        call within REFIT_LIMIT_S is started anew. Never overlap two of these; links were started.
        """
        running = {link.name: link for link in self._links}
        stay = {
            each.name for each in links if each.name in running and same_connection(running[each.name].settings, each)
        }
        # What leaves has to be gone before something else takes its place, on a serial port for one.
        stopping = asyncio.create_task(self._stop([link for name, link in running.items() if name not in stay]))
        refits = {each.name: running[each.name].refit(each) for each in links if each.name in stay}
        if refits:
            await asyncio.wait(refits.values(), timeout=REFIT_LIMIT_S)
        await stopping
        stuck = [running[name] for name, done in refits.items() if not done.done()]
        for link in stuck:
            log.error("link %s takes no new settings within %g s: it is started anew", link.name, REFIT_LIMIT_S)
        await self._stop(stuck)
        kept = {name: running[name] for name, done in refits.items() if running[name] not in stuck}
        self._links = [kept.get(each.name) or self._link_of(each) for each in links]
        self._know_devices()
        for link in self._links:
            if link not in self._tasks:
                self._tasks[link] = link.start()
        for link in running.values():
            if link not in self._tasks:
                link.forget()

    def stuck(self) -> str | None:
        """The first link that stands still although there is something to do, in one sentence; None: there is none.

        Not one that is down, nor a driver's call that takes long: those are seen to. Only what nothing here can end.
        """
        now = self._clock()
        return next((sentence for link in self._links if (sentence := link.stuck(now)) is not None), None)

    def refresh(self) -> None:
        """Hand on once more what holds now, because a destination may have missed it.

        Tags whose quality the runtime itself made up are handed on at once, and what subscribed groups were last told.
        What is polled comes with its next read; groups that would take long until then are read out of turn.
        """
        for link in self._links:
            link.refresh()

    async def ask(self, device: str, call: Callable[[Driver], Awaitable[T]]) -> T:
        """Make one call of a device's driver between two polls of its link, and return what it gives.

        It is made at most once, and only while somebody waits for it. Raises KeyError for an unknown device, LinkDown
        if the link isn't connected or is lost, AskFailed if it can't be made or is cut short, and what the driver says:
        DeviceSilent, ScanFailed, WriteFailed. Anything else it raises is a flaw of the driver.
        """
        link, unit = self._devices[device]
        return await link.ask(unit, call)

    async def ask_link(self, link: str, call: Callable[[Bus], Awaitable[T]]) -> T:
        """The same with the bus of a link, for a driver that isn't one of its devices. Raises KeyError for no link."""
        return await {each.name: each for each in self._links}[link].ask(None, call)

    def keeps(self, device: str) -> bool:
        """Whether something is kept on a bus under this device's name: its driver, if there is one, is Releases."""
        _, unit = self._devices.get(device, (None, None))
        return unit is not None and isinstance(unit.driver, Releases)

    async def read(self, device: str, path: str) -> Reading:
        """Read one tag afresh, in whatever group it is. Raises KeyError for no such device or tag, and as `ask`."""
        _, unit = self._devices[device]
        return await demand.read(partial(self.ask, device), unit.settings, path)

    async def decode(self, device: str, address: str) -> Sequence[Decoding]:
        """What the bytes at an address may mean. Raises KeyError for no such device, and as `ask`."""
        return await demand.decode(partial(self.ask, device), address)

    def browse(self, device: str, start: str | None, depth: int | None) -> AsyncIterator[Item]:
        """What a device has. Its link's polls go on in between. Raises KeyError for no such device, and as `ask`."""
        return demand.browse(partial(self.ask, device), start, depth)

    async def write(
        self,
        device: str,
        path: str,
        value: Value,
        *,
        expected: Value = None,
        expires: float | None = None,
        sending: Callable[[], None] = lambda: None,
    ) -> Value:
        """Write one published value, scaled back exactly, and return what the device then read back.

        It is sent at most once, between two polls of its link, and not after `expires` (the loop's clock); where a
        value is `expected`, only if the device reads that right before. `sending` is called before it goes out. Raises
        KeyError for an unknown device or tag, NotWritten if it isn't possible, allowed, representable or in time,
        WriteDiffers if the read-back does, other WriteFailed, DeviceSilent or LinkDown; the message says whether
        anything was sent.
        """
        link, unit = self._devices[device]
        return await link.write(unit, path, value, expected, expires, sending)

    def preview(self, device: str, path: str, value: Value) -> Sequence[str] | None:
        """What :meth:`write` would put on the wire, a line a request; None if the driver can't say. Sends nothing.

        Raises KeyError for an unknown device or tag, NotWritten if it isn't possible, allowed or representable.
        """
        link, unit = self._devices[device]
        return link.preview(unit, path, value)

    def trace(self, link: str, take: Take | None) -> None:
        """Show every frame on a link to `take` from now on, over reconnects too; None: to nobody. Raises KeyError."""
        {each.name: each for each in self._links}[link].trace(take)
        self._takes[link] = take

    def status(self) -> SouthboundStatus:
        """JSON-ready: ``links`` by name, each with ``devices`` and these with ``groups``; ``totals`` over all groups.

        Counters count since start. `polls` are reads begun, `failed` those that gave no batch, `good` and `bad` values
        read or told; `late` are reads begun a tenth of their interval (at least 1 ms) after their slot, `missed` slots
        that passed without a read; `bad_tags` names the first of those whose value was bad in the last read, or is bad
        now, last of all those that only wait for a first value. Of a subscribed group `failed` counts its ends but
        those by a closed bus, and ``subscription`` says more.
        """
        groups = [group for link in self._links for group in link.groups]
        return {
            "totals": {
                "devices": len(self._devices),
                "polls": sum(group.polls for group in groups),
                "failed": sum(group.failed for group in groups),
                "good": sum(group.good for group in groups),
                "bad": sum(group.bad for group in groups),
                "late": sum(group.late for group in groups),
                "missed": sum(group.missed for group in groups),
                "lost": sum(group.subscription.lost for group in groups if group.subscription is not None),
                "lateness_ms": Histogram.merged(group.lateness for group in groups).summary(),
                "read_ms": Histogram.merged(group.duration for group in groups).summary(),
                "refused_batches": self._refused_batches,
                "refused_values": self._refused_values,
            },
            "links": {link.name: link.status() for link in self._links},
        }

    def _deliver(self, batch: Batch) -> bool:
        """Hand a batch on. What goes wrong there is no driver's fault: counted, said once, and polling goes on."""
        try:
            self._take(batch)
        except Exception:
            self._refused_batches += 1
            self._refused_values += len(batch)
            if not self._refusing:
                self._refusing = True
                log.exception("a batch of %s was read but couldn't be handed on; it is lost", batch.layout.source)
            return False
        if self._refusing:
            self._refusing = False
            log.info("batches are handed on again; %d were lost so far", self._refused_batches)
        return True

    def _on_health(self, health: DeviceHealth) -> None:
        try:
            self._tell(health)
        except Exception:
            log.exception("the health of %s couldn't be handed on", health.device)
