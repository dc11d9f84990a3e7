"""What went wrong, as a page, as a part of one, or as a problem document: in the form of what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from gateway.control.client import NotPermitted, NotRunning, Refused
from gateway.web.guard import session_of, unknown
from gateway.web.services import Services
from gateway.web.visit import Page, Visit


@dataclass(frozen=True, slots=True)
class _Failure:
    status: int
    code: str
    said: str
    """One sentence."""
    mend: str | None = None
    problems: Sequence[Mapping[str, Any]] = ()


class Failures:
    """Handlers of exceptions, for Starlette."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = error.status_code
        if status == HTTPStatus.NOT_FOUND and request.scope.get("endpoint") is None:
            if await session_of(self._services, request) is None:
                return unknown(request)
            return await self._told(request, _Failure(404, "no-such-page", f"there is nothing at {request.url.path}"))
        phrase = HTTPStatus(status).phrase
        said = error.detail if error.detail != phrase else f"the page answers: {phrase.lower()}"
        response = await self._told(request, _Failure(status, phrase.lower().replace(" ", "-"), said))
        response.headers.update(error.headers or {})
        return response

    async def offline(self, request: Request, error: Exception) -> Response:
        mend = "the page comes back by itself as soon as the gateway answers"
        return await self._told(request, _Failure(503, "gateway-offline", str(error), mend))

    async def crowded(self, request: Request, error: Exception) -> Response:
        said, mend = "you have too much under way", "wait for what you asked for, then try again"
        response = await self._told(request, _Failure(429, "too-many-calls", said, mend))
        response.headers["retry-after"] = "1"
        return response

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return await self._told(
            request, _Failure(error.status, error.code or "refused", str(error), error.mend, error.problems)
        )

    async def flaw(self, request: Request, _: Exception) -> Response:
        # Starlette raises it again afterwards, and the shield puts it into the log.
        said, mend = "the page has a flaw and couldn't do this", "the log has the details; please report them"
        return await self._told(request, _Failure(500, "flaw", said, mend))

    async def _told(self, request: Request, failure: _Failure) -> Response:
        try:
            session = await session_of(self._services, request)
        except (NotRunning, NotPermitted, Refused):
            session = None
        visit = Visit(request, self._services, Page(request.url.path, self._nothing), session)
        if "text/html" not in request.headers.get("accept", "") and not visit.partial:
            body = {
                "type": "about:blank",
                "title": HTTPStatus(failure.status).phrase,
                "status": failure.status,
                "code": failure.code,
                "detail": failure.said,
                "mend": failure.mend,
                **({"problems": list(failure.problems)} if failure.problems else {}),
            }
            return JSONResponse(body, failure.status, media_type="application/problem+json")
        # Of ours alone: a path that begins with two slashes would be another host.
        again = f"/{request.scope['path'].lstrip('/')}" if request.method == "GET" else "/"
        template = "failure_part.html" if visit.partial else "failure.html"
        page = self._services.view.render(template, visit=visit, failure=failure, again=quote(again))
        return HTMLResponse(page, failure.status)

    async def _nothing(self, _: Visit) -> Response:
        raise HTTPException(404)
