"""Delivery: what every destination got and still has to get, how a backlog will end, and destinations themselves.

The ledger says of every device which values were delivered, refused or dropped, by sequence number. A broker that
is away for a while is what the journal is for, so it is said calmly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from gateway.actors import Role
from gateway.control.client import Refused, segment
from gateway.web.forms import Field, edits_of, fields_of, filled, shown, split
from gateway.web.given import given
from gateway.web.visit import Page, Section, Visit
from gateway.web.words import moment

_PHASES = {
    "delivering": ("good", "Delivering"),
    "draining": ("good", "Catching up"),
    "buffering": ("buffering", "Buffering"),
    "full": ("bad", "Full"),
}
_FIRST = ("name", "host", "port", "username", "password", "granularity", "profile")
"""What most people set of a destination."""
_TLS_FIRST = ("ca", "server_name", "certificate", "key")


async def _show(visit: Visit) -> Response:
    return visit.render(
        "delivery.html",
        **await _state(visit),
        copies=[
            ("Command line", "tidegate status"),
            ("Test the broker", "tidegate mqtt test"),
            ("curl", "curl --unix-socket /run/tidegate/control.sock http://gateway/v1/forecasts"),
        ],
    )


async def _part(visit: Visit) -> Response:
    return visit.render("delivery_live.html", **await _state(visit))


async def _state(visit: Visit) -> dict[str, Any]:
    status = await visit.get("/v1/status")
    forecasts = await visit.get("/v1/forecasts")
    return {
        "sinks": list(_sinks(status, forecasts)),
        "rows": list(_ledger(status)),
        "journal": status["journal"],
        "alarms": list(status["journal"]["alarms"].values()),
        "several": len(status["sinks"]) > 1,
    }


def _sinks(status: Mapping[str, Any], forecasts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, sink in status["sinks"].items():
        forecast = forecasts.get(name)
        phase = forecast["phase"] if forecast else "delivering"
        kind, word = _PHASES.get(phase, ("uncertain", phase))
        if phase == "delivering" and not sink["connected"]:
            kind, word = ("buffering", "Not connected")
        since = sink["since_ms"]
        yield {
            **sink,
            "name": name,
            "kind": kind,
            "word": word,
            "sentence": forecast["sentence"] if forecast else "",
            "forecast": forecast,
            "since": None if since is None else moment(since),
            "totals": status["journal"]["sinks"][name],
            "sent": sink["values"],
            "refusals": [(device, each["reason"], each["topics"]) for device, each in sink["refusing"].items()],
        }


def _ledger(status: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for every destination, device and boot, the newest boot first."""
    for sink, ledger in status["ledger"].items():
        for device, source in ledger["sources"].items():
            for boot, account in sorted(source["boots"].items(), key=lambda item: -int(item[0])):
                dropped = account["dropped"]
                yield {
                    "sink": sink,
                    "device": device,
                    "boot": boot,
                    **{key: account[key] for key in ("first", "last", "delivered", "pending", "refused")},
                    "dropped": sum(each["last"] - each["first"] + 1 for each in dropped),
                    "why": "; ".join(sorted({each["reason"] for each in dropped})),
                }


async def _new(visit: Visit) -> Response:
    return await _form(visit, None, {})


async def _edit(visit: Visit) -> Response:
    name = visit.path["name"]
    return await _form(visit, name, (await visit.get(f"/v1/tables/sink/{segment(name)}"))["table"])


async def _form(visit: Visit, name: str | None, table: Mapping[str, Any]) -> Response:
    fields, tls = await _fields(visit)
    return visit.render(
        "sink_setup.html",
        name=name,
        table=table,
        fields=split(fields, _FIRST),
        tls=split(tls, _TLS_FIRST),
        secure="tls" in table,
        values=shown(fields, table) | shown(tls, table.get("tls", {})),
    )


async def _tables(visit: Visit) -> Response:
    """What was filled in as the table of a sink, and the edits that bring it into the draft: JSON for the element."""
    form = await visit.form()
    fields, tls_fields = await _fields(visit)
    sink = await given(visit, fields, form, str(form.get("sink.name", "")))
    tls = filled(tls_fields, form)
    secure = str(form.get("secure", "")) == "on"
    table = {**sink.values, **({"tls": tls.values} if secure else {})}
    before = str(form.get("before", ""))
    return JSONResponse(
        {
            "table": table,
            "wrong": {**sink.wrong, **(tls.wrong if secure else {})},
            "edits": await _edits(visit, before, table, fields, tls_fields),
        }
    )


async def _edits(
    visit: Visit, before: str, table: Mapping[str, Any], fields: list[Field], tls_fields: list[Field]
) -> list[dict[str, Any]]:
    """A new one is added; of one that exists only what differs is set, so that its comments stay."""
    if not before:
        return [{"op": "add", "path": ["sink"], "value": dict(table)}]
    try:
        known = (await visit.get(f"/v1/tables/sink/{segment(before)}"))["table"]
    except Refused as refused:
        if refused.status != 404:
            raise
        return [{"op": "add", "path": ["sink"], "value": dict(table)}]
    edits = edits_of(("sink", before), known, fields, table)
    path = ["sink", before, "tls"]
    if "tls" in table and "tls" in known:
        return [*edits_of(path, known["tls"], tls_fields, table["tls"]), *edits]
    if "tls" in table:
        return [{"op": "set", "path": path, "value": table["tls"]}, *edits]
    return [{"op": "remove", "path": path}, *edits] if "tls" in known else edits


async def _remove(visit: Visit) -> Response:
    name = visit.path["name"]
    await visit.call("PATCH", "/v1/config/draft", {"edits": [{"op": "remove", "path": ["sink", name]}]})
    return visit.goto("/changes")


async def _fields(visit: Visit) -> tuple[list[Field], list[Field]]:
    schema = await visit.get("/v1/config/schema")
    sink = schema["$defs"]["sink"]
    return fields_of(sink, "sink", ("type", "tls")), fields_of(sink["properties"]["tls"], "tls")


SECTION = Section(
    "Delivery",
    "/delivery",
    "delivery",
    (
        Page("/delivery", _show),
        Page("/delivery/live", _part),
        Page("/delivery/add", _new, Role.ENGINEER),
        Page("/delivery/tables", _tables, Role.ENGINEER, ("POST",)),
        Page("/delivery/named/{name}", _edit, Role.ENGINEER),
        Page("/delivery/named/{name}/remove", _remove, Role.ENGINEER, ("POST",)),
    ),
)
