"""What a page is made of: a section of the menu, its pages, and one visit to one of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.actors import Actor, Role
from gateway.web.accounts import Pass
from gateway.web.sessions import COOKIE, Session, csrf_token

if TYPE_CHECKING:
    from gateway.web.services import Services

CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"
THEME_COOKIE = "tidegate-theme"


@dataclass(frozen=True, slots=True)
class Page:
    """One path of the page, and what it needs. Whoever isn't signed in gets only pages whose `role` is None."""

    path: str
    """As Starlette writes it: ``/devices/{name}``."""
    handle: Callable[[Visit], Awaitable[Response]]
    role: Role | None = Role.VIEWER
    """The least that may see it. None: everybody, which a test lists one by one."""
    methods: tuple[str, ...] = ("GET",)
    max_body: int = 256 << 10
    """Bytes a form or an upload may have."""
    tokens: bool = False
    """Whether a program may come with a token instead of a session."""
    unchanged: bool = False
    """Whether somebody may see it who has yet to choose a password of their own."""


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of the menu."""

    title: str
    path: str
    icon: str
    """Name of a symbol in ``frontend/icons``."""
    pages: tuple[Page, ...]


def address_of(request: Request) -> str:
    """Of who asks."""
    return request.client.host if request.client is not None else ""


@dataclass(eq=False)
class Visit:
    """One request to one page by one person."""

    request: Request
    services: Services
    page: Page
    session: Session | None
    token: Pass | None = None

    @property
    def actor(self) -> Actor:
        """For whom calls are made. Only where the page has a role."""
        if self.token is not None:
            return self.token.actor
        assert self.session is not None, "a page without a role has no actor"
        return self.session.actor

    @property
    def address(self) -> str:
        """Of who asks."""
        return address_of(self.request)

    @property
    def path(self) -> Mapping[str, str]:
        """What stands for the names in braces."""
        return self.request.path_params

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    @property
    def partial(self) -> bool:
        """Whether htmx or an element asks for a part of a page, to be put into one that is open."""
        headers = self.request.headers
        return headers.get("hx-request") == "true" and headers.get("hx-request-type") != "full"

    @cached_property
    def csrf(self) -> str:
        cookie = self.request.cookies.get(COOKIE)
        return csrf_token(cookie) if cookie and self.session is not None else ""

    @property
    def theme(self) -> str | None:
        """Light or dark, where this browser chose one."""
        theme = self.request.cookies.get(THEME_COOKIE)
        return theme if theme in {"light", "dark"} else None

    def at(self, section: Section) -> bool:
        """Whether this is a page of `section`."""
        path = self.request.url.path
        return path == section.path or (section.path != "/" and path.startswith(f"{section.path}/"))

    async def form(self) -> FormData:
        """The fields of a form, at most `Page.max_body` bytes. Its CSRF token was checked before."""
        return await self.request.form()

    async def get(self, target: str, **query: Any) -> Any:
        """A document of the control API. Raises NotRunning, NotPermitted or Refused, which become a page by
        themselves."""
        return await self.services.control.get(self.actor, target, **query)

    async def post(self, target: str, body: Any = None, **query: Any) -> Any:
        return await self.services.control.post(self.actor, target, body, **query)

    async def call(self, method: str, target: str, body: Any = None, **query: Any) -> Any:
        return await self.services.control.call(self.actor, method, target, query, body)

    def may(self, role: str) -> bool:
        """Whether this person may do what `role` is needed for: templates hide what they can't do."""
        return self.session is not None and self.session.role.covers(Role(role))

    def render(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """`template` under ``templates/``; it sees `visit` and what is named here."""
        body = self.services.view.render(template, visit=self, **context)
        return HTMLResponse(body, status, headers={"cache-control": "no-store"})

    def goto(self, path: str) -> Response:
        """Send the browser to another page, be it by htmx or by a form."""
        if self.request.headers.get("hx-request") == "true":
            return Response(status_code=204, headers={"hx-redirect": path})
        return RedirectResponse(path, 303)

    def toast(self, response: Response, sentence: str, kind: str = "good") -> Response:
        """Say something on the page that is open, beside what `response` puts into it."""
        response.headers["hx-trigger"] = json.dumps({"tg:say": {"kind": kind, "text": sentence}})
        return response
