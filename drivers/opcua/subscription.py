"""One group's subscription: set up, listened to, kept honest.

What arrives is decoded and handed over within the callback that brought it. Everything that has to wait - bad nodes to
try again, quiet tags to look after, gaps to fill from history - is done by one task per subscription.

How a subscription that only seems to work is found out:

- the whole of it: keep-alives stop coming (the publisher notices) → it is made anew;
- one item of it: a quiet tag is read now and then. If it reads as last reported, that is confirmed. If it doesn't, and
  no notification follows, what was read is reported and the item is made anew.

A *position* is an index into the plan's columns. It is also the client handle of the column's monitored item.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from drivers.opcua import events, items, services, status
from drivers.opcua.address import UnknownNamespace
from drivers.opcua.binary import DataValue, Malformed, NodeId, Reader, Type, Variant
from drivers.opcua.binding import RETRY_FIRST_S, RETRY_MAX_S, Binding
from drivers.opcua.history import FORGOTTEN, OVERRAN, Gap, HistoryReader
from drivers.opcua.options import DeviceOptions
from drivers.opcua.plan import Kind
from drivers.opcua.publisher import Publisher
from drivers.opcua.reading import read_all
from drivers.opcua.resolver import resolve
from drivers.opcua.services import Item, ItemResult, Notification, Service
from drivers.opcua.session import Garbled, Session
from drivers.opcua.status import ServiceFailed
from drivers.opcua.values import OVERFLOW, TICKS_PER_S, Unfit, overflowed, ticks_to_ns
from gateway.driver import DeviceSilent, LinkDown, Receiver
from gateway.model import Batch, DataType, Quality, Value

_log = logging.getLogger(__name__)

PUBLISHING_MAX_S = 4.0
"""Publishing at least this often keeps the keep-alives of a slowly sampled group frequent."""
KEEPALIVES_MISSED = 3
SETTLE_S = 2.0
"""How long, beside two publishing intervals, the first values may take before they are read."""
RECREATE_S = 2.0
"""Before a subscription that couldn't be made anew is tried again."""
_REPUBLISH_MOST = 10_000
_NAMED_IN_LOG = 5


@dataclass(slots=True)
class _Retry:
    delay_s: float = RETRY_FIRST_S
    at: float = field(default_factory=lambda: time.monotonic() + RETRY_FIRST_S)

    def again(self) -> None:
        self.delay_s = min(2 * self.delay_s, RETRY_MAX_S)
        self.at = time.monotonic() + self.delay_s


