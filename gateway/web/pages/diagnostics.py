"""Diagnostics: what needs repair, why a tag doesn't arrive, what goes over the wire, the log, tests, what happened."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from gateway.actors import Role
from gateway.web.pages import why
from gateway.web.visit import Page, Section, Visit

SEVERITIES: Mapping[str, tuple[str, str]] = {
    "error": ("bad", "Error"),
    "warning": ("uncertain", "Warning"),
    "notice": ("buffering", "Notice"),
}
"""As kind and word of a state. A notice isn't red: nothing is lost."""
_PLACES = (
    ("/devices/named/", "Go to the device"),
    ("/devices", "Go to the devices"),
    ("/delivery", "Go to Delivery"),
    ("/changes", "Go to Changes"),
    ("/system", "Go to System"),
)
LEVELS = ("debug", "info", "warning", "error")
SPANS = ((30, "30 s"), (60, "60 s"), (300, "5 min"), (900, "15 min"))
"""For how long a trace may be, in s."""
_EVENTS_SHOWN = 200
_CURL = "curl --unix-socket /run/tidegate/control.sock http://gateway"


async def _repairs(visit: Visit) -> Response:
    return visit.render(
        "repairs.html",
        repairs=await _found(visit),
        copies=[("Command line", "tidegate doctor"), ("curl", f"{_CURL}/v1/repairs")],
    )


async def _repairs_part(visit: Visit) -> Response:
    return visit.render("repairs_live.html", repairs=await _found(visit))


async def _found(visit: Visit) -> list[dict[str, Any]]:
    return [
        {
            **repair,
            "kind": SEVERITIES[repair["severity"]][0],
            "word": SEVERITIES[repair["severity"]][1],
            "link": next((words for place, words in _PLACES if repair["page"].startswith(place)), "Go there"),
            "more": list(_more(visit, repair["command"])),
        }
        for repair in await visit.get("/v1/repairs")
    ]


def _more(visit: Visit, command: str) -> Iterator[tuple[str, str]]:
    """What the command would do, by a click: (path, words)."""
    match command.split(maxsplit=2):
        case ["tidegate", "why", tag]:
            yield f"/diagnostics/why?tag={quote(tag)}", "Follow its way"
        case ["tidegate", "test", device] if visit.may("engineer"):
            yield f"/diagnostics/test?device={quote(device)}", "Test the way to it"


async def _events(visit: Visit) -> Response:
    return visit.render("events.html", events=await _past(visit), copies=[("curl", f"{_CURL}/v1/events/recent")])


async def _events_part(visit: Visit) -> Response:
    return visit.render("events_live.html", events=await _past(visit))


async def _past(visit: Visit) -> list[dict[str, Any]]:
    """The newest first."""
    past = await visit.get("/v1/events/recent", limit=_EVENTS_SHOWN)
    return [event for each in reversed(past) if (event := _event(each)) is not None]


def _event(past: Mapping[str, Any]) -> dict[str, Any] | None:
    """In words. None for what is only news of something that has a page of its own."""
    change = past["change"]
    href = None
    detail = change.get("detail", "")
    match past["event"]:
        case "device":
            name = change["device"]
            href = f"/devices/named/{quote(name, safe='')}"
            kind, word = {"normal": ("good", "answers"), "failure": ("bad", "doesn't answer")}.get(
                change["state"], ("off", f"is {change['state']}")
            )
        case "link":
            name = f"Link {change['link']}"
            href = "/devices"
            kind, word = {"up": ("good", "is up"), "down": ("bad", "is down"), "crashed": ("bad", "has crashed")}.get(
                change["state"], ("off", f"is {change['state']}")
            )
        case "sink":
            name = change["sink"]
            href = "/delivery"
            kind, word = ("good", "is connected") if change["connected"] else ("buffering", "is away: values wait")
        case "alarm":
            name = "Journal"
            kind, word = ("bad", change["alarm"]) if change["active"] else ("good", f"{change['alarm']} is over")
            detail = change["message"]
        case "config":
            name = "Configuration"
            href = "/changes"
            kind, word = "off", str(change["state"]).replace("-", " ")
        case "machine":
            name = "Machine"
            href = "/system/machine"
            kind, word = "off", str(change["state"]).replace("-", " ")
        case _:
            return None
    moment = datetime.fromtimestamp(past["timestamp_ms"] / 1000, UTC)
    return {
        "at": moment.isoformat(),
        "day": moment.strftime("%Y-%m-%d"),
        "time": moment.strftime("%H:%M:%S"),
        "kind": kind,
        "name": name,
        "word": word,
        "href": href,
        "detail": detail,
    }


