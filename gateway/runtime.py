"""The data plane: southbound → pipeline → journal → northbound, wired once and run until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Self

from gateway import __version__
from gateway.journal import Fate, Journal
from gateway.live import Live
from gateway.model import Batch, Layout, Record
from gateway.northbound import MqttSink
from gateway.ops.clock import Clock
from gateway.ops.events import AlarmChanged, DeviceChanged, Events, LinkChanged, SinkChanged
from gateway.pipeline import Stage
from gateway.settings import GatewaySettings, MqttSettings
from gateway.southbound import DeviceHealth, Supervisor
from gateway.status import Status

log = logging.getLogger(__name__)

TAP_VALUES = 100_000
"""Values a slow watcher may lag behind before it loses some; collection never waits for it."""


class AlreadyRunning(Exception):
    """Another gateway owns the data directory."""


class Tap:
    """A watcher of what the journal takes. Bounded: what a slow watcher misses is counted, not kept."""

    def __init__(self) -> None:
        self.missed = 0
        """Values it lost."""
        self._waiting = 0
        self._queue: asyncio.Queue[Batch] = asyncio.Queue()

    def offer(self, batch: Batch) -> None:
        if self._waiting + len(batch) > TAP_VALUES and self._waiting:
            self.missed += len(batch)
            return
        self._waiting += len(batch)
        self._queue.put_nowait(batch)

    async def __aiter__(self) -> AsyncIterator[Batch]:
        while True:
            batch = await self._queue.get()
            self._waiting -= len(batch)
            yield batch


class Runtime:
    """Owns every part of the data plane. ``async with Runtime(settings)`` starts it and stops it in order."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.events = Events()
        """What changes, for whoever watches."""
        self._started_ns = time.monotonic_ns()
        self._taps: set[Tap] = set()
        self._sink_tasks: list[asyncio.Task[None]] = []
        self._stages = {
            group.poll.layout.digest: Stage(group)
            for link in settings.links
            for device in link.devices
            for group in device.groups
        }
        self.live = Live(settings)
        self._clock = Clock(settings.clock, settings.data_dir)
        self._journal = Journal(settings.journal, self._clock, [sink.name for sink in settings.sinks])
        self._journal.on_alarm(lambda alarm: self.events.tell(AlarmChanged(alarm.name, alarm.active, alarm.message)))
        self._supervisor = Supervisor(
            settings.links,
            self._deliver,
            self._on_health,
            on_link=lambda link, state, detail: self.events.tell(LinkChanged(link, state.value, detail)),
        )
        self._sinks: list[MqttSink] = []

    async def __aenter__(self) -> Self:
        """Raises AlreadyRunning, JournalError or OSError; then nothing is left running."""
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        log.info("stopping")
        await self._stack.aclose()
        log.info("stopped")

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Start from the broker's side to the field's, so that no value meets a part that isn't there yet."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        stack.callback(os.close, _lock_directory(self.settings))
        await self._journal.start()
        stack.push_async_callback(self._journal.close)
        stack.push_async_callback(self._stop_sinks)
        for mqtt in self.settings.sinks:
            self._start_sink(mqtt)
        self._supervisor.start()
        stack.push_async_callback(self._supervisor.stop)
        # What is alive now (configuration, plans, modules) lives as long as the process: the collector needn't
        # walk it again and again. What the data path makes has no cycles, so rare collections are enough.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        log.info(
            "started, boot %d; links: %d, sinks: %d", self._journal.boot, len(self.settings.links), len(self._sinks)
        )

    def _start_sink(self, mqtt: MqttSettings) -> None:
        sink = MqttSink(
            mqtt,
            self.settings,
            self._journal.boot,
            lambda: self._journal.ledger(mqtt.name),
            self._refresh,
            on_state=lambda connected, detail: self.events.tell(SinkChanged(mqtt.name, connected, detail)),
        )
        feed = self._journal.feed(
            mqtt.name,
            strict=mqtt.strict_order,
            backfill_values_per_s=mqtt.backfill_values_per_s,
            retry_refused_s=mqtt.refused_retry_s,
            window=mqtt.window,
        )
        self._sinks.append(sink)
        self._sink_tasks.append(asyncio.create_task(sink.run(feed), name=f"sink {mqtt.name}"))

    async def _stop_sinks(self) -> None:
        for sink in self._sinks:
            await sink.stop()
        for task in self._sink_tasks:
            task.cancel()
        await asyncio.gather(*self._sink_tasks, return_exceptions=True)

    def _deliver(self, batch: Batch) -> None:
        """The one path. Report state moves only after the journal took the batch."""
        clock = self._clock
        if not clock.trusted:
            # A board without a battery may think it is 1970: at least never earlier than what was known before.
            batch.trusted = False
            batch.read_ns = clock.now_ns() - (clock.mono_ns() - batch.mono_ns)
        stage = self._stages[batch.layout.digest]
        report = stage.process(batch)
        self.live.take(batch, stage.values, stage.qualities)
        if report is None:
            return
        record = self._journal.append(report)
        stage.accept()
        self.live.reported(record)
        for tap in self._taps:
            tap.offer(report)

    def _refresh(self) -> None:
        """Report every tag once more."""
        for stage in self._stages.values():
            stage.forget()
        self._supervisor.refresh()

    def _on_health(self, health: DeviceHealth) -> None:
        since_ms = health.since_ns // 1_000_000
        self.events.tell(DeviceChanged(health.device, health.state.value, health.detail, since_ms))
        for sink in self._sinks:
            sink.device_health(health)

    async def failed_sink(self) -> None:
        """Return only if a sink ends by itself, raising what ended it: that is a bug, and the process must say so."""
        if not self._sink_tasks:
            await asyncio.Event().wait()
        done, _ = await asyncio.wait(self._sink_tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    @contextlib.contextmanager
    def tap(self) -> Iterator[Tap]:
        """Watch batches as the journal takes them, for as long as the context lasts."""
        tap = Tap()
        self._taps.add(tap)
        try:
            yield tap
        finally:
            self._taps.discard(tap)
            if tap.missed:
                log.info("a watcher of values read too slowly and missed %d of them", tap.missed)

    @property
    def clock(self) -> Clock:
        return self._clock

    # -- for diagnostics: read-only, worked out when somebody asks

    def stage(self, layout: Layout) -> Stage:
        """What is done to the values of a poll group. Raises KeyError."""
        return self._stages[layout.digest]

    def fate(self, sink: str, record: Record, position: int) -> Fate:
        """What has become of one value of a report, for one sink. Raises KeyError."""
        return self._journal.fate(sink, record, position)

    def refusal(self, sink: str, device: str, topic: str) -> str | None:
        """Why a sink's broker refuses what is published on a topic; None if it doesn't. Raises KeyError."""
        return {each.name: each for each in self._sinks}[sink].refusal(device, topic)

    @property
    def southbound(self) -> Supervisor:
        """To ask devices something between their polls, and to show what goes over a link."""
        return self._supervisor

    def status(self) -> Status:
        """How everything is doing, as one JSON-ready document."""
        return {
            "gateway": {
                "id": self.settings.id,
                "location": list(self.settings.location),
                "version": __version__,
                "boot": self._journal.boot,
                "pid": os.getpid(),
                "uptime_s": round((time.monotonic_ns() - self._started_ns) / 1e9, 3),
                "clock_trusted": self._clock.trusted,
            },
            "southbound": self._supervisor.status(),
            "journal": self._journal.status(),
            "sinks": {sink.name: sink.status() for sink in self._sinks},
            "ledger": {sink.name: self._journal.ledger(sink.name) for sink in self._sinks},
        }


def _lock_directory(settings: GatewaySettings) -> int:
    """One gateway a data directory: two would both number from the same sequence."""
    path = settings.data_dir / "lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise AlreadyRunning(f"another gateway (process {owner}) uses {settings.data_dir}") from None
    # Only for whoever finds it locked: a disk too full for it is no reason not to start. In place, for the same reason.
    with contextlib.suppress(OSError):
        os.pwrite(handle, f"{os.getpid():<10}\n".encode(), 0)
    return handle
