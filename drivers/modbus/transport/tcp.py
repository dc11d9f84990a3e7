"""Modbus TCP: one connection, one request at a time, and no reply taken that doesn't answer it.

What makes a reply right is compared as bytes prepared in advance: transaction id, protocol id, length, unit, function
and byte count (of a write: the whole echo). Everything else is sorted out slowly:

- a reply to an earlier transaction of this connection came late: thrown away and counted;
- a Modbus exception to the current one: :class:`Refused`;
- anything else means that the two ends no longer agree about where they are: the connection is given up (LinkDown).

Transaction ids go on counting over reconnects, so that even a gateway that mixes up its sessions can't pass a stale
reply off as a fresh one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import cast

from drivers.modbus.errors import EchoDiffers, Refused, ReplyTimeout
from drivers.modbus.options import LinkOptions
from drivers.modbus.pdu import Exchange
from drivers.modbus.transport import mbap
from drivers.modbus.transport.mbap import PreparedRequest
from gateway.driver import LinkDown

_log = logging.getLogger(__name__)

_REPLIES_PER_REQUEST = 2
"""More than this on average is a flood, and sorting it out would cost all other devices time. Some repeat each once."""
_REPLIES_SLACK = 8
_USER_TIMEOUT_MS = 8000
"""How long sent data may stay unacknowledged by the far end's kernel: a half-open peer is noticed within 10 s."""


class TcpBus:
    """A Modbus TCP connection. Implements :class:`drivers.modbus.bus.ModbusBus`."""

    def __init__(self, name: str, options: LinkOptions) -> None:
        self.name = name
        self.options = options
        self.peer = options.peer
        self.broadcasts = False
        self.state: Path | None = None
        self.reply_ns = 0
        self.reply_mono_ns = 0
        self.counters: Counter[str] = Counter()
        self.transaction = 0
        self._connection: _Connection | None = None
        self._pause_s = options.pause_between_requests_ms / 1000

    async def connect(self) -> None:
        await self.close()
        loop = asyncio.get_running_loop()
        options = self.options
        try:
            async with asyncio.timeout(options.connect_timeout_ms / 1000):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self, loop), options.host, options.port
                )
        except TimeoutError:
            raise LinkDown(
                f"{self.peer} didn't accept the connection within {options.connect_timeout_ms} ms: "
                "check the address, the cabling and any firewall between"
            ) from None
        except (socket.gaierror, UnicodeError):
            raise LinkDown(f"the host name {options.host!r} can't be resolved: check it, and the DNS server") from None
        except OSError as error:
            raise LinkDown(_connect_failure(self.peer, error)) from None
        self._connection = connection
        self.counters["connects"] += 1
        if options.pause_after_connect_ms:
            await asyncio.sleep(options.pause_after_connect_ms / 1000)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def prepare(self, unit: int, exchange: Exchange) -> PreparedRequest:
        return mbap.prepare(unit, exchange)

    def transact(self, prepared: PreparedRequest) -> Awaitable[bytes]:
        """See :meth:`drivers.modbus.bus.ModbusBus.transact`."""
        connection = self._connection
        if connection is None:
            raise LinkDown(f"there is no connection to {self.peer}")
        if self._pause_s:
            return self._transact_paced(connection, prepared)
        return connection.send(prepared)

    async def _transact_paced(self, connection: _Connection, prepared: PreparedRequest) -> bytes:
        wait = connection.quiet_since + self._pause_s - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        try:
            return await connection.send(prepared)
        finally:
            connection.quiet_since = time.monotonic()


