"""One Modbus server on a bus: reading by plan, writing with read-back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from drivers.common.words import decode, encode, mask
from drivers.modbus import pdu
from drivers.modbus.address import Table
from drivers.modbus.bus import ModbusBus
from drivers.modbus.errors import EchoDiffers, Refused, ReplyTimeout
from drivers.modbus.options import DeviceOptions
from drivers.modbus.pdu import Exchange
from drivers.modbus.plan import ReadPlan, Request
from drivers.modbus.points import Located, locate
from gateway.driver import DeviceSilent, LinkDown, Plan, Point, PollGroup, WriteFailed
from gateway.model import Batch, Quality, Value, is_bad

_log = logging.getLogger(__name__)

P = TypeVar("P")

_TIMEOUTS_PER_READ = 2
"""Requests that may stay unanswered before the rest of a read is given up, which bounds the delay of other devices."""
_DIVISIONS_PER_READ = 32
"""Extra requests one read may spend on finding out which address was refused: enough to find one among 2,000."""

_NAMED_IN_LOG = 5

_ILLEGAL_FUNCTION = 1
_DIVISIBLE = {2: Quality.BAD_NODE_ID_INVALID, 3: Quality.BAD_OUT_OF_RANGE}
"""Exceptions that may be due to a part of the read: an address that doesn't exist, or a read that is too long."""
_BUSY = (5, 6)
_UNREACHED = (10, 11)
"""Exceptions by which a gateway says that the device behind it didn't answer."""
_QUALITIES = {
    1: Quality.BAD_NOT_SUPPORTED,
    2: Quality.BAD_NODE_ID_INVALID,
    3: Quality.BAD_OUT_OF_RANGE,
    4: Quality.BAD_DEVICE_FAILURE,
    7: Quality.BAD_DEVICE_FAILURE,
    8: Quality.BAD_DEVICE_FAILURE,
    10: Quality.BAD_NO_COMMUNICATION,
    11: Quality.BAD_NO_COMMUNICATION,
}


