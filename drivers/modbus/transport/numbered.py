"""Conversations whose frames carry transaction ids: Modbus TCP, TLS and UDP (MBAP framing).

What makes a reply right is compared as bytes prepared in advance: transaction id, protocol id, length, unit, function
and byte count (of a write: the whole echo). Everything else is sorted out slowly:

- a reply to an earlier transaction of this connection came late: thrown away and counted;
- a Modbus exception to the current one: :class:`Refused`;
- anything else means that the two ends no longer agree about where they are: the connection is given up (LinkDown).
"""

from __future__ import annotations

import asyncio
from typing import cast

from drivers.modbus.errors import EchoDiffers
from drivers.modbus.transport import mbap
from drivers.modbus.transport.conversation import BusState, Conversation
from drivers.modbus.transport.mbap import PreparedRequest

_REPLIES_PER_REQUEST = 2
"""More than this on average is a flood, and sorting it out would cost all other devices time. Some repeat each once."""
_REPLIES_SLACK = 8


class NumberedConversation(Conversation[PreparedRequest]):
    """MBAP frames over a stream."""

    def __init__(self, state: BusState) -> None:
        super().__init__(state)
        self._buffer = bytearray()
        self._received = 0
        self._heartbeat = state.options.heartbeat_bytes
        # What a right reply begins with, transaction id included, and its size.
        self._reply = b""
        self._reply_size = 0

    def _transmit(self, prepared: PreparedRequest) -> None:
        tid = self._next_id()
        while self._heartbeat and (self._heartbeat.startswith(tid) or tid.startswith(self._heartbeat)):
            # No frame may begin as a heartbeat does.
            tid = self._next_id()
        self._reply = tid + prepared.reply_head
        self._reply_size = prepared.reply_size
        self._write(tid + prepared.tail)

    def _next_id(self) -> bytes:
        self._state.transaction = transaction = (self._state.transaction + 1) & 0xFFFF
        return transaction.to_bytes(2, "big")

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if (
            waiter is not None
            and len(data) == self._reply_size
            and data.startswith(self._reply)
            and not self._buffer
            and not waiter.done()
        ):
            self._received += 1
            self._answer(waiter, data[len(self._reply) :])
        else:
            self._buffer += data
            self._take_frames()

    def _take_frames(self) -> None:
        buffer = self._buffer
        while self._transport is not None and buffer:
            if self._heartbeat and self._heartbeat.startswith(buffer[: len(self._heartbeat)]):
                if len(buffer) < len(self._heartbeat):
                    return
                del buffer[: len(self._heartbeat)]
                self._counters["heartbeats"] += 1
                continue
            if len(buffer) < mbap.HEADER_SIZE:
                return
            protocol = int.from_bytes(buffer[2:4], "big")
            length = int.from_bytes(buffer[4:6], "big")
            if protocol != 0 or not mbap.MIN_LENGTH <= length <= mbap.MAX_LENGTH:
                self._desynchronised(f"something that isn't Modbus TCP ({buffer[:8].hex(' ')})")
                return
            if len(buffer) < 6 + length:
                return
            frame = bytes(buffer[: 6 + length])
            del buffer[: 6 + length]
            self._take_frame(frame)

    def _take_frame(self, frame: bytes) -> None:
        waiter, request = self._waiter, self._request
        self._received += 1
        age = self._state.transaction - int.from_bytes(frame[:2], "big") & 0xFFFF
        if age >= min(self._sent, 0x8000):
            self._desynchronised("a reply to a request that was never made")
        elif self._received > _REPLIES_PER_REQUEST * self._sent + _REPLIES_SLACK:
            self._desynchronised(f"{self._received} replies to {self._sent} requests")
        elif age > 0 or waiter is None or waiter.done() or request is None:
            self._late()
        elif frame.startswith(self._reply) and len(frame) == request.reply_size:
            self._answer(waiter, frame[len(self._reply) :])
        elif frame[6] == request.unit and request.is_answered_by(frame):
            self._answer(waiter, frame[request.data_at :])
        elif frame[6] != request.unit:
            self._desynchronised(f"a reply of unit {frame[6]} to a request to unit {request.unit}")
        elif frame[7] == request.function | 0x80 and len(frame) == 9:
            self._refuse(waiter, frame[8])
        elif frame[7] != request.function:
            self._desynchronised(f"a reply of function {frame[7]} to a request of function {request.function}")
        elif len(frame) == request.reply_size == request.data_at:
            self._counters["wrong_echoes"] += 1
            self._replied()
            waiter.set_exception(EchoDiffers())
        else:
            self._desynchronised(f"a reply of {len(frame)} bytes where {request.reply_size} were due")

    def give_up(self, reason: str) -> None:
        self._buffer.clear()
        super().give_up(reason)


class DatagramConversation(NumberedConversation):
    """One MBAP frame a datagram. Each stands for itself: what comes in pieces or joined isn't Modbus."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._begin(transport, cast(asyncio.DatagramTransport, transport).sendto)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.data_received(data)
        if self._buffer:
            self._desynchronised(f"a datagram that isn't one Modbus frame ({self._buffer[:8].hex(' ')})")

    def error_received(self, exc: OSError) -> None:
        """The far end's kernel says that nobody listens there."""
        if self._transport is not None:
            self._counters["disconnects"] += 1
            self.give_up(f"{self._state.peer} can't be reached: {exc.strerror or exc}")
