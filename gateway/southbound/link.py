"""One physical connection: one task that owns the bus and every driver on it, so that their calls never overlap.

The task connects, then takes groups off a heap of due times until the connection is lost, then connects again. Nothing
here waits for anything but the bus, the next due time and the delay before the next try.

A polled group is read when it is due. A subscribed one is set up when it is first due, and from then on looked at when
one of its tags may have become stale: what it is told it hands on at once, whatever the task is doing.

What a call to a driver may end in, and what follows:

===============================  ======================================================================================
the call                         what follows
===============================  ======================================================================================
gives a batch                    handed on; a circuit that was open closes
raises DeviceSilent              the group is BadTimeout; after `failures` in a row the device's circuit opens: one read
                                 per `retry_s` until one is answered, everything else of the device rests
raises LinkDown                  the bus is closed, every tag on it is BadNoCommunication, the link reconnects: at
                                 once, then with growing delays of at most 5 s. From a device whose circuit is open
                                 it only reopens the bus
raises anything else             a bug: the device's tags are BadInternalError, the driver is built anew after a
                                 back-off
doesn't return                   cancelled after `call_limit_s`, then as any other bug; the bus is reopened
===============================  ======================================================================================

What a subscription may be told, and what follows. Its receiver is deaf once the bus is closed, the device rests or the
group is set up anew.

===============================  ======================================================================================
the receiver's call              what follows
===============================  ======================================================================================
take, confirm                    a sign of life, as an answered read: a circuit that was open closes. Where nothing
                                 need ever come (`stale_s` is None) that it was set up counts as one already
silent                           as if a read had raised DeviceSilent; the group is set up anew when it is next due
down                             as if a read had raised LinkDown
take of what isn't of the group  a bug, as above
nothing for `stale_s`            the tag is BadTimeout until it is heard of again. If no tag of the group is, it is set
                                 up anew, at once and then every `retry_s`; if no tag of any of the device's subscribed
                                 groups is, the device is in failure
===============================  ======================================================================================
"""

from __future__ import annotations

import asyncio
import enum
import logging
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar

from gateway.driver import (
    Bus,
    DeviceSilent,
    Driver,
    LinkDown,
    NotWritten,
    Previews,
    Releases,
    ScanFailed,
    Subscribes,
    Traces,
    WriteFailed,
)
from gateway.model import Batch, Quality, Value
from gateway.settings import DeviceSettings, GroupSettings, LinkSettings
from gateway.southbound.asks import AskFailed, AskQueue
from gateway.southbound.health import DeviceHealth, HealthState
from gateway.southbound.refit import refit
from gateway.southbound.schedule import Backoff
from gateway.southbound.status import LinkStatus
from gateway.southbound.subscription import Subscription, require_fit
from gateway.southbound.timetable import Timetable
from gateway.southbound.unit import NOTHING_REPORTED, VALUES_REPORTED, Circuit, Device, Group
from gateway.southbound.watchdog import Watchdog
from gateway.southbound.writes import WriteQueue, to_be_written
from gateway.wire import Take

log = logging.getLogger(__name__)

T = TypeVar("T")

CALL_LIMIT_S = 60.0
"""Drivers bound their own calls; this only ends one that broke that promise."""
STUCK_LIMITS = 3
"""So many times that, and a call outlived every attempt to end it: nothing but another process helps."""
CLOSE_LIMIT_S = 2.0
REASONS_SAID = 5
"""Most reasons that the log is told of in one outage."""
RECONNECT_FIRST_S = 0.1
RECONNECT_CAP_S = 5.0
RESTART_FIRST_S = 1.0
RESTART_CAP_S = 60.0
FIRST_VALUE_S = 1.0
"""A tag of which nothing is known by then is reported as BadWaitingForInitialData."""

REFRESH_S = 10.0
"""A group is read out of turn for a refresh no sooner than this after its last read; one due sooner just waits."""

_EARLY_S = 0.0005
"""Event loops fire to the nearest millisecond: this much ahead of the slot is on time."""


class LinkState(enum.StrEnum):
    CONNECTING = "connecting"
    UP = "up"
    DOWN = "down"
    CRASHED = "crashed"


class _Reopen(Exception):
    """The bus is of no more use, though nothing says that the far end is gone."""


