"""The audit log: who did what, filtered and by pages, as CSV, and whether it is whole."""

from __future__ import annotations

import shlex
from typing import Any

from starlette.responses import Response

from gateway.actors import Role
from gateway.web.visit import Page, Visit
from gateway.web.words import plain
from gateway.web.workbooks import csv_of

_FILTERS = ("actor", "action", "subject")
_PAGE = 100
_MOST_AT_ONCE = 1000
_MOST_IN_CSV = 100_000
_HEADER = ("number", "at", "clock_trusted", "actor", "role", "via", "action", "subject", "outcome", "details")


async def _show(visit: Visit) -> Response:
    before = visit.query.get("before", "")
    wanted = _wanted(visit)
    rows = await _rows(visit, _PAGE + 1, before if before.isascii() and before.isdigit() else None)
    shown = [{**row, "details": _details(row["details"])} for row in rows[:_PAGE]]
    named = {key: value for key, value in wanted.items() if value}
    return visit.render(
        "system_audit.html",
        rows=shown,
        older=shown[-1]["number"] if len(rows) > _PAGE else None,
        newest=not before,
        wanted={key: wanted[key] or "" for key in _FILTERS},
        query=named,
        copies=[
            (
                "Command line",
                " ".join(["tidegate audit", *(f"--{key} {shlex.quote(text)}" for key, text in named.items())]),
            )
        ],
    )


async def _csv(visit: Visit) -> Response:
    rows: list[list[Any]] = []
    before: int | None = None
    while len(rows) < _MOST_IN_CSV:
        found = await _rows(visit, _MOST_AT_ONCE, before)
        rows += [
            [
                row["number"],
                row["at"],
                row["trusted"],
                *(row[key] for key in ("actor", "role", "via", "action", "subject", "outcome")),
                "; ".join(f"{key} = {value}" for key, value in _details(row["details"])),
            ]
            for row in found
        ]
        if len(found) < _MOST_AT_ONCE:
            break
        before = found[-1]["number"]
    return Response(
        csv_of(_HEADER, rows),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="tidegate-audit.csv"', "cache-control": "no-store"},
    )


async def _verify(visit: Visit) -> Response:
    return visit.render("system_audit_verified.html", found=await visit.get("/v1/audit/verification"))


async def _rows(visit: Visit, limit: int, before: int | str | None) -> list[dict[str, Any]]:
    query = {"limit": limit, "before": before, **_wanted(visit)}
    found = await visit.services.control.call(visit.actor, "GET", "/v1/audit", query)
    rows: list[dict[str, Any]] = found["rows"]
    return rows


def _wanted(visit: Visit) -> dict[str, str | None]:
    return {key: visit.query.get(key, "").strip()[:500] or None for key in _FILTERS}


def _details(details: dict[str, Any]) -> list[tuple[str, str]]:
    return [(key, plain(value)) for key, value in details.items()]


PAGES = (
    Page("/system/audit", _show, Role.ENGINEER),
    Page("/system/audit/verification", _verify, Role.ENGINEER),
    Page("/system/audit.csv", _csv, Role.ENGINEER),
)
