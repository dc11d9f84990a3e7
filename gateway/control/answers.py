"""What goes back to a caller: documents, files, streams, refusals."""

from __future__ import annotations

import asyncio
import http
from collections.abc import AsyncIterator
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from gateway.control.operation import Answer, Event, File, Form, Refusal

HEARTBEAT_S = 15.0
"""A quiet event stream says so as often: whoever listens can tell it from a dead one."""

Item = TypeVar("Item")


def answered(answer: Answer, result: Any, stopping: asyncio.Event) -> Response:
    """The response for what a handler returned. `stopping` ends streams."""
    headers = {"cache-control": "no-store"}
    if answer.form is Form.FILE:
        assert isinstance(result, File)
        headers["content-disposition"] = f"attachment; filename*=UTF-8''{quote(result.name)}"
        return Response(result.body, media_type=result.media_type, headers=headers)
    if answer.form is Form.EVENTS:
        return StreamingResponse(_events(result, stopping), media_type=answer.form.value, headers=headers)
    if answer.form is Form.LINES:
        return StreamingResponse(_lines(result, stopping), media_type=answer.form.value, headers=headers)
    if answer.type is None:
        return Response(status_code=answer.code, headers=headers)
    return Response(as_json(result), answer.status, media_type=answer.form.value, headers=headers)


def problem(refusal: Refusal) -> Response:
    """A refusal as a problem document (RFC 9457)."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": http.HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.message,
        "mend": refusal.mend,
        **refusal.more,
    }
    if refusal.problems:
        body["problems"] = refusal.problems
    return Response(as_json(body), refusal.status, media_type="application/problem+json")


def as_json(body: Any) -> bytes:
    return orjson.dumps(body, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


async def _events(source: AsyncIterator[Event], stopping: asyncio.Event) -> AsyncIterator[bytes]:
    yield b": here\n\n"  # the head goes out at once, so that a client knows it is connected
    async for item in until(source, stopping, HEARTBEAT_S):
        if item is None:
            yield b": quiet\n\n"
            continue
        head = f"event: {item.event}\n" if item.event else ""
        if item.id is not None:
            head += f"id: {item.id}\n"
        yield b"%bdata: %b\n\n" % (head.encode(), item.data)


async def _lines(source: AsyncIterator[bytes], stopping: asyncio.Event) -> AsyncIterator[bytes]:
    yield b"\n"
    async for item in until(source, stopping):
        if item is not None:
            yield item


async def until(
    source: AsyncIterator[Item], stopping: asyncio.Event, idle_s: float | None = None
) -> AsyncIterator[Item | None]:
    """The items of `source`, ended in order when the server stops: uvicorn would cancel it and log a traceback.

    None whenever nothing came for `idle_s`.
    """
    ending = asyncio.create_task(stopping.wait())
    item: asyncio.Future[Item] = asyncio.ensure_future(anext(source))
    try:
        while True:
            waiting: set[asyncio.Future[Any]] = {item, ending}
            await asyncio.wait(waiting, timeout=idle_s, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                return
            if not item.done():
                yield None
                continue
            try:
                yield item.result()
            except StopAsyncIteration:
                return
            item = asyncio.ensure_future(anext(source))
    finally:
        ending.cancel()
        item.cancel()
        await asyncio.gather(ending, item, return_exceptions=True)
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
