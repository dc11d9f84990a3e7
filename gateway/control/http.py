"""uvicorn as we serve with it: bounded heads, signals left alone, the caller of a Unix socket known."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Iterator

import h11
import orjson
from uvicorn import Server
from uvicorn.protocols.http.h11_impl import H11Protocol

logging.getLogger("uvicorn").setLevel(logging.WARNING)

HEAD_LIMIT_S = 5.0
"""Within this a request's head must be here: half-sent ones would hold all connections for ever."""

_CREDENTIALS = struct.Struct("3i")
"""`struct ucred` of Linux, unix(7): pid, uid, gid."""


class QuietServer(Server):
    """uvicorn, but signals stay the process's own business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class BoundedHead(H11Protocol):
    """uvicorn's HTTP, which waits for the rest of a head without end, with an end to that.

    The client of a Unix socket, for which uvicorn knows no address, is ``("uid", UID)``: the kernel vouches for it.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family == socket.AF_UNIX:
            raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            _, uid, _ = _CREDENTIALS.unpack(raw)
            self.client = ("uid", uid)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def send_400_response(self, msg: str) -> None:
        """What isn't HTTP, or has an endless head, is refused as everything is."""
        body = orjson.dumps(
            {
                "type": "about:blank",
                "title": "Bad Request",
                "status": 400,
                "code": "bad-request",
                "detail": "the request isn't HTTP/1.1, or its head is too long",
                "mend": "send less in the path and the query",
            }
        )
        headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close")]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_LIMIT_S, self.transport.close)