class Subscription:
    """Implements :class:`drivers.opcua.publisher.Listener`."""

    def __init__(
        self, binding: Binding, publisher: Publisher, receiver: Receiver, device: str, options: DeviceOptions
    ) -> None:
        self.binding = binding
        self.plan = plan = binding.plan
        self.id = 0
        self.sequence = 1
        """Of the next message."""
        self._publisher = publisher
        self._receiver = receiver
        self._device = device
        self._options = options
        self._times = services.SOURCE_TIME if options.timestamp == "source" else services.BOTH_TIMES
        size = len(plan.columns)
        self._last: list[DataValue | None] = [None] * size
        """What was last heard of each."""
        self._item_ids = [0] * size
        self._heard = [0.0] * size
        self._unreported = set(range(size))
        """Positions of which the receiver knows nothing yet."""
        self._fields: dict[int, events.Fields] = {}
        self._retries: dict[int, _Retry] = {}
        self._publishing_s = 0.0
        self._keepalive_s = 0.0
        self._settle_at = math.inf
        self._recreate_at = math.inf
        self._dead = ""
        self._refresh_due = False
        self._undecoded: set[int] = set()
        """Positions whose last value waits for the definition of its structure."""
        self._gaps: list[Gap] = []
        self._history = HistoryReader(binding, options, self._times)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def session(self) -> Session:
        return self.binding.session

    @property
    def patience_s(self) -> float:
        return KEEPALIVES_MISSED * self._keepalive_s + 1.0

    # -- life

    async def open(self, kept: Subscription | None) -> None:
        """Take over `kept`, which a resumed session may have, or make it anew. Raises LinkDown or DeviceSilent."""
        self._report_columns(self.plan.in_error, int(Quality.BAD_CONFIGURATION_ERROR))
        for position, code in self.binding.missing.items():
            self._report([position], [code])
        self._report_idle()
        if kept is None or not await self._adopt(kept):
            self._remember_gaps()
            await self._create()
        self._settle_at = time.monotonic() + 2 * self._publishing_s + SETTLE_S
        self._task = asyncio.create_task(self._maintain(), name=f"subscription of {self._device}")

    async def close(self) -> None:
        """Stop reporting; the server is told if it can be reached."""
        self.stop()
        if not self.session.down:
            with contextlib.suppress(LinkDown, DeviceSilent, ServiceFailed, Garbled):
                await self._delete()

    async def forsake(self, session: Session) -> None:
        """Of one that outlived its connection: have `session`, which took up its own, delete it. Raises LinkDown."""
        with contextlib.suppress(DeviceSilent, ServiceFailed, Garbled):
            await self._delete_at(session)

    def stop(self) -> None:
        """Stop reporting, here and now."""
        self._publisher.remove(self.id)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    # -- making

    async def _create(self) -> None:
        session = self.session
        wanted_s = min(self.plan.group.interval_s, PUBLISHING_MAX_S)
        if self._options.publishing_ms is not None:
            wanted_s = self._options.publishing_ms / 1000
        publishing_s = max(wanted_s, session.limits.publishing_s)
        keepalive = max(1, round(session.options.keepalive_s / publishing_s))
        lifetime = max(3 * keepalive, math.ceil(session.options.outage_s / publishing_s) + keepalive)
        request = services.create_subscription_request(1000 * publishing_s, lifetime, keepalive)
        try:
            made = await session.call(Service.CREATE_SUBSCRIPTION, request, services.create_subscription_response)
        except (ServiceFailed, Garbled) as error:
            raise DeviceSilent(f"{session.peer} makes no subscription: {error}") from None
        self.id, self.sequence = made.id, 1
        self._publishing_s = made.publishing_ms / 1000
        self._keepalive_s = self._publishing_s * made.keepalive
        self._publisher.add(made.id, self)
        await self._create_items([at for at in range(len(self.plan.columns)) if at not in self.binding.missing])

    async def _create_items(self, positions: Sequence[int]) -> None:
        """Make the items of these columns; those that fail are bad and tried again later."""
        pairs = [
            (position, item) for position in self._room(positions) if (item := await self._item(position)) is not None
        ]
        allowed = [position for position, _ in pairs]
        wanted = [item for _, item in pairs]
        await self._learn_structures(allowed)
        results = await items.create(self.session, self.id, self._times, wanted)
        refused = [at for at, result in enumerate(results) if items.refuses_filter(result, wanted[at])]
        if refused:
            names = self._named([allowed[at] for at in refused])
            _log.warning("device %s can't filter %s: every change of them is reported", self._device, names)
            plain = [items.without_filter(wanted[at]) for at in refused]
            for at, result in zip(refused, await items.create(self.session, self.id, self._times, plain), strict=True):
                results[at] = result
        self._take_results(allowed, results)
        if any(self.plan.columns[at].kind is Kind.EVENTS and self._item_ids[at] for at in allowed):
            await self._refresh_conditions()

    async def _learn_structures(self, positions: Sequence[int]) -> None:
        """So that the first values can be decoded."""
        points = self.plan.group.points
        columns = self.plan.columns
        some = [
            at for at in positions if columns[at].kind is Kind.VALUE and points[columns[at].index].type is DataType.JSON
        ]
        if some:
            await self.binding.learn(dict(zip(some, await self._read(some), strict=True)))

    async def _item(self, position: int) -> Item | None:
        """What to ask the server for; None if there is nothing to watch, or it can't be asked for yet."""
        column = self.plan.columns[position]
        node, options, session = self.binding.packed[position], column.options, self.session
        if column.kind is Kind.METHOD:
            return None
        if column.kind is Kind.VALUE:
            interval_s, outage_s = self.plan.group.interval_s, session.options.outage_s
            return items.data_item(node, position, options, interval_s, outage_s, session.limits)
        try:
            selected = events.fields(options, session.namespaces)
        except UnknownNamespace as error:
            self.binding.complain(column, status.BAD_NODE_ID_UNKNOWN, str(error))
            self._failed(position, status.BAD_NODE_ID_UNKNOWN)
            return None
        of_type: NodeId | None = None
        if options.event_type is not None:
            (found,) = await resolve(session, [options.event_type])
            if not isinstance(found, NodeId):
                self.binding.complain(column, found, f"there is no event type {options.event_type}")
                self._failed(position, found)
                return None
            of_type = found
        self._fields[position] = selected
        return events.event_item(node, position, options, selected, of_type)

    def _room(self, positions: Sequence[int]) -> Sequence[int]:
        """Those of `positions` that the server's limit on items leaves room for; the others are reported."""
        limit = self.session.limits.items
        room = max(0, limit - self.session.items) if limit else len(positions)
        beyond = positions[room:]
        if beyond:
            _log.error(
                "device %s: %d tags are more than the %d that %s has room for: poll them, in a group of mode = 'poll'",
                self._device,
                len(beyond),
                limit,
                self.session.peer,
            )
            self._report(beyond, [status.BAD_TOO_MANY_MONITORED_ITEMS] * len(beyond))
        return positions[:room]

    def _take_results(self, positions: Sequence[int], results: Sequence[ItemResult]) -> None:
        fresh: dict[int, int] = {}
        now = time.monotonic()
        for position, result in zip(positions, results, strict=True):
            if result.status >= 0x8000_0000:
                if position not in self._retries:
                    fresh[position] = result.status
                self._failed(position, result.status)
                continue
            self.session.items += 1
            self._item_ids[position] = result.id
            self._heard[position] = now
            if self._retries.pop(position, None) is not None:
                _log.info("device %s: %s can be subscribed to now", self._device, self._named([position]))
        if fresh:
            _log.warning(
                "device %s can't subscribe to %s (%s); the rest is, and this tried again later",
                self._device,
                self._named([*fresh]),
                ", ".join(sorted({status.name(code) for code in fresh.values()})),
            )

    def _failed(self, position: int, code: int) -> None:
        self._report([position], [code])
        if position in self._retries:
            self._retries[position].again()
        else:
            self._retries[position] = _Retry()

    async def _refresh_conditions(self) -> None:
        """Have the alarm conditions in force repeated (OPC 10000-9 §5.5.7). A server without any may refuse."""
        if not any(column.options.conditions for column in self.plan.columns if column.kind is Kind.EVENTS):
            return
        request = services.call_request(events.CONDITION, events.CONDITION_REFRESH, [Variant(Type.UINT32, self.id)])
        with contextlib.suppress(ServiceFailed, Garbled):
            await self.session.call(Service.CALL, request, services.call_response)

    async def _delete(self) -> None:
        self._publisher.remove(self.id)
        self._forget_items(range(len(self._item_ids)))
        await self._delete_at(self.session)

    async def _delete_at(self, session: Session) -> None:
        subscription, self.id = self.id, 0
        if subscription:
            request = services.delete_subscriptions_request([subscription])
            await session.call(Service.DELETE_SUBSCRIPTIONS, request, services.statuses_response)

    def _forget_items(self, positions: Sequence[int]) -> None:
        for position in positions:
            self.session.items -= bool(self._item_ids[position])
            self._item_ids[position] = 0

    # -- going on after a reconnect

    async def _adopt(self, kept: Subscription) -> bool:
        """Go on with a subscription that outlived its connection. False if the server no longer has it."""
        session = self.session
        if not kept.id or kept._dead or kept.binding.packed != self.binding.packed:
            return False
        request = services.publishing_mode_request([kept.id])
        try:
            results = await session.call(Service.SET_PUBLISHING_MODE, request, services.statuses_response)
        except (ServiceFailed, Garbled):
            return False
        if len(results) != 1 or results[0] >= 0x8000_0000:
            return False
        self.id, self.sequence = kept.id, kept.sequence
        self._last, self._item_ids, self._retries = kept._last, kept._item_ids, kept._retries
        self._fields = kept._fields
        self._publishing_s, self._keepalive_s = kept._publishing_s, kept._keepalive_s
        self._heard = [time.monotonic()] * len(self._heard)
        session.items += sum(map(bool, self._item_ids))
        session.counters["resumed_subscriptions"] += 1
        await self._republish()
        self._publisher.add(self.id, self)
        return True

    async def _republish(self) -> None:
        """Fetch what was sent into the broken connection (OPC 10000-4 §6.7)."""
        for _ in range(_REPUBLISH_MOST):
            request = services.republish_request(self.id, self.sequence)
            try:
                reader = await self.session.call(Service.REPUBLISH, request, lambda reader: reader)
                sequence, parts = services.notification_message(reader)
            except (ServiceFailed, Garbled, Malformed):
                return
            if sequence != self.sequence or not parts:
                return
            self.session.counters["republished"] += 1
            self.notified(Notification(self.id, more=False, sequence=sequence, parts=parts), reader)

    # -- what arrives

    def notified(self, head: Notification, reader: Reader) -> None:
        ahead = (head.sequence - self.sequence) & 0xFFFF_FFFF
        if ahead >= 0x8000_0000:
            self.session.counters["repeated_messages"] += bool(head.parts)
            return
        if ahead:
            self.session.counters["missed_messages"] += ahead
            self._receiver.lost(ahead, "messages of the server didn't arrive")
            self._look_after()
        # A keep-alive carries the number of the next message, and 0 is never one.
        self.sequence = head.sequence % 0xFFFF_FFFF + 1 if head.parts else head.sequence
        incoming = _Incoming(self)
        try:
            for _ in range(head.parts):
                part = reader.extension_object()
                if isinstance(part.body, bytes) and not part.encoding.namespace:
                    self._take_part(incoming, part.encoding.identifier, Reader(part.body))
        except (Malformed, RecursionError) as error:
            self.session.counters["malformed"] += 1
            self._receiver.lost(1, f"a message of the server could not be understood: {error}")
            self._look_after()
        incoming.hand_over()
        for position, ticks in incoming.overflowed.items():
            # Servers differ in which value they mark, so values may be missing anywhere in this message.
            self._want_history(Gap(position, ticks[0], ticks[-1], 1, OVERRAN, frozenset(ticks)))

    def _take_part(self, incoming: _Incoming, kind: object, reader: Reader) -> None:
        if kind == services.DATA_CHANGE:
            for _ in range(reader.count(5)):
                incoming.add(reader.uint32(), reader.data_value())
        elif kind == services.EVENTS:
            for _ in range(reader.count(8)):
                self._take_event(incoming, reader.uint32(), reader.array(Type.VARIANT))
        elif kind == services.STATUS_CHANGE:
            self.died(f"the server ended it: {status.name(reader.uint32())}")

    def _take_event(self, incoming: _Incoming, position: int, values: list[Variant]) -> None:
        selected = self._fields.get(position)
        if selected is None:
            return
        kind = events.type_of(values)
        if kind in events.REFRESH_MARKS:
            return
        if kind == events.REFRESH_REQUIRED:
            self._refresh_due = True
            self._wake.set()
            return
        if kind == events.QUEUE_OVERFLOW:
            self.session.counters["overflows"] += 1
            self._receiver.lost(1, "an event queue of the server ran over")
        column = self.plan.columns[position]
        value: Value = None
        quality = 0
        try:
            value = events.to_event(selected, values, self.session)
        except (Unfit, Malformed) as error:
            quality = int(Quality.BAD_DECODING_ERROR)
            self.binding.complain(column, quality, f"an event can't be decoded: {error}")
        self._heard[position] = time.monotonic()
        self._unreported.discard(position)
        incoming.put(position, column.index, value, quality, ticks_to_ns(events.time_of(values)), event=True)

    def take_value(self, incoming: _Incoming, position: int, data: DataValue) -> None:
        """Note a value that came, and put it into a batch."""
        if position >= len(self._last):
            return  # no handle of ours
        column = self.plan.columns[position]
        index, ticks = column.index, data.source_ticks
        heard_ticks, gap_ticks = self.plan.heard_ticks, self.plan.gap_ticks
        if gap_ticks[index]:
            if gap_ticks[index] < ticks:
                # From one sample to the next, nothing can have been between.
                lost = int(ticks - gap_ticks[index] > self._sampling_s(position) * TICKS_PER_S)
                self._want_history(Gap(position, gap_ticks[index], ticks, lost, FORGOTTEN))
            gap_ticks[index] = 0
        if data.status & OVERFLOW and overflowed(data.status):
            self.session.counters["overflows"] += 1
            incoming.overflowed.setdefault(position, [heard_ticks[index]])
        if position in incoming.overflowed:
            incoming.overflowed[position].append(ticks)
        if ticks:
            heard_ticks[index] = ticks
        self._last[position] = data
        self._heard[position] = incoming.mono_s
        if self._unreported:
            self._unreported.discard(position)
        value, quality = self.binding.value(column, data)
        if self.session.structures.unknown:
            self._undecoded.add(position)
            self._wake.set()
        time_ns = ticks_to_ns(data.server_ticks if self._times else ticks)
        incoming.put(position, index, value, int(quality), time_ns)

    def hand_over(self, batch: Batch) -> None:
        self._receiver.take(batch)

    def died(self, reason: str) -> None:
        if not self._dead:
            self._dead = reason
            self._recreate_at = 0.0
            self._wake.set()

    def down(self, reason: str) -> None:
        self.stop()
        self._receiver.down(reason)

    # -- what is reported without having arrived

    def _report(self, positions: Sequence[int], codes: Sequence[int]) -> None:
        for position, code in zip(positions, codes, strict=True):
            self._report_columns([self.plan.columns[position].index], code)
        self._unreported.difference_update(positions)

    def _report_columns(self, columns: Sequence[int], code: int) -> None:
        if columns:
            batch = Batch(
                self.plan.group.layout,
                time.time_ns(),
                time.monotonic_ns(),
                [None] * len(columns),
                [code] * len(columns),
                list(columns),
            )
            self._receiver.take(batch)

    def _report_idle(self) -> None:
        """Events and methods have no value until there is one."""
        idle = [at for at, column in enumerate(self.plan.columns) if column.kind is not Kind.VALUE]
        self._report(idle, [int(Quality.BAD_WAITING_FOR_INITIAL_DATA)] * len(idle))

    def _named(self, positions: Sequence[int]) -> str:
        points = self.plan.group.points
        names = [points[self.plan.columns[position].index].path for position in positions[:_NAMED_IN_LOG]]
        more = len(positions) - _NAMED_IN_LOG
        return ", ".join(names) + (f" and {more} more" if more > 0 else "")

    # -- upkeep

    async def _maintain(self) -> None:
        try:
            while True:
                with contextlib.suppress(DeviceSilent, ServiceFailed, Garbled):
                    await self._upkeep()
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.05, self._next_due() - time.monotonic())):
                        await self._wake.wait()
        except LinkDown:
            pass  # told by the publisher
        except Exception as error:  # noqa: BLE001 - whatever it is, the runtime has to hear of it
            _log.error("device %s: looking after its subscription failed", self._device, exc_info=error)
            self._receiver.silent("the driver failed while looking after the subscription")

    def _next_due(self) -> float:
        due = [retry.at for retry in self._retries.values()]
        due += [self._settle_at, self._recreate_at]
        if self.binding.missing:
            due.append(self.binding.retry_at)
        if self._verify_s:
            due.append(time.monotonic() + self._verify_s / 4)
        return min(due)

    @property
    def _verify_s(self) -> float:
        """How long a tag may be quiet until it is looked after, so that it is confirmed before it counts as stale."""
        own, stale_s = self._options.verify_s, self.plan.group.stale_s
        return min(own, stale_s / 3) if own and stale_s else own or (stale_s or 0.0) / 3

    async def _upkeep(self) -> None:
        now = time.monotonic()
        if self._dead:
            if now < self._recreate_at:
                return
            self._recreate_at = now + RECREATE_S
            await self._recreate()
        if now >= self._settle_at:
            self._settle_at = now + RECREATE_S
            await self._settle()
            self._settle_at = math.inf
        if self._refresh_due:
            self._refresh_due = False
            await self._refresh_conditions()
        if self._undecoded:
            await self.binding.look_up()
            undecoded, self._undecoded = self._undecoded, set()
            for position in sorted(undecoded):
                if (last := self._last[position]) is not None:
                    self._deliver(position, last)
        found = await self.binding.retry()
        due = [position for position, retry in self._retries.items() if retry.at <= now]
        if found or due:
            await self._create_items([*found, *due])
        await self._verify()
        if self._gaps:
            gaps, self._gaps = self._gaps, []
            await self._history.fill(gaps, self._receiver)

    async def _recreate(self) -> None:
        self.session.counters["recreated_subscriptions"] += 1
        _log.warning("device %s: its subscription died (%s); it is made anew", self._device, self._dead)
        with contextlib.suppress(ServiceFailed, Garbled, DeviceSilent):
            await self._delete()
        self._remember_gaps()
        self._unreported = {at for at, column in enumerate(self.plan.columns) if column.kind is Kind.VALUE}
        await self._create()
        self._dead, self._recreate_at = "", math.inf
        self._settle_at = time.monotonic() + 2 * self._publishing_s + SETTLE_S

    async def _settle(self) -> None:
        """Read what hasn't been reported yet: after taking over, everything that didn't change meanwhile."""
        positions = sorted(at for at in self._unreported if self._item_ids[at])
        for position, data in zip(positions, await self._read(positions), strict=True):
            if position in self._unreported:
                self._deliver(position, data)

    async def _read(self, positions: Sequence[int]) -> list[DataValue]:
        return await read_all(self.session, [self.binding.packed[position] for position in positions], self._times)

    def _deliver(self, position: int, data: DataValue) -> None:
        incoming = _Incoming(self)
        incoming.add(position, data)
        incoming.hand_over()

    def _look_after(self) -> None:
        """Have everything read soon."""
        self._heard = [-math.inf] * len(self._heard)
        self._wake.set()

    async def _verify(self) -> None:
        """Read what has been quiet for long."""
        limit = time.monotonic() - self._verify_s if self._verify_s else -math.inf
        quiet = [at for at, heard in enumerate(self._heard) if heard <= limit and self._item_ids[at]]
        if not quiet:
            return
        # Of events there is nothing to read; and where reading isn't wanted, the subscription's keep-alives must do.
        trusted = {
            at
            for at in quiet
            if self.plan.columns[at].kind is Kind.EVENTS
            or (not self._options.verify_s and at not in self._unreported and self._heard[at] != -math.inf)
        }
        self._confirm(sorted(trusted))
        doubtful = await self._compare([at for at in quiet if at not in trusted])
        if not doubtful:
            return
        # The change may be on its way.
        before = {position: self._heard[position] for position in doubtful}
        slowest_s = max(self._sampling_s(position) for position in doubtful)
        await asyncio.sleep(2 * (self._publishing_s + slowest_s) + 0.5)
        still = await self._compare([at for at in doubtful if self._heard[at] == before[at]])
        if still:
            await self._revive(still)

    async def _compare(self, positions: Sequence[int]) -> dict[int, DataValue]:
        """Confirm those that read as last reported; give those that don't."""
        doubtful: dict[int, DataValue] = {}
        same: list[int] = []
        before = [self._heard[position] for position in positions]
        for position, heard, data in zip(positions, before, await self._read(positions), strict=True):
            if self._heard[position] != heard:
                continue  # heard of while it was being read
            last = self._last[position]
            if last is not None and position not in self._unreported and self._alike(position, last, data):
                same.append(position)
            else:
                doubtful[position] = data
        self._confirm(same)
        return doubtful

    def _confirm(self, positions: Sequence[int]) -> None:
        if positions:
            now = time.monotonic()
            for position in positions:
                self._heard[position] = now
            self._receiver.confirm([self.plan.columns[position].index for position in positions])

    async def _revive(self, found: dict[int, DataValue]) -> None:
        """These items have died silently: report what was read and make them anew."""
        positions = [*found]
        self.session.counters["revived_items"] += len(positions)
        _log.warning("device %s: nothing comes of %s any more; subscribing anew", self._device, self._named(positions))
        for position, data in found.items():
            self._deliver(position, data)
        request = services.delete_items_request(self.id, [self._item_ids[position] for position in positions])
        self._forget_items(positions)
        with contextlib.suppress(ServiceFailed, Garbled):
            await self.session.call(Service.DELETE_MONITORED_ITEMS, request, services.delete_items_response)
        await self._create_items(positions)

    def _alike(self, position: int, last: DataValue, now: DataValue) -> bool:
        """Whether the server needn't have reported the difference."""
        # The Overflow bit belongs to the message, not to the value.
        if (last.status ^ now.status) & ~OVERFLOW:
            return False
        options = self.plan.columns[position].options
        if options.trigger == "timestamp" and last.source_ticks != now.source_ticks:
            return False
        if options.trigger == "status" or options.server_deadband_percent is not None:
            return True
        if (last.type, last.dimensions) != (now.type, now.dimensions):
            return False
        numbers = isinstance(last.value, int | float) and isinstance(now.value, int | float)
        if options.server_deadband is not None and numbers:
            return bool(abs(now.value - last.value) <= options.server_deadband)
        return _equal(last.value, now.value)

    def _sampling_s(self, position: int) -> float:
        sampling_ms = self.plan.columns[position].options.sampling_ms
        return self.plan.group.interval_s if sampling_ms is None else sampling_ms / 1000

    # -- gaps

    def _remember_gaps(self) -> None:
        """What is reported next comes after a gap, unless it is what was reported last."""
        self.plan.gap_ticks[:] = self.plan.heard_ticks
        notifiers = [at for at, column in enumerate(self.plan.columns) if column.kind is Kind.EVENTS]
        if self.plan.begun and notifiers:
            names = self._named(notifiers)
            _log.warning("device %s: events of %s while there was no subscription are gone", self._device, names)
        self.plan.begun = True

    def _want_history(self, gap: Gap) -> None:
        if gap.lost or self._history.may_have(gap.position):
            self._gaps.append(gap)
            self._wake.set()