class _Connection(asyncio.Protocol):
    """The life of one TCP connection."""

    def __init__(self, bus: TcpBus, loop: asyncio.AbstractEventLoop) -> None:
        self._bus = bus
        self._loop = loop
        self._counters = bus.counters
        self._timeout_s = bus.options.timeout_ms / 1000
        self._patience = bus.options.timeouts_before_reconnect
        self._closed: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._down = ""
        self._buffer = bytearray()
        self._sent = 0
        self._received = 0
        self._silence: Counter[int] = Counter()
        self._late_logged = False
        self.quiet_since = 0.0
        # The current transaction; `_reply` is what a right reply begins with, transaction id included.
        self._waiter: asyncio.Future[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._request: PreparedRequest | None = None
        self._reply = b""
        self._reply_size = 0

    # -- sending

    def send(self, prepared: PreparedRequest) -> asyncio.Future[bytes]:
        transport = self._transport
        if transport is None:
            raise LinkDown(self._down)
        if self._waiter is not None:
            if not self._waiter.done():
                raise RuntimeError(f"two requests at once on the connection to {self._bus.peer}")
            self._forget()
        self._bus.transaction = transaction = (self._bus.transaction + 1) & 0xFFFF
        tid = transaction.to_bytes(2, "big")
        self._sent += 1
        self._request = prepared
        self._reply = tid + prepared.reply_head
        self._reply_size = prepared.reply_size
        self._waiter = waiter = self._loop.create_future()
        self._timer = self._loop.call_later(self._timeout_s, self._on_timeout)
        transport.write(tid + prepared.tail)
        return waiter

    def _forget(self) -> None:
        """End the current transaction, answered or not."""
        self._waiter = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        waiter, request = self._waiter, self._request
        self._forget()
        if waiter is None or waiter.done() or request is None:
            return
        self._counters["timeouts"] += 1
        self._silence[request.unit] += 1
        if self._patience and self._silence[request.unit] >= self._patience:
            message = f"{self._bus.peer} left {self._patience} requests in a row unanswered"
            self._give_up(message)
            waiter.set_exception(LinkDown(message))
        else:
            waiter.set_exception(ReplyTimeout(f"no answer within {self._bus.options.timeout_ms} ms"))

    # -- receiving

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
            self._answer(waiter, data)
        else:
            self._buffer += data
            self._take_frames()

    def _answer(self, waiter: asyncio.Future[bytes], frame: bytes) -> None:
        self._replied()
        waiter.set_result(frame[len(self._reply) :])

    def _replied(self) -> None:
        """The current transaction has its reply, complete and right."""
        self._bus.reply_ns = time.time_ns()
        self._bus.reply_mono_ns = time.monotonic_ns()
        self._forget()
        if self._silence:
            self._silence.clear()

    def _take_frames(self) -> None:
        buffer = self._buffer
        while self._transport is not None and len(buffer) >= mbap.HEADER_SIZE:
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
        age = self._bus.transaction - int.from_bytes(frame[:2], "big") & 0xFFFF
        if age >= min(self._sent, 0x8000):
            self._desynchronised("a reply to a request that was never made")
        elif self._received > _REPLIES_PER_REQUEST * self._sent + _REPLIES_SLACK:
            self._desynchronised(f"{self._received} replies to {self._sent} requests")
        elif age > 0 or waiter is None or waiter.done() or request is None:
            self._late()
        elif frame.startswith(self._reply) and len(frame) == request.reply_size:
            self._answer(waiter, frame)
        elif frame[6] == request.unit and request.is_answered_by(frame):
            self._replied()
            waiter.set_result(frame[request.data_at :])
        elif frame[6] != request.unit:
            self._desynchronised(f"a reply of unit {frame[6]} to a request to unit {request.unit}")
        elif frame[7] == request.function | 0x80 and len(frame) == 9:
            self._counters["exceptions"] += 1
            self._replied()
            waiter.set_exception(Refused(frame[8]))
        elif frame[7] != request.function:
            self._desynchronised(f"a reply of function {frame[7]} to a request of function {request.function}")
        elif len(frame) == request.reply_size == request.data_at:
            self._counters["wrong_echoes"] += 1
            self._replied()
            waiter.set_exception(EchoDiffers())
        else:
            self._desynchronised(f"a reply of {len(frame)} bytes where {request.reply_size} were due")

    def _late(self) -> None:
        self._counters["late_replies"] += 1
        # The far end lives, if slowly: that is no reason to reconnect.
        self._silence.clear()
        if not self._late_logged:
            self._late_logged = True
            _log.info("link %s: %s answers too late; such replies are thrown away", self._bus.name, self._bus.peer)

    # -- the end

    def _desynchronised(self, what: str) -> None:
        self._counters["desyncs"] += 1
        self._give_up(f"{self._bus.peer} sent {what}; the connection is made anew")

    def _give_up(self, reason: str) -> None:
        transport, self._transport = self._transport, None
        self._down = reason
        self._buffer.clear()
        self._fail_waiter(reason)
        if transport is not None:
            transport.abort()

    def _fail_waiter(self, reason: str) -> None:
        waiter = self._waiter
        self._forget()
        if waiter is not None and not waiter.done():
            waiter.set_exception(LinkDown(reason))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports don't inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        _tune(transport.get_extra_info("socket"), self._bus.options.keepalive_s)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._counters["disconnects"] += 1
            self._transport = None
            cause = f": {os.strerror(exc.errno)}" if isinstance(exc, OSError) and exc.errno else ""
            self._down = f"{self._bus.peer} closed the connection{cause}"
            self._fail_waiter(self._down)
        if not self._closed.done():
            self._closed.set_result(None)

    async def close(self) -> None:
        """Give the connection up and wait until its descriptor is free."""
        self._give_up(f"the connection to {self._bus.peer} is closed")
        await asyncio.shield(self._closed)


def _tune(sock: socket.socket, keepalive_s: int) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
    if keepalive_s:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)


def _connect_failure(peer: str, error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"{peer} refused the connection: check the port, and that the device allows another client"
    return f"{peer} can't be reached: {os.strerror(error.errno) if error.errno else error}"
