"""The page as an ASGI application."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.control.client import NotPermitted, NotRunning, Refused
from gateway.web import api
from gateway.web.assets import Assets
from gateway.web.control import ControlGateway
from gateway.web.guard import Shield, route, session_of, unknown
from gateway.web.pages import devices, overview
from gateway.web.sessions import Sessions
from gateway.web.view import View
from gateway.web.visit import Page, Section, Visit

SECTIONS: tuple[Section, ...] = (overview.SECTION, devices.SECTION)
"""The menu, in its order: Overview, Devices, Tags, Namespace, Delivery, Diagnostics, Changes, System."""
PAGES: tuple[Page, ...] = (*(page for section in SECTIONS for page in section.pages), *api.PAGES)
"""Every path there is."""


@dataclass(frozen=True, slots=True)
class Services:
    """What pages stand on."""

    control: ControlGateway
    sessions: Sessions
    view: View
    api: api.Directory


def create_app(control: ControlGateway, sessions: Sessions, *, pages: Sequence[Page] = PAGES) -> ASGIApp:
    """The whole page for one gateway."""
    return Shield(_routed(control, sessions, pages))


def _routed(control: ControlGateway, sessions: Sessions, pages: Sequence[Page]) -> Starlette:
    assets = Assets()
    services = Services(control, sessions, View(assets, SECTIONS), api.Directory(control))
    handlers = _Failures(services)
    return Starlette(
        routes=[
            Route("/static/{name}", assets.serve),
            *(route(services, page) for page in pages),
        ],
        exception_handlers={
            HTTPException: handlers.http,
            NotRunning: handlers.offline,
            NotPermitted: handlers.offline,
            Refused: handlers.refused,
            Exception: handlers.flaw,
        },
    )


class _Failures:
    """What went wrong, as a page, as a part of one, or as a problem document: whatever was asked for."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == HTTPStatus.NOT_FOUND:
            if session_of(self._services, request) is None:
                return unknown(request)
            return self._told(request, 404, "no-such-page", f"there is nothing at {request.url.path}", None)
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "-")
        said = error.detail if error.detail != phrase else phrase.lower()
        response = self._told(request, error.status_code, code, said, None)
        response.headers.update(error.headers or {})
        return response

    async def offline(self, request: Request, error: Exception) -> Response:
        mend = "the page comes back by itself as soon as the gateway answers"
        return self._told(request, 503, "gateway-offline", str(error), mend)

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return self._told(request, error.status, error.code, str(error), error.mend, error)

    async def flaw(self, request: Request, error: Exception) -> Response:
        # Starlette raises it again afterwards, so that it stands in the log with its traceback.
        said = "the page has a flaw and couldn't do this"
        return self._told(request, 500, "flaw", said, "the log has the details; please report them")

    def _told(
        self, request: Request, status: int, code: str, said: str, mend: str | None, refused: Refused | None = None
    ) -> Response:
        session = session_of(self._services, request)
        visit = Visit(request, self._services, Page(request.url.path, overview.show), session)
        if "text/html" not in request.headers.get("accept", "") and not visit.partial:
            body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
            more = dict(refused.body) if refused is not None else {}
            return JSONResponse(
                {**body, "code": code, "detail": said, "mend": mend, **more},
                status,
                media_type="application/problem+json",
            )
        template = "failure_part.html" if visit.partial else "failure.html"
        problems = refused.problems if refused is not None else ()
        body_text = self._services.view.render(
            template, visit=visit, status=status, code=code, said=said, mend=mend, problems=problems
        )
        return HTMLResponse(body_text, status)
