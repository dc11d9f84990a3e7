"""Reading when not all goes well: what fails costs its own tags only, and the device is asked no more than it must be.

What a refusal teaches - an address that isn't there, a border no read may cross, the longest read - goes into the
device's memory, and from there into every plan.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from drivers.common.blocks import Span
from drivers.modbus import pdu
from drivers.modbus.address import Table
from drivers.modbus.bus import ModbusBus
from drivers.modbus.errors import EXCEPTION_QUALITIES, UNREACHED, Refused, ReplyTimeout
from drivers.modbus.identity import Identity
from drivers.modbus.memory import Memory
from drivers.modbus.options import DeviceOptions
from drivers.modbus.pdu import Exchange
from drivers.modbus.plan import ReadPlan, Request
from gateway.driver import DeviceSilent
from gateway.model import Batch, Quality, Value, is_bad

_log = logging.getLogger(__name__)

P = TypeVar("P")

_TIMEOUTS_PER_READ = 2
"""Requests that may stay unanswered before the rest of a read is given up, which bounds the delay of other devices."""
_DIVISIONS_PER_READ = 32
"""Extra requests one read may spend on finding out which address was refused: enough to find one among 2,000."""

_NAMED_IN_LOG = 5

_DIVISIBLE = (2, 3)
"""Exceptions that may be due to a part of the read: an address that doesn't exist, or a read that is too long."""
_BUSY = (5, 6)


