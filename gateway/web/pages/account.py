"""One's own account: password, and the browsers that are signed in."""

from __future__ import annotations

from typing import Any

from starlette.responses import RedirectResponse, Response

from gateway.web.pages.signin import renew
from gateway.web.passwords import Busy, complaint
from gateway.web.sessions import COOKIE, now_s
from gateway.web.visit import Page, Visit

_FORM_BYTES = 16 << 10


async def _show(visit: Visit) -> Response:
    return visit.render("account.html", sessions=_sessions(visit))


async def _alive(_: Visit) -> Response:
    """For a page that is cut off from its values: whether that is because its session has ended (401 then)."""
    return Response(status_code=204)


async def _sign_out_others(visit: Visit) -> Response:
    assert visit.session is not None
    ended = visit.services.sessions.end_all(visit.session.user, but=visit.session.id)
    said = "Nobody else was signed in." if not ended else f"Signed out {ended} other browser{'s' if ended > 1 else ''}."
    return visit.toast(visit.render("account_sessions.html", sessions=_sessions(visit)), said)


async def _show_password(visit: Visit) -> Response:
    assert visit.session is not None
    return visit.render("password.html", wrong={}, forced=visit.session.must_change)


async def _password(visit: Visit) -> Response:
    assert visit.session is not None
    session, services = visit.session, visit.services
    form = await visit.form()
    current, fresh, repeated = (str(form.get(field, "")) for field in ("current", "password", "again"))
    wrong: dict[str, str] = {}
    account = await services.accounts.find(session.user)
    if wait_s := services.throttle.wait_s(session.user, visit.address, f"session {session.id}"):
        wrong["current"] = f"too many wrong passwords were tried; try again in {wait_s:.0f} s"
    if found := complaint(fresh, session.user):
        wrong["password"] = found
    elif fresh != repeated:
        wrong["again"] = "it isn't the same"
    elif fresh == current:
        wrong["password"] = "it is the one you have"
    try:
        if not wrong and not await services.passwords.fits(current, account.verifier if account else None):
            services.throttle.failed(session.user, visit.address, f"session {session.id}")
            wrong["current"] = "it is wrong"
        if wrong:
            return visit.render("password.html", 422, wrong=wrong, forced=session.must_change)
        await services.accounts.set_password(visit.actor, await services.passwords.hash(fresh))
    except Busy as busy:
        return visit.render("password.html", 503, wrong={"current": str(busy)}, forced=session.must_change)
    changed = await services.accounts.find(session.user)
    services.sessions.end_all(session.user, but=session.id)
    response = RedirectResponse("/account", 303)
    cookie = services.sessions.renew(visit.request.cookies[COOKIE], changed.version if changed else 0)
    if cookie is not None:
        renew(visit, response, cookie)
    return response


def _sessions(visit: Visit) -> list[dict[str, Any]]:
    assert visit.session is not None
    now = now_s()
    mine = [session for session in visit.services.sessions if session.user == visit.session.user]
    return [
        {
            "agent": session.agent or "unknown browser",
            "address": session.address,
            "started_s": now - session.started_s,
            "seen_s": now - session.seen_s,
            "here": session.id == visit.session.id,
        }
        for session in sorted(mine, key=lambda session: session.seen_s, reverse=True)
    ]


PAGES: tuple[Page, ...] = (
    Page("/account", _show),
    Page("/session", _alive, unchanged=True),
    Page("/account/sign-out-others", _sign_out_others, methods=("POST",), max_body=_FORM_BYTES),
    Page("/account/password", _show_password, unchanged=True),
    Page("/account/password", _password, methods=("POST",), max_body=_FORM_BYTES, unchanged=True),
)
