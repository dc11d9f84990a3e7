"""The data plane: southbound → pipeline → journal → northbound, wired once and run until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

from gateway import __version__
from gateway.delta import Applied, ApplyFailed, Delta, NothingRuns, delta_of, gone_tags, groups_of, in_force
from gateway.journal import Fate, Journal
from gateway.live import Live
from gateway.model import Batch, Layout, Quality, Record, Value
from gateway.northbound import Documents, MqttSink
from gateway.ops.clock import Clock
from gateway.ops.events import AlarmChanged, DeviceChanged, Events, LinkChanged, SinkChanged
from gateway.ops.lock import lock_directory
from gateway.pipeline import Stage
from gateway.secrets import keep_to_itself
from gateway.settings import GatewaySettings, MqttSettings
from gateway.southbound import DeviceHealth, Supervisor, Trial, rehearse, try_out
from gateway.southbound.demand import Reading
from gateway.southbound.health import HealthState
from gateway.status import Status

log = logging.getLogger(__name__)

TAP_VALUES = 100_000
"""Values a slow watcher may lag behind before it loses some; collection never waits for it."""


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


@dataclass(frozen=True, slots=True)
class _Running:
    """A sink that runs."""

    settings: MqttSettings
    sink: MqttSink
    task: asyncio.Task[None]


@dataclass(frozen=True, slots=True)
class _Next:
    """Everything new settings take, made before anything that runs is touched."""

    settings: GatewaySettings
    stages: Mapping[int, Stage]
    documents: Mapping[str, Documents]
    """By sink."""
    gone: Collection[Batch]
    """The last word on tags that go."""


class Runtime:
    """Owns every part of the data plane. ``async with Runtime(settings)`` starts it and stops it in order."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        """What runs. Replaced as a whole by :meth:`apply`."""
        self.events = Events()
        """What changes, for whoever watches."""
        self._started_ns = time.monotonic_ns()
        self._taps: set[Tap] = set()
        self._stages = {id(group.poll.layout): Stage(group) for group in groups_of(settings)}
        """By the identity of a group's layout, which `settings` keeps: two groups may have equal ones."""
        self._clock = Clock(settings.clock, settings.data_dir)
        self.live = Live(settings, wall_ns=self._clock.now_ns, mono_ns=self._clock.mono_ns)
        self._journal = Journal(settings.journal, self._clock, [sink.name for sink in settings.sinks])
        self._journal.on_alarm(lambda alarm: self.events.tell(AlarmChanged(alarm.name, alarm.active, alarm.message)))
        self._supervisor = Supervisor(
            settings.links,
            self._deliver,
            self._on_health,
            on_link=lambda link, state, detail: self.events.tell(LinkChanged(link, state.value, detail)),
        )
        self._sinks: dict[str, _Running] = {}
        self._parked: set[str] = set()
        """Sinks that were taken out provisionally: the journal keeps what they are to get."""
        self._health: dict[str, DeviceHealth] = {}
        self._sink_failed = asyncio.Event()
        self._applying = asyncio.Lock()
        self._stopping = False

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
        stack.callback(os.close, lock_directory(self.settings.data_dir))
        keep_to_itself(self.settings.data_dir)
        await self._journal.start()
        stack.push_async_callback(self._journal.close)
        stack.push_async_callback(self._stop_all_sinks)
        for mqtt in self.settings.sinks:
            self._start_sink(mqtt, Documents.of(self.settings, mqtt))
        self._supervisor.start()
        stack.push_async_callback(self._supervisor.stop)
        stack.push_async_callback(self._finish_applying)
        # What is alive now (configuration, plans, modules) lives as long as the process: the collector needn't
        # walk it again and again. What the data path makes has no cycles, so rare collections are enough.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        log.info(
            "started, boot %d; links: %d, sinks: %d", self._journal.boot, len(self.settings.links), len(self._sinks)
        )

    # -- sinks

    def _start_sink(self, mqtt: MqttSettings, documents: Documents, stale: Collection[str] = ()) -> None:
        journal = self._journal
        sink = MqttSink(
            mqtt,
            documents,
            journal.boot,
            lambda: journal.ledger(mqtt.name),
            self._refresh,
            on_state=lambda connected, detail: self.events.tell(SinkChanged(mqtt.name, connected, detail)),
            stale=stale,
        )
        feed = journal.feed(
            mqtt.name,
            strict=mqtt.strict_order,
            backfill_values_per_s=mqtt.backfill_values_per_s,
            retry_refused_s=mqtt.refused_retry_s,
            window=mqtt.window,
        )
        for health in self._health.values():
            sink.device_health(health)
        task = asyncio.create_task(sink.run(feed), name=f"sink {mqtt.name}")
        task.add_done_callback(self._sink_ended)
        self._sinks[mqtt.name] = _Running(mqtt, sink, task)

    def _sink_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._sink_failed.set()

    async def _stop_sink(self, name: str, *, for_good: bool = False) -> int:
        """Stop one. `for_good`: drop what it owes, too. Returns how many values that is."""
        running = self._sinks[name]
        owed: list[int] = []

        def give_up() -> None:
            if for_good and not owed:
                owed.append(self._journal.withdraw_sink(name))

        try:
            await running.sink.stop(give_up)
        except Exception:
            log.exception("sink %s didn't stop in order", name)
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)
        del self._sinks[name]
        give_up()
        if for_good:
            self._journal.forget_sink(name)
            _say_dropped(name, sum(owed))
        return sum(owed)

    async def _stop_all_sinks(self) -> None:
        for name in [*self._sinks]:
            await self._stop_sink(name)

    # -- the path of a value

    def _deliver(self, batch: Batch) -> None:
        """The one path. Report state moves only after the journal took the batch."""
        clock = self._clock
        if not clock.trusted:
            # A board without a battery may think it is 1970: at least never earlier than what was known before.
            batch.trusted = False
            batch.read_ns = clock.now_ns() - (clock.mono_ns() - batch.mono_ns)
        stage = self._stages[id(batch.layout)]
        report = stage.process(batch)
        self.live.take(batch, stage.values, stage.qualities)
        if report is None:
            return
        self._record(report)
        stage.accept()

    def _record(self, report: Batch) -> None:
        record = self._journal.append(report)
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
        self._health[health.device] = health
        for running in self._sinks.values():
            running.sink.device_health(health)

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
        """See :meth:`gateway.southbound.Supervisor.write`. Whether it may be is for the write desk to say."""
        return await self._supervisor.write(device, path, value, expected=expected, expires=expires, sending=sending)

    async def read(self, device: str, path: str) -> Reading:
        """See :meth:`gateway.southbound.Supervisor.read`."""
        return await self._supervisor.read(device, path)

    def preview(self, device: str, path: str, value: Value) -> Sequence[str] | None:
        """See :meth:`gateway.southbound.Supervisor.preview`."""
        return self._supervisor.preview(device, path, value)

    async def failed_sink(self) -> None:
        """Return only if a sink ends by itself, raising what ended it: that is a bug, and the process must say so."""
        await self._sink_failed.wait()
        for running in self._sinks.values():
            if running.task.done():
                running.task.result()

    # -- other settings

    async def apply(self, settings: GatewaySettings, *, provisional: bool = False) -> Applied:
        """Run `settings` from now on. Only what differs restarts: :func:`gateway.delta.changes_between` says what.

        A value that was read under the old settings is delivered under them. `provisional`: they may be taken back, so
        what sinks that go still owe, and what comes meanwhile, is kept for them until :meth:`settle` or until they are
        back. Goes on to its end if the caller gives up waiting. One after the other. Raises ApplyFailed, and then the
        settings before run on, or again.
        """
        task = asyncio.create_task(self._apply(settings, provisional), name="apply")
        task.add_done_callback(_look)
        return await asyncio.shield(task)

    async def settle(self) -> None:
        """What was applied provisionally stays: sinks that went are given up, and what they owed is dropped."""
        async with self._applying:
            self._settle()

    def _settle(self) -> None:
        for name in sorted(self._parked):
            owed = self._journal.withdraw_sink(name)
            self._journal.forget_sink(name)
            _say_dropped(name, owed)
        self._parked.clear()

    async def try_out(self, settings: GatewaySettings) -> Sequence[Trial]:
        """Read once what `settings` would change or add, without applying anything. Takes some ten seconds at most."""
        wanted = await asyncio.to_thread(in_force, self.settings, settings)
        return await try_out(self._supervisor, self.settings.links, wanted.links)

    @property
    def southbound(self) -> Supervisor:
        """To ask running devices something between their polls, and to show what goes over a link."""
        return self._supervisor

    async def _apply(self, settings: GatewaySettings, provisional: bool) -> Applied:
        async with self._applying:
            if self._stopping:
                raise ApplyFailed("the gateway is stopping; nothing was changed")
            begun = time.monotonic()
            before = self.settings
            delta, following = await asyncio.to_thread(self._rehearsed, settings)
            try:
                # What restarts nothing may differ all the same: the gateway's own place, where no sink speaks of it.
                owed = {} if following.settings == before else await self._run(following, provisional)
            except Exception as error:
                log.exception("a change of configuration failed half-way; going back")
                sentence = f"the change failed half-way ({type(error).__name__}: {error})"
                try:
                    await self._run(await asyncio.to_thread(self._made_for, before), provisional)
                except Exception as worse:
                    log.exception("and so did going back")
                    raise NothingRuns(f"{sentence}, and so did going back: restart the gateway") from worse
                raise ApplyFailed(f"{sentence}; the configuration before runs again") from error
            applied = _done(delta, owed, time.monotonic() - begun)
            if not provisional:
                self._settle()
            del following
            if not delta.empty:
                # Drivers and connections leave cycles behind. It doesn't look at what a start has frozen.
                gc.collect()
        log.info("applied a configuration in %.3f s: %s", applied.took_s, applied.summary or "nothing differs")
        for sentence in applied.needs_restart:
            log.warning("%s", sentence)
        return applied

    def _rehearsed(self, settings: GatewaySettings) -> tuple[Delta, _Next]:
        """Whatever takes long or may fail, for another thread. Raises ApplyFailed."""
        try:
            wanted = in_force(self.settings, settings)
            rehearse(self.settings.links, wanted.links)
            return delta_of(self.settings, wanted, settings), self._made_for(wanted)
        except ApplyFailed:
            raise
        except Exception as error:
            raise ApplyFailed(f"it can't be set up ({type(error).__name__}: {error}); nothing was changed") from error

    def _made_for(self, settings: GatewaySettings) -> _Next:
        """`settings` are made of parts of those that run, wherever they are equal."""
        before = self.settings
        stages = {
            id(group.poll.layout): self._stages.get(id(group.poll.layout)) or Stage(group)
            for group in groups_of(settings)
        }
        known = {name: running for name, running in self._sinks.items() if self._keeps(name, settings)}
        documents = {
            mqtt.name: Documents.of(settings, mqtt, known[mqtt.name].sink.documents if mqtt.name in known else None)
            for mqtt in settings.sinks
        }
        gone = []
        for layout, columns in gone_tags(before, settings):
            size, whole = len(columns), len(columns) == len(layout.tags)
            codes = [int(Quality.BAD_OUT_OF_SERVICE)] * size
            gone.append(Batch(layout, 0, 0, [None] * size, codes, None if whole else columns))
        return _Next(settings, stages, documents, gone)

    def _keeps(self, sink: str, settings: GatewaySettings) -> bool:
        """Whether a sink that runs can go on under `settings`: its Last Will names the gateway."""
        running, before = self._sinks[sink], self.settings
        same_place = (before.id, before.location) == (settings.id, settings.location)
        return same_place and running.settings in settings.sinks

    async def _run(self, following: _Next, provisional: bool) -> dict[str, int]:
        """Make what runs what is to run. Returns the values that sinks owed which went, by name."""
        settings = following.settings
        stays = {name for name in self._sinks if self._keeps(name, settings)}
        wanted = {mqtt.name: mqtt for mqtt in settings.sinks}
        if settings.journal != self._journal.settings:
            self._journal.reconfigure(settings.journal)
        self._stages = {**self._stages, **following.stages}
        self.live.configure(settings)
        await self._supervisor.apply(settings.links)
        # Nothing comes any more of what left.
        self._stages = dict(following.stages)
        self.settings = settings
        devices = {device.name for link in settings.links for device in link.devices}
        self._health = {name: health for name, health in self._health.items() if name in devices}
        through = 0
        for batch in following.gone:
            batch.read_ns, batch.mono_ns = self._clock.now_ns(), self._clock.mono_ns()
            batch.trusted = self._clock.trusted
            self._record(batch)
            through = self._journal.newest
        for name in stays:
            self._sinks[name].sink.describe(following.documents[name], through)
            for health in self._health.values():  # of a device that came, nobody has told it yet
                self._sinks[name].sink.device_health(health)
        leaves = [name for name in self._sinks if name not in stays]
        left = {name: self._sinks[name] for name in leaves}
        gone = {name for name in leaves if name not in wanted}
        owed = await asyncio.gather(
            *(self._stop_sink(name, for_good=name in gone and not provisional) for name in leaves)
        )
        if provisional:
            self._parked |= gone
            owed = [self._owed(name) for name in leaves]
        self._parked -= wanted.keys()
        for name, mqtt in wanted.items():
            if name not in self._journal.feeds:
                self._journal.add_sink(name)
            if name not in stays:
                documents = following.documents[name]
                self._start_sink(mqtt, documents, _left_behind(left.get(name), mqtt, documents))
        return {name: count for name, count in zip(leaves, owed, strict=True) if name in gone}

    def _owed(self, sink: str) -> int:
        """Values it has yet to get, or to be asked for again."""
        totals = self._journal.accounts.totals(sink)
        return totals["pending"] + totals["refused"]

    async def _finish_applying(self) -> None:
        """Before anything is stopped."""
        async with self._applying:
            self._stopping = True

    # -- watching

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

    # -- for the service manager, see gateway.ops.pulse

    async def answered(self) -> None:
        """Return once the journal's thread has answered."""
        await self._journal.answered()

    def stuck(self) -> str | None:
        """What stands still and can't be ended from here, in one sentence."""
        return self._supervisor.stuck()

    def summary(self) -> str:
        """How it is doing, in a line."""
        devices = [device.name for link in self.settings.links for device in link.devices]
        if not devices and not self._sinks:
            return "runs; no device and no broker is configured"
        fine = sum(name in self._health and self._health[name].state is HealthState.NORMAL for name in devices)
        connected = sum(running.sink.connected for running in self._sinks.values())
        return f"collects from {fine} of {len(devices)} devices, delivers to {connected} of {len(self._sinks)} brokers"

    @property
    def clock(self) -> Clock:
        return self._clock

    # -- for diagnostics: read-only, worked out when somebody asks

    def stage(self, layout: Layout) -> Stage:
        """What is done to the values of a poll group. Raises KeyError."""
        return self._stages[id(layout)]

    def fate(self, sink: str, record: Record, position: int) -> Fate:
        """What has become of one value of a report, for one sink. Raises KeyError."""
        return self._journal.fate(sink, record, position)

    def refusal(self, sink: str, device: str, topic: str) -> str | None:
        """Why a sink's broker refuses what is published on a topic; None if it doesn't. Raises KeyError."""
        return self._sinks[sink].sink.refusal(device, topic)

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
            "sinks": {name: running.sink.status() for name, running in self._sinks.items()},
            "ledger": {name: self._journal.ledger(name) for name in self._sinks},
        }


def _left_behind(before: _Running | None, mqtt: MqttSettings, documents: Documents) -> Collection[str]:
    """Topics at the same broker that a sink before it wrote to and this one doesn't."""
    if before is None or (before.settings.host, before.settings.port) != (mqtt.host, mqtt.port):
        return ()
    return before.sink.documents.retained - documents.retained


def _done(delta: Delta, owed: Mapping[str, int], took_s: float) -> Applied:
    return Applied(**{each.name: getattr(delta, each.name) for each in fields(delta)}, owed=owed, took_s=took_s)


def _say_dropped(sink: str, owed: int) -> None:
    if owed:
        log.warning("sink %s is gone: %d values that it owed are dropped, as its last ledger says", sink, owed)


def _look(task: asyncio.Task[Applied]) -> None:
    """What nobody waits for any more must not be complained about."""
    if not task.cancelled():
        task.exception()
