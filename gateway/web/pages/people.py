"""Users and their roles, tokens for programs, and the browsers that are signed in."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.actors import Role
from gateway.control.client import NotPermitted, NotRunning, Refused, segment
from gateway.web.passwords import Busy, complaint
from gateway.web.sessions import now_s
from gateway.web.visit import Page, Visit

ROLES = (
    ("viewer", "sees everything but the audit log and drafts"),
    ("operator", "writes to devices, too"),
    ("engineer", "changes the configuration, too"),
    ("admin", "everything, people and certificates, too"),
)
PARTS = ("status", "values", "live", "tap", "trend", "tags", "writes", "reads", "config", "events", "logs", "devices")
"""Parts of the API that tokens are often limited to."""
DAYS = (("30 days", "30"), ("A year", "365"), ("Never", ""))
_FORM_BYTES = 16 << 10

Wrong = Mapping[str, str]


async def _users(visit: Visit, wrong: Wrong | None = None, filled: Mapping[str, Any] | None = None) -> Response:
    return visit.render(
        "system_users_list.html" if visit.partial else "system_users.html",
        422 if wrong else 200,
        users=(await visit.get("/v1/accounts/users"))["users"],
        roles=ROLES,
        wrong=wrong or {},
        filled=filled or {},
        here=_signed_in(visit),
        copies=[("Command line", "tidegate user list")],
    )


async def _add_user(visit: Visit) -> Response:
    form = await visit.form()
    name, role, password = str(form.get("name", "")).strip(), str(form.get("role", "")), str(form.get("password", ""))
    try:
        verifier = await _hashed(visit, password, name)
        body = {"name": name, "role": role, "verifier": verifier, "must_change": True}
        await visit.post("/v1/accounts/users", body)
    except _Unfit as unfit:
        return await _users(visit, {"password": str(unfit)}, form)
    except Refused as refused:
        return await _users(visit, {"name": _sentence(refused)}, form)
    visit.services.accounts.forget(name)
    return visit.toast(await _users(visit), f"{name} can sign in now, and has to choose a password of their own.")


async def _user(visit: Visit, wrong: Wrong | None = None) -> Response:
    user = await visit.get(f"/v1/accounts/users/{segment(visit.path['name'])}")
    return visit.render(
        "system_user_parts.html" if visit.partial else "system_user.html",
        422 if wrong else 200,
        user=user,
        roles=ROLES,
        wrong=wrong or {},
        oneself=user["name"] == visit.actor.name,
        sessions=_signed_in(visit).get(user["name"], 0),
        copies=[("Command line", f"tidegate user role {user['name']} {user['role']}")],
    )


async def _change_user(visit: Visit) -> Response:
    form, name = await visit.form(), visit.path["name"]
    at = f"/v1/accounts/users/{segment(name)}"
    action = str(form.get("action", ""))
    try:
        match action:
            case "role":
                await visit.call("PATCH", at, {"role": str(form.get("role", ""))})
                said = f"{name} is {form.get('role')} from now on."
            case "disable" | "enable":
                await visit.call("PATCH", at, {"disabled": action == "disable"})
                said = f"{name} is kept out." if action == "disable" else f"{name} may come in again."
            case "password":
                verifier = await _hashed(visit, str(form.get("password", "")), name)
                await visit.call("PUT", f"{at}/password", {"verifier": verifier, "must_change": True})
                said = f"{name} signs in with it once, and then chooses a password of their own."
            case "remove":
                await visit.call("DELETE", at)
                said = ""
            case _:
                raise HTTPException(400)
    except _Unfit as unfit:
        return await _user(visit, {"password": str(unfit)})
    except Refused as refused:
        return await _user(visit, {action: _sentence(refused)})
    visit.services.accounts.forget(name)
    if action == "remove":
        return visit.goto("/system/users")
    return visit.toast(await _user(visit), said)


async def _tokens(visit: Visit, made: Any = None, wrong: str = "") -> Response:
    return visit.render(
        "system_tokens_list.html" if visit.partial else "system_tokens.html",
        422 if wrong else 200,
        tokens=(await visit.get("/v1/accounts/tokens"))["tokens"],
        roles=ROLES,
        parts=PARTS,
        days=DAYS,
        made=made,
        wrong=wrong,
        copies=[
            ("Command line", "tidegate token list"),
            ("curl", f'curl -H "Authorization: Bearer TOKEN" {visit.request.base_url}api/v1/status'),
        ],
    )


async def _change_token(visit: Visit) -> Response:
    form = await visit.form()
    if form.get("action") == "revoke":
        await visit.call("DELETE", f"/v1/accounts/tokens/{segment(str(form.get('id', '')))}")
        return visit.toast(await _tokens(visit), "It opens nothing any more.")
    days = str(form.get("days", ""))
    body = {
        "name": str(form.get("name", "")).strip(),
        "role": str(form.get("role", "")),
        "scopes": [str(scope) for scope in form.getlist("scope")],
        "days": int(days) if days.isascii() and days.isdigit() else None,
    }
    try:
        made = await visit.post("/v1/accounts/tokens", body)
    except Refused as refused:
        return await _tokens(visit, wrong=_sentence(refused))
    return await _tokens(visit, made)


async def _sessions(visit: Visit) -> Response:
    assert visit.session is not None
    now = now_s()
    everybody = sorted(visit.services.sessions, key=lambda session: (session.user, -session.seen_s))
    return visit.render(
        "system_sessions_list.html" if visit.partial else "system_sessions.html",
        sessions=[
            {
                "id": session.id,
                "user": session.user,
                "role": session.role.value,
                "agent": session.agent or "unknown browser",
                "address": session.address,
                "started_s": now - session.started_s,
                "seen_s": now - session.seen_s,
                "here": session.id == visit.session.id,
            }
            for session in everybody
        ],
    )


async def _end_sessions(visit: Visit) -> Response:
    """One, all of a user, or everybody's but one's own."""
    assert visit.session is not None
    form, sessions = await visit.form(), visit.services.sessions
    one, user = str(form.get("id", "")), str(form.get("user", ""))
    ended = [
        session
        for session in sessions
        if session.id != visit.session.id and (not one or session.id == one) and (not user or session.user == user)
    ]
    for session in ended:
        sessions.end(session.id)
        with contextlib.suppress(NotRunning, NotPermitted, Refused):  # it has ended, whoever knows of it
            await visit.services.accounts.note(session.user, "sign-out", "done", session.address)
    return visit.toast(await _sessions(visit), f"Signed out {len(ended)} browser{'s' if len(ended) != 1 else ''}.")


def _signed_in(visit: Visit) -> dict[str, int]:
    """User → how many browsers."""
    found: dict[str, int] = {}
    for session in visit.services.sessions:
        found[session.user] = found.get(session.user, 0) + 1
    return found


class _Unfit(Exception):
    """A password that can't be taken. The message says why."""


async def _hashed(visit: Visit, password: str, name: str) -> str:
    """Raises _Unfit."""
    if found := complaint(password, name):
        raise _Unfit(found)
    try:
        return await visit.services.passwords.hash(password)
    except Busy as busy:
        raise _Unfit(str(busy)) from None


def _sentence(refused: Refused) -> str:
    return f"{refused}; {refused.mend}" if refused.mend else str(refused)


PAGES = (
    Page("/system/users", _users, Role.ADMIN),
    Page("/system/users", _add_user, Role.ADMIN, ("POST",), _FORM_BYTES),
    Page("/system/users/{name}", _user, Role.ADMIN),
    Page("/system/users/{name}", _change_user, Role.ADMIN, ("POST",), _FORM_BYTES),
    Page("/system/tokens", _tokens, Role.ADMIN),
    Page("/system/tokens", _change_token, Role.ADMIN, ("POST",), _FORM_BYTES),
    Page("/system/sessions", _sessions, Role.ADMIN),
    Page("/system/sessions", _end_sessions, Role.ADMIN, ("POST",), _FORM_BYTES),
)
