"""Tags: all of them as they are now, and everything about one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from gateway.web.visit import Page, Section, Visit
from gateway.web.words import plain

_TRENDS = (("5 min", 300), ("1 h", 3600), ("All that is kept", 0))


async def show(visit: Visit) -> Response:
    query = visit.query
    device = query.get("device", "")
    return visit.render(
        "tags.html",
        device=device,
        filter=query.get("filter", ""),
        errors=query.get("errors") == "1",
        grouped=query.get("grouped") != "0",
        copies=[
            ("Command line", f"tidegate top {shlex.quote(f'{device}/*')}" if device else "tidegate top"),
            ("curl", "curl --unix-socket /run/tidegate/control.sock http://gateway/v1/values"),
        ],
        csv=f"/api/v1/values.csv?device={quote(device)}" if device else "/api/v1/values.csv",
    )


async def _show_tag(visit: Visit) -> Response:
    tag = await visit.get(f"/v1/tags/{quote(visit.path['tag'])}")
    return visit.render(
        "tag.html",
        tag=tag,
        facts=list(_facts(tag)),
        reading=list(_reading(tag)),
        trends=_TRENDS if _is_plotted(tag) else (),
        value=_shown(tag["current"]),
        copies=[
            ("Command line", f"tidegate tap {shlex.quote(tag['tag'])}"),
            ("curl", f"curl --unix-socket /run/tidegate/control.sock http://gateway/v1/tags/{quote(tag['tag'])}"),
        ],
    )


def _facts(tag: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What it is."""
    if tag["description"]:
        yield "Description", tag["description"]
    if tag["original_name"]:
        yield "Name at the source", tag["original_name"]
    count = "" if tag["count"] is None else f", {tag['count'] or 'any number of'} elements"
    yield "Type", tag["type"] + count
    yield "Unit", tag["unit"] or "none"
    if tag["low"] is not None or tag["high"] is not None:
        ends = (plain(tag["low"]), plain(tag["high"]))
        yield "Range", f"{ends[0]} … {ends[1]}" + (", values outside are limited to it" if tag["clamp"] else "")
    yield "Writable", "yes" if tag["writable"] else "no"


def _reading(tag: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where it comes from, and what is done to it."""
    yield "Device", tag["device"]
    far_end = f", {tag['far_end']}" if tag["far_end"] else ""
    yield "Link", f"{tag['link']} ({tag['driver']}{far_end})"
    if tag["address"] is not None:
        yield "Address", str(tag["address"])
    for name, value in tag["options"].items():
        if value != tag["address"]:
            yield name.replace("_", " ").capitalize(), plain(value)
    if tag["mode"] == "subscribe":
        yield "Read", f"when the device tells it (group {tag['group']})"
    elif tag["interval_ms"]:
        yield "Read", f"every {plain(tag['interval_ms'] / 1000)} s (group {tag['group']})"
    else:
        yield "Read", f"without a pause (group {tag['group']})"
    if tag["stale_ms"]:
        yield "Stale", f"after {plain(tag['stale_ms'] / 1000)} s without a word of it"
    yield "Type on the wire", tag["wire_type"]
    if tag["scale"] != 1 or tag["offset"]:
        offset = "" if not tag["offset"] else f" {'+' if tag['offset'] > 0 else '−'} {plain(abs(tag['offset']))}"
        yield "Scaling", f"value = wire × {plain(tag['scale'])}{offset}"
    yield "Reported", _reported(tag["report"])


def _reported(report: dict[str, Any] | None) -> str:
    if report is None:
        return "every value"
    parts = []
    if report["deadband"] is not None:
        parts.append("on any change" if report["deadband"] == 0 else f"on a change of {plain(report['deadband'])}")
    if report["deadband_percent"] is not None:
        parts.append(f"on a change of {plain(report['deadband_percent'])} % of its range")
    if report["min_interval_ms"]:
        parts.append(f"at most every {plain(report['min_interval_ms'] / 1000)} s")
    if report["max_interval_ms"] is not None:
        parts.append(f"at least every {plain(report['max_interval_ms'] / 1000)} s")
    return ", ".join(parts) or "every value"


def _shown(current: dict[str, Any]) -> str:
    value = plain(current["value"])
    return f"{value} {current['unit']}" if current["unit"] and current["value"] is not None else value


def _is_plotted(tag: dict[str, Any]) -> bool:
    return tag["count"] is None and re.fullmatch(r"bool|u?int\d+|float\d+", tag["type"]) is not None


SECTION = Section("Tags", "/tags", "tags", (Page("/tags", show), Page("/tags/{tag:path}", _show_tag)))
