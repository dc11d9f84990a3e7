"""Searching for devices: what a driver can be told of where to look becomes fields, and these options for the API.

The page's element `<device-search>` does the rest: it starts the search, shows what is found as it is found, and gives
what somebody chooses to the form below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from gateway.actors import Role
from gateway.control.client import segment
from gateway.web.forms import Field, fields_of, filled, split
from gateway.web.visit import Page, Visit

PREFIX = "search"
_FIRST: Mapping[str, tuple[str, ...]] = {
    "modbus": ("transport", "host", "device", "baud", "parity", "units", "ranges"),
    "opcua": ("hosts",),
    "serial": ("listen",),
    "ble": ("adapter", "seconds"),
}
"""What most people set: shown at once. Of other drivers it is what is required."""


def fields_of_search(driver: Mapping[str, Any]) -> tuple[list[Field], list[Field]] | None:
    """(those to show at once, the others); None: the driver can't search."""
    if driver["scan"] is None:
        return None
    return split(fields_of(driver["scan"], PREFIX), _FIRST.get(driver["name"], ()))


async def _options(visit: Visit) -> Response:
    """What was filled in as options of a search: JSON for the page's element."""
    driver = await visit.get(f"/v1/drivers/{segment(visit.path['driver'])}")
    form = await visit.form()
    texts = {name: value for name, value in form.items() if isinstance(value, str)}
    options = filled(fields_of(driver["scan"] or {}, PREFIX), texts)
    return JSONResponse({"options": options.values, "wrong": options.wrong})


PAGES = (Page("/devices/add/{driver}/search", _options, Role.ENGINEER, ("POST",)),)
