"""Connecting over TCP, in the clear or by TLS."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable

from drivers.modbus.link import LinkOptions, peer_name
from drivers.modbus.transport.conversation import C
from gateway.driver import LinkDown

_USER_TIMEOUT_MS = 8000
"""How long sent data may stay unacknowledged by the far end's kernel: a half-open peer is noticed within 10 s."""


class StreamDial:
    """Opens TCP connections to one endpoint. Implements :class:`drivers.modbus.transport.wire.Dial`."""

    def __init__(self, host: str, port: int, options: LinkOptions) -> None:
        self.peer = peer_name(host, port)
        self._host, self._port, self._options = host, port, options

    async def open(self, converse: Callable[[], C]) -> C:
        """Bounded by the connect timeout. Raises LinkDown."""
        timeout_s = self._options.connect_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await self._open(converse)
        except TimeoutError:
            raise LinkDown(
                f"{self.peer} didn't accept the connection within {timeout_s * 1000:.0f} ms: "
                "check the address, the cabling and any firewall between"
            ) from None
        except (socket.gaierror, UnicodeError):
            raise LinkDown(f"the host name {self._host!r} can't be resolved: check it, and the DNS server") from None
        except OSError as error:
            raise LinkDown(self._failure(error)) from None

    async def _open(self, converse: Callable[[], C]) -> C:
        return await self._connect(converse)

    async def _connect(self, converse: Callable[[], C], tls: ssl.SSLContext | None = None, name: str = "") -> C:
        loop = asyncio.get_running_loop()
        transport, conversation = await loop.create_connection(
            converse, self._host, self._port, ssl=tls, server_hostname=name or None
        )
        try:
            tune(transport.get_extra_info("socket"), self._options.keepalive_s)
        except OSError:  # closed by the far end already
            transport.abort()
            raise
        return conversation

    def _failure(self, error: OSError) -> str:
        if isinstance(error, ConnectionRefusedError):
            return f"{self.peer} refused the connection: check the port, and that the device allows another client"
        return f"{self.peer} can't be reached: {os.strerror(error.errno) if error.errno else error}"


def tune(sock: socket.socket, keepalive_s: int) -> None:
    """No waiting for more to send, and a far end that is gone is noticed."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
    if keepalive_s:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
