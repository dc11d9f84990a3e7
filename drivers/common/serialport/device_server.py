"""A serial port of a device server, reached over its raw TCP port."""

from __future__ import annotations

import asyncio
import os
from typing import cast

from drivers.common import tcp
from drivers.common.serialport.options import host_and_port
from drivers.common.serialport.port import MAX_UNSENT, Port, PortReceiver
from gateway.driver import LinkDown

_CONNECT_TIMEOUT_S = 3.0
_KEEPALIVE_S = 5


class SocketPort(Port, asyncio.Protocol):
    """A device server's raw TCP port. No RFC 2217: the server's own set-up says speed and parity."""

    def __init__(self, name: str, receiver: PortReceiver) -> None:
        self.name = name
        self._receiver = receiver
        self._transport: asyncio.Transport | None = None
        self._down = ""
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def write(self, data: bytes) -> None:
        if self._down or self._transport is None:
            raise LinkDown(self._down or f"there is no connection to {self.name}")
        if self._transport.get_write_buffer_size() + len(data) > MAX_UNSENT:
            raise LinkDown(f"{self.name} takes no data: check the network")
        self._transport.write(data)

    def discard_unsent(self) -> None:
        """What TCP has taken can't be taken back."""

    async def close(self) -> None:
        self._down = self._down or f"{self.name} is closed"
        if self._transport is not None:
            self._transport.abort()
            await asyncio.shield(self._closed)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports don't inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._down:
            self._receiver.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._down:
            cause = f": {os.strerror(exc.errno)}" if isinstance(exc, OSError) and exc.errno else ""
            self._down = f"{self.name} closed the connection{cause}"
            self._receiver.port_lost(self._down)
        if not self._closed.done():
            self._closed.set_result(None)


async def open_socket(device: str, receiver: PortReceiver) -> SocketPort:
    """Bounded in time. Raises LinkDown."""
    host, port = host_and_port(device)
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            transport, protocol = await asyncio.get_running_loop().create_connection(
                lambda: SocketPort(device, receiver), host, port
            )
    except TimeoutError:
        raise LinkDown(tcp.unanswered(device, _CONNECT_TIMEOUT_S)) from None
    except (OSError, UnicodeError) as error:
        raise LinkDown(tcp.why_not(device, host, error, "that the device server allows another client")) from None
    tcp.tune(transport.get_extra_info("socket"), _KEEPALIVE_S)
    return protocol
