"""The connection under a session: TCP, hello, secure channel (OPC 10000-6 §7.1, OPC 10000-4 §5.5).

A request is bytes, its answer a future of bytes: no task is made for it. What a server says before anyone has proved
anything is taken apart by the driver's own reader: bounded, whatever it is.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
import time
from collections.abc import Callable
from typing import cast

from drivers.common.tcp import tune
from drivers.opcua import services, status
from drivers.opcua.binary import Malformed, Reader, pack_bytes, pack_string
from drivers.opcua.conversation import CHUNK_BYTES, LEAST_CHUNK_BYTES, Conversation
from drivers.opcua.security.policies import NONCE_BYTES, Security
from drivers.opcua.services import Service
from drivers.opcua.status import ServiceFailed
from drivers.opcua.tracing import Tracer
from drivers.opcua.values import ns_to_ticks
from gateway.wire import Direction

NO_TOKEN = b"\x00\x00"
"""Authentication token (packed) of a request without a session."""
LIFETIME_MS = 3_600_000
"""Asked for a security token."""
_HEADER = struct.Struct("<qIIiI")
_NO_ADDITIONAL_HEADER = b"\x00\x00\x00"
_ISSUE, _RENEW = 0, 1
_MAX_REQUEST = 0xFFFF_FFFF
_MAX_UNANSWERED = 1000
"""Requests whose answers may still come; those given up first are forgotten beyond that."""


class Channel(asyncio.Protocol):
    """One TCP connection with its secure channel."""

    def __init__(
        self, timeout_s: float, security: Security | None, max_message_bytes: int, on_lost: Callable[[str], None]
    ) -> None:
        self.transport: asyncio.Transport | None = None
        self.token = NO_TOKEN
        """Authentication token of the session that requests belong to, packed."""
        self.lifetime_s = LIFETIME_MS / 1000
        """Of the security token."""
        self.tracer: Tracer | None = None
        """Who is shown what is sent and received."""
        self._timeout_s = timeout_s
        self._conversation = Conversation(security, max_message_bytes)
        self._security = security
        self._on_lost = on_lost
        self._why = ""
        self._pending = bytearray()
        self._acknowledged: asyncio.Future[None] | None = None
        self._opening: tuple[int, bytes] | None = None
        """Id and nonce of the OpenSecureChannel request that is on its way."""
        self._requests: dict[int, asyncio.Future[bytes]] = {}
        self._request = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the descriptor is free."""

    # -- life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports don't inherit from asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        tune(transport.get_extra_info("socket"))
        if self._why:
            self.transport.abort()  # given up before it was there

    @property
    def connected(self) -> bool:
        """Whether there is a connection, or a broken one whose descriptor isn't free yet."""
        return self.transport is not None

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        lost = ConnectionError(self._why or "the connection was lost")
        self._fail_opening(lost)
        requests, self._requests = self._requests, {}
        for future in requests.values():
            _fail(future, lost)
        if not self.closed.done():
            self.closed.set_result(None)
        cause = f": {exc.strerror}" if isinstance(exc, OSError) and exc.strerror else ""
        self._on_lost(self._why or f"closed the connection{cause}")

    def give_up(self, why: str) -> None:
        """End the connection, at once."""
        self._why = self._why or why
        if self.transport is not None:
            self.transport.abort()

    @property
    def why(self) -> str:
        """Why this side ended the connection; empty if it didn't."""
        return self._why

    def _fail_opening(self, error: Exception) -> None:
        """The step of opening that is on its way, if one is."""
        if self._acknowledged is not None and not self._acknowledged.done():
            self._acknowledged.set_exception(error)
        if self._opening is not None:
            _fail(self._requests.pop(self._opening[0], None), error)

    # -- receiving

    def data_received(self, data: bytes) -> None:
        """Cut the stream into chunks."""
        pending = self._pending
        pending += data
        while len(pending) >= 8:
            size = int.from_bytes(pending[4:8], "little")
            if not 8 <= size <= CHUNK_BYTES:
                self.give_up(f"sent something that isn't OPC UA (a chunk of {size} bytes)")
            elif len(pending) < size:
                return
            else:
                chunk = bytes(pending[:size])
                del pending[:size]
                try:
                    self._take(chunk)
                except Malformed as error:
                    self.give_up(f"sent something that isn't OPC UA, or broke its rules ({error})")
            if self._why:
                pending.clear()
                return

    def _take(self, chunk: bytes) -> None:
        """Raises Malformed."""
        kind = chunk[:4]
        if self.tracer is not None and kind in (b"ERRF", b"ACKF"):
            self.tracer.plain(Direction.RECEIVED, chunk)
        if kind == b"ERRF":
            code = Reader(chunk, 8).uint32()
            self._fail_opening(ServiceFailed(code))
            self.give_up(f"ended the connection with {status.sentence(code)}")
        elif kind == b"ACKF":
            self._acknowledge(Reader(chunk, 8))
        else:
            self._hear(chunk)

    def _acknowledge(self, reader: Reader) -> None:
        reader.uint32()
        takes, _sends, max_message_bytes, max_chunks = (reader.uint32() for _ in range(4))
        if self._acknowledged is None or self._acknowledged.done():
            raise Malformed("an answer to a hello that wasn't said")
        conversation = self._conversation
        conversation.max_send_bytes = min(max(takes, LEAST_CHUNK_BYTES), CHUNK_BYTES)
        conversation.max_send_message_bytes, conversation.max_send_chunks = max_message_bytes, max_chunks
        self._acknowledged.set_result(None)

    def _hear(self, chunk: bytes) -> None:
        message = self._conversation.unwrap(chunk)
        if message is None:
            return
        request, body = message
        if self.tracer is not None and isinstance(body, bytes):
            self._show(Direction.RECEIVED, chunk[:3], request, body)
        opens = self._opening is not None and request == self._opening[0]
        if opens != (chunk[:3] == b"OPN"):
            raise Malformed(f"a message of type {chunk[:3]!r} for an answer")
        if request not in self._requests:
            raise Malformed("an answer to a request that wasn't made")
        if opens and isinstance(body, bytes):
            try:
                self._opened(body)
            except ServiceFailed as error:
                body = error
        future = self._requests.pop(request)
        if not isinstance(body, bytes):
            _fail(future, body)
        elif not future.done():  # somebody still waits for it
            future.set_result(body)

    def _opened(self, body: bytes) -> None:
        """At once, as the next chunk may be secured by what this one says. Raises ServiceFailed or Malformed."""
        assert self._opening is not None
        (_, nonce), self._opening = self._opening, None
        reader = services.response(Reader(body), Service.OPEN_SECURE_CHANNEL)
        reader.uint32()
        channel, token = reader.uint32(), reader.uint32()
        reader.int64()
        lifetime_ms, peer_nonce = reader.uint32(), reader.byte_string() or b""
        self.lifetime_s = self._conversation.renew(channel, token, lifetime_ms, nonce, peer_nonce)

    # -- sending

    async def hello(self, url: str) -> None:
        """Agree on bounds. Raises ConnectionError, TimeoutError or ServiceFailed."""
        transport = self._open_transport()
        conversation = self._conversation
        bounds = (0, CHUNK_BYTES, CHUNK_BYTES, conversation.max_message_bytes, conversation.max_chunks)
        body = struct.pack("<5I", *bounds) + pack_string(url)
        self._acknowledged = asyncio.get_running_loop().create_future()
        chunk = b"HELF" + struct.pack("<I", 8 + len(body)) + body
        if self.tracer is not None:
            self.tracer.plain(Direction.SENT, chunk)
        transport.write(chunk)
        async with asyncio.timeout(self._timeout_s):
            await self._acknowledged

    async def open(self, *, renew: bool = False) -> None:
        """Have a security token issued. Raises ConnectionError, TimeoutError or ServiceFailed."""
        transport = self._open_transport()
        security = self._security
        nonce = secrets.token_bytes(NONCE_BYTES) if security is not None else b""
        mode = 1 if security is None else 2 + security.encrypts
        body = struct.pack("<III", 0, _RENEW if renew else _ISSUE, mode) + pack_bytes(nonce)
        message = self._message(Service.OPEN_SECURE_CHANNEL, NO_TOKEN, body + struct.pack("<I", LIFETIME_MS), 0.0)
        future = self._expect()
        self._opening = (self._request, nonce)
        self._show(Direction.SENT, b"OPN", self._request, message)
        transport.write(self._conversation.wrap_open(self._request, message))
        async with asyncio.timeout(self._timeout_s):
            await future

    def close(self) -> None:
        """Tell the other side that this is the end; it closes the connection. Raises ConnectionError."""
        transport = self._open_transport()
        self._count()
        message = self._message(Service.CLOSE_SECURE_CHANNEL, NO_TOKEN, b"", 0.0)
        self._show(Direction.SENT, b"CLO", self._request, message)
        transport.write(self._conversation.wrap(b"CLO", self._request, message))

    def request(self, service: int, body: bytes, timeout_s: float = 0.0) -> asyncio.Future[bytes]:
        """Send a request whose parameters are encoded already. `timeout_s` is the hint to the server, 0: none.

        The future fails with ConnectionError or ServiceFailed. Raises ConnectionError.
        """
        transport = self._open_transport()
        future = self._expect()
        message = self._message(service, self.token, body, timeout_s)
        if self.tracer is not None:
            self._show(Direction.SENT, b"MSG", self._request, message)
        try:
            transport.write(self._conversation.wrap(b"MSG", self._request, message))
        except ServiceFailed as error:
            _fail(self._requests.pop(self._request), error)
        return future

    async def ask(self, service: int, body: bytes, timeout_s: float) -> Reader:
        """The answer to a request, opened behind its header.

        Raises ConnectionError, TimeoutError, ServiceFailed or Malformed.
        """
        async with asyncio.timeout(timeout_s):
            return services.response(Reader(await self.request(service, body, timeout_s)), service)

    def _show(self, direction: Direction, kind: bytes, request: int, message: bytes) -> None:
        if self.tracer is not None:
            security = self._security
            encrypted = security is not None and (security.encrypts or kind == b"OPN")
            self.tracer.message(direction, kind, self._conversation.numbers, request, message, encrypted=encrypted)

    def _open_transport(self) -> asyncio.Transport:
        if self.transport is None or self._why:
            raise ConnectionError(self._why or "the connection is closed")
        return self.transport

    def _expect(self) -> asyncio.Future[bytes]:
        self._count()
        if len(self._requests) >= _MAX_UNANSWERED:
            self._forget()
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._requests[self._request] = future
        return future

    def _count(self) -> None:
        """The next request id: never 0, and again from the beginning after some years."""
        self._request = self._request % _MAX_REQUEST + 1

    def _forget(self) -> None:
        """The older half of the requests that nobody waits for any more."""
        given_up = [number for number, future in self._requests.items() if future.done()]
        for number in given_up[: _MAX_UNANSWERED // 2]:
            del self._requests[number]

    def _message(self, service: int, token: bytes, body: bytes, timeout_s: float) -> bytes:
        header = _HEADER.pack(ns_to_ticks(time.time_ns()), self._request, 0, -1, int(1000 * timeout_s))
        return b"\x01\x00%b%b%b%b%b" % (service.to_bytes(2, "little"), token, header, _NO_ADDITIONAL_HEADER, body)


def _fail(future: asyncio.Future[bytes] | None, error: Exception) -> None:
    if future is not None and not future.done():
        future.set_exception(error)


async def connect(host: str, port: int, timeout_s: float, make: Callable[[], Channel]) -> None:
    """Raises OSError or TimeoutError."""
    async with asyncio.timeout(timeout_s):
        await asyncio.get_running_loop().create_connection(make, host, port)
