"""Counts what an OPC UA client asks, by looking at the bytes it sends. Without security only: it reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_READ, _WRITE, _CALL, _HISTORY_READ = 631, 673, 712, 664
_COUNTED = (_READ, _WRITE, _CALL, _HISTORY_READ)


class Tap:
    """Requests for values: not those that open or keep up a session or a subscription."""

    def __init__(self) -> None:
        self.requests = 0
        self.writes = 0
        self._news = asyncio.Event()

    def connection(self) -> Callable[[bytes], None]:
        """For :class:`tests.support.proxy.Proxy`."""
        held = bytearray()

        def take(data: bytes) -> None:
            held.extend(data)
            while len(held) >= 8 and len(held) >= (size := int.from_bytes(held[4:8], "little")):
                self._chunk(bytes(held[:size]))
                del held[:size]

        return take

    async def asked(self, count: int) -> None:
        """Wait until so many were made."""
        while self.requests < count:
            self._news.clear()
            await self._news.wait()

    def _chunk(self, chunk: bytes) -> None:
        # Message header 8, channel 4, token 4, sequence 4, request id 4; then the request's own type.
        if chunk[:3] != b"MSG" or chunk[24] != 1:
            return
        service = int.from_bytes(chunk[26:28], "little")
        if service not in _COUNTED or (service == _READ and _reads_server(chunk)):
            return
        self.requests += 1
        self.writes += service == _WRITE
        self._news.set()


def _reads_server(chunk: bytes) -> bool:
    """Whether a read is of the server's own nodes: namespaces, limits, state."""
    at = 28
    at += {0: 2, 1: 4, 2: 7}[chunk[at]]  # authentication token
    at += 8 + 4 + 4 + 4 + 4 + 3  # rest of the request header
    at += 8 + 4 + 4  # MaxAge, TimestampsToReturn, number of nodes
    return chunk[at] == 0 or (chunk[at] == 1 and chunk[at + 1] == 0)