class _Incoming:
    """Values of one message on their way into batches: several of one tag make several, in order, and so do events."""

    __slots__ = (
        "_columns",
        "_event",
        "_in",
        "_qualities",
        "_subscription",
        "_times",
        "_values",
        "mono_ns",
        "mono_s",
        "overflowed",
    )

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self.mono_ns = time.monotonic_ns()
        self.mono_s = self.mono_ns / 1e9
        self.overflowed: dict[int, list[int]] = {}
        """Positions whose queue ran over, and the source times of what came before and since, in ticks."""
        self._begin(event=False)

    def _begin(self, *, event: bool) -> None:
        self._event = event
        self._in: set[int] = set()
        self._columns: list[int] = []
        self._values: list[Value] = []
        self._qualities: list[int] = []
        self._times: list[int | None] = []

    def add(self, position: int, data: DataValue) -> None:
        self._subscription.take_value(self, position, data)

    def put(
        self, position: int, column: int, value: Value, quality: int, time_ns: int | None, *, event: bool = False
    ) -> None:
        if position in self._in or event is not self._event:
            self.hand_over()
            self._begin(event=event)
        self._in.add(position)
        self._columns.append(column)
        self._values.append(value)
        self._qualities.append(quality)
        self._times.append(time_ns)

    def hand_over(self) -> None:
        if not self._columns:
            return
        batch = Batch(
            self._subscription.plan.group.layout,
            time.time_ns(),
            self.mono_ns,
            self._values,
            self._qualities if any(self._qualities) else None,
            self._columns,
            self._times if any(self._times) else None,
            event=self._event,
        )
        self._begin(event=False)
        self._subscription.hand_over(batch)


def _equal(one: object, other: object) -> bool:
    return one == other or repr(one) == repr(other)  # nan
