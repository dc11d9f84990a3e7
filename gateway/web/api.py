"""``/api/v1``: the control API for browsers that are signed in. Each operation by the role it declares."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.actors import Actor, Role
from gateway.control.client import NotRunning
from gateway.web.control import ControlGateway
from gateway.web.visit import Page, Visit

MAX_BODY = 32 << 20
"""Bytes of the largest body there is: a backup. Each operation has a limit of its own below it."""
MOST_STREAMS = 32
"""Streams open at once, of everybody: the control API takes 64 connections, and other calls need theirs."""
CHECK_S = 15.0
"""How often a stream looks whether its session still stands."""
_DIRECTORY_S = 300.0
_PASSED = ("content-type", "content-disposition", "cache-control", "retry-after")
_ASKED = ("content-type", "accept", "last-event-id", "if-match", "idempotency-key")


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation, as the API's own description tells of it."""

    method: str
    exact: re.Pattern[str]
    """The path, a name one segment long."""
    wide: re.Pattern[str]
    """The path, a name of any length: some names hold slashes."""
    role: Role
    internal: bool


class Directory:
    """The control API's operations, read from its OpenAPI document."""

    def __init__(self, control: ControlGateway) -> None:
        self._control = control
        self._entries: tuple[Entry, ...] = ()
        self._read_s: float | None = None
        self.streams = asyncio.Semaphore(MOST_STREAMS)

    async def find(self, method: str, path: str) -> Entry:
        """The operation that `path` (decoded) is. Raises HTTPException (404, 405) or what a call raises."""
        if self._read_s is None or time.monotonic() - self._read_s > _DIRECTORY_S:
            await self._read()
        found = [entry for entry in self._entries if entry.exact.fullmatch(path)]
        found = found or [entry for entry in self._entries if entry.wide.fullmatch(path)]
        mine = [entry for entry in found if entry.method == method]
        if not found or any(entry.internal for entry in mine):
            raise HTTPException(404, f"the control API has no {path}")
        if not mine:
            raise HTTPException(405, f"{path} doesn't take {method}")
        # Where the description leaves more than one, the one that asks for most; the API itself checks again.
        return max(mine, key=lambda entry: entry.role.rank)

    async def _read(self) -> None:
        document = await self._control.get(Actor("page", Role.VIEWER, "page"), "/v1/openapi.json")
        self._entries = tuple(
            Entry(
                method.upper(),
                re.compile(_pattern(path, "[^/]+")),
                re.compile(_pattern(path, ".+")),
                Role(told["x-tidegate-role"]),
                bool(told.get("x-tidegate-internal", False)),
            )
            for path, methods in document["paths"].items()
            for method, told in methods.items()
        )
        self._read_s = time.monotonic()


def _pattern(path: str, name: str) -> str:
    return "".join(name if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", path))


async def _forward(visit: Visit) -> Response:
    request = visit.request
    path = "/v1/" + request.path_params["path"]
    entry = await visit.services.api.find("GET" if request.method == "HEAD" else request.method, path)
    actor = visit.actor
    if not actor.role.covers(entry.role):
        raise HTTPException(403, f"this needs the role {entry.role}, and you are {actor.role}")
    headers = {name: value for name in _ASKED if (value := request.headers.get(name)) is not None}
    target = quote(path, safe="/") + (f"?{request.url.query}" if request.url.query else "")
    return _Forwarded(visit, entry.method, target, headers, await request.body())


class _Forwarded(Response):
    """An answer of the control API, passed on. A stream ends with the session, and with the browser's connection."""

    def __init__(self, visit: Visit, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        super().__init__()
        self._visit = visit
        self._call = (visit.actor, method, target, headers, body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._visit.services
        async with services.control.stream(*self._call) as answer:
            passed = {name: value for name in _PASSED if (value := answer.headers.get(name)) is not None}
            if not answer.open_ended:
                # Taken whole, so that a connection that breaks off is a failure and not half a document.
                whole = b"".join([chunk async for chunk in answer.chunks])
                await Response(whole, answer.status, headers=passed)(scope, receive, send)
                return
            if services.api.streams.locked():
                raise HTTPException(503, "too many live views are open; close some", {"retry-after": "10"})
            async with services.api.streams:
                head = [(name.encode(), value.encode("latin-1")) for name, value in passed.items()]
                await send({"type": "http.response.start", "status": answer.status, "headers": head})
                await _either(self._pass_on(answer.chunks, send), _gone(receive))

    async def _pass_on(self, chunks: AsyncIterator[bytes], send: Send) -> None:
        visit, checked = self._visit, time.monotonic()
        assert visit.session is not None
        with contextlib.suppress(NotRunning):  # the gateway has ended: so does the stream, and the browser tries again
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if time.monotonic() - checked > CHECK_S:
                    checked = time.monotonic()
                    if not visit.services.sessions.alive(visit.session.id):
                        break
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _either(*parts: Coroutine[Any, Any, None]) -> None:
    """Until the first of them ends; the others are cancelled."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


PAGES: tuple[Page, ...] = (
    Page(
        "/api/v1/{path:path}",
        _forward,
        methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        max_body=MAX_BODY,
    ),
)
