"""``/api/v1``: the control API for browsers that are signed in, and for tokens. Each operation by its own role."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.control.client import NotRunning
from gateway.web.control import who
from gateway.web.directory import Entry
from gateway.web.guard import still_in
from gateway.web.services import Services
from gateway.web.turns import Crowded
from gateway.web.visit import Page, Visit

MAX_BODY = 32 << 20
"""Bytes of the largest body there is: a backup. Each operation has a limit of its own below it."""
LARGE_BODY = 1 << 20
"""Bytes beyond which bodies are taken a few at a time."""
LONGEST_CALL_S = 300.0
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
    query = request.scope["query_string"].decode("ascii", "ignore")
    call = _Call(visit, method, quote(path, safe="/") + (f"?{query}" if query else ""), _passed_on(request))
    if operation.open_ended:
        # Such an operation's body describes what to look at: it is small.
        return _Streamed(call, await _body(request, operation))
    async with _room_for(request, operation, visit.services):
        return await call.answered(await _body(request, operation))


def _passed_on(request: Request) -> dict[str, str]:
    given = {name: value for name in _ASKED if (value := request.headers.get(name)) is not None}
    for name, value in given.items():
        if not value.isascii():
            raise HTTPException(400, f"the header {name} isn't ASCII")
    return given


@contextlib.asynccontextmanager
async def _room_for(request: Request, operation: Entry, services: Services) -> AsyncIterator[None]:
    """Until the call is done: large bodies are held in memory, so there are few of them."""
    length = request.headers.get("content-length", "")
    if operation.max_body <= LARGE_BODY or (length.isdigit() and int(length) <= LARGE_BODY):
        yield
        return
    async with services.uploads:
        yield


async def _body(request: Request, operation: Entry) -> bytes:
    """No more of it than the operation takes: one without a body isn't sent what came."""
    if not operation.max_body:
        return b""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > operation.max_body:
                raise HTTPException(413, f"the body has over {operation.max_body} bytes, the most that is taken here")
    except ClientDisconnect:
        raise HTTPException(400, "the body ended early") from None
    return bytes(body)


class _Call:
    """One call that is passed on."""

    def __init__(self, visit: Visit, method: str, target: str, headers: dict[str, str]) -> None:
        self.visit = visit
        self.services = visit.services
        self.head = (visit.actor, method, target, headers)

    async def answered(self, body: bytes) -> Response:
        """Taken whole, so that a connection that breaks off is a failure and not half a document."""
        answer = await self.services.control.fetch(*self.head, body, LONGEST_CALL_S)
        return Response(answer.body, answer.status, headers=_kept(answer.headers))


class _Streamed(Response):
    """A stream of the control API, passed on. It ends with the session, and with the browser's connection."""

    def __init__(self, call: _Call, body: bytes) -> None:
        super().__init__()
        self._call = call
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = self._call
        try:
            async with call.services.streams.take(who(call.visit.actor)):
                await self._passed(scope, receive, send)
        except Crowded:
            raise HTTPException(503, "too many live views are open; close some", {"retry-after": "10"}) from None

    async def _passed(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = self._call
        async with call.services.control.stream(*call.head, self._body) as answer:
            if not answer.open_ended:  # it was refused
                whole = b"".join([chunk async for chunk in answer.chunks])
                await Response(whole, answer.status, headers=_kept(answer.headers))(scope, receive, send)
                return
            head = [(name.encode(), value.encode("latin-1")) for name, value in _kept(answer.headers).items()]
            await send({"type": "http.response.start", "status": answer.status, "headers": head})
            if scope["method"] != "HEAD":
                await _either(_sent(answer.chunks, send), _gone(receive), _over(call.visit))
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _kept(headers: Any) -> dict[str, str]:
    return {name: value for name in _PASSED if (value := headers.get(name)) is not None}


async def _sent(chunks: AsyncIterator[bytes], send: Send) -> None:
    with contextlib.suppress(NotRunning):  # the gateway has ended: so does the stream, and the browser tries again
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _over(visit: Visit) -> None:
    """Until whoever asked may no longer come in, whether anything is being said or not, or this process ends."""
    stopping = visit.services.stopping
    while not stopping.is_set() and await still_in(visit):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), CHECK_S)


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
