"""One subscribed group of one device: adverts as they are heard, characteristics as they are notified or asked for.

Adverts come by callback. Characteristics need a connection, which may take seconds to make: a task of the subscription
does that beside the link, so that nobody else on the radio waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from itertools import chain

from drivers.ble.bus import BleBus
from drivers.ble.gatt.connection import Connection
from drivers.ble.gatt.errors import NoAnswer, NotThere, Refused
from drivers.ble.gatt.reading import Reader, decoded
from drivers.ble.hearing import COMMON, Hearing, Sighting, common
from drivers.ble.plan import BlePlan, Request, Target
from gateway.driver import DeviceSilent, LinkDown, Receiver
from gateway.model import Batch, Quality, Value

_log = logging.getLogger(__name__)

_CONFIRM_S = 60.0
"""A connection that stands proves that what is notified by it still holds: said this often."""
_LEAST_INTERVAL_S = 0.1
_SETTLE_S = 0.1


class Subscription:
    """Implements what the contract says of :meth:`gateway.driver.Subscribes.subscribe`."""

    def __init__(
        self, plan: BlePlan, receiver: Receiver, bus: BleBus, hearing: Hearing, connection: Connection, reader: Reader
    ) -> None:
        self._plan = plan
        self._receiver: Receiver | None = receiver
        self._bus = bus
        self._hearing = hearing
        self._connection = connection
        self._reader = reader
        self._interval_s = max(plan.group.interval_s, _LEAST_INTERVAL_S)
        self._common = tuple(name for name in plan.fields if name in COMMON)
        self._own = tuple(column for name, columns in plan.fields.items() if name not in COMMON for column in columns)
        self._common_due_ns = 0
        self._found: Mapping[str, Value] | None = None
        """The fields handed over last."""
        self._notified: set[int] = set()
        self._notifications: dict[Target, int] = {}
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Report what can't be planned, and listen from now on."""
        columns = [column for column, code in enumerate(self._plan.base_qualities) if code]
        if self._hearing.deaf:
            columns += self._own
        self._take(columns, [None] * len(columns), [int(Quality.BAD_CONFIGURATION_ERROR)] * len(columns))
        events = [*chain.from_iterable(self._plan.events.values())]
        self._take(events, [None] * len(events), [int(Quality.BAD_WAITING_FOR_INITIAL_DATA)] * len(events))
        if self._hearing.doubted:
            self.unreadable()
        if self._plan.fields or self._plan.events:
            self._hearing.listeners.add(self)
        if self._plan.requests:
            self._task = self._bus.spawn(self._attend())

    def belongs_to(self, hearing: Hearing) -> bool:
        return self._hearing is hearing

    # -- how it ends

    def end(self) -> None:
        """Say nothing from now on."""
        self._receiver = None
        self._hearing.listeners.discard(self)
        self._connection.deafen(self)
        if self._task is not None:
            self._task.cancel()

    def down(self, reason: str) -> None:
        receiver = self._receiver
        self.end()
        if receiver is not None:
            receiver.down(reason)

    def silent(self, reason: str) -> None:
        receiver = self._receiver
        self.end()
        if receiver is not None:
            receiver.silent(reason)

    # -- adverts

    def advertised(self, sighting: Sighting, found: Mapping[str, Value]) -> None:
        """An advert was heard. `found`: its fields; the same object as before if it is the same advert again."""
        fields = self._plan.fields
        columns: list[int] = []
        values: list[Value] = []
        if self._common and sighting.mono_ns >= self._common_due_ns:
            self._common_due_ns = sighting.mono_ns + int(self._interval_s * 1e9)
            for name in self._common:
                value = common(name, sighting)
                if value is not None:
                    columns += fields[name]
                    values += [value] * len(fields[name])
        repeated = found is self._found
        if not repeated:
            self._found = found
            for name, value in found.items():
                columns += fields.get(name, ())
                values += [value] * len(fields.get(name, ()))
        if columns:
            codes = None
            if None in values:
                codes = [int(Quality.BAD_SENSOR_FAILURE) if value is None else 0 for value in values]
            self._take(columns, values, codes, sighting.ns, sighting.mono_ns)
        if not repeated and self._plan.events:
            self._happened(found, sighting)
        if repeated and self._receiver is not None:
            held = [column for name in found for column in fields.get(name, ())]
            if held:
                self._receiver.confirm(held)

    def _happened(self, found: Mapping[str, Value], sighting: Sighting) -> None:
        """Hand over the events of an advert. One that nobody knows is bad, but no less an event."""
        columns: list[int] = []
        values: list[Value] = []
        for name in found.keys() & self._plan.events.keys():
            columns += self._plan.events[name]
            values += [found[name]] * len(self._plan.events[name])
        codes = [int(Quality.BAD_DECODING_ERROR) if value is None else 0 for value in values]
        self._take(columns, values, codes, sighting.ns, sighting.mono_ns, event=True)

    def unreadable(self) -> None:
        """Adverts come, but none can be read."""
        self._found = None
        self._take(self._own, [None] * len(self._own), [int(Quality.BAD_DECODING_ERROR)] * len(self._own))

    # -- characteristics

    async def _attend(self) -> None:
        """Keep up what the characteristics need until the device fails, which ends the subscription."""
        try:
            if self._hearing.options.connection == "on_demand":
                await self._visit()
            else:
                await self._stay()
        except DeviceSilent as error:
            self.silent(str(error))
        except LinkDown:
            pass  # the bus tells
        except Exception as error:  # noqa: BLE001 - in a task of its own, nobody else would hear of it
            _log.exception("device %s: the driver failed", self._hearing.name)
            self.silent(f"the driver failed: {error}")

    async def _visit(self) -> None:
        while True:
            begun = time.monotonic()
            async with self._connection.use():
                await self._ask(self._plan.requests)
            await asyncio.sleep(max(_LEAST_INTERVAL_S, begun + self._interval_s - time.monotonic()))

    async def _stay(self) -> None:
        while True:
            async with self._connection.use():
                gone = self._connection.gone
                self._notifications.clear()
                requests = self._reader.in_order(self._plan.requests)
                polled = [request for request in requests if not await self._subscribe(request)]
                # A value that is only notified is known once it changes; all others now.
                await self._ask([request for request in self._plan.requests if self._readable(request.target)])
                confirm_at = time.monotonic() + _CONFIRM_S
                while not gone.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(gone.wait(), self._interval_s if polled else _CONFIRM_S)
                        # A radio that goes takes its connections with it; which of the two it was shows in a moment.
                        await self._bus.bounded(asyncio.sleep(_SETTLE_S), 1.0)
                        raise DeviceSilent(f"the connection to {self._hearing.options.identity} was lost")
                    await self._ask(polled)
                    if time.monotonic() >= confirm_at and not gone.is_set() and self._receiver is not None:
                        confirm_at = time.monotonic() + _CONFIRM_S
                        self._receiver.confirm(sorted(self._notified))
            # Given up while reading, for a characteristic that doesn't answer: the others need a new one.

    def _readable(self, target: Target) -> bool:
        try:
            return "read" in self._connection.find(target).properties or target not in self._notifications
        except NotThere:
            return True  # and reading says what is wrong

    async def _subscribe(self, request: Request) -> bool:
        """Whether it will be notified."""
        if not request.notify or self._reader.resting(request.target):
            return False
        others_answer = bool(self._notifications)
        try:
            properties = self._connection.find(request.target).properties
            if not {"notify", "indicate"} & set(properties):
                return False
            self._notifications[request.target] = 0
            await self._connection.notify(request.target, self, lambda data: self.notified(request, data))
        except (NotThere, Refused):
            self._notifications.pop(request.target, None)
            return False
        except NoAnswer as error:
            self._reader.hesitate(request.target, others_answer=others_answer)
            raise DeviceSilent(str(error)) from None
        return True

    def notified(self, request: Request, data: bytes) -> None:
        """The device said by itself what a characteristic is now."""
        self._notifications[request.target] = self._notifications.get(request.target, 0) + 1
        self.report(request, data)

    def written(self, target: Target, data: bytes) -> None:
        """A write was read back."""
        for request in self._plan.requests:
            if request.target == target:
                self.report(request, data)

    def report(self, request: Request, data: bytes) -> None:
        values, codes = decoded(request, data)
        self._take(request.columns, values, codes)
        if request.target in self._notifications:
            self._notified.update(request.columns)

    async def _ask(self, requests: Sequence[Request]) -> None:
        """Read them once. Raises DeviceSilent or LinkDown."""
        heard = dict(self._notifications)

        def take(request: Request, values: Sequence[Value], codes: Sequence[int]) -> None:
            # A notification that came while the answer was on its way is the newer of the two.
            if self._notifications.get(request.target) == heard.get(request.target):
                self._take(request.columns, values, codes)
                if request.target in self._notifications:
                    self._notified.update(request.columns)

        broken = await self._reader.read(requests, take)
        if broken is not None:
            raise broken

    # -- handing over

    def _take(
        self,
        columns: Sequence[int],
        values: Sequence[Value],
        codes: Sequence[int] | None,
        ns: int | None = None,
        mono_ns: int | None = None,
        *,
        event: bool = False,
    ) -> None:
        if self._receiver is None or not columns:
            return
        self._receiver.take(
            Batch(
                self._plan.group.layout,
                time.time_ns() if ns is None else ns,
                time.monotonic_ns() if mono_ns is None else mono_ns,
                values,
                codes if codes and any(codes) else None,
                columns,
                event=event,
            )
        )