class ModbusDevice(Generic[P]):
    """Implements :class:`gateway.driver.Driver` and :class:`gateway.driver.Writes`."""

    def __init__(self, bus: ModbusBus[P], name: str, options: DeviceOptions) -> None:
        self._bus = bus
        self._name = name
        self._options = options
        self._mask_write = options.mask_write

    def plan(self, group: PollGroup) -> ReadPlan[P]:
        return ReadPlan(group, self._options, self._bus)

    # -- reading

    async def read(self, plan: Plan) -> Batch:
        """See :meth:`gateway.driver.Driver.read`. The batch is stamped when its last reply was complete."""
        assert isinstance(plan, ReadPlan)
        bus = self._bus
        parts: list[tuple[Value, ...]] = []
        if plan.first or not plan.requests or (plan.holes and plan.next_retry_at <= time.monotonic()):
            return await self._read_carefully(plan, parts, None)
        try:
            for request in plan.requests:
                # One by one: what came before a fault is kept.
                parts.append(request.decode(await bus.transact(request.prepared)))  # noqa: PERF401
        except (ReplyTimeout, Refused) as fault:
            return await self._read_carefully(plan, parts, fault)
        return plan.assemble(parts, bus.reply_ns, bus.reply_mono_ns)

    async def _read_carefully(
        self, plan: ReadPlan[P], done: Sequence[tuple[Value, ...]], fault: ReplyTimeout | Refused | None
    ) -> Batch:
        """Read, or go on reading after `fault`, with an eye on what fails. `done` are the replies so far."""
        reading = _Reading(plan)
        for request, part in zip(plan.requests, done, strict=False):
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
            hole = plan.due_hole()
            if hole is not None:
                await self._retry_hole(reading, hole)
        batch = reading.batch(self._bus)
        if reading.learnt:
            plan.learn()
        self._report(reading)
        return batch

    async def _attempt(self, reading: _Reading[P], request: Request[P]) -> ReplyTimeout | Refused | None:
        try:
            reply = await self._bus.transact(request.prepared)
        except (ReplyTimeout, Refused) as fault:
            return fault
        reading.take(request, request.decode(reply))
        return None

    async def _settle(self, reading: _Reading[P], request: Request[P], fault: ReplyTimeout | Refused) -> None:
        """Turn a fault of one request into qualities, or raise DeviceSilent if the device hasn't said anything yet."""
        if isinstance(fault, ReplyTimeout):
            plan = reading.plan
            if request in plan.requests:
                plan.first = (plan.requests.index(request) + 1) % len(plan.requests)
            if not reading.answered:
                raise DeviceSilent(f"unit {self._options.unit} at {self._bus.peer}: {fault}")
            reading.timeouts += 1
            reading.fail(request, Quality.BAD_TIMEOUT)
            return
        if fault.code in _UNREACHED and not reading.answered:
            raise DeviceSilent(f"unit {self._options.unit} behind {self._bus.peer}: {fault}")
        if fault.code not in _UNREACHED:
            reading.answered = True
        if fault.code in _DIVISIBLE:
            await self._divide(reading, request, fault)
        elif fault.code in _BUSY:
            reading.hold(request)
        else:
            reading.fail(request, _QUALITIES.get(fault.code, Quality.BAD))

    async def _divide(self, reading: _Reading[P], request: Request[P], fault: Refused) -> None:
        """Find out which part of a read is refused, so that the rest doesn't suffer for it; remember both."""
        plan = reading.plan
        halves = plan.halve(request)
        if halves is None:
            self._dig(reading, request, fault)
            return
        refused = 0
        for half in halves:
            if reading.divisions >= _DIVISIONS_PER_READ or reading.timeouts:
                # Not found out yet: the next read goes on with what this one has learnt.
                reading.fail(half, Quality.BAD_WAITING_FOR_INITIAL_DATA)
                refused += 1
                continue
            reading.divisions += 1
            part_fault = await self._attempt(reading, half)
            if part_fault is not None:
                refused += 1
                await self._settle(reading, half, part_fault)
        if not refused:
            plan.cut(halves[1])
            reading.learnt = True

    def _dig(self, reading: _Reading[P], request: Request[P], fault: Refused) -> None:
        plan = reading.plan
        known = all(column in plan.holes for column in request.members)
        plan.dig(request.members, _DIVISIBLE[fault.code])
        reading.fail(request, _DIVISIBLE[fault.code])
        if not known:
            reading.learnt = True
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

    async def _retry_hole(self, reading: _Reading[P], request: Request[P]) -> None:
        plan = reading.plan
        fault = await self._attempt(reading, request)
        if fault is None:
            plan.fill(request.members)
            reading.learnt = True
            for column in request.members:
                _log.info("device %s: %s can be read now", self._name, self._name_of(plan, column))
        elif isinstance(fault, Refused) and fault.code in _DIVISIBLE:
            self._dig(reading, request, fault)
        else:
            plan.dig(request.members, plan.holes[request.members[0]].quality)
            if isinstance(fault, ReplyTimeout) and not reading.answered:
                raise DeviceSilent(f"unit {self._options.unit} at {self._bus.peer}: {fault}")

    def _name_of(self, plan: ReadPlan[P], column: int) -> str:
        point = plan.group.points[column]
        return f"{point.path} ({point.options.address})"

    # -- writing

    async def write(self, point: Point, value: Value) -> Value:
        """See :meth:`gateway.driver.Writes.write`."""
        try:
            place = locate(point, self._options)
        except ValueError as error:
            raise WriteFailed(f"{point.path} can't be written: {error}") from None
        if not place.table.writable:
            kind = "discrete inputs" if place.table.holds_bits else "input registers"
            raise WriteFailed(f"{point.path} can't be written: {kind} are read-only")
        try:
            wanted = _encoded(place, value)
        except ValueError as error:
            raise WriteFailed(f"{point.path} can't be written: {error}") from None
        if len(wanted) > 2 * pdu.MAX_WRITE_REGISTERS:
            raise WriteFailed(
                f"{point.path} can't be written: it takes {len(wanted) // 2} registers, "
                f"one write holds {pdu.MAX_WRITE_REGISTERS}"
            )
        unknown = f"whether {point.path} was written is unknown"
        try:
            await self._send_write(place, value, wanted)
        except ReplyTimeout as error:
            raise DeviceSilent(f"unit {self._options.unit} at {self._bus.peer}: {error}; {unknown}") from None
        except Refused as error:
            if error.code in _UNREACHED:
                raise DeviceSilent(f"unit {self._options.unit} behind {self._bus.peer}: {error}; {unknown}") from None
            raise WriteFailed(f"{point.path}: the device refused the write with {error}") from None
        except EchoDiffers:
            raise WriteFailed(f"{point.path}: the device confirmed another write than this one; {unknown}") from None
        except LinkDown as error:
            raise LinkDown(f"{error}; {unknown}") from None
        return await self._read_back(point, place, wanted)

    async def _send_write(self, place: Located, value: Value, wanted: bytes) -> None:
        address = place.span.address
        multiple = self._options.write_multiple
        if place.encoding is None:
            await self._exchange(pdu.write_coil(address, bool(value), multiple=multiple))
            return
        if place.encoding.partial:
            await self._write_partially(address, wanted, mask(place.encoding))
            return
        await self._exchange(pdu.write_registers(address, _registers(wanted), multiple=multiple))

    async def _write_partially(self, address: int, wanted: bytes, ones: bytes) -> None:
        """Change some bits of a register: by function 22, or by reading, changing and writing it."""
        (set_bits,), (own_bits,) = _registers(wanted), _registers(ones)
        if self._mask_write:
            try:
                await self._exchange(pdu.mask_write(address, 0xFFFF & ~own_bits, set_bits))
            except Refused as error:
                # A refused function has done nothing, so this is no repetition of a write.
                if error.code != _ILLEGAL_FUNCTION:
                    raise
                self._mask_write = False
                _log.info("device %s has no function 22: registers are read, changed and written instead", self._name)
            else:
                return
        (current,) = _registers(await self._exchange(pdu.read(Table.HOLDING_REGISTERS, address, 1)))
        changed = current & ~own_bits | set_bits
        await self._exchange(pdu.write_registers(address, (changed,), multiple=self._options.write_multiple))

    async def _read_back(self, point: Point, place: Located, wanted: bytes) -> Value:
        if self._options.read_back_delay_ms:
            await asyncio.sleep(self._options.read_back_delay_ms / 1000)
        try:
            data = await self._exchange(pdu.read(place.table, place.span.address, place.span.count))
        except ReplyTimeout as error:
            raise DeviceSilent(
                f"unit {self._options.unit} at {self._bus.peer}: {error}; "
                f"{point.path} was written, what it is now is unknown"
            ) from None
        except Refused as error:
            raise WriteFailed(f"{point.path} was written but can't be read back: {error}") from None
        except LinkDown as error:
            raise LinkDown(f"{error}; {point.path} was written, what it is now is unknown") from None
        if place.encoding is None:
            now: Value = bool(data[0] & 1)
            same = now == bool(wanted[0])
        else:
            now = decode(place.encoding, data)
            ones = mask(place.encoding)
            same = bytes(byte & one for byte, one in zip(data, ones, strict=True)) == wanted
        if not same:
            raise WriteFailed(f"{point.path} was written but reads {now!r} now")
        return now

    async def _exchange(self, exchange: Exchange) -> bytes:
        return await self._bus.transact(self._bus.prepare(self._options.unit, exchange))


def _encoded(place: Located, value: Value) -> bytes:
    if place.encoding is not None:
        return encode(place.encoding, value)
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not a bool")
    return bytes((value,))


def _registers(data: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))


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
    learnt: bool = False
    dug: list[str] = field(default_factory=list)
    """What this read found to be refused, for the log."""

    def __post_init__(self) -> None:
        width = len(self.plan.group.points)
        self.values = [None] * width
        self.qualities = [self.plan.base_quality(column) for column in range(width)]

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
