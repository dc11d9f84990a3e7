"""Diagnostics of a running gateway, all in one: what the control API is the door to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from gateway import registry
from gateway.config.candidate import candidate_link, candidate_sink
from gateway.diagnostics import expiry
from gateway.diagnostics.backlog import EVERY_S, Backlog, Forecast
from gateway.diagnostics.broker import climb_broker
from gateway.diagnostics.ladder import climb_device
from gateway.diagnostics.lines import Configured, Guest, Taken, asking, holder, running
from gateway.diagnostics.ondisk import Found, OnDisk
from gateway.diagnostics.pace import Pace
from gateway.diagnostics.repairs import Known, Repair, Severity, repairs
from gateway.diagnostics.rungs import Rung, State
from gateway.diagnostics.trace import Trace, Tracing
from gateway.diagnostics.why import Answer, why
from gateway.driver import Decoding, Finding, Item, Progress
from gateway.ops.events import RepairsChanged
from gateway.ops.slots import Trial
from gateway.runtime import Runtime
from gateway.settings import LinkSettings, site_of
from gateway.southbound import demand

log = logging.getLogger(__name__)


class NoSuch(Exception):
    """There is nothing of that name. The message is one sentence."""


class Diagnostics:
    """Call everything on the event loop."""

    def __init__(
        self,
        runtime: Runtime,
        config: Path | None = None,
        *,
        unconfirmed_s: Callable[[], float | None] = lambda: None,
        update: Callable[[], Awaitable[Trial | None]] | None = None,
    ) -> None:
        """`config`: the file that the gateway was started with, if it is known. `unconfirmed_s`: time until a change is
        taken back unless somebody confirms it; None: there is none. `update`: what became of the latest one."""
        self._runtime = runtime
        self._config = config
        self._disk = OnDisk(config) if config is not None else None
        self._reading = asyncio.Lock()
        self._unconfirmed_s = unconfirmed_s
        self._update = update
        self._backlog = Backlog(runtime.settings.journal.max_age_s)
        self._pace = Pace()
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self._seen: frozenset[tuple[str, Severity]] = frozenset()
        """Repairs that were found when somebody last looked."""
        self.tracing = Tracing(runtime.southbound.trace)

    def __enter__(self) -> Self:
        """Begin to sample backlog and pace, and to look for what needs repair while anybody would hear of it."""
        self._sample()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
        self.tracing.close()

    def _sample(self) -> None:
        status = self._runtime.status()
        self._backlog.sample(status["journal"], time.monotonic())
        self._pace.sample(status["southbound"]["links"])
        if self._runtime.events.watched and (self._looking is None or self._looking.done()):
            self._looking = asyncio.ensure_future(self._look())
        self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._sample)

    async def _look(self) -> None:
        try:
            await self.repairs()
        except Exception:
            log.exception("what needs repair can't be told")

    # -- what is wrong

    def why(self, tag: str) -> Answer:
        return why(self._runtime, tag)

    def forecasts(self) -> dict[str, Forecast]:
        """By sink."""
        status = self._runtime.status()
        now_s, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        return {
            name: self._backlog.forecast(
                name, status["journal"], connected=sink["connected"], now_s=now_s, now_ms=now_ms
            )
            for name, sink in status["sinks"].items()
        }

    async def repairs(self) -> list[Repair]:
        settings = self._runtime.settings
        disk = Found((), False)
        if self._disk is not None:
            async with self._reading:
                disk = await asyncio.to_thread(self._disk.look, settings)
        left_s = self._unconfirmed_s()
        found = repairs(
            Known(
                self._runtime.status(),
                time.time(),
                self.forecasts(),
                self._pace.recent(),
                disk.flaws,
                await asyncio.to_thread(expiry.certificates, settings),
                await asyncio.to_thread(expiry.quarantined, settings),
                left_s,
                disk.differs and left_s is None,  # while a change is unconfirmed they differ as they should
                None if self._update is None else await self._update(),
            )
        )
        seen = frozenset((each.id, each.severity) for each in found)
        if seen != self._seen:  # so that everybody sees what one of them was told
            self._seen = seen
            self._runtime.events.tell(RepairsChanged(len(found), found[0].severity.value if found else None))
        return found

    # -- tests

    def test_device(self, device: str) -> AsyncGenerator[Rung, None]:
        """The ladder of a configured device. Raises NoSuch."""
        link = self.link_of(device)
        return climb_device(link, device, Configured(self._runtime.southbound, link.name, device))

    def test_tables(
        self, link: Mapping[str, Any], device: Mapping[str, Any], tags: Sequence[Any]
    ) -> AsyncGenerator[Rung, None]:
        """The ladder of one that isn't configured. Raises gateway.config.candidate.Flawed."""
        settings = candidate_link(link, device, tags, self._runtime.settings, self._directory)
        name = settings.devices[0].name
        try:
            through = self._through(settings, name)
        except Taken as error:
            return _refused(str(error))
        return climb_device(settings, name, through)

    def test_sink(self, sink: str) -> AsyncGenerator[Rung, None]:
        """The ladder of a configured sink. Raises NoSuch."""
        known = {each.name: each for each in self._runtime.settings.sinks}
        if sink not in known:
            raise NoSuch(f"there is no sink {sink!r}")
        return climb_broker(self._runtime.settings, known[sink])

    def test_sink_table(self, sink: Mapping[str, Any]) -> AsyncGenerator[Rung, None]:
        """Raises gateway.config.candidate.Flawed."""
        return climb_broker(self._runtime.settings, candidate_sink(sink, self._runtime.settings, self._directory))

    # -- looking into devices

    def line_to(
        self, device: str | None, link: Mapping[str, Any], table: Mapping[str, Any]
    ) -> contextlib.AbstractAsyncContextManager[demand.Asks]:
        """A way to ask a configured device, or one of tables. Raises NoSuch, Taken or Flawed; entering it LinkDown."""
        if device is not None:
            known = self.link_of(device)
            return asking(Configured(self._runtime.southbound, known.name, device), known, device)
        settings = candidate_link(link, table, (), self._runtime.settings, self._directory)
        name = settings.devices[0].name
        return asking(self._through(settings, name), settings, name)

    async def decode(
        self, line: contextlib.AbstractAsyncContextManager[demand.Asks], address: str
    ) -> Sequence[Decoding]:
        """Raises LinkDown, DeviceSilent or ScanFailed."""
        async with line as ask:
            return await demand.decode(ask, address)

    async def browse(
        self, line: contextlib.AbstractAsyncContextManager[demand.Asks], start: str | None, depth: int | None
    ) -> AsyncGenerator[Item, None]:
        """Raises LinkDown, DeviceSilent or ScanFailed. Closing it ends the browse and lets the device go."""
        async with line as ask:
            items = demand.browse(ask, start, depth)
            async for item in items:
                yield item

    def scan(self, driver: str, options: Any) -> AsyncGenerator[Finding | Progress, None]:
        """`options`: an instance of the driver's scan options. Raises NoSuch or Taken."""
        kind = registry.load_driver(driver)
        if kind.scan is None:
            raise NoSuch(f"the driver {driver!r} can't search for devices")
        settings = self._runtime.settings
        owner = holder(kind.scan.claims(options), settings.links)
        if owner is not None:
            claim = ", ".join(kind.scan.claims(options))
            raise Taken(
                f"{claim} is in use by the running link {owner.name!r}: stop that link first, or search elsewhere"
            )
        site = site_of(settings.id, settings.data_dir, kind.name)
        return _closing(kind.scan.run(options, site))

    # -- traces

    def trace(self, device: str, for_s: float) -> Trace:
        """Raises NoSuch or gateway.diagnostics.trace.Untraceable."""
        return self.tracing.start(self.link_of(device), device, for_s)

    def link_of(self, device: str) -> LinkSettings:
        """Raises NoSuch."""
        for link in self._runtime.settings.links:
            if any(each.name == device for each in link.devices):
                return link
        raise NoSuch(f"the running configuration has no device {device!r}")

    @property
    def _directory(self) -> Path:
        return self._config.parent if self._config is not None else self._runtime.settings.data_dir

    def _through(self, link: LinkSettings, device: str) -> Configured | Guest | None:
        return running(self._runtime.southbound, self._runtime.settings.links, link, device)


async def _refused(sentence: str) -> AsyncGenerator[Rung, None]:
    what, _, mend = sentence.rpartition(": ")
    yield Rung("link", "Link", State.RUNNING)
    yield Rung("link", "Link", State.FAILED, what, mend)


async def _closing(items: Any) -> AsyncGenerator[Any, None]:
    """The items; their iterator is closed with this one."""
    try:
        async for item in items:
            yield item
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
