"""Overview: whether everything is well, at one glance; and where nothing is configured yet, the first steps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from gateway.web.condition import devices_of
from gateway.web.pages import first_steps
from gateway.web.provisioned import report
from gateway.web.visit import Page, Section, Visit

_SHOWN_REPAIRS = 3
_KINDS = {"error": "bad", "warning": "warn", "notice": "info"}
_WORST_FIRST = ("bad", "uncertain", "off", "good")


async def show(visit: Visit) -> Response:
    return await _render(visit, "overview.html")


async def _part(visit: Visit) -> Response:
    return await _render(visit, "overview_live.html")


async def _render(visit: Visit, template: str) -> Response:
    status, repairs, forecasts = await asyncio.gather(
        visit.get("/v1/status"), visit.get("/v1/repairs"), visit.get("/v1/forecasts")
    )
    devices = sorted(devices_of(status["southbound"]["links"]), key=lambda device: _WORST_FIRST.index(device["kind"]))
    sinks = list(_sinks(status, forecasts))
    done, told = first_steps.finished(status), first_steps.SEEN_COOKIE in visit.request.cookies
    response = visit.render(
        template,
        gateway={**status["gateway"], "place": " / ".join(status["gateway"]["location"])},
        devices=devices,
        sinks=sinks,
        tags=_tags(devices),
        held=max((sink["held"] for sink in sinks), default=0),
        repairs=[{**repair, "kind": _KINDS.get(repair["severity"], "info")} for repair in repairs[:_SHOWN_REPAIRS]],
        more_repairs=max(0, len(repairs) - _SHOWN_REPAIRS),
        steps=None if done else await first_steps.steps(visit, status) if visit.may("engineer") else (),
        arrived=_arrived(status) if done and told else None,
        provisioned=_provisioned(visit) if visit.may("admin") else None,
        copies=[
            ("Command line", "tidegate status"),
            ("curl", "curl --unix-socket /run/tidegate/control.sock http://gateway/v1/status"),
        ],
    )
    if not done and not told:
        response.set_cookie(first_steps.SEEN_COOKIE, "1", path="/", secure=True, httponly=True, samesite="strict")
    return response


def _arrived(status: dict[str, Any]) -> dict[str, Any]:
    """What was delivered so far, and how to see it from outside."""
    sink = next((each for each in status["sinks"].values() if each["messages"]), next(iter(status["sinks"].values())))
    host, _, port = sink["broker"].rpartition(":")
    place = "/".join(status["gateway"]["location"])
    return {
        "messages": sink["messages"],
        "broker": sink["broker"],
        "command": f"mosquitto_sub -h {host} -p {port} -V 5 -t '+/v1/{place}/#' -v",
    }


def _provisioned(visit: Visit) -> str | None:
    """A sentence about a provisioning file of which something was refused."""
    found = report(visit.services.state)
    settings = found["settings"] if found is not None else []
    refused = sum(setting["outcome"] == "refused" for setting in settings)
    return f"{refused} of {len(settings)} settings of the provisioning file were refused" if refused else None


def _sinks(status: dict[str, Any], forecasts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, sink in status["sinks"].items():
        held = status["journal"]["sinks"][name]["pending"]
        # A broker that is away is no fault of the gateway's: values wait, and nothing is lost.
        kind, word = ("good", "Connected") if sink["connected"] else ("buffering", "Buffering")
        yield {
            "name": name,
            "broker": sink["broker"],
            "kind": kind,
            "word": word,
            "messages": sink["messages"],
            "values": sink["values"],
            "p99_ms": sink["latency_p99_ms"],
            "held": held,
            "detail": forecasts[name]["sentence"] if name in forecasts and held else "",
        }


def _tags(devices: list[dict[str, Any]]) -> dict[str, Any]:
    """All of them, and how many can't be trusted: of a device that doesn't answer that is every one."""
    bad = sum(device["tags"] if device["kind"] in {"bad", "off"} else device["bad"] for device in devices)
    tags = sum(device["tags"] for device in devices)
    return {"all": tags, "note": f"{bad} bad" if bad else "none bad" if tags else "none yet"}


SECTION = Section(
    "Overview",
    "/",
    "overview",
    (Page("/", show), Page("/overview/live", _part), *first_steps.PAGES),
)
