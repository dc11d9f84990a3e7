"""The control API as the page's process calls it: HTTP/1.1 over the Unix socket, asynchronous, on h11.

Calls are made for somebody: the control API is told who, checks their role and names them in the audit log. Answers
may be streams, passed on as they come.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import h11
import orjson

from gateway.actors import Actor, Role
from gateway.control.client import NotPermitted, NotRunning, Refused, problem_of, with_query
from gateway.web.turns import Turns

ACTOR_HEADER = "tidegate-actor"
"""As `gateway.control.requests` reads it."""
CALL_TIMEOUT_S = 15.0
PAGE = Actor("page", Role.ADMIN, "page")
"""The page's process itself."""
MOST_CALLS, CALLS_OF_ONE, WAITING_OF_ONE, REST = 16, 3, 64, 7.0
"""Three at once, and after each a rest of seven times as long: three eighths of a core."""
MOST_OWN_CALLS, _MOST_WAITING = 8, 256
OPEN_ENDED = frozenset({"text/event-stream", "application/x-ndjson"})
"""Types of answers that go on until somebody leaves."""
_CHUNK = 65536
_MAX_DOCUMENT = 64 << 20
"""Bytes of an answer that is taken whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was taken whole."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


class Streaming:
    """An answer under way. `chunks` may be read once; leaving the context that made it ends the upstream."""

    def __init__(self, status: int, headers: Mapping[str, str], chunks: AsyncIterator[bytes]) -> None:
        self.status = status
        self.headers = headers
        """Names in lower case."""
        self.chunks = chunks

    @property
    def open_ended(self) -> bool:
        """Whether it goes on until somebody leaves."""
        return self.headers.get("content-type", "").partition(";")[0] in OPEN_ENDED


class ControlGateway:
    """One gateway's control API. Every call is a connection of its own, which is cheap on a Unix socket.

    The gateway's work is to collect: one who calls without end has a part of a core and no more, and leaves room for
    others. Streams are counted elsewhere; together they stay below the connections that the gateway takes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._calls = Turns(MOST_CALLS, CALLS_OF_ONE, waiting=WAITING_OF_ONE, rest=REST)
        self._own_calls = Turns(MOST_OWN_CALLS, MOST_OWN_CALLS, waiting=_MOST_WAITING)

    async def get(self, actor: Actor, target: str, **query: Any) -> Any:
        """A document. Raises NotRunning, NotPermitted or Refused. None in `query` is left out."""
        return await self.call(actor, "GET", target, query)

    async def post(self, actor: Actor, target: str, body: Any = None, **query: Any) -> Any:
        return await self.call(actor, "POST", target, query, body)

    async def call(
        self, actor: Actor, method: str, target: str, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> Any:
        """`body`: bytes as they are, or what becomes JSON. Returns the parsed document, the bytes of a file, or None.

        Raises NotRunning, NotPermitted or Refused.
        """
        headers: dict[str, str] = {}
        if isinstance(body, bytes):
            headers["content-type"] = "application/octet-stream"
        elif body is not None:
            body = orjson.dumps(body)
            headers["content-type"] = "application/json"
        answer = await self.fetch(actor, method, with_query(target, query), headers, body or b"")
        if answer.status >= 400:
            raise Refused(answer.status, problem_of(answer.body))
        if answer.headers.get("content-type", "").startswith("application/json"):
            return answer.json()
        return answer.body or None

    async def fetch(
        self,
        actor: Actor,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout_s: float | None = None,
    ) -> Answer:
        """Any answer, taken whole, within `timeout_s` (None: CALL_TIMEOUT_S).

        Raises NotRunning, NotPermitted, or Crowded if `actor` has too many calls under way.
        """
        timeout_s = CALL_TIMEOUT_S if timeout_s is None else timeout_s
        turns = self._own_calls if actor == PAGE else self._calls
        async with turns.take(who(actor)):
            return await self._fetched(actor, method, target, headers, body, timeout_s)

    async def _fetched(
        self, actor: Actor, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Answer:
        try:
            async with asyncio.timeout(timeout_s), self.stream(actor, method, target, headers, body) as answer:
                whole = bytearray()
                async for chunk in answer.chunks:
                    whole += chunk
                    if len(whole) > _MAX_DOCUMENT:
                        raise NotRunning(f"the gateway's answer to {target} doesn't end")
                return Answer(answer.status, answer.headers, bytes(whole))
        except TimeoutError:
            raise NotRunning(f"the gateway didn't answer within {timeout_s:g} s") from None

    @contextlib.asynccontextmanager
    async def stream(
        self, actor: Actor, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AsyncIterator[Streaming]:
        """Any answer, as it comes. Raises NotRunning or NotPermitted."""
        reader, writer = await self._connect()
        try:
            connection = h11.Connection(h11.CLIENT)
            named = {"host": "gateway", "connection": "close", ACTOR_HEADER: _named(actor), **(headers or {})}
            if body or method in {"POST", "PUT", "PATCH"}:
                named["content-length"] = str(len(body))
            request = h11.Request(method=method, target=target, headers=list(named.items()))
            writer.write((connection.send(request) or b"") + (connection.send(h11.Data(body)) if body else b""))
            writer.write(connection.send(h11.EndOfMessage()) or b"")
            try:
                await writer.drain()
                head = await _next(connection, reader)
                while isinstance(head, h11.InformationalResponse):
                    head = await _next(connection, reader)
            except (OSError, h11.RemoteProtocolError) as error:
                raise NotRunning(f"the gateway broke the connection off: {error}") from None
            assert isinstance(head, h11.Response)
            answered = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
            chunks = _chunks(connection, reader)
            try:
                yield Streaming(head.status_code, answered, chunks)
            finally:
                await chunks.aclose()
        finally:
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_unix_connection(str(self._path), limit=4 * _CHUNK)
        except PermissionError:
            raise NotPermitted(f"the page has no permission to use {self._path}") from None
        except FileNotFoundError:
            raise NotRunning(f"no gateway runs: there is no socket {self._path}") from None
        except OSError as error:
            raise NotRunning(f"no gateway answers on {self._path}: {error.strerror or error}") from None


def who(actor: Actor) -> str:
    """Whose turn it is."""
    return f"{actor.via} {actor.name}"


def _named(actor: Actor) -> str:
    return urlencode({"name": actor.name, "role": actor.role.value, "via": actor.via})


async def _next(connection: h11.Connection, reader: asyncio.StreamReader) -> Any:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(_CHUNK))
    return event


async def _chunks(connection: h11.Connection, reader: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    try:
        while True:
            event = await _next(connection, reader)
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                return
    except (OSError, h11.RemoteProtocolError) as error:
        raise NotRunning(f"the gateway broke the connection off: {error}") from None
