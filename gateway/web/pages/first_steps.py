"""First steps: what is left to do until the first value has arrived; and where the gateway stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from gateway.actors import Role
from gateway.control.client import Refused
from gateway.web.pages import machine
from gateway.web.visit import Page, Visit

SEEN_COOKIE = "__Host-first-steps"
"""Whoever was shown the steps is told when the last one is done."""
_STARTER = ["enterprise", "site"]
"""The place in a configuration that was written at the first start."""
_KEYS = ("id", "enterprise", "site")


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    about: str
    done: bool
    href: str = ""
    link: str = ""
    next: bool = False
    """Whether it is the one to do now."""


def finished(status: Mapping[str, Any]) -> bool:
    """Whether a value has arrived. A later start of the gateway counts anew, so it then is enough that one can."""
    devices = any(link["devices"] for link in status["southbound"]["links"].values())
    arrived = any(sink["messages"] for sink in status["sinks"].values()) or status["gateway"]["boot"] > 1
    return devices and bool(status["sinks"]) and arrived


async def steps(visit: Visit, status: Mapping[str, Any]) -> Sequence[Step]:
    """What is left to do, for those who may do it."""
    config = await visit.get("/v1/config")
    drafted = await _drafted(visit) if config["draft"] else {}
    unplaced = status["gateway"]["location"] == _STARTER
    devices = any(link["devices"] for link in status["southbound"]["links"].values())
    sinks = bool(status["sinks"])
    waits = config["pending"] is not None
    ready = not waits and bool(drafted)
    complete = (devices or "device" in drafted) and (sinks or "sink" in drafted)
    found = [
        Step(
            "Add a device",
            _in_draft(
                "Choose how it is connected, test the connection step by step, pick the tags.", drafted, "device"
            ),
            devices or "device" in drafted,
            "/devices/add",
            "Add a device",
        ),
        Step(
            "Name a broker",
            _in_draft("Where values go: any MQTT broker. It is tested before anything is kept.", drafted, "sink"),
            sinks or "sink" in drafted,
            "/delivery/add",
            "Name a broker",
        ),
        Step(
            "Apply the draft",
            "It runs already: confirm it, or it is taken back by itself."
            if waits
            else "What you set up waits in a draft: look at it, try it, apply it, confirm it."
            if ready
            else "What you set up goes into a draft first. Nothing runs before you say so.",
            devices and sinks and not waits and not drafted,
            "/changes" if waits or ready else "",
            "Confirm it" if waits else "Look at it and apply it",
        ),
        Step(
            "See the first value arrive",
            "The gateway waits for the broker's acknowledgement: it is said here."
            if devices and sinks
            else "It is said here when the broker has acknowledged the first message.",
            done=False,
        ),
    ]
    if unplaced or {"enterprise", "site"} & drafted.get("gateway", set()):
        place = Step(
            "Say where it stands",
            "Every topic begins with enterprise and site. They are easily changed now, and hardly once others listen.",
            not unplaced or bool(drafted.get("gateway")),
            "/place",
            "Say where",
        )
        found.insert(0, place)
    standing = await machine.standing(visit) if visit.may("admin") else None
    if standing is not None:
        well, about = standing
        found.insert(
            1 if unplaced else 0,
            Step("Set network and time", about, well, "/system/machine", "Set network and time"),
        )
    todo = "Apply the draft" if complete else next((each.title for each in found if not each.done), "")
    return [Step(each.title, each.about, each.done, each.href, each.link, each.title == todo) for each in found]


def _in_draft(about: str, drafted: Mapping[str, set[str]], section: str) -> str:
    names = ", ".join(sorted(drafted.get(section, ())))
    return f"In the draft: {names}." if names else about


async def _drafted(visit: Visit) -> dict[str, set[str]]:
    """Section → names of tables, or keys, that the draft adds or changes."""
    try:
        changes = (await visit.get("/v1/config/draft/diff"))["changes"] or []
    except Refused:  # gone just now
        return {}
    found: dict[str, set[str]] = {}
    for change in changes:
        section, *rest = change["path"]
        if change["what"] != "removed":
            found.setdefault(section, set()).update(rest[:1])
    return found


async def _place(visit: Visit) -> Response:
    gateway = (await visit.get("/v1/status"))["gateway"]
    enterprise, site = ("", "") if gateway["location"] == _STARTER else gateway["location"][:2]
    values = {"id": gateway["id"], "enterprise": enterprise, "site": site}
    return visit.render("place.html", values=values, wrong={})


async def _keep_place(visit: Visit) -> Response:
    form = await visit.form()
    gateway = (await visit.get("/v1/status"))["gateway"]
    before = dict(zip(_KEYS, (gateway["id"], *gateway["location"]), strict=False))
    values = {key: str(form.get(key, "")).strip() for key in _KEYS}
    wrong = {key: "it is needed" for key, text in values.items() if not text}
    if wrong:
        return visit.render("place.html", 422, values=values, wrong=wrong)
    edits = [
        {"op": "set", "path": ["gateway", key], "value": text} for key, text in values.items() if before[key] != text
    ]
    if edits:
        await visit.call("PATCH", "/v1/config/draft", {"edits": edits})
        problems = (await visit.get("/v1/config/draft/validate"))["problems"]
        wrong = {key: each["message"] for each in problems for key in _KEYS if each["field"] == f"gateway.{key}"}
        if wrong:
            return visit.render("place.html", 422, values=values, wrong=wrong)
    return visit.goto("/")


async def _forget(visit: Visit) -> Response:
    """The first message was seen to arrive: no more of it."""
    response = visit.goto("/")
    response.set_cookie(SEEN_COOKIE, "", max_age=0, path="/", secure=True, httponly=True, samesite="strict")
    return response


PAGES = (
    Page("/place", _place, Role.ENGINEER),
    Page("/place", _keep_place, Role.ENGINEER, ("POST",)),
    Page("/first-steps", _forget, methods=("POST",)),
)
