"""A server that speaks OPC UA by hand, without security, and says what a test wants: also what no server should."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

FIND_SERVERS, GET_ENDPOINTS, OPEN, CREATE, ACTIVATE, READ = 422, 428, 446, 461, 467, 631
"""Encoding ids of requests; the responses' are three more."""
NONE = "http://opcfoundation.org/UA/SecurityPolicy#None"
MANY = struct.pack("<i", 100_000_000)
"""Announced where there is nothing."""
Reply = Callable[[int], bytes]
"""Request handle → everything of a response from its type on."""


def string(text: str | bytes | None) -> bytes:
    if text is None:
        return b"\xff\xff\xff\xff"
    body = text.encode() if isinstance(text, str) else text
    return struct.pack("<i", len(body)) + body


def header(
    handle: int, result: int = 0, *, diagnostics: bytes = b"\0", table: bytes = string(None), extra: bytes = b"\0\0\0"
) -> bytes:
    """A response header; `table` is its string table, `extra` its additional header."""
    return struct.pack("<qII", 0, handle, result) + diagnostics + table + extra


def response(service: int, head: bytes, body: bytes) -> bytes:
    return b"\x01\x00" + struct.pack("<H", service + 3) + head + body


def opened(lifetime_ms: int = 3_600_000) -> bytes:
    return struct.pack("<IIIqI", 0, 7, 1, 0, lifetime_ms) + string(b"")


def endpoint(port: int) -> bytes:
    url = f"opc.tcp://127.0.0.1:{port}"
    application = string("urn:raw") + string("urn:raw") + b"\x02" + string("raw") + struct.pack("<I", 0)
    application += string(None) + string(None) + struct.pack("<i", 1) + string(url)
    anonymous = string("anonymous") + struct.pack("<I", 0) + 3 * string(None)
    return (
        string(url) + application + string(None) + struct.pack("<I", 1) + string(NONE)
        + struct.pack("<i", 1) + anonymous + string("binary") + b"\0"
    )  # fmt: skip


def created(port: int) -> bytes:
    return (
        b"\x00\x05" + b"\x00\x06" + struct.pack("<d", 60_000) + string(32 * b"n") + string(None)
        + struct.pack("<i", 1) + endpoint(port) + struct.pack("<i", -1) + 2 * string(None) + struct.pack("<I", 0)
    )  # fmt: skip


def activated() -> bytes:
    return string(32 * b"m") + struct.pack("<ii", -1, -1)


class RawServer:
    """What it answers is in `replies`, by service; a service that isn't there is never answered."""

    def __init__(self) -> None:
        self.port = 0
        self.replies: dict[int, Reply] = {}
        self.asked: list[int] = []
        self.chunks: Callable[[bytes, int], bytes] | None = None
        """(body of a response, request id) → the whole of what is sent instead of one chunk."""
        self.takes = (0, 0)
        """Bytes and chunks of the longest request; 0: any."""
        self._sequence = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    def honest(self) -> Mapping[int, Reply]:
        """As far as a session."""
        return {
            OPEN: lambda handle: response(OPEN, header(handle), opened()),
            GET_ENDPOINTS: lambda handle: response(
                GET_ENDPOINTS, header(handle), struct.pack("<i", 1) + endpoint(self.port)
            ),
            FIND_SERVERS: lambda handle: response(FIND_SERVERS, header(handle), struct.pack("<i", 0)),
            CREATE: lambda handle: response(CREATE, header(handle), created(self.port)),
            ACTIVATE: lambda handle: response(ACTIVATE, header(handle), activated()),
        }

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[RawServer]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.replies |= {service: reply for service, reply in self.honest().items() if service not in self.replies}
        async with server:
            yield self
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sequence = 0
        try:
            while True:
                head = await reader.readexactly(8)
                body = await reader.readexactly(struct.unpack_from("<I", head, 4)[0] - 8)
                writer.write(self._answer(head[:3], body))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, kind: bytes, body: bytes) -> bytes:
        if kind == b"HEL":
            return b"ACKF" + struct.pack("<IIIIII", 28, 0, 65_536, 65_536, *self.takes)
        at = 4
        if kind == b"OPN":
            for _ in range(3):
                at += 4 + max(struct.unpack_from("<i", body, at)[0], 0)
        else:
            at += 4
        request, service, handle = self._parsed(body, at)
        self.asked.append(service)
        if kind == b"CLO" or service not in self.replies:
            return b""
        answer = self.replies[service](handle)
        if kind == b"MSG" and self.chunks is not None:
            return self.chunks(answer, request)
        return self.chunk(kind + b"F", request, answer)

    @staticmethod
    def _parsed(body: bytes, at: int) -> tuple[int, int, int]:
        """Request id, service, request handle."""
        _, request = struct.unpack_from("<II", body, at)
        service = struct.unpack_from("<H", body, at + 10)[0]
        # Behind the authentication token: two bytes for none and for the one given here.
        return request, service, struct.unpack_from("<qI", body, at + 14)[1]

    def chunk(self, kind: bytes, request: int, body: bytes) -> bytes:
        self._sequence += 1
        opens = kind.startswith(b"OPN")
        security = string(NONE) + 2 * string(None) if opens else struct.pack("<I", 1)
        body = struct.pack("<I", 7) + security + struct.pack("<II", self._sequence, request) + body
        return kind + struct.pack("<I", 8 + len(body)) + body
