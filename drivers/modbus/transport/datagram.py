"""Modbus over UDP: a socket of its own for each connection, so that what was sent to an earlier one can't come in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from drivers.common.tcp import peer_name, why_not
from drivers.modbus.link import LinkOptions
from drivers.modbus.transport.conversation import C
from gateway.driver import LinkDown


class DatagramDial:
    """Opens UDP sockets that only hear one endpoint. Implements :class:`drivers.modbus.transport.wire.Dial`."""

    def __init__(self, options: LinkOptions) -> None:
        self._host, self._port = options.endpoint
        self._timeout_s = options.connect_timeout_s
        self.peer = peer_name(self._host, self._port)

    async def open(self, converse: Callable[[], C]) -> C:
        """Says nothing about the far end: UDP has no connections. Raises LinkDown."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                _, conversation = await loop.create_datagram_endpoint(
                    converse,
                    remote_addr=(self._host, self._port),
                )
        except TimeoutError:
            raise LinkDown(f"the host name {self._host!r} wasn't resolved in time: check the DNS server") from None
        except (OSError, UnicodeError) as error:
            raise LinkDown(why_not(self.peer, self._host, error, "that the device speaks UDP")) from None
        return conversation