async def _trace(visit: Visit) -> Response:
    traces = await visit.get("/v1/traces")
    wanted = visit.query.get("trace")
    trace = next((each for each in traces if each["id"] == wanted), None)
    devices = await _devices(visit)
    device = trace["device"] if trace else visit.query.get("device", "")
    shown = device or next(iter(devices), "DEVICE")
    return visit.render(
        "trace.html",
        devices=devices,
        device=device,
        spans=SPANS,
        trace=trace,
        gone=wanted is not None and trace is None,
        others=[each for each in reversed(traces) if each["id"] != wanted],
        copies=[
            ("Command line", f"tidegate trace {shlex.quote(shown)} --for 60s --pcap {shlex.quote(f'{shown}.pcap')}"),
            ("curl", _posting("/v1/traces", {"device": shown, "seconds": 60})),
        ],
    )


async def _logs(visit: Visit) -> Response:
    level, match = _wanted(visit)
    options = (f" --level {level}" if level != "debug" else "") + (f" --match {shlex.quote(match)}" if match else "")
    return visit.render(
        "logs.html",
        levels=LEVELS,
        level=level,
        match=match,
        copies=[
            ("Command line", f"tidegate logs --follow{options}"),
            ("curl", f"{_CURL}{shlex.quote(f'/v1/logs?level={level}&match={quote(match)}')}"),
        ],
    )


async def _log_file(visit: Visit) -> Response:
    level, match = _wanted(visit)
    kept = await visit.get("/v1/logs", level=level, match=match, limit=2000)
    lines = []
    for entry in kept["entries"]:
        at = datetime.fromtimestamp(entry["timestamp_ms"] / 1000, UTC).isoformat(timespec="milliseconds")
        lines.append(f"{at} {entry['level'].upper():<7} {entry['logger']}: {entry['message']}\n")
        if entry["traceback"]:
            lines.append(f"{entry['traceback']}\n")
    return PlainTextResponse(
        "".join(lines),
        headers={"content-disposition": 'attachment; filename="tidegate.log"', "cache-control": "no-store"},
    )


def _wanted(visit: Visit) -> tuple[str, str]:
    level, match = visit.query.get("level", "debug"), visit.query.get("match", "")
    if level not in LEVELS or len(match) > 200:
        raise HTTPException(400, f"a level is one of {', '.join(LEVELS)}, and a filter has 200 characters at most")
    return level, match


async def _test(visit: Visit) -> Response:
    devices = await _devices(visit)
    device = visit.query.get("device", "")
    shown = device or next(iter(devices), "DEVICE")
    return visit.render(
        "device_test.html",
        devices=devices,
        device=device,
        copies=[
            ("Command line", f"tidegate test {shlex.quote(shown)}"),
            ("curl", _posting("/v1/tests/device", {"device": shown})),
        ],
    )


def _posting(path: str, body: Mapping[str, Any]) -> str:
    return f"{_CURL}{path} -H 'content-type: application/json' -d {shlex.quote(json.dumps(body))}"


async def _devices(visit: Visit) -> list[str]:
    status = await visit.get("/v1/status")
    return [name for link in status["southbound"]["links"].values() for name in link["devices"]]


SECTION = Section(
    "Diagnostics",
    "/diagnostics",
    "diagnostics",
    (
        Page("/diagnostics", _repairs),
        Page("/diagnostics/live", _repairs_part),
        *why.PAGES,
        Page("/diagnostics/trace", _trace, Role.ENGINEER),
        Page("/diagnostics/logs", _logs),
        Page("/diagnostics/logs.txt", _log_file),
        Page("/diagnostics/test", _test, Role.ENGINEER),
        Page("/diagnostics/events", _events),
        Page("/diagnostics/events/live", _events_part),
    ),
)
