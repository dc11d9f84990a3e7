"""Between the network and a page: who asks, whether they may, and whether their own browser meant it.

Nothing is served around it: routes are made from pages here and nowhere else.
"""

from __future__ import annotations

import hmac
import logging
import math
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.control.client import NotPermitted, NotRunning, Refused
from gateway.web.accounts import Pass, TooFast
from gateway.web.sessions import COOKIE, Session, csrf_token
from gateway.web.visit import CSRF_FIELD, CSRF_HEADER, Page, Visit, address_of

if TYPE_CHECKING:
    from gateway.web.services import Services

log = logging.getLogger(__name__)

SAFE = frozenset({"GET", "HEAD"})
_CHALLENGE = {"www-authenticate": 'Bearer realm="tidegate"'}
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

# Everything from our own origin and nothing from elsewhere; no script or style inside a page.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types tidegate",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), serial=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Shield:
    """Around everything: puts the security headers on every answer, errors too, and flaws into the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except Exception:
            # Answered already, as a page that says so: what is left is to say what it was.
            log.exception("%s %s failed", scope.get("method"), scope.get("path"))


def route(services: Services, page: Page) -> Route:
    """The route of a page, guarded."""

    async def endpoint(request: Request) -> Response:
        if page.tokens and "authorization" in request.headers:
            return await page.handle(Visit(request, services, page, None, await token_of(services, request)))
        session = await session_of(services, request)
        if page.role is not None:
            refusal = _refusal(request, page, session)
            if refusal is not None:
                return refusal
        if request.method not in SAFE:
            await check_intent(request, session, by_form=not page.tokens)
        return await page.handle(Visit(request, services, page, session))

    return Route(page.path, endpoint, methods=list(page.methods), max_body_size=page.max_body)


async def session_of(services: Services, request: Request) -> Session | None:
    """Whose browser this is: a session that stands, of an account as it was when it began."""
    cookie = request.cookies.get(COOKIE)
    session = services.sessions.find(cookie) if cookie else None
    if session is not None and not await services.accounts.stands(session.user, session.version):
        services.sessions.end(session.id)
        return None
    return session


async def still_in(visit: Visit) -> bool:
    """Whether whoever asked for something that takes long may still come in."""
    services, session = visit.services, visit.session
    if session is not None:
        return services.sessions.alive(session.id) and await services.accounts.stands(session.user, session.version)
    try:
        await token_of(services, visit.request)
    except (HTTPException, Refused):
        return False
    except (NotRunning, NotPermitted):
        return True
    return True


async def token_of(services: Services, request: Request) -> Pass:
    """Raises HTTPException (401, 403) or what a call raises. Cookies count for nothing then."""
    kind, _, token = request.headers["authorization"].partition(" ")
    if kind.lower() != "bearer":
        raise HTTPException(401, "a token is given as: Authorization: Bearer TOKEN", _CHALLENGE)
    part = request.path_params["path"].partition("/")[0]
    try:
        return await services.accounts.admit(token.strip(), part, address_of(request))
    except TooFast as fast:
        said, retry = "too many tokens that aren't known were tried", {"retry-after": str(math.ceil(fast.wait_s))}
        raise HTTPException(429, said, retry) from None
    except Refused as refused:
        if refused.code == "out-of-scope" or refused.status >= 500:
            raise
        raise HTTPException(401, str(refused), _CHALLENGE) from None


def _refusal(request: Request, page: Page, session: Session | None) -> Response | None:
    if session is None:
        return unknown(request)
    assert page.role is not None
    if session.must_change and not page.unchanged:
        return elsewhere(request, "/account/password")
    if not session.role.covers(page.role):
        raise HTTPException(403, f"this needs the role {page.role}, and you are {session.role}")
    return None


def elsewhere(request: Request, path: str) -> Response:
    """To another page first, by the way that fits who asks."""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=204, headers={"hx-redirect": path})
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(path, 303)
    raise HTTPException(403, f"something else is to be done first, at {path}")


def unknown(request: Request) -> Response:
    """For whoever isn't signed in: to the sign-in, by the way that fits who asks."""
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={"hx-redirect": "/login"})
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/login" if back == "/" else f"/login?next={quote(back, safe='')}", 303)
    body = {"type": "about:blank", "title": "Unauthorized", "status": 401, "code": "not-signed-in"}
    return JSONResponse({**body, "detail": "nobody is signed in"}, 401, media_type="application/problem+json")


async def check_intent(request: Request, session: Session | None, *, by_form: bool = True) -> None:
    """That a request which changes something was meant by whoever holds the cookie. Raises HTTPException (403).

    Three independent witnesses: what the browser says of the request's origin, in two headers, and for a session a
    token that only our own pages hold. `by_form`: it may stand in a form; else only in a header.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        raise HTTPException(403, "this came from another site")
    origin = request.headers.get("origin")
    if origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host', '')}":
        raise HTTPException(403, "this came from another site")
    if session is None:
        return
    given = request.headers.get(CSRF_HEADER)
    if given is None and by_form and request.headers.get("content-type", "").partition(";")[0] in _FORMS:
        field = (await request.form()).get(CSRF_FIELD)
        given = field if isinstance(field, str) else None
    if given is None or not hmac.compare_digest(given.encode(), csrf_token(request.cookies[COOKIE]).encode()):
        raise HTTPException(403, "the form is out of date; load the page again")
