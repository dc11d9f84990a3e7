"""The connection under a session: asyncua's secure channel with bounds on what it takes in, and requests as bytes.

asyncua frames, encrypts and signs. What is ours:

- a chunk or message longer than was agreed ends the connection before it is gathered;
- :meth:`Channel.request` takes an encoded request and gives a future of the encoded response: no task is made for it.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Callable
from typing import Any, cast

from asyncua import ua
from asyncua.client.ua_client import UASocketProtocol, UASocketState
from asyncua.common.connection import TransportLimits
from asyncua.crypto.security_policies import SecurityPolicy
from asyncua.ua.ua_binary import nodeid_to_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from drivers.common.tcp import tune
from drivers.opcua import status
from drivers.opcua.binary import pack_string
from drivers.opcua.values import ns_to_ticks

# What asyncua has to say is told by this driver as one sentence, where it matters: without tracebacks and only once.
_theirs = logging.getLogger("asyncua")
_theirs.propagate = False
_theirs.addHandler(logging.NullHandler())

CHUNK_BYTES = 65_536
_HEADER = struct.Struct("<qIIiI")
_NO_ADDITIONAL_HEADER = b"\x00\x00\x00"


class Channel(UASocketProtocol):
    """One TCP connection with its secure channel."""

    def __init__(
        self, timeout_s: float, policy: SecurityPolicy, max_message_bytes: int, on_lost: Callable[[str], None]
    ) -> None:
        self._max_message_bytes = max_message_bytes
        self._max_chunks = max_message_bytes // 8192 + 1
        limits = TransportLimits(CHUNK_BYTES, CHUNK_BYTES, self._max_chunks, max_message_bytes)
        super().__init__(timeout_s, policy, limits)
        self._on_lost = on_lost
        self._why = ""
        self._pending = bytearray()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the descriptor is free."""

    # -- life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports don't inherit from asyncio's.
        super().connection_made(cast(asyncio.Transport, transport))
        assert self.transport is not None
        tune(transport.get_extra_info("socket"))
        if self._why:
            self.transport.abort()  # given up before it was there

    @property
    def connected(self) -> bool:
        """Whether there is a connection, or a broken one whose descriptor isn't free yet."""
        return self.state is UASocketState.OPEN

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.closed.done():
            self.closed.set_result(None)
        cause = f": {exc.strerror}" if isinstance(exc, OSError) and exc.strerror else ""
        self._on_lost(self._why or f"closed the connection{cause}")

    def disconnect_socket(self) -> None:
        """Called by asyncua for what it can't understand; `give_up` may have said why before."""
        self.give_up("sent something that isn't OPC UA, or broke its rules")

    def give_up(self, why: str) -> None:
        """End the connection, at once."""
        self._why = self._why or why
        if self.transport is not None:
            self.transport.abort()

    @property
    def why(self) -> str:
        """Why this side ended the connection; empty if it didn't."""
        return self._why

    # -- receiving

    def data_received(self, data: bytes) -> None:
        """Cut the stream into chunks; asyncua takes them apart one by one."""
        pending = self._pending
        pending += data
        while len(pending) >= 8:
            size = int.from_bytes(pending[4:8], "little")
            if not 8 <= size <= CHUNK_BYTES:
                self.give_up(f"sent something that isn't OPC UA (a chunk of {size} bytes)")
                pending.clear()
                return
            if len(pending) < size:
                return
            chunk = bytes(pending[:size])
            del pending[:size]
            self._process_received_data(chunk)
            if self.state is UASocketState.CLOSED or self._why:
                pending.clear()
                return

    def _process_received_message(self, msg: Any) -> None:
        if isinstance(msg, ua.ErrorMessage):
            self._fail_all_pending(UaStatusCodeError(int(msg.Error.value)))  # type: ignore[no-untyped-call]
            self.give_up(f"ended the connection with {status.sentence(int(msg.Error.value))}")
            return
        super()._process_received_message(msg)

    # -- sending

    async def send_hello(self, url: str, max_messagesize: int = 0, max_chunkcount: int = 0) -> ua.Acknowledge:
        """asyncua's announces 2 GiB, and then believes what the server answers."""
        if self.transport is None:
            raise ConnectionError("connection is closed")
        bounds = struct.pack("<5I", 0, CHUNK_BYTES, CHUNK_BYTES, self._max_message_bytes, self._max_chunks)
        body = bounds + pack_string(url)
        answer: asyncio.Future[ua.Acknowledge] = asyncio.get_running_loop().create_future()
        self._callbackmap[0] = answer
        self.transport.write(b"HELF" + struct.pack("<I", 8 + len(body)) + body)
        async with asyncio.timeout(self.timeout):
            acknowledge = await answer
        limits = self._connection._limits
        limits.max_recv_buffer = CHUNK_BYTES
        limits.max_message_size = self._max_message_bytes
        limits.max_chunk_count = self._max_chunks
        limits.max_send_buffer = min(max(acknowledge.ReceiveBufferSize, 8192), CHUNK_BYTES)
        return acknowledge

    def request(self, type_id: int, body: bytes, timeout_s: float = 0.0) -> asyncio.Future[Any]:
        """Send a request whose parameters are encoded already. `timeout_s` is the hint to the server, 0: none.

        Raises ConnectionError.
        """
        if self.transport is None or self._why:
            raise ConnectionError(self._why or "connection is closed")
        self._request_handle += 1
        self._request_id += 1
        header = _HEADER.pack(ns_to_ticks(time.time_ns()), self._request_handle, 0, -1, int(1000 * timeout_s))
        message = b"\x01\x00%b%b%b%b%b" % (
            type_id.to_bytes(2, "little"),
            nodeid_to_binary(self.authentication_token),
            header,
            _NO_ADDITIONAL_HEADER,
            body,
        )
        self.revolve_security_token()
        frame = self._connection.message_to_binary(message, request_id=self._request_id)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._callbackmap[self._request_id] = future
        self.transport.write(frame)
        return future
