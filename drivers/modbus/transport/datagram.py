"""Modbus over UDP: a socket of its own for each connection, so that what was sent to an earlier one can't come in."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from drivers.modbus.link import LinkOptions, peer_name
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
        except (socket.gaierror, UnicodeError):
            raise LinkDown(f"the host name {self._host!r} can't be resolved: check it, and the DNS server") from None
        except OSError as error:
            cause = os.strerror(error.errno) if error.errno else error
            raise LinkDown(f"{self.peer} can't be reached: {cause}") from None
        return conversation