class Link:
    """Runs one link. `deliver` must not raise; it returns whether the batch was taken."""

    def __init__(
        self,
        settings: LinkSettings,
        phase: Callable[[], float],
        deliver: Callable[[Batch], bool],
        on_health: Callable[[DeviceHealth], None],
        *,
        on_state: Callable[[str, LinkState, str], None] = lambda link, state, detail: None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        call_limit_s: float = CALL_LIMIT_S,
    ) -> None:
        """`phase`: the fraction of its interval by which the next new group is shifted.

        `on_state` is told of every change of the link's state or detail and must not raise.
        """
        self.settings = settings
        self.name = settings.name
        self.state = LinkState.CONNECTING
        self.detail = ""
        self.since_ns = time.time_ns()
        self.far_end = ""
        self.connects = 0
        self.losses = 0
        self.crashes = 0
        self.deliver = deliver
        self._phase = phase
        self._on_health = on_health
        self._on_state = on_state
        self._clock = clock
        self._jitter = jitter
        self._watchdog = Watchdog(call_limit_s, clock)
        self._bus: Bus | None = None
        self._connected = False
        self._reconnect = Backoff(RECONNECT_FIRST_S, RECONNECT_CAP_S, jitter)
        self._restart = Backoff(RESTART_FIRST_S, RESTART_CAP_S, jitter)
        self._restart.next_s()  # a crash is never followed by an immediate try
        self.devices = refit((), settings.devices, self._device_of, self._group_of).devices
        self._timetable = Timetable()
        self._ended: deque[Group] = deque()
        """Subscribed groups whose end the task has yet to see to."""
        self._writes = WriteQueue(self.name)
        self._take: Take | None = None
        """Who is shown what goes over the wire."""
        self._asks = AskQueue(self.name)
        self._refits: deque[tuple[LinkSettings, asyncio.Future[None]]] = deque()
        """Settings that wait for the call under way to end."""
        self._partings: deque[tuple[Releases, str | None]] = deque()
        """Drivers that have yet to let go of a group, or of everything."""
        self._reopen = False
        """The bus is to be reopened, because nothing else ends a subscription that left."""
        self._wake: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._close_failed = False
        self._said_down: set[str] = set()
        """Why it is down, as far as that was said in this outage."""
        self._said_crashed = False

    @property
    def groups(self) -> list[Group]:
        return [group for device in self.devices for group in device.groups]

    def _device_of(self, settings: DeviceSettings) -> Device:
        restart = Backoff(RESTART_FIRST_S, RESTART_CAP_S, self._jitter)
        restart.next_s()
        return Device.of(settings, restart)

    def _group_of(self, device: Device, settings: GroupSettings) -> Group:
        return Group.of(device, settings, self._phase(), self, self._clock)

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> asyncio.Task[None]:
        """Start the link's task. It ends only after :meth:`stop`."""
        self._task = asyncio.create_task(self._run(), name=f"link {self.name}")
        return self._task

    def stop(self) -> None:
        """Ask the task to end; it closes the bus on its way out. A read or write under way may finish first."""
        self._stopping = True
        self._watchdog.stop()
        if not (self._connected and self._watchdog.busy):
            self.abort()

    def forget(self) -> None:
        """Let go of everything, once its task has ended. What a start has made is never looked at by the collector."""
        for device in self.devices:
            device.driver = device.probe = None
            for group in device.groups:
                group.subscription = group.plan = None
            device.groups.clear()
        self.devices = []
        self._bus = self._task = None
        self._watchdog.forget()

    def abort(self) -> None:
        """End the task, whatever it is doing."""
        self._stopping = True
        self._watchdog.stop()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        self._expect_values(self.groups)
        assert self._task is not None
        watch = self._watchdog.watch(self._task, self._stuck)
        watchdog = asyncio.create_task(watch, name=f"watchdog of link {self.name}")
        try:
            for device in self.devices:
                self._on_health(device.health)
            while not self._stopping:
                try:
                    await self._session()
                except Exception as error:  # noqa: BLE001 - a driver's code may raise anything
                    await self._link_crashed(error)
        finally:
            watchdog.cancel()
            self._writes.fail_all(" is stopping")
            self._asks.fail_all(" is stopping")
            await self._close_bus()
            await asyncio.gather(watchdog, return_exceptions=True)
            del watch, watchdog  # they know this task, and how a task ended keeps what it knew

    async def _session(self) -> None:
        """Open what needs opening, connect, poll until the connection is lost."""
        if self._bus is None:
            self.far_end = self.settings.kind.describe_link(self.settings.options)
            self._bus = self.settings.kind.open_bus(self.name, self.settings.options, self.settings.site)
            if self._take is not None:
                self.trace(self._take)
            for device in self.devices:
                device.driver = None
            self._partings.clear()
        try:
            await self._connect(self._bus)
            self._schedule_all()
            await self._poll()
        except LinkDown as error:
            await self._link_lost(str(error))
        except _Reopen:
            await self._close_bus()

    async def _connect(self, bus: Bus) -> None:
        delay_s = self._reconnect.next_s()
        if delay_s:
            await asyncio.sleep(delay_s)
        self._watchdog.begin(self._clock())
        try:
            await bus.connect()
        except asyncio.CancelledError:
            if not self._watchdog.survives():
                raise
            raise LinkDown(f"connecting took longer than {self._watchdog.limit_s:.0f} s") from None
        finally:
            self._watchdog.end()
        self._connected = True
        self.connects += 1

    # -- the poll loop -------------------------------------------------------------------------------------------------

    def _schedule_all(self) -> None:
        """After a connect: everything at once, those that were silent last; then back onto the grid."""
        now = self._clock()
        self._timetable.clear()
        for device in sorted(self.devices, key=lambda device: device.circuit is not Circuit.CLOSED):
            if device.circuit is Circuit.CLOSED:
                for group in device.groups:
                    group.at_once = True
                    self._timetable.push(group, now)
            elif device.probe is not None:
                self._timetable.push(device.probe, max(now, device.retry_at))

    def refresh(self) -> None:
        """See :meth:`Supervisor.refresh`."""
        for group in self.groups:
            if group.subscription is not None:
                group.subscription.repeat()
            elif group.reported > VALUES_REPORTED:
                code, group.reported = Quality(group.reported), NOTHING_REPORTED
                self._mark(group, code)
        now = self._clock()

        def earliest(group: Group) -> float:
            if group.read_at is None or group.device.circuit is not Circuit.CLOSED:
                return math.inf
            return max(now, group.read_at + REFRESH_S)

        self._timetable.bring_forward(earliest)
        self._nudge()

    def _nudge(self) -> None:
        """Have the task look again at what is due."""
        if self._wake is not None:
            _release(self._wake)

    async def _poll(self) -> None:
        """Read, subscribe, write and ask until the link is lost (LinkDown), to be reopened (_Reopen) or stopped."""
        clock = self._clock
        while not self._stopping:
            self._refit_now()
            if self._reopen:
                if self.state is LinkState.UP:
                    self._reconnect.reset()
                raise _Reopen
            if self._partings:
                await self._part(*self._partings.popleft())
                continue
            if self._ended:
                await self._see_to_end(self._ended.popleft())
                continue
            if self._writes:
                await self._write_next()
            if self._asks:
                await self._ask_next()
            now = clock()
            due = self._timetable.next_due
            if due > now + _EARLY_S:
                if not (self._writes or self._asks or self._ended or self._refits):
                    await self._wait(min(due - now, 3600.0))
                continue
            group = self._timetable.pop()
            await self._visit(group, now, due)
            if group.grid is None:
                # A driver that needn't wait for its device must not starve the rest of the process.
                await asyncio.sleep(0)

    async def _wait(self, delay_s: float) -> None:
        """Until then, or until there is something else to do."""
        loop = asyncio.get_running_loop()
        wake = self._wake = loop.create_future()
        timer = loop.call_later(delay_s, _release, wake)
        try:
            await wake
        finally:
            timer.cancel()
            self._wake = None

    async def _visit(self, group: Group, started: float, due: float | None = None) -> None:
        """Do what a group needs: read it, set it up, look for what is stale, or see to the end of its subscription."""
        device, subscription = group.device, group.subscription
        asked = False
        batch: Batch | None = None
        try:
            if subscription is not None:
                if subscription.failure is not None:
                    raise subscription.failure
                await self._listen(group, subscription, started)
            else:
                group.start(started if due is None else due, started)
                batch, asked = await self._read(group, started)
        except DeviceSilent as error:
            self._watchdog.end()
            self._failed(group)
            self._silent(group, str(error))
        except LinkDown as error:
            self._watchdog.end()
            self._failed(group)
            if device.circuit is not Circuit.OPEN:
                raise
            # A driver may give up a connection on which a device stays silent. The others needn't hear of it,
            # unless the next connect fails.
            self._silent(group, str(error))
            raise _Reopen from None
        except asyncio.CancelledError as error:
            hung = self._watchdog.fired
            self._failed(group)
            if not self._watchdog.survives():
                raise
            self._crashed(group, TimeoutError(self._watchdog.sentence) if hung else error)
            if hung:
                raise _Reopen from None
        except Exception as error:  # noqa: BLE001 - a driver's code may raise anything
            self._watchdog.end()
            self._failed(group)
            self._crashed(group, error)
        else:
            if batch is not None:
                self._answered(group, batch, started, asked=asked)

    async def _read(self, group: Group, started: float) -> tuple[Batch, bool]:
        """The batch, and whether the device was asked for it."""
        driver = group.device.driver or self._build(group.device)
        assert group.plan is not None
        asked = group.asks
        self._watchdog.begin(started)
        batch = await driver.read(group.plan)
        self._watchdog.end()
        require_fit(group.poll, batch)
        return batch, asked

    def _answered(self, group: Group, batch: Batch, started: float, *, asked: bool) -> None:
        now = self._clock()
        group.duration.add(now - started)
        group.read_at = now
        bad = 0 if batch.qualities is None else sum(code >= 0x80000000 for code in batch.qualities)
        group.bad += bad
        group.last_bad = batch if bad else None
        group.good += len(batch.values) - bad
        if asked:
            self.heard(group)
        group.reported = VALUES_REPORTED if self.deliver(batch) else NOTHING_REPORTED
        self._timetable.push(group, group.next_due(now))

    async def _listen(self, group: Group, subscription: Subscription, started: float) -> None:
        """Set a subscription up if that is overdue, and report what of it is stale."""
        device = group.device
        driver = device.driver or self._build(device)
        assert group.plan is not None
        subscription.look(started)
        if subscription.overdue(started, self.settings.breaker.retry_s, resting=device.circuit is not Circuit.CLOSED):
            if not isinstance(driver, Subscribes):
                raise TypeError("the driver can't subscribe")
            receiver = subscription.open(group.columns_in_error)
            self._watchdog.begin(started)
            await driver.subscribe(group.plan, receiver)
            self._watchdog.end()
            if subscription.failure is not None:
                raise subscription.failure
            if group.poll.stale_s is None and group.asks:
                self.heard(group)
            elif group.asks:
                self._nothing_heard_yet(device)
        self._look_later(group, subscription)
        self._check_quiet(device)

    def _nothing_heard_yet(self, device: Device) -> None:
        """What made the device or the link bad may be over, without being well yet: say so unless it already is."""
        sentence = "connected, but nothing was heard yet"
        if self.state is not LinkState.UP:
            self._set_state(LinkState.CONNECTING, sentence)
        failed = device.health.state is HealthState.FAILURE
        if failed and not device.quiet and device.circuit is Circuit.CLOSED:
            self._set_health(device, HealthState.FAILURE, sentence)

    def _look_later(self, group: Group, subscription: Subscription) -> None:
        resting = group.device.circuit is not Circuit.CLOSED
        due = subscription.next_look(self._clock(), self.settings.breaker.retry_s, resting=resting)
        self._timetable.remove(group)
        if due < math.inf:
            self._timetable.push(group, due)

    async def _see_to_end(self, group: Group) -> None:
        if group.subscription is not None and group.subscription.failure is not None:
            await self._visit(group, self._clock())

    # -- what subscriptions call: see subscription.Owner ---------------------------------------------------------------

    def heard(self, group: Group) -> None:
        """Also of an answered read."""
        device = group.device
        if self.state is not LinkState.UP:
            self._link_up()
        if device.circuit is not Circuit.CLOSED:
            self._close_circuit(device, group)
        device.silences = 0
        if device.health.state is not HealthState.NORMAL and device.quiet_s is None:
            if device.quiet:
                device.quiet = False
                log.info("device %s is heard of again", device.name)
            self._set_health(device, HealthState.NORMAL, _plan_detail(device))

    def owes(self, group: Group) -> None:
        if group.subscription is not None:
            self._look_later(group, group.subscription)
            self._nudge()

    def ended(self, group: Group) -> None:
        self._ended.append(group)
        self._nudge()

    def _failed(self, group: Group) -> None:
        group.failed += 1
        if group.subscription is not None:
            group.subscription.end()
            self._timetable.remove(group)

    def _build(self, device: Device) -> Driver:
        """A driver and its plans; the device's options and tags were checked before."""
        assert self._bus is not None
        driver = self.settings.kind.open_device(self._bus, device.name, device.settings.options)
        for group in device.groups:
            group.plan = driver.plan(group.poll)
        device.driver = driver
        self._judge_plans(device)
        return driver

    def _judge_plans(self, device: Device) -> None:
        """A device none of whose tags can be read is no use; of one that works, say which can't."""
        if not any(group.asks for group in device.groups):
            self._set_health(device, HealthState.FAILURE, _plan_detail(device))
        elif device.health.state is HealthState.NORMAL:
            self._set_health(device, HealthState.NORMAL, _plan_detail(device))

    # -- failures ------------------------------------------------------------------------------------------------------

    def _silent(self, group: Group, sentence: str) -> None:
        if self.state is not LinkState.UP:
            self._set_state(LinkState.CONNECTING, sentence)
        device = group.device
        device.silences += 1
        breaker = self.settings.breaker
        now = self._clock()
        if device.circuit is Circuit.CLOSED and device.silences < breaker.failures:
            self._mark(group, Quality.BAD_TIMEOUT)
            self._timetable.push(group, group.next_due(now))
            return
        if device.circuit is Circuit.CLOSED:
            log.warning("device %s: %s; asking again every %g s", device.name, sentence, breaker.retry_s)
        if device.circuit is not Circuit.OPEN:
            device.opened += 1
            self._set_health(device, HealthState.FAILURE, sentence)
        self._open_circuit(group, Circuit.OPEN, Quality.BAD_TIMEOUT, now + breaker.retry_s)

    def _crashed(self, group: Group, error: BaseException) -> None:
        """Isolate the device: its driver has a flaw, the others on the link have not."""
        device = group.device
        device.crashes += 1
        now = self._clock()
        if device.circuit is Circuit.CLOSED and now - device.closed_at > RESTART_CAP_S:
            device.restart.reset()
            device.restart.next_s()
        sentence = f"the driver failed: {_describe(error)}"
        if device.circuit is not Circuit.CRASHED:
            log.error("device %s: %s; its tags are bad until it works again", device.name, sentence, exc_info=error)
        device.driver = None
        self._set_health(device, HealthState.FAILURE, sentence)
        self._open_circuit(group, Circuit.CRASHED, Quality.BAD_INTERNAL_ERROR, now + device.restart.next_s())

    def _open_circuit(self, group: Group, circuit: Circuit, code: Quality, retry_at: float) -> None:
        """Let the device rest but for one read at `retry_at`: of `group`, or of another if that would ask nothing."""
        device = group.device
        # A read settles it; a subscription may just have nothing to say. But a flawed one is tried where it failed.
        by_read = circuit is Circuit.OPEN
        choice = [group, *device.groups]
        group = min(choice, key=lambda each: (not each.asks, by_read and each.subscription is not None))
        device.circuit, device.probe, device.retry_at = circuit, group, retry_at
        for each in device.groups:
            each.at_once = True
            if each.subscription is not None:
                each.subscription.end()
            self._mark(each, code)
        self._timetable.remove_device(device)
        self._timetable.push(group, retry_at)

    def _close_circuit(self, device: Device, answered: Group) -> None:
        """The device answered the read of one group: take up the others at once."""
        log.info("device %s answers again", device.name)
        device.circuit, device.probe = Circuit.CLOSED, None
        device.closed_at = self._clock()
        self._timetable.remove_device(device)
        for group in device.groups:
            if group is not answered:
                self._timetable.push(group, device.closed_at)
            elif group.subscription is not None:
                self._look_later(group, group.subscription)
        self._nudge()

    def _check_quiet(self, device: Device) -> None:
        quiet_s = device.quiet_s
        if quiet_s is None or device.quiet or device.circuit is not Circuit.CLOSED:
            return
        device.quiet = True
        sentence = f"nothing was heard of it for {quiet_s:g} s"
        log.warning("device %s: %s", device.name, sentence)
        self._set_health(device, HealthState.FAILURE, sentence)

    def _mark(self, group: Group, code: Quality) -> None:
        """Report every tag of the group as bad, unless that is what was reported last."""
        if group.subscription is not None:
            group.subscription.mark(code)
            return
        if group.reported == code:
            return
        size = len(group.poll.points)
        batch = Batch(group.poll.layout, time.time_ns(), time.monotonic_ns(), [None] * size, [int(code)] * size)
        if self.deliver(batch):
            group.reported = int(code)

    def _expect_values(self, fresh: Collection[Group]) -> None:
        asyncio.get_running_loop().call_later(FIRST_VALUE_S, self._report_waiting, frozenset(fresh))

    def _report_waiting(self, fresh: frozenset[Group]) -> None:
        if self._stopping:
            return
        for group in self.groups:
            if group not in fresh:
                continue
            if group.subscription is not None:
                group.subscription.mark(Quality.BAD_WAITING_FOR_INITIAL_DATA, group.subscription.image.unreported)
            elif group.reported == NOTHING_REPORTED:
                self._mark(group, Quality.BAD_WAITING_FOR_INITIAL_DATA)

    def _set_health(self, device: Device, state: HealthState, detail: str) -> None:
        health = device.health
        if (health.state, health.detail) != (state, detail):
            since_ns = health.since_ns if health.state is state else time.time_ns()
            device.health = DeviceHealth(device.name, state, detail, since_ns)
            self._on_health(device.health)

    # -- the connection ------------------------------------------------------------------------------------------------

    def _set_state(self, state: LinkState, detail: str) -> None:
        if self.state is not state:
            self.since_ns = time.time_ns()
        changed = (self.state, self.detail) != (state, detail)
        self.state, self.detail = state, detail
        if changed:
            self._on_state(self.name, state, detail)

    def _link_up(self) -> None:
        """Called once a device answered: that a connect succeeded proves little, a dying gateway accepts too."""
        again = " again" if self._said_down else ""
        self._said_down.clear()
        self._said_crashed = False
        log.info("link %s: connected%s%s", self.name, again, self.far_end and f" to {self.far_end}")
        self._set_state(LinkState.UP, "")
        self._reconnect.reset()

    async def _link_lost(self, sentence: str) -> None:
        await self._close_bus()
        if sentence not in self._said_down and len(self._said_down) < REASONS_SAID:
            self._said_down.add(sentence)
            log.warning("link %s: %s; trying again", self.name, sentence)
        if self.state is LinkState.UP:
            self.losses += 1
        self._all_bad(LinkState.DOWN, sentence, Quality.BAD_NO_COMMUNICATION)

    async def _link_crashed(self, error: Exception) -> None:
        """The bus itself has a flaw: start over with a new one."""
        self.crashes += 1
        await self._close_bus()
        self._bus = None
        sentence = f"the driver failed: {_describe(error)}"
        if not self._said_crashed:
            self._said_down.add(sentence)
            self._said_crashed = True
            log.error("link %s: %s; its tags are bad until it works again", self.name, sentence, exc_info=error)
        self._all_bad(LinkState.CRASHED, sentence, Quality.BAD_INTERNAL_ERROR)
        await asyncio.sleep(self._restart.next_s())

    def _all_bad(self, state: LinkState, sentence: str, code: Quality) -> None:
        self._set_state(state, sentence)
        self._writes.fail_all(f": {sentence}")
        self._asks.fail_all(f": {sentence}")
        for device in self.devices:
            if device.circuit is not Circuit.CLOSED:
                # Its tags are bad already, and what it failed of says more. A silent one deserves a try at once when
                # the link is back.
                if device.circuit is Circuit.OPEN:
                    device.retry_at = 0.0
                continue
            device.quiet = False
            self._set_health(device, HealthState.FAILURE, sentence)
            for group in device.groups:
                self._mark(group, code)

    async def _close_bus(self) -> None:
        self._connected = self._reopen = False
        for group in self.groups:
            if group.subscription is not None:
                group.subscription.end()
        self._refit_now()
        if self._bus is None:
            return
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._bus.close()
        except Exception as error:
            self._bus = None  # in an unknown state: the next session opens another
            if not self._close_failed:
                self._close_failed = True
                log.error("link %s: closing failed: %s", self.name, _describe(error), exc_info=error)

    def _stuck(self) -> None:
        """A driver's call goes on although it was cancelled."""
        self._all_bad(LinkState.CRASHED, "a driver's call can't be ended", Quality.BAD_INTERNAL_ERROR)

    # -- new settings --------------------------------------------------------------------------------------------------

    def refit(self, settings: LinkSettings) -> asyncio.Future[None]:
        """Take over settings of the same connection as soon as no driver is being called; done then.

        What is equal runs on: its driver, plans, subscriptions and counters stay, and the bus stays open.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._refits.append((settings, done))
        if not (self._connected and self._watchdog.busy):
            self._refit_now()
        self._nudge()
        return done

    def _refit_now(self) -> None:
        """Between two calls of drivers: nothing is on its way from a group that leaves."""
        while self._refits:
            settings, done = self._refits.popleft()
            self._take_over(settings)
            if not done.done():
                done.set_result(None)

    def _take_over(self, settings: LinkSettings) -> None:
        change = refit(self.devices, settings.devices, self._device_of, self._group_of)
        self.settings, self.devices = settings, change.devices
        for device in change.left:
            self._asks.fail_device(device, "was changed or taken out meanwhile")
            driver, device.driver, device.probe = device.driver, None, None
            standing = [self._let_go(group) for group in device.groups]
            device.groups.clear()
            self._part_from(driver, None, standing=any(standing))
        for group in change.left_groups:
            self._part_from(group.device.driver, group.poll.name, standing=self._let_go(group))
        for device in change.came:
            self._on_health(device.health)
            if self.state is LinkState.DOWN or self.state is LinkState.CRASHED:
                self._set_health(device, HealthState.FAILURE, self.detail)
            for group in device.groups:
                self._welcome(group)
        for device in change.regrouped:
            self._replan(device, [group for group in change.came_groups if group.device is device])
        self._expect_values([*change.came_groups, *(group for device in change.came for group in device.groups)])

    def _let_go(self, group: Group) -> bool:
        """Of a group that leaves; whether the device still speaks to it."""
        self._timetable.remove(group)
        subscription, group.subscription = group.subscription, None
        standing = subscription is not None and subscription.set_up_at is not None
        if subscription is not None:
            subscription.end()
        return standing

    def _part_from(self, driver: object, group: str | None, *, standing: bool) -> None:
        if isinstance(driver, Releases):
            self._partings.append((driver, group))
        elif standing:
            self._reopen = True

    def _replan(self, device: Device, came: Sequence[Group]) -> None:
        """A device stays with other groups."""
        if device.driver is not None:
            try:
                for group in came:
                    group.plan = device.driver.plan(group.poll)
            except Exception as error:  # noqa: BLE001 - a driver's code may raise anything
                self._crashed(came[0], error)
                return
            self._judge_plans(device)
        for group in came:
            self._welcome(group)
        if device.circuit is not Circuit.CLOSED and device.probe not in device.groups:
            device.probe = min(device.groups, key=lambda group: not group.asks, default=None)
            if device.probe is not None and self._connected:
                self._timetable.push(device.probe, device.retry_at)

    def _welcome(self, group: Group) -> None:
        """A group that came is read at once; what is known to be bad by now is said."""
        circuit = group.device.circuit
        if circuit is not Circuit.CLOSED:
            self._mark(group, Quality.BAD_TIMEOUT if circuit is Circuit.OPEN else Quality.BAD_INTERNAL_ERROR)
            return
        if self.state is LinkState.DOWN:
            self._mark(group, Quality.BAD_NO_COMMUNICATION)
        elif self.state is LinkState.CRASHED:
            self._mark(group, Quality.BAD_INTERNAL_ERROR)
        if self._connected:
            self._timetable.push(group, self._clock())

    async def _part(self, driver: Releases, group: str | None) -> None:
        """Have a driver let go. What goes wrong concerns only what is gone; the bus ends it if nothing else does."""
        self._watchdog.begin(self._clock())
        try:
            await driver.release(group)
        except DeviceSilent:
            self._reopen = True
        except LinkDown:
            raise
        except asyncio.CancelledError:
            if not self._watchdog.survives():
                raise
            raise _Reopen from None
        except Exception as error:
            log.error("link %s: a driver failed to let go: %s", self.name, _describe(error), exc_info=error)
            self._reopen = True
        finally:
            self._watchdog.end()

    # -- asking --------------------------------------------------------------------------------------------------------

    async def ask(self, device: Device | None, call: Callable[[Any], Awaitable[T]]) -> T:
        """See :meth:`Supervisor.ask`. `device` None: `call` takes the bus."""
        connected = self._connected and not self._stopping
        done = self._asks.put(device, call, connected=connected, why=self.detail)
        self._nudge()
        result: T = await done
        return result

    async def _ask_next(self) -> None:
        ask = self._asks.take()
        if ask is None:
            return
        device = ask.device
        self._watchdog.begin(self._clock())
        try:
            subject = self._bus if device is None else device.driver or self._build(device)
            ask.succeed(await ask.call(subject))
        except (DeviceSilent, ScanFailed, WriteFailed, AskFailed) as error:
            ask.fail(error)
        except LinkDown as error:
            ask.fail(error)
            raise
        except asyncio.CancelledError:
            hung = self._watchdog.fired
            ask.fail(AskFailed(self._watchdog.sentence if hung else f"link {self.name} is stopping"))
            if not self._watchdog.survives():
                raise
            if device is not None and device.groups:
                self._crashed(device.groups[0], TimeoutError(self._watchdog.sentence))
            if hung:
                raise _Reopen from None
        except Exception as error:
            ask.fail(AskFailed(f"the driver failed: {_describe(error)}"))
            if device is not None and device.groups:
                self._crashed(device.groups[0], error)
            else:
                log.error("link %s: a driver failed: %s", self.name, _describe(error), exc_info=error)
        finally:
            self._watchdog.end()

    # -- writes --------------------------------------------------------------------------------------------------------

    async def write(
        self,
        device: Device,
        path: str,
        value: Value,
        expected: Value,
        expires: float | None,
        sending: Callable[[], None],
    ) -> Value:
        """See :meth:`Supervisor.write`."""
        connected = self._connected and not self._stopping
        done = self._writes.put(device, path, value, expected, expires, sending, connected=connected)
        self._nudge()
        return await done

    def preview(self, device: Device, path: str, value: Value) -> Sequence[str] | None:
        """See :meth:`Supervisor.preview`."""
        point, _, _, wire = to_be_written(device, path, value)
        kind, settings = self.settings.kind, self.settings
        try:
            # While nothing is connected there is no driver; one on a bus that is never opened will do.
            driver: object = device.driver or kind.open_device(
                kind.open_bus(self.name, settings.options, settings.site), device.name, device.settings.options
            )
            return driver.preview(point, wire) if isinstance(driver, Previews) else None
        except NotWritten:
            raise
        except Exception:
            log.exception("device %s: the driver can't say what a write would send", device.name)
            return None

    async def _write_next(self) -> None:
        taken = self._writes.take()
        if taken is None:
            return
        write, driver = taken
        device = write.device
        self._watchdog.begin(self._clock())
        try:
            if write.expected is not None:
                assert device.driver is not None
                await write.compare(device.driver)
                if write.done.done():
                    return  # its time ran out, or nobody waits for it any more
            write.start()
            wire = await driver.write(write.point, write.wire)
        except (WriteFailed, DeviceSilent) as error:
            write.fail(error)
        except LinkDown as error:
            write.fail(error)
            raise
        except asyncio.CancelledError:
            write.fail(WriteFailed(f"writing {write.point.path} was cut short; {write.doubt}"))
            hung = self._watchdog.fired
            if not self._watchdog.survives():
                raise
            self._crashed(device.groups[0], TimeoutError(self._watchdog.sentence))
            if hung:
                raise _Reopen from None
        except Exception as error:  # noqa: BLE001 - a driver's code may raise anything
            write.fail(WriteFailed(f"the driver failed: {_describe(error)}; {write.doubt}"))
            self._crashed(device.groups[0], error)
        else:
            write.succeed(wire)
        finally:
            self._watchdog.end()

    def trace(self, take: Take | None) -> None:
        """See :meth:`Supervisor.trace`."""
        self._take = take
        bus: object = self._bus
        if isinstance(bus, Traces):
            bus.trace(take)

    def stuck(self, now: float) -> str | None:
        """Why this link does nothing any more, although nothing told it to stop; None: it does what it should."""
        limit_s = STUCK_LIMITS * self._watchdog.limit_s
        if self._stopping or self._task is None:
            return None
        if self._task.done():
            return f"link {self.name} has ended"
        if self._watchdog.busy:
            return f"a driver's call on link {self.name} can't be ended" if self._watchdog.age(now) > limit_s else None
        if self._connected and now - self._timetable.next_due > limit_s:
            return f"link {self.name} doesn't do what is due"
        return None

    # -- status --------------------------------------------------------------------------------------------------------

    def status(self) -> LinkStatus:
        now = self._clock()
        return {
            "state": self.state.value,
            "detail": self.detail,
            "since_ns": self.since_ns,
            "driver": self.settings.kind.name,
            "far_end": self.far_end,
            "connects": self.connects,
            "losses": self.losses,
            "crashes": self.crashes,
            "counters": self._counters(),
            "devices": {device.name: device.status(now) for device in self.devices},
        }

    def _counters(self) -> dict[str, int]:
        if self._bus is None:
            return {}
        try:
            return dict(self.settings.kind.counters(self._bus))
        except Exception:
            log.exception("link %s: the driver's counters can't be read", self.name)
            return {}


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _describe(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _plan_detail(device: Device) -> str:
    errors = [error for group in device.groups if group.plan for error in group.plan.errors]
    if not errors:
        return ""
    total = sum(len(group.poll.points) for group in device.groups)
    return f"{len(errors)} of {total} tags can't be read; {errors[0].path}: {errors[0].message}"
