"""The way in: the first admin by the claim code, everybody by name and password. No other page is for strangers."""

from __future__ import annotations

import logging
import math
import re

from starlette.responses import RedirectResponse, Response

from gateway.actors import Role
from gateway.control.client import NotPermitted, NotRunning, Refused
from gateway.durations import duration
from gateway.web.passwords import Busy, complaint
from gateway.web.sessions import COOKIE
from gateway.web.throttle import DEVICE_COOKIE
from gateway.web.visit import Page, Visit

log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
"""As the gateway takes names."""
_WRONG = "the name or the password is wrong"
_DEVICE_S = 180 * 86_400
_FORM_BYTES = 16 << 10


async def _show_login(visit: Visit) -> Response:
    if visit.session is not None:
        return RedirectResponse(_next(visit), 303)
    if await visit.services.accounts.claimable():
        return RedirectResponse("/claim", 303)
    return visit.render("login.html", name="", wrong=None, next=_next(visit))


async def _login(visit: Visit) -> Response:
    form = await visit.form()
    name, password = str(form.get("name", "")).strip()[:64], str(form.get("password", ""))
    services, device = visit.services, visit.request.cookies.get(DEVICE_COOKIE)

    def again(wrong: str, status: int, headers: dict[str, str] | None = None) -> Response:
        response = visit.render("login.html", status, name=name, wrong=wrong, next=_next(visit))
        response.headers.update(headers or {})
        return response

    wait_s = services.throttle.wait_s(name, visit.address, device)
    if wait_s > 0:
        seconds = math.ceil(wait_s)
        said = f"too many wrong passwords were tried; try again in {duration(seconds)}"
        return again(said, 429, {"retry-after": str(seconds)})
    account = await services.accounts.find(name)
    usable = account is not None and not account.disabled
    try:
        fits = await services.passwords.fits(password, account.verifier if account is not None and usable else None)
    except Busy as busy:
        return again(f"{busy}; try again in a moment", 503, {"retry-after": "2"})
    if not fits or account is None:
        # Tries that came together are counted one after the other: none is free because others were under way.
        services.throttle.failed(name, visit.address, device)
        await _note(visit, name, "sign-in", "refused")
        return again(_WRONG, 401)
    if services.throttle.wait_s(name, visit.address, device) > 0:
        return again("too many wrong passwords were tried; try again later", 429, {"retry-after": "60"})
    known = services.throttle.passed(account.name, visit.address, device)
    await _note(visit, account.name, "sign-in", "done")
    response = RedirectResponse("/account/password" if account.must_change else _next(visit), 303)
    begin(visit, response, account.name, account.role, account.version, must_change=account.must_change)
    _set_cookie(response, DEVICE_COOKIE, known, _DEVICE_S)
    return response


async def _show_claim(visit: Visit) -> Response:
    if not await visit.services.accounts.claimable():
        return RedirectResponse("/login", 303)
    return visit.render("claim.html", code="", name="", wrong={}, refused=None)


async def _claim(visit: Visit) -> Response:
    services = visit.services
    if not await services.accounts.claimable():
        return RedirectResponse("/login", 303)
    if (wait_s := services.throttle.wait_of_claim_s(visit.address)) > 0:
        said = "too many wrong claim codes were tried", f"try again in {duration(math.ceil(wait_s))}"
        asked_again = visit.render("claim.html", 429, code="", name="", wrong={}, refused=said)
        asked_again.headers["retry-after"] = str(math.ceil(wait_s))
        return asked_again
    form = await visit.form()
    code, name = str(form.get("code", "")).strip()[:64], str(form.get("name", "")).strip()[:64]
    password, repeated = str(form.get("password", "")), str(form.get("again", ""))
    wrong: dict[str, str] = {}
    if found := complaint(password, name):
        wrong["password"] = found
    elif password != repeated:
        wrong["again"] = "it isn't the same"
    if not _NAME.fullmatch(name):
        wrong["name"] = "take 1 to 64 letters, digits and . _ @ -, beginning with a letter or a digit"
    if not code:
        wrong["code"] = "it is on the console, and in the gateway's log"

    def again(status: int, wrong: dict[str, str], refused: tuple[str, str | None] | None = None) -> Response:
        return visit.render("claim.html", status, code=code, name=name, wrong=wrong, refused=refused)

    if wrong:
        return again(422, wrong)
    # Before the password is hashed, so that those who come together are counted one after the other.
    services.throttle.wrong_claim(visit.address)
    try:
        verifier = await services.passwords.hash(password)
        await services.accounts.claim(code, name, verifier, visit.address)
    except Busy as busy:
        return again(503, {}, (f"{busy}", "try again in a moment"))
    except Refused as refused:
        return again(422, {}, (str(refused), refused.mend))
    known = services.throttle.passed(name, visit.address, None)
    response = RedirectResponse("/", 303)
    account = await services.accounts.find(name)
    begin(visit, response, name, Role.ADMIN, account.version if account is not None else 1)
    _set_cookie(response, DEVICE_COOKIE, known, _DEVICE_S)
    return response


async def _logout(visit: Visit) -> Response:
    assert visit.session is not None
    visit.services.sessions.end(visit.session.id)
    await _note(visit, visit.session.user, "sign-out", "done")
    response = RedirectResponse("/login", 303)
    _set_cookie(response, COOKIE, "", 0)
    response.headers["clear-site-data"] = '"cache", "storage"'
    return response


def begin(visit: Visit, response: Response, user: str, role: Role, version: int, *, must_change: bool = False) -> None:
    """A fresh session, whatever cookie the browser came with."""
    if visit.session is not None:
        visit.services.sessions.end(visit.session.id)
    agent = visit.request.headers.get("user-agent", "")
    cookie = visit.services.sessions.begin(user, role, visit.address, agent, version, must_change=must_change)
    _set_cookie(response, COOKIE, cookie, None)


def renew(visit: Visit, response: Response, cookie: str) -> None:
    """The session goes on under another cookie."""
    _set_cookie(response, COOKIE, cookie, None)


def _set_cookie(response: Response, name: str, value: str, max_age_s: int | None) -> None:
    response.set_cookie(name, value, max_age=max_age_s, path="/", secure=True, httponly=True, samesite="strict")


def _next(visit: Visit) -> str:
    """Where to go after the sign-in: a path of ours, whatever somebody put into the link."""
    path = visit.query.get("next", "/")
    good = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if good else "/"


async def _note(visit: Visit, name: str, action: str, outcome: str) -> None:
    try:
        await visit.services.accounts.note(name, action, outcome, visit.address)
    except (NotRunning, NotPermitted, Refused) as error:
        log.warning("%s of %s (%s) isn't in the audit log: %s", action, name, outcome, error)


PAGES: tuple[Page, ...] = (
    Page("/login", _show_login, role=None),
    Page("/login", _login, role=None, methods=("POST",), max_body=_FORM_BYTES),
    Page("/claim", _show_claim, role=None),
    Page("/claim", _claim, role=None, methods=("POST",), max_body=_FORM_BYTES),
    Page("/logout", _logout, methods=("POST",), max_body=_FORM_BYTES, unchanged=True),
)
