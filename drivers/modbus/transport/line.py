"""Conversations whose frames carry no transaction ids: RTU and ASCII, on a serial line or over TCP.

Nothing in a reply says which request it answers, so what was asked before must have been heard out:

- After a timeout or a cancelled request nothing is sent until the line has been silent for one reply timeout, also if
  it has been opened anew. The same goes for a line that is opened for the first time: somebody may just have asked.
  What comes meanwhile is thrown away and counted. A line that isn't silent for four is given up (LinkDown).
- A unit whose replies such a wait has found not to come at all is *mute*: from then on its timeouts hold up only its
  own next request. Nothing of a unit's can pass for another's, and a dead unit must not cost its neighbours twice.
- What is heard while nothing was asked, unless it is too short for a frame, is treated like a timeout.

A request is answered by the first whole frame of its unit, function and size with the right checksum. Noise before it
is skipped. A frame of that kind with a wrong checksum ends the wait: the device has answered, garbled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from drivers.modbus.errors import EchoDiffers, ReplyTimeout
from drivers.modbus.pdu import Exchange
from drivers.modbus.transport.conversation import BusState, Conversation
from gateway.driver import LinkDown

_DRAIN_LIMIT = 4
"""Reply timeouts within which the line must have fallen silent."""
_LOOK_S = 0.001
"""Gives the event loop the time to read what has come in."""
_NOISE = 4
"""Fewer bytes than this are no frame in any framing."""
_KEPT = 1024
"""Bytes kept of what wasn't asked for, to recognise late replies in."""
_FLOOD = 64 * 1024
"""More unasked bytes than this between two requests are no accident."""


@dataclass(frozen=True, slots=True)
class LineRequest:
    """A framed request, and what a frame must be to answer it."""

    unit: int
    exchange: Exchange
    frame: bytes
    wire_s: float

    @property
    def function(self) -> int:
        return self.exchange.function

    @property
    def shown(self) -> str:
        return self.frame.hex(" ")

    @property
    def mark(self) -> bytes:
        """What tells a reply from anything else: for a read all that is known of it. Of a write's reply everything is
        known, but another echo must be recognised, too."""
        head = self.exchange.head
        return head if len(head) < self.exchange.size or self.exchange.measure else head[:1]

    @property
    def could_not_answer_itself(self) -> bool:
        """Whether no right reply looks like the request. Those to some writes must, and those to a few reads may."""
        return len(self.exchange.request) != self.exchange.size


class Garbled(Exception):
    """A frame that would be the answer, but for its checksum."""


class Frames(Protocol):
    """A framing: RTU or ASCII."""

    def prepare(self, unit: int, exchange: Exchange) -> LineRequest: ...

    def find(self, buffer: bytearray, request: LineRequest) -> bytes | None:
        """The PDU of the first frame in `buffer` that answers `request`, rightly, with a Modbus exception or with
        another echo, or None if there isn't one yet.

        Takes out of `buffer` what can't be needed any more, the frame and all before it included. Raises Garbled.
        """
        ...


