"""One instrument on a serial port: reading by request, listening, writing with acknowledgement and read-back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from drivers.serial import browsing, patterns
from drivers.serial.bus import NoAnswer, SerialBus
from drivers.serial.command import Refused, compose
from drivers.serial.conversion import Fields
from drivers.serial.framing import encode
from drivers.serial.message import Kind
from drivers.serial.options import DeviceOptions
from drivers.serial.plan import SerialPlan, Share
from gateway.driver import (
    DeviceSilent,
    Item,
    LinkDown,
    NotWritten,
    Plan,
    Point,
    PollGroup,
    Receiver,
    ScanFailed,
    WriteDiffers,
)
from gateway.model import Batch, Layout, Quality, Tag, Value

_TIMEOUTS_PER_READ = 2
"""Requests that may stay unanswered before the rest of a read is given up, which bounds the delay of other devices."""
_WAITING = int(Quality.BAD_WAITING_FOR_INITIAL_DATA)
_IDENTITY = {
    "maker": "maker",
    "manufacturer": "maker",
    "product": "product",
    "model": "product",
    "serial_number": "serial",
    "version": "version",
    "firmware": "version",
}
"""Fields by which an instrument says who it is → our name for it."""
_LOOKS_PER_STALE = 3
"""How often a subscription is looked at in the time after which a tag would be stale."""


@dataclass(eq=False)
class _Subscription:
    """A group that listens."""

    plan: SerialPlan
    receiver: Receiver
    begun: float
    """Monotonic seconds."""
    timer: asyncio.TimerHandle | None = None


class SerialDevice:
    """Implements Driver, Subscribes, Releases, Browses, Writes and Identifies of :mod:`gateway.driver`."""

    def __init__(self, bus: SerialBus, name: str, options: DeviceOptions) -> None:
        self._bus = bus
        self._name = name
        self._options = options
        self.framing = options.framing
        self.keepalive = options.keepalive
        if options.keepalive is not None and options.frame_requests:
            framed = encode(options.framing, options.keepalive.send)
            self.keepalive = options.keepalive.model_copy(update={"send": framed})
        self._kinds = [
            Kind(kind, message, options.address, options.encoding) for kind, message in options.message.items()
        ]
        self._subscriptions: dict[str, _Subscription] = {}
        self._ready = 0
        """The bus's life in which what `init` says was sent."""
        self._heard_at = 0.0
        """Monotonic seconds of the last frame this device sent by itself."""
        self._silent = False
        """It was said to be silent, and hasn't spoken since."""
        self._units: dict[str, str | None] = {}
        """Units of the tags planned so far, which a read-back is compared in."""
        self._timeout_s = options.timeout_ms / 1000
        self._listen_s = options.listen_ms / 1000
        bus.join(name, self)

    def plan(self, group: PollGroup) -> SerialPlan:
        self._units |= {tag.path: tag.unit for tag in group.layout.tags}
        return SerialPlan(group, self._options, self._kinds)

    # -- reading

    async def read(self, plan: Plan) -> Batch:
        """See :meth:`gateway.driver.Driver.read`. The batch is stamped when its last frame was complete."""
        assert isinstance(plan, SerialPlan)
        self._bus.require_port()
        reading = _Reading(plan)
        if not plan.shares:
            return reading.batch(time.time_ns(), time.monotonic_ns())
        await self._get_ready()
        asked = [share for share in plan.shares if share.kind.request]
        awaited = [share for share in plan.shares if not share.kind.request]
        for share in asked:
            if reading.timeouts >= _TIMEOUTS_PER_READ:
                reading.fail(share, int(Quality.BAD_TIMEOUT))
                continue
            try:
                answer = await self._ask(share.kind)
            except NoAnswer as error:
                if not reading.answered:
                    raise DeviceSilent(f"{self._where}: {error}") from None
                reading.timeouts += 1
                reading.fail(share, int(Quality.BAD_TIMEOUT))
                continue
            if isinstance(answer, int):
                reading.fail(share, answer)
                reading.answered = True
            else:
                reading.take(share, answer)
        if awaited and reading.timeouts < _TIMEOUTS_PER_READ:
            await self._listen(reading, awaited)
        return reading.batch(self._bus.heard_ns, self._bus.heard_mono_ns)

    async def _ask(self, kind: Kind) -> Fields | int:
        """The fields of the answer, or the quality that it means. Raises NoAnswer or LinkDown."""

        def accept(frame: bytes) -> Fields | int | None:
            fields = kind.extract(frame)
            return kind.refusal(frame) if fields is None else fields

        return await self._bus.ask(self, self._framed(kind.request), accept, self._timeout_s)

    async def _listen(self, reading: _Reading, shares: Sequence[Share]) -> None:
        """Wait until frames that come by themselves have filled every column, or for `listen_ms`."""
        missing = {column for share in shares for column in share.columns}

        def accept(frame: bytes) -> bool | None:
            for share in shares:
                if (fields := share.kind.extract(frame)) is not None:
                    reading.take(share, fields)
                    missing.difference_update(share.columns)
            return None if missing else True

        try:
            await self._bus.listen(self, accept, self._listen_s)
        except NoAnswer as error:
            if not reading.answered and reading.plan.talks:
                raise DeviceSilent(f"{self._where}: {error}") from None
            for column in missing:
                awaited = column in reading.plan.events
                reading.qualities[column] = _WAITING if awaited else int(Quality.BAD_TIMEOUT)

    @property
    def _where(self) -> str:
        return f"{self._name} at {self._bus.options.device}"

    def _framed(self, data: bytes) -> bytes:
        return encode(self.framing, data) if self._options.frame_requests else data

    async def _get_ready(self) -> None:
        """Send what `init` says, once in each life of the port. Raises LinkDown, DeviceSilent."""
        if self._ready == self._bus.lives:
            return
        for data in self._options.init:
            try:
                await self._bus.send(self, self._framed(data), self._timeout_s)
            except NoAnswer as error:
                raise DeviceSilent(f"{self._where}: {error}") from None
            await asyncio.sleep(self._options.init_pause_ms / 1000)
        self._ready = self._bus.lives

    # -- browsing

    async def browse(self, start: str | None, depth: int | None) -> AsyncIterator[Item]:
        """See :meth:`gateway.driver.Browses.browse`. Every message that can be asked for is, the others are waited for
        together; nothing is asked for where only the folders are wanted."""
        folders = [*self._options.message, browsing.COMMANDS]
        if start is not None and start not in folders:
            raise ScanFailed(f"there is nothing at '{start}': start at {', '.join(folders)} or leave it out")
        deep = depth is None or depth > 1
        kinds = [kind for kind in self._kinds if start in (None, kind.name)]
        heard = await self._hear_out(kinds) if deep and kinds else {}
        for item in browsing.messages(self._options, kinds, heard, deep=deep):
            yield item
        for item in browsing.commands(self._options, deep=deep) if start in (None, browsing.COMMANDS) else ():
            yield item

    async def _hear_out(self, kinds: Sequence[Kind]) -> Mapping[str, Fields]:
        """What each of the messages says, as far as it comes. Raises DeviceSilent if no request is answered."""
        await self._get_ready()
        heard: dict[str, Fields] = {}
        silences: list[NoAnswer] = []
        answered = False
        for kind in kinds:
            if kind.request and len(silences) < _TIMEOUTS_PER_READ:
                try:
                    answer = await self._ask(kind)
                except NoAnswer as error:
                    silences.append(error)
                    continue
                answered = True
                if not isinstance(answer, int):
                    heard[kind.name] = answer
        if silences and not answered:
            raise DeviceSilent(f"{self._where}: {silences[0]}")
        missing = {kind.name: kind for kind in kinds if not kind.request}

        def take(frame: bytes) -> bool | None:
            for name, kind in tuple(missing.items()):
                if (fields := kind.extract(frame)) is not None:
                    heard[name] = fields
                    del missing[name]
            return None if missing else True

        if missing:
            with suppress(NoAnswer):
                await self._bus.listen(self, take, self._listen_s)
        return heard

    async def identify(self) -> Mapping[str, str]:
        """See :meth:`gateway.driver.Identifies.identify`: what messages of the description say of it, by their fields'
        names. Where none does, the first message proves that it is there."""
        kinds = [kind for kind in self._kinds if not _IDENTITY.keys().isdisjoint(kind.fields or ())]
        heard = await self._hear_out(kinds or self._kinds[:1])
        if self._kinds and not heard:
            raise DeviceSilent(f"{self._where}: nothing that it said is a message of its description")
        said: dict[str, str] = {}
        for fields in heard.values():
            for name in _IDENTITY.keys() & fields.keys():
                raw = fields[name]
                text = raw.decode(self._options.encoding, "replace") if isinstance(raw, bytes) else raw
                if text not in (None, ""):
                    said[_IDENTITY[name]] = str(text)
        return said

    # -- listening

    async def subscribe(self, plan: Plan, receiver: Receiver) -> None:
        """See :meth:`gateway.driver.Subscribes.subscribe`. An instrument that was silent must speak first."""
        assert isinstance(plan, SerialPlan)
        self._bus.require_port()
        before = self._subscriptions.get(plan.group.name)
        if before is not None and self._is_silent(before):
            self._fell_silent()
        self._end(plan.group.name)
        subscription = _Subscription(plan, receiver, time.monotonic())
        self._subscriptions[plan.group.name] = subscription
        known = [column for column, code in enumerate(plan.base) if code != _WAITING or column in plan.events]
        if known:
            codes = [plan.base[column] for column in known]
            nothing: list[Value] = [None] * len(known)
            receiver.take(Batch(plan.group.layout, time.time_ns(), time.monotonic_ns(), nothing, codes, known))
        self._watch(subscription)
        try:
            await self._get_ready()
            if self._silent and plan.talks:
                await self._bus.listen(self, self._speaks, self._listen_s)
        except NoAnswer as error:
            self._end(plan.group.name)
            self._fell_silent()
            raise DeviceSilent(f"{self._where}: {error}") from None
        except BaseException:
            self._end(plan.group.name)
            raise

    async def release(self, group: str | None) -> None:
        """See :meth:`gateway.driver.Releases.release`."""
        if group is not None:
            self._end(group)
            return
        self.closed()
        self._bus.leave(self._name, self)

    def _is_silent(self, subscription: _Subscription) -> bool:
        """Whether it should have been heard of by now."""
        stale_s = subscription.plan.group.stale_s
        if stale_s is None or not subscription.plan.talks:
            return False
        return time.monotonic() - max(subscription.begun, self._heard_at) >= stale_s

    def _fell_silent(self) -> None:
        """What `init` asks for is forgotten by an instrument that was switched off."""
        self._silent = True
        self._ready = 0

    def _end(self, group: str) -> None:
        subscription = self._subscriptions.pop(group, None)
        if subscription is not None and subscription.timer is not None:
            subscription.timer.cancel()

    def _speaks(self, frame: bytes) -> bool | None:
        return any(k.options.comes_by_itself and k.extract(frame) is not None for k in self._kinds) or None

    def hear(self, frame: bytes) -> bool:
        """See :meth:`drivers.serial.bus.Party.hear`."""
        known = False
        for kind in self._kinds:
            if not kind.options.comes_by_itself:
                continue
            fields = kind.extract(frame)
            if fields is None:
                continue
            known = True
            self._heard_at = time.monotonic()
            self._silent = False
            for subscription in tuple(self._subscriptions.values()):
                share = subscription.plan.by_kind.get(kind.name)
                if share is not None:
                    batch = share.batch(subscription.plan.group, fields, self._bus.heard_ns, self._bus.heard_mono_ns)
                    subscription.receiver.take(batch)
        return known

    def down(self, reason: str) -> None:
        """See :meth:`drivers.serial.bus.Party.down`."""
        receivers = [subscription.receiver for subscription in self._subscriptions.values()]
        self.closed()
        for receiver in receivers:
            receiver.down(reason)

    def closed(self) -> None:
        """See :meth:`drivers.serial.bus.Party.closed`."""
        for group in tuple(self._subscriptions):
            self._end(group)

    def _watch(self, subscription: _Subscription) -> None:
        """As long as it may turn stale: say that silence about events means nothing, and notice any other silence."""
        plan, stale_s = subscription.plan, subscription.plan.group.stale_s
        if stale_s is None or not plan.shares:
            return
        loop = asyncio.get_running_loop()

        def look() -> None:
            if self._is_silent(subscription):
                self._end(plan.group.name)
                self._fell_silent()
                subscription.receiver.silent(f"{self._where}: nothing came for {stale_s:g} s")
                return
            if plan.events:
                subscription.receiver.confirm(plan.events)
            subscription.timer = loop.call_later(stale_s / _LOOKS_PER_STALE, look)

        subscription.timer = loop.call_later(stale_s / _LOOKS_PER_STALE, look)

    # -- writing

    async def write(self, point: Point, value: Value) -> Value:
        """See :meth:`gateway.driver.Writes.write`. Confirmed by an acknowledgement, a read-back, or both."""
        options = self._options
        wish = point.options
        if wish.command is None:
            raise NotWritten(f"{point.path} can't be written: it has no command")
        command = options.command[wish.command]
        try:
            data = compose(command, options, wish.field, point.type, value)
        except Refused as error:
            raise NotWritten(f"{point.path} can't be written: {error}") from None
        share = self._read_back_of(point)
        if command.ack is None and share is None:
            raise NotWritten(f"{point.path} can't be written: nothing would tell whether it was taken")
        await self._get_ready()
        unknown = f"whether {point.path} was written is unknown"
        try:
            if command.ack is None:
                await self._bus.send(self, self._framed(data), self._timeout_s)
            else:
                await self._confirmed(data, command.ack, command.refused, point)
        except NoAnswer as error:
            raise DeviceSilent(f"{self._where}: {error}; {unknown}") from None
        except LinkDown as error:
            raise LinkDown(f"{error}; {unknown}") from None
        return value if share is None else await self._read_back(point, share, value)

    def _read_back_of(self, point: Point) -> Share | None:
        """How to ask for the value again; None if the instrument can't be asked for it."""
        if point.options.field is None:
            return None
        layout = Layout(self._name, "write", (), (Tag(point.path, point.type, self._units.get(point.path)),))
        plan = self.plan(PollGroup("write", layout, (point,), 0.0))
        return next((share for share in plan.shares if share.kind.request), None)

    async def _confirmed(self, data: bytes, ack: str, refused: str | None, point: Point) -> None:
        taken = patterns.compiled(ack).fullmatch
        not_taken = patterns.compiled(refused).fullmatch if refused is not None else None

        def accept(frame: bytes) -> bool | None:
            if taken(frame):
                return True
            return False if not_taken is not None and not_taken(frame) else None

        if not await self._bus.ask(self, self._framed(data), accept, self._timeout_s):
            raise NotWritten(f"{point.path}: the instrument refused it")

    async def _read_back(self, point: Point, share: Share, value: Value) -> Value:
        if self._options.read_back_delay_ms:
            await asyncio.sleep(self._options.read_back_delay_ms / 1000)
        written = f"{point.path} was written, what it is now is unknown"
        try:
            answer = await self._ask(share.kind)
        except NoAnswer as error:
            raise DeviceSilent(f"{self._where}: {error}; {written}") from None
        except LinkDown as error:
            raise LinkDown(f"{error}; {written}") from None
        now, code = (None, answer) if isinstance(answer, int) else share.converts[0](answer)
        if now is None:
            raise WriteDiffers(f"{point.path} was written but can't be read back (quality 0x{code:08X})")
        if now != value:
            raise WriteDiffers(f"{point.path} was written but reads {now!r} now")
        return now


class _Reading:
    """The columns of one read as they come in."""

    def __init__(self, plan: SerialPlan) -> None:
        self.plan = plan
        self.values: list[Value] = [None] * len(plan.base)
        self.qualities = list(plan.base)
        self.answered = False
        self.timeouts = 0

    def take(self, share: Share, fields: Fields) -> None:
        self.answered = True
        for column, convert in zip(share.columns, share.converts, strict=True):
            self.values[column], self.qualities[column] = convert(fields)

    def fail(self, share: Share, quality: int) -> None:
        for column in share.columns:
            self.values[column], self.qualities[column] = None, quality

    def batch(self, read_ns: int, mono_ns: int) -> Batch:
        qualities = tuple(self.qualities) if any(self.qualities) else None
        return Batch(self.plan.group.layout, read_ns, mono_ns, tuple(self.values), qualities)
