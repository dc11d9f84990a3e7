"""``/api/v1``: the control API for browsers that are signed in, and for tokens. Each operation by its own role."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.control.client import NotRunning
from gateway.web.guard import still_in
from gateway.web.visit import Page, Visit

MAX_BODY = 32 << 20
"""Bytes of the largest body there is: a backup. Each operation has a limit of its own below it."""
CHECK_S = 15.0
"""How often a stream looks whether whoever asked for it may still come in."""
_PASSED = ("content-type", "content-disposition", "cache-control", "retry-after")
_ASKED = ("content-type", "accept", "last-event-id", "if-match", "idempotency-key")


async def _forward(visit: Visit) -> Response:
    request = visit.request
    path = "/v1/" + request.path_params["path"]
    method = "GET" if request.method == "HEAD" else request.method
    operation = await visit.services.directory.find(method, path)
    actor = visit.actor
    if not actor.role.covers(operation.role):
        raise HTTPException(403, f"this needs the role {operation.role}, and {actor.name} is {actor.role}")
    headers = {name: value for name in _ASKED if (value := request.headers.get(name)) is not None}
    target = quote(path, safe="/") + (f"?{request.url.query}" if request.url.query else "")
    return _Forwarded(visit, method, target, headers, await request.body())


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
            if services.streams.locked():
                raise HTTPException(503, "too many live views are open; close some", {"retry-after": "10"})
            async with services.streams:
                head = [(name.encode(), value.encode("latin-1")) for name, value in passed.items()]
                await send({"type": "http.response.start", "status": answer.status, "headers": head})
                await _either(self._pass_on(answer.chunks, send), _gone(receive), _set(services.stopping))
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pass_on(self, chunks: AsyncIterator[bytes], send: Send) -> None:
        checked = time.monotonic()
        with contextlib.suppress(NotRunning):  # the gateway has ended: so does the stream, and the browser tries again
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if time.monotonic() - checked > CHECK_S:
                    checked = time.monotonic()
                    if not await still_in(self._visit):
                        return


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _set(event: asyncio.Event) -> None:
    await event.wait()


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
        tokens=True,
    ),
)