class LineConversation(Conversation[LineRequest]):
    """One connection to a line of units."""

    def __init__(self, state: BusState, frames: Frames, silence_s: float = 0.0) -> None:
        """`silence_s`: how long the line must be quiet between two frames."""
        super().__init__(state)
        self._frames = frames
        self._pause_s = max(self._pause_s, silence_s)
        self._echoes = state.options.local_echo
        self._echo_due = b""
        self._heard = b""
        """What came first after the request, as long as it may be its echo."""
        self._heartbeat = state.options.heartbeat_bytes
        self._buffer = bytearray()
        self._strays = 0
        """Bytes since the last request was sent that are no part of its answer."""
        self._unsettled = bool(state.owed)
        """Whether the line must fall silent before anything is sent."""
        self._quiet_since = time.monotonic()
        self._suspect: int | None = None
        """The unit that made it so by not answering, if that is all that happened."""
        self._mute: dict[int, float] = {}
        """Units known not to answer, with the monotonic time from which each may be asked again."""

    # -- sending

    def transact(self, prepared: LineRequest) -> Awaitable[bytes]:
        """See :meth:`drivers.modbus.bus.ModbusBus.transact`."""
        if self._waiter is not None and self._waiter.done():
            self._abandoned()
        if self._pause_s or self._unsettled or self._mute:
            return self._transact_carefully(prepared)
        return self.send(prepared)

    async def _transact_carefully(self, prepared: LineRequest) -> bytes:
        if self._unsettled:
            await self._drain(prepared)
        while (again_at := self._mute.get(prepared.unit, 0.0)) > 0.0:
            await asyncio.sleep(max(again_at - time.monotonic(), _LOOK_S))
            if self._unsettled:
                await self._drain(prepared)
            elif time.monotonic() >= again_at:
                break
        if self._pause_s:
            await self._rest(self._pause_s)
        return await self.send(prepared)

    def _transmit(self, prepared: LineRequest) -> None:
        self._counters["stray_bytes"] += len(self._buffer)
        self._buffer.clear()
        self._strays = 0
        self._state.owed.add(prepared.unit)
        self._echo_due = prepared.frame if self._echoes else b""
        self._heard = b""
        self._write(prepared.frame)

    async def _drain(self, prepared: LineRequest) -> None:
        """Wait until the line has been silent for one reply timeout. Raises LinkDown if it never is."""
        self._counters["drains"] += 1
        # A reply that is late may take as long to travel as the request's own, or the one's before.
        travel_s = max(prepared.wire_s, self._request.wire_s if self._request is not None else 0.0)
        limit = time.monotonic() + _DRAIN_LIMIT * self._timeout_s + travel_s
        silent = False
        while not silent:
            heard_at = self._quiet_since
            # Even if the time has passed: what came meanwhile may not have been read yet.
            await asyncio.sleep(max(heard_at + self._timeout_s - time.monotonic(), _LOOK_S))
            silent = self._quiet_since == heard_at and time.monotonic() >= heard_at + self._timeout_s
            if self._transport is None:
                raise LinkDown(self._down)
            if not silent and time.monotonic() >= limit:
                self._desynchronised("without end, asked or not: is there another master on the line?")
                raise LinkDown(self._down)
        self._unsettled = False
        self._state.owed.clear()
        if self._suspect is not None:
            self._mute[self._suspect] = 0.0
        self._suspect = None

    # -- receiving

    def data_received(self, data: bytes) -> None:
        self._quiet_since = time.monotonic()
        self._buffer += data
        waiter, request = self._waiter, self._request
        if waiter is None or waiter.done() or request is None:
            self._take_stray(len(data))
            return
        if self._echoes:
            if self._echo_due and not self._take_echo():
                return
        elif len(self._heard) < len(request.frame):
            self._heard += data
            if request.could_not_answer_itself and self._heard.startswith(request.frame):
                # It must be noticed before a write is taken to be confirmed by its own echo.
                self._desynchronised("back what was sent to it: set local_echo = true, or turn the adapter's echo off")
                return
        held = len(self._buffer)
        try:
            pdu = self._frames.find(self._buffer, request)
        except Garbled:
            self._counters["garbled_replies"] += 1
            self._unsettle()
            self._fail_waiter(ReplyTimeout("the reply came garbled: its checksum is wrong"))
            return
        if pdu is None:
            self._strays += held - len(self._buffer)
            if self._strays > _FLOOD:
                self._desynchronised(f"{self._strays} bytes that answer nothing")
            return
        self._take(waiter, request, pdu)
        if self._buffer:
            # Something follows the answer.
            self._take_stray(len(self._buffer))

    def _take(self, waiter: asyncio.Future[bytes], request: LineRequest, pdu: bytes) -> None:
        self._mute.pop(request.unit, None)
        head = request.exchange.head
        if pdu.startswith(head):
            self._answer(waiter, pdu[len(head) :])
        elif pdu[0] & 0x80:
            self._refuse(waiter, pdu[1])
        else:
            self._counters["wrong_echoes"] += 1
            self._replied()
            waiter.set_exception(EchoDiffers())

    def _replied(self) -> None:
        if self._request is not None:
            self._state.owed.discard(self._request.unit)
        super()._replied()

    def _take_echo(self) -> bool:
        """Swallow what is there of the request's echo. True once it is complete."""
        due, buffer = self._echo_due, self._buffer
        got = buffer[: len(due)]
        if not due.startswith(got):
            self._desynchronised(
                f"another echo ({got[:8].hex(' ')}) than what was sent ({due[:8].hex(' ')}): "
                "is another master on the line, or does the adapter not echo?"
            )
            return False
        self._echo_due = due[len(got) :]
        del buffer[: len(got)]
        return not self._echo_due and bool(buffer)

    def _take_stray(self, size: int) -> None:
        """Bytes came in that nobody asked for."""
        buffer = self._buffer
        while self._heartbeat and buffer.startswith(self._heartbeat):
            del buffer[: len(self._heartbeat)]
            self._counters["heartbeats"] += 1
            size -= len(self._heartbeat)
        if size <= 0:
            return
        self._strays += size
        request = self._request
        try:
            if request is not None and self._frames.find(buffer, request) is not None:
                self._late()
        except Garbled:
            buffer.clear()
        del buffer[:-_KEPT]
        if self._strays >= _NOISE:
            self._unsettle()
        if self._strays > _FLOOD:
            self._desynchronised(f"{self._strays} bytes nobody asked for")

    # -- what isn't answered

    def _unsettle(self) -> None:
        """Something was heard that can't be told: whom it came from, what may follow."""
        self._unsettled = True
        self._suspect = None
        self._mute.clear()

    def _abandoned(self) -> None:
        """The request under way was cancelled."""
        self._forget()
        self._unsettle()
        self._quiet_since = time.monotonic()

    def _on_timeout(self) -> None:
        waiter, request = self._waiter, self._request
        if waiter is None or request is None:
            return
        if waiter.done():
            self._abandoned()
            return
        if self._echoes and self._echo_due:
            self._desynchronised("not all of the echo of what was sent: is the line cut, or does the adapter not echo?")
            return
        self._quiet_since = time.monotonic()
        if self._buffer or self._strays:
            self._unsettle()
        elif request.unit in self._mute:
            self._mute[request.unit] = self._quiet_since + self._timeout_s
        else:
            self._unsettled = True
            self._suspect = request.unit
        super()._on_timeout()
