"""One serial port and everything on it: what is received goes to those it concerns, one request waits at a time.

- A frame is an answer only if its first byte came after the request was sent, from the device that was asked, and it is
  the message that was asked for.
- After a request that stayed unanswered, or was cancelled, the next one waits until the line has been silent for a
  whole timeout: what still comes in is thrown away and counted, so that a late answer is never taken for a fresh one.
  Messages that the instrument sends by itself don't count as noise there, and are delivered as ever.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from drivers.common.serialport import Port, PortReceiver, open_port
from drivers.serial.framing import Decoder, Frame
from drivers.serial.instrument import Framing, Keepalive
from drivers.serial.options import LinkOptions
from drivers.serial.tracing import Tracer
from gateway.driver import LinkDown
from gateway.wire import Take

T = TypeVar("T")

_SETTLE_S = 0.03
"""Silence after which a port that was opened in the middle of something may be spoken on."""
_SETTLE_LIMIT = 3
"""Timeouts that silence is waited for at most."""


class NoAnswer(Exception):
    """A request stayed unanswered. The message says for how long."""


class Party(Protocol):
    """A device on the bus."""

    framing: Framing
    keepalive: Keepalive | None

    def hear(self, frame: bytes) -> bool:
        """Take a frame; whether it is one that this device sends by itself."""
        ...

    def down(self, reason: str) -> None:
        """The port is lost."""
        ...

    def closed(self) -> None:
        """The bus was closed: forget every subscription."""
        ...


@dataclass(eq=False)
class _Stream:
    """What is received, seen through one framing."""

    framing: Framing
    decoder: Decoder
    parties: list[Party] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


@dataclass(eq=False)
class _Waiting:
    """The request that waits for its answer."""

    party: Party
    accept: Callable[[bytes], Any]
    since: int
    """Position in what was received when it was sent."""
    future: asyncio.Future[Any]


class SerialBus(PortReceiver):
    """A serial port. Implements :class:`gateway.driver.Bus`."""

    def __init__(self, name: str, options: LinkOptions) -> None:
        self.name = name
        self.options = options
        self.counters: Counter[str] = Counter()
        self.lives = 0
        """Counts connects: whoever was set up in an earlier life has to be set up anew."""
        self.heard_ns = 0
        """Wall clock when the last frame was complete, ns since 1970 UTC."""
        self.heard_mono_ns = 0
        self._parties: dict[str, Party] = {}
        self._streams: list[_Stream] = []
        self._port: Port | None = None
        self._down = f"{options.device} isn't open"
        self._received = 0
        self._heard_at = 0.0
        """Monotonic seconds of the last byte."""
        self._noise_at = 0.0
        """The same of the last frame that nobody sends by itself, or of garbage. Bytes of a frame that isn't complete
        don't count: it began before the next request, so it can't be taken for an answer to that."""
        self._waiting: _Waiting | None = None
        self._stale = False
        """An answer may still be on its way that nobody waits for any more."""
        self._quiet_since = 0.0
        """Monotonic seconds at which the last exchange ended."""
        self._timeouts = 0
        self._tracer: Tracer | None = None
        self._keepalives: dict[Party, asyncio.TimerHandle] = {}

    def join(self, name: str, party: Party) -> None:
        """Put a device on the bus; one of the same name is replaced."""
        replaced = self._parties.get(name)
        if replaced is not None and (timer := self._keepalives.pop(replaced, None)) is not None:
            timer.cancel()
        self._parties[name] = party
        if self._port is not None:
            self._arrange()

    def leave(self, name: str, party: Party) -> None:
        """Take a device off the bus, unless another of the same name is there by now."""
        if self._parties.get(name) is not party:
            return
        del self._parties[name]
        if (timer := self._keepalives.pop(party, None)) is not None:
            timer.cancel()
        if self._port is not None:
            self._arrange()

    # -- life

    async def connect(self) -> None:
        await self.close()
        port = await open_port(self.options.device, self.options, self)
        self._port = port
        self._down = ""
        self._stale = False
        self._timeouts = 0
        self._streams = []
        self._received = 0
        self._heard_at = self._noise_at = time.monotonic()
        self._quiet_since = 0.0
        self.lives += 1
        self.counters["connects"] += 1
        self._arrange()

    async def close(self) -> None:
        port, self._port = self._port, None
        self._down = self._down or f"{self.options.device} is closed"
        for timer in self._keepalives.values():
            timer.cancel()
        self._keepalives.clear()
        for stream in self._streams:
            if stream.timer is not None:
                stream.timer.cancel()
                stream.timer = None
        self._fail_waiting(self._down)
        for party in self._parties.values():
            party.closed()
        if port is not None:
            await port.close()

    def require_port(self) -> Port:
        """Raises LinkDown if there is none."""
        if self._port is None or self._down:
            raise LinkDown(self._down or f"{self.options.device} isn't open")
        return self._port

    def trace(self, take: Take | None) -> None:
        """See :meth:`gateway.driver.Traces.trace`."""
        if self._tracer is not None:
            self._tracer.flush()
        self._tracer = None if take is None else Tracer(take)

    def _write(self, port: Port, data: bytes) -> None:
        if self._tracer is not None:
            self._tracer.sent(data)
        port.write(data)

    def _arrange(self) -> None:
        """One decoder for each framing, whatever the number of devices."""
        streams: list[_Stream] = []
        for party in self._parties.values():
            known = [*streams, *self._streams]
            stream = next((each for each in known if each.framing == party.framing), None)
            if stream is None:
                stream = _Stream(party.framing, Decoder(party.framing, self.counters, self._received))
            if stream not in streams:
                stream.parties = []
                streams.append(stream)
            stream.parties.append(party)
        for stream in self._streams:
            if stream not in streams and stream.timer is not None:
                stream.timer.cancel()
        self._streams = streams
        for party in self._parties.values():
            if party.keepalive is not None and party not in self._keepalives:
                self._keepalive(party, party.keepalive, send=False)

    def _keepalive(self, party: Party, wish: Keepalive, *, send: bool = True) -> None:
        if send and self._port is not None and not self._down and self._waiting is None:
            # Beside an exchange it would be answered in its place; the instrument is being spoken to anyway.
            try:
                self._write(self._port, wish.send)
            except LinkDown as error:
                self.port_lost(str(error))
                return
            self.counters["keepalives"] += 1
        loop = asyncio.get_running_loop()
        self._keepalives[party] = loop.call_later(wish.every_s, self._keepalive, party, wish)

    # -- receiving

    def data_received(self, data: bytes) -> None:
        if self._down:
            return
        now = time.monotonic()
        quiet_s = now - self._heard_at
        self._heard_at = now
        skipped = self.counters["skipped_bytes"]
        owner: _Stream | None = None
        for stream in self._streams:
            for frame in stream.decoder.feed(data, quiet_s):
                owner = stream if self._take(stream, frame) else owner
        for stream in self._streams:
            if owner is not None and stream is not owner:
                # Devices of different framings take turns: what one said must not run into what the next says.
                stream.decoder.forget()
            if stream.decoder.gap_s is not None and stream.decoder.pending and stream.timer is None:
                self._wait_for_pause(stream, stream.decoder.gap_s)
        self._received += len(data)
        if self.counters["skipped_bytes"] != skipped:
            self._noise_at = now
        if self._tracer is not None:
            self._tracer.received(data, whole=owner is not None and not any(s.decoder.pending for s in self._streams))

    def line_error(self) -> None:
        if self._tracer is not None:
            self._tracer.damaged()
        self.counters["line_errors"] += 1
        self._noise_at = time.monotonic()
        for stream in self._streams:
            stream.decoder.spoil()

    def _wait_for_pause(self, stream: _Stream, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        stream.timer = loop.call_later(delay_s, self._on_pause, stream)

    def _on_pause(self, stream: _Stream) -> None:
        stream.timer = None
        gap_s = stream.decoder.gap_s
        if gap_s is None or not stream.decoder.pending:
            return
        rest = self._heard_at + gap_s - time.monotonic()
        if rest > 0:
            self._wait_for_pause(stream, rest)
            return
        for frame in stream.decoder.pause():
            self._take(stream, frame)

    def _take(self, stream: _Stream, frame: Frame) -> bool:
        """Give a frame to whom it concerns; whether there was anybody."""
        self.heard_ns, self.heard_mono_ns = time.time_ns(), time.monotonic_ns()
        answer = self._answer(stream, frame)
        known = False
        for party in stream.parties:
            known = party.hear(frame.content) or known
        if not known:
            self._noise_at = self._heard_at
        if answer or known:
            self._timeouts = 0
            return True
        self.counters["unexpected_frames"] += 1
        return False

    def _answer(self, stream: _Stream, frame: Frame) -> bool:
        waiting = self._waiting
        if waiting is None or waiting.future.done() or frame.at < waiting.since:
            return False
        if waiting.party not in stream.parties:
            return False
        answer = waiting.accept(frame.content)
        if answer is None:
            return False
        waiting.future.set_result(answer)
        return True

    def port_lost(self, reason: str) -> None:
        if self._down:
            return
        self.counters["disconnects"] += 1
        self._down = reason
        self._fail_waiting(reason)
        for party in self._parties.values():
            party.down(reason)

    def _fail_waiting(self, reason: str) -> None:
        if self._waiting is not None and not self._waiting.future.done():
            self._waiting.future.set_exception(LinkDown(reason))

    # -- asking

    async def send(self, party: Party, data: bytes, timeout_s: float) -> None:
        """Send something that no answer is waited for, once the line is settled. Raises LinkDown, NoAnswer."""
        await self._settle(party, timeout_s)
        self._write(self.require_port(), data)
        self._quiet_since = time.monotonic()

    async def ask(self, party: Party, data: bytes, accept: Callable[[bytes], T | None], timeout_s: float) -> T:
        """Send a request and wait for the frame of which `accept` makes something.

        Raises NoAnswer or LinkDown. May be cancelled at any time. Never overlap two.
        """
        await self._settle(party, timeout_s)
        try:
            answer = await self._listen(party, accept, timeout_s, data)
        except BaseException:
            self._stale = True
            raise
        finally:
            self._quiet_since = time.monotonic()
        return answer

    async def listen(self, party: Party, accept: Callable[[bytes], T | None], timeout_s: float) -> T:
        """Wait for a frame, from now on, that comes by itself and of which `accept` makes something."""
        return await self._listen(party, accept, timeout_s, b"")

    async def _listen(self, party: Party, accept: Callable[[bytes], T | None], timeout_s: float, data: bytes) -> T:
        port = self.require_port()
        if self._waiting is not None:
            raise RuntimeError(f"two requests at once on {self.options.device}")
        if data:
            self._write(port, data)
        # Only now, so that an answer has its whole time however long the sending took.
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting = _Waiting(party, accept, self._received, future)
        timer = loop.call_later(timeout_s, self._timed_out, future, timeout_s, bool(data))
        try:
            return await future
        finally:
            timer.cancel()
            self._waiting = None

    def _timed_out(self, future: asyncio.Future[Any], timeout_s: float, asked: bool) -> None:
        if future.done():
            return
        if not asked:
            future.set_exception(NoAnswer(f"nothing came within {1000 * timeout_s:.0f} ms"))
            return
        self.counters["timeouts"] += 1
        self._timeouts += 1
        if self._port is not None:
            # What flow control held back must not be sent later, when nobody waits for the answer.
            self._port.discard_unsent()
        limit = self.options.timeouts_before_reconnect
        if limit and self._timeouts >= limit and not self._down:
            reason = f"{limit} requests in a row stayed unanswered on {self.options.device}"
            self.port_lost(reason)
        if not future.done():
            future.set_exception(NoAnswer(f"no answer within {1000 * timeout_s:.0f} ms"))

    async def _settle(self, party: Party, timeout_s: float) -> None:
        """Wait until a request may be sent: after a pause, on a line that is silent where it has to be."""
        pause_s = self.options.pause_between_requests_ms / 1000
        limit = time.monotonic() + _SETTLE_LIMIT * timeout_s
        while True:
            self.require_port()
            now = time.monotonic()
            decoder = next(stream.decoder for stream in self._streams if party in stream.parties)
            wait_s = self._quiet_since + pause_s - now
            if self._stale:
                wait_s = max(wait_s, max(self._noise_at, self._quiet_since) + timeout_s - now)
            if not decoder.synced:
                wait_s = max(wait_s, self._heard_at + _SETTLE_S - now)
            if wait_s <= 0:
                break
            if now >= limit and (self._stale or not decoder.synced):
                raise NoAnswer(f"the line doesn't fall silent: {self.options.device} is never at rest")
            await asyncio.sleep(wait_s)
            await asyncio.sleep(0)  # what had come in by now is heard before the silence is believed in
        self._stale = False
        if not decoder.synced:
            decoder.sync()