class CarefulReader(Generic[P]):
    """Reads one device's plans."""

    def __init__(
        self, bus: ModbusBus[P], name: str, options: DeviceOptions, memory: Memory, identity: Identity
    ) -> None:
        self._bus = bus
        self._name = name
        self._options = options
        self._memory = memory
        self._identity = identity
        self._saved = memory.version
        self._said: set[str] = set()
        """Limits that were logged: finding one again each day is no news."""

    async def read(
        self, plan: ReadPlan[P], done: Sequence[tuple[Value, ...]], fault: ReplyTimeout | Refused | None
    ) -> Batch:
        """Read, or go on reading after `fault`, with an eye on what fails. `done` are the replies so far."""
        reading = _Reading(plan)
        for request, part in zip(plan.requests, done, strict=False):
            self._memory.answered(request.table, request.span.count)
            reading.take(request, part)
        for request in (*plan.requests[plan.first + len(done) :], *plan.requests[: plan.first]):
            if reading.timeouts >= _TIMEOUTS_PER_READ:
                reading.fail(request, Quality.BAD_TIMEOUT)
                continue
            if fault is None:
                fault = await self._attempt(reading, request)
            if fault is not None:
                await self._settle(reading, request, fault)
            fault = None
        if not reading.timeouts:
            plan.first = 0
            await self._retry_hole(reading)
        if plan.wants_identity and not reading.timeouts:
            await self._identify(reading)
        batch = reading.batch(self._bus)
        self._memory.review()
        plan.schedule()
        plan.keep_up()
        if self._memory.version != self._saved:
            self._saved = self._memory.version
            self._memory.save()
        self._report(reading)
        return batch

    async def _attempt(self, reading: _Reading[P], request: Request[P]) -> ReplyTimeout | Refused | None:
        try:
            reply = await self._bus.transact(request.prepared)
        except (ReplyTimeout, Refused) as fault:
            return fault
        self._memory.answered(request.table, request.span.count)
        reading.take(request, request.decode(reply))
        return None

    async def _settle(self, reading: _Reading[P], request: Request[P], fault: ReplyTimeout | Refused) -> None:
        """Turn a fault of one request into qualities, or raise DeviceSilent if the device hasn't said anything yet."""
        if isinstance(fault, ReplyTimeout):
            plan = reading.plan
            if request in plan.requests:
                plan.first = (plan.requests.index(request) + 1) % len(plan.requests)
            if not reading.answered:
                raise self._silent(fault)
            reading.timeouts += 1
            reading.fail(request, Quality.BAD_TIMEOUT)
            return
        if fault.code in UNREACHED and not reading.answered:
            raise DeviceSilent(f"unit {self._options.unit} behind {self._bus.peer}: {fault}")
        if fault.code not in UNREACHED:
            reading.answered = True
        if fault.code in _DIVISIBLE:
            await self._divide(reading, request, fault)
        elif fault.code in _BUSY:
            reading.hold(request)
        else:
            reading.fail(request, EXCEPTION_QUALITIES.get(fault.code, Quality.BAD))

    async def _divide(self, reading: _Reading[P], request: Request[P], fault: Refused) -> None:
        """Find out which part of a read is refused, so that the rest doesn't suffer for it; remember both."""
        plan = reading.plan
        halves = plan.halve(request)
        if halves is None:
            self._dig(reading, request, fault)
            return
        answered = 0
        for half in halves:
            if reading.divisions >= _DIVISIONS_PER_READ or reading.timeouts:
                # Not found out yet: the next read goes on with what this one has learnt.
                reading.fail(half, Quality.BAD_WAITING_FOR_INITIAL_DATA)
                continue
            reading.divisions += 1
            part_fault = await self._attempt(reading, half)
            if part_fault is None:
                answered += 1
            else:
                await self._settle(reading, half, part_fault)
        if answered == len(halves) and request.span.count <= self._memory.limits.get(request.table, math.inf):
            await self._measure(reading, request, halves)

    async def _measure(self, reading: _Reading[P], request: Request[P], halves: Sequence[Request[P]]) -> None:
        """A read is refused whose halves are not: is it too long, or is there an address it can't reach over?

        The longest beginning of it that is answered tells. If a longer read was answered elsewhere, there is a border.
        If as much can be read from one address on, across that place, length is what matters.
        """
        table, start = request.table, request.span.address
        longest, refused = halves[0].span.count, request.span.count
        while refused - longest > 1:
            middle = (longest + refused) // 2
            allowed = await self._allows(reading, table, Span(start, middle))
            if allowed is None:
                self._memory.cut(table, halves[1].span.address)
                return
            longest, refused = (middle, refused) if allowed else (longest, middle)
        memory = self._memory
        if longest < memory.longest[table]:
            memory.cut(table, start + longest)
        elif longest == 1:
            if memory.cut_single(table, start + 1):
                reading.learnt.append(f"at most 1 of the {table.title} in one read")
        elif await self._allows(reading, table, Span(start + 1, longest)):
            memory.limit(table, longest)
            reading.learnt.append(f"at most {longest} of the {table.title} in one read")
        else:
            memory.cut(table, start + longest)

    async def _allows(self, reading: _Reading[P], table: Table, span: Span) -> bool | None:
        """Whether the device answers a read of `span`, or None if that can't be found out now."""
        if reading.divisions >= _DIVISIONS_PER_READ or reading.timeouts:
            return None
        reading.divisions += 1
        try:
            await self._ask(pdu.read(table, span.address, span.count))
        except Refused as fault:
            return False if fault.code in _DIVISIBLE else None
        except ReplyTimeout:
            reading.timeouts += 1
            return None
        self._memory.answered(table, span.count)
        return True

    def _dig(self, reading: _Reading[P], request: Request[P], fault: Refused) -> None:
        plan = reading.plan
        news = [self._memory.dig(place, fault.code) for place in plan.places(request)]
        reading.fail(request, EXCEPTION_QUALITIES[fault.code])
        if any(news):
            reading.dug += [f"{self._name_of(plan, column)}: {fault}" for column in request.members]

    def _report(self, reading: _Reading[P]) -> None:
        """One line for all that a read found missing, however much that is."""
        if reading.dug:
            more = len(reading.dug) - _NAMED_IN_LOG
            _log.warning(
                "device %s refuses %s%s; the rest is read without, and this tried again later",
                self._name,
                ", ".join(reading.dug[:_NAMED_IN_LOG]),
                f" and {more} more" if more > 0 else "",
            )
        for limit in set(reading.learnt) - self._said:
            self._said.add(limit)
            _log.info("device %s gives %s", self._name, limit)

    async def _retry_hole(self, reading: _Reading[P]) -> None:
        plan = reading.plan
        request = plan.due_hole()
        if request is None:
            return
        ((place, _),) = plan.places(request).items()
        fault = await self._attempt(reading, request)
        if fault is None:
            self._memory.fill(place)
            for column in request.members:
                _log.info("device %s: %s can be read now", self._name, self._name_of(plan, column))
        elif isinstance(fault, Refused) and fault.code in _DIVISIBLE:
            self._dig(reading, request, fault)
        else:
            self._memory.dig(place, self._memory.holes[place].code)
            if isinstance(fault, ReplyTimeout) and not reading.answered:
                raise self._silent(fault)

    async def _identify(self, reading: _Reading[P]) -> None:
        plan = reading.plan
        try:
            await self._identity.refresh(self._ask, plan.objects.values(), self._bus.counters["connects"])
        except ReplyTimeout as fault:
            reading.timeouts += 1
            if not reading.answered and not plan.requests:
                raise self._silent(fault) from None
        else:
            reading.answered = True
        reading.refresh()

    def _silent(self, fault: ReplyTimeout) -> DeviceSilent:
        return DeviceSilent(f"unit {self._options.unit} at {self._bus.peer}: {fault}")

    async def _ask(self, exchange: Exchange) -> bytes:
        return await self._bus.transact(self._bus.prepare(self._options.unit, exchange))

    def _name_of(self, plan: ReadPlan[P], column: int) -> str:
        point = plan.group.points[column]
        return f"{point.path} ({point.options.address})"


