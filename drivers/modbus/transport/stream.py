"""Connecting over TCP, in the clear or by TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from drivers.common.tcp import peer_name, tune, unanswered, why_not
from drivers.modbus.link import LinkOptions
from drivers.modbus.transport.conversation import C
from gateway.driver import LinkDown


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
            raise LinkDown(unanswered(self.peer, timeout_s)) from None
        except (OSError, UnicodeError) as error:
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

    def _failure(self, error: OSError | UnicodeError) -> str:
        return why_not(self.peer, self._host, error, "that the device allows another client")
