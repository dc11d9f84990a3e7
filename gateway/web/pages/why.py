"""Why isn't this tag in MQTT? Its whole way, stage by stage, with where it stops."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from gateway.web.visit import Page, Visit
from gateway.web.words import plain

_MARKS = {"ok": ("good", "Good"), "note": ("uncertain", "Look here"), "stop": ("bad", "It stops here")}
_SOUTH = {
    "configured": "Configured",
    "link": "Link",
    "device": "Device",
    "wire": "Bytes, decoded",
    "scaled": "Scaled",
    "quality": "Quality",
    "report": "Report",
}
"""Stages that all destinations have in common, and their titles."""
_NORTH = {"topic": "Topic", "journal": "Journal", "delivery": "Acknowledged (PUBACK)"}
_OFFERED = 20
_BAD_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the way, reached or not."""

    key: str
    title: str
    kind: str
    word: str
    sentence: str
    mend: str | None = None
    facts: Sequence[tuple[str, str]] = ()
    """Names and values of what was last seen there."""


async def _show(visit: Visit) -> Response:
    tag = visit.query.get("tag", "").strip()
    return visit.render(
        "why.html",
        tag=tag,
        bad=[] if tag else (await visit.get("/v1/values", errors=True))[:_BAD_SHOWN],
        **(await _way(visit, tag) if tag else {}),
        copies=[
            ("Command line", f"tidegate why {shlex.quote(tag or 'DEVICE/TAG')}"),
            (
                "curl",
                f"curl --unix-socket /run/tidegate/control.sock http://gateway/v1/why/{quote(tag or 'DEVICE/TAG')}",
            ),
        ],
    )


async def _part(visit: Visit) -> Response:
    tag = visit.query.get("tag", "").strip()
    return visit.render("why_live.html", tag=tag, **await _way(visit, tag))


async def _offer(visit: Visit) -> Response:
    """Tags that have what was typed in their name, for the completion of the search box."""
    sought = visit.query.get("tag", "").strip()[:100]
    pattern = "".join(map(_either_case, sought))
    values = await visit.get("/v1/values", match=f"*{pattern}*") if sought else []
    return visit.render("why_tags.html", tags=[value["tag"] for value in values[:_OFFERED]])


def _either_case(letter: str) -> str:
    """A shell pattern for one letter, whatever its case, or for one sign as it is."""
    return f"[{letter.lower()}{letter.upper()}]" if letter.isascii() and letter.isalpha() else f"[{letter}]"


async def _way(visit: Visit, tag: str) -> dict[str, Any]:
    answer = await visit.get(f"/v1/why/{quote(tag)}")
    steps: list[dict[str, Any]] = answer["steps"]
    known: dict[str, Any] = next((step["details"] for step in steps if step["stage"] == "configured"), {})
    south = [step for step in steps if step["sink"] is None]
    sinks = list(dict.fromkeys(step["sink"] for step in steps if step["sink"] is not None))
    sinks = sinks or [place["sink"] for place in known.get("destinations", ())]
    stopped = any(step["mark"] == "stop" for step in south)
    noted = any(step["mark"] == "note" for step in steps)
    return {
        "answer": answer,
        "kind": "bad" if not answer["arrives"] else "warn" if noted else "good",
        "title": {**_SOUTH, **_NORTH}.get(answer["stage"], ""),
        "known": known,
        "south": list(_stages(_SOUTH, south)),
        "sinks": [
            (sink, list(_stages(_NORTH, [step for step in steps if step["sink"] == sink], stopped))) for sink in sinks
        ],
        "nowhere": [_stage(step, _NORTH["topic"]) for step in south if step["stage"] in _NORTH],
    }


def _stages(titles: Mapping[str, str], steps: Sequence[dict[str, Any]], stopped: bool = False) -> Iterator[Stage]:
    """`stopped`: it stops before the first of them."""
    reached = {step["stage"]: step for step in steps}
    for key, title in titles.items():
        step = reached.get(key)
        if step is not None:
            stopped = stopped or step["mark"] == "stop"
            yield _stage(step, title)
        elif stopped:
            yield Stage(key, title, "off", "Not reached", "")
        else:
            yield Stage(key, title, "off", "Passed over", "")


def _stage(step: dict[str, Any], title: str) -> Stage:
    kind, word = _MARKS[step["mark"]]
    return Stage(step["stage"], title, kind, word, step["sentence"], step["mend"], list(_facts(step)))


def _facts(step: dict[str, Any]) -> Iterator[tuple[str, str]]:
    details = step["details"]
    match step["stage"]:
        case "configured" if details:
            yield "Driver", details["driver"]
            yield "Type on the wire", details["wire_type"]
        case "wire" if "value" in details:
            yield "Decoded", plain(details["value"])
        case "scaled":
            yield "Value", plain(details["value"])
        case "report" if details.get("last_sent") is not None:
            yield "Last reported", plain(details["last_sent"])
        case "topic" if "payload" in details:
            yield "Last message", details["payload"]
        case "journal":
            yield "Number", plain(details["seq"])


PAGES = (
    Page("/diagnostics/why", _show),
    Page("/diagnostics/why/live", _part),
    Page("/diagnostics/why/tags", _offer),
)