@dataclass(slots=True)
class _Reading(Generic[P]):
    """The columns of one read as they come in, when not all goes well."""

    plan: ReadPlan[P]
    values: list[Value] = field(init=False)
    qualities: list[int] = field(init=False)
    answered: bool = False
    """The device has said something: data, or an exception of its own."""
    timeouts: int = 0
    divisions: int = 0
    dug: list[str] = field(default_factory=list)
    """What this read found to be refused, for the log."""
    learnt: list[str] = field(default_factory=list)
    """What else it found out, for the log."""

    def __post_init__(self) -> None:
        bases = [self.plan.base(column) for column in range(len(self.plan.group.points))]
        self.values = [value for value, _ in bases]
        self.qualities = [quality for _, quality in bases]

    def refresh(self) -> None:
        """The device has said who it is, or that it won't."""
        for column in self.plan.objects:
            self.values[column], self.qualities[column] = self.plan.base(column)

    def take(self, request: Request[P], part: Sequence[Value]) -> None:
        self.answered = True
        for column, value in zip(request.columns, part, strict=True):
            self.values[column] = value
            self.qualities[column] = int(Quality.BAD_DECODING_ERROR) if value is None else 0

    def fail(self, request: Request[P], quality: int) -> None:
        for column in request.members:
            self.values[column] = None
            self.qualities[column] = int(quality)

    def hold(self, request: Request[P]) -> None:
        """The device is there but has no time: keep what it said last, and say so."""
        last = self.plan.last
        for column in request.members:
            value = None if last is None else last.values[column]
            usable = last is not None and not (last.qualities and is_bad(last.qualities[column]))
            self.values[column] = value if usable else None
            self.qualities[column] = int(
                Quality.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE if usable else Quality.BAD_WAITING_FOR_INITIAL_DATA
            )

    def batch(self, bus: ModbusBus[P]) -> Batch:
        qualities = tuple(self.qualities) if any(self.qualities) else None
        # With nothing answered there is no reply to take the time of.
        read_ns, mono_ns = (bus.reply_ns, bus.reply_mono_ns) if self.answered else (time.time_ns(), time.monotonic_ns())
        batch = Batch(self.plan.group.layout, read_ns, mono_ns, tuple(self.values), qualities)
        self.plan.last = batch
        return batch
