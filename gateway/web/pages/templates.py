"""The library of templates: a list to search, and one register map with its source."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from gateway.control.client import segment
from gateway.web.visit import Page, Visit

KINDS = {"meter": "Energy meters", "inverter": "Inverters", "drive": "Drives", "sensor": "Sensors"}


async def _list(visit: Visit) -> Response:
    search, kind = visit.query.get("search", ""), visit.query.get("kind", "")
    found = await visit.get("/v1/templates", search=search[:200], kind=kind if kind in KINDS else None)
    return visit.render(
        "templates_found.html" if visit.partial else "templates.html",
        found=found,
        search=search,
        kind=kind,
        kinds=KINDS,
        copies=[("Command line", "tidegate template list" + (f" --search {shlex.quote(search)}" if search else ""))],
    )


async def _one(visit: Visit) -> Response:
    driver, name = visit.path["driver"], visit.path["name"]
    found: Mapping[str, Any] = await visit.get(f"/v1/templates/{segment(driver)}/{segment(name)}")
    return visit.render(
        "template.html",
        found=found,
        copies=[
            ("Command line", f"tidegate template apply {found['id']} --device NAME --link LINK"),
            ("TOML", found["toml"]),
        ],
    )


PAGES = (Page("/devices/templates", _list), Page("/devices/templates/{driver}/{name}", _one))
