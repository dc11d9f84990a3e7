"""Adding a device: which protocol, what can be set, and from the form the tables that configure it.

The page's element `<device-setup>` does the rest through the control API: test ladder, template or browsing, names,
preview, and into the draft. What is being filled in is never rendered anew.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from gateway.actors import Role
from gateway.control.client import segment
from gateway.web.forms import Field, Filled, fields_of, pieces, split
from gateway.web.given import given
from gateway.web.pages import device_search
from gateway.web.visit import Page, Visit

TITLES = {
    "modbus": ("Modbus", "PLCs, meters, drives: over TCP, TLS, UDP or a serial line"),
    "opcua": ("OPC UA", "Servers of machines and plants: browse and subscribe"),
    "serial": ("Serial instruments", "Scales, analysers, readers on RS-232 or RS-485"),
    "ble": ("Bluetooth", "Sensors and beacons in radio range"),
}
_FIRST: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "modbus": (
        ("name", "transport", "host", "port", "device", "baud", "parity"),
        ("name", "unit", "word_order", "address_offset"),
    ),
    "opcua": (("name", "url", "security_policy", "security_mode", "username", "password"), ("name", "publishing_ms")),
    "serial": (("name", "device", "baud", "parity"), ("name", "preset", "address")),
    "ble": (("name", "adapter", "scanning"), ("name", "address", "format", "connection")),
}
"""What most people set, of the link and of the device: shown at once. Of other drivers it is what is required."""
_SERIAL = ("rtu", "ascii")
_NETWORK = ("tcp", "tls", "udp", "rtu-over-tcp", "ascii-over-tcp")
_WHEN: Mapping[str, Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "modbus": {
        **dict.fromkeys(("host", "port"), ("transport", _NETWORK)),
        **dict.fromkeys(("device", "baud", "parity", "stop_bits", "data_bits", "rs485"), ("transport", _SERIAL)),
    }
}
"""Fields of the link that only some choices of another field have a use for."""
_BESIDE: Mapping[str, tuple[str, ...]] = {"ble": ("field",)}
"""Keys of a tag that say where it is, besides the driver's address: a sensor's adverts have fields."""
_NEEDED: Mapping[str, tuple[str, ...]] = {"modbus": ("host", "device")}
"""Those of them that can't be left out then."""
_LINK_WITHOUT = ("driver", "breaker")
_DEVICE_WITHOUT = ("link", "template", "group")


async def _choose(visit: Visit) -> Response:
    drivers = await visit.get("/v1/drivers")
    order = list(TITLES)
    drivers.sort(key=lambda each: order.index(each["name"]) if each["name"] in order else len(order))
    return visit.render(
        "device_add.html",
        drivers=[{**each, "title": _title(each)[0], "about": _title(each)[1]} for each in drivers],
    )


async def _form(visit: Visit) -> Response:
    driver = await _driver(visit)
    status = await visit.get("/v1/status")
    links = await visit.get("/v1/tables/link")
    link_fields, device_fields = fields_of_driver(driver)
    first = first_of(driver["name"])
    templates = await visit.get("/v1/templates", driver=driver["name"]) if driver["templates"] else []
    chosen = visit.query.get("template", "")
    return visit.render(
        "device_setup.html",
        driver=driver,
        title=_title(driver)[0],
        links=[each["name"] for each in links if each["table"].get("driver") == driver["name"]],
        link_fields=split([_unnamed(field) for field in needed(driver["name"], link_fields)], first[0]),
        device_fields=split(device_fields, first[1]),
        when=when_of(driver["name"]),
        search=device_search.fields_of_search(driver),
        search_when=when_of(driver["name"], device_search.PREFIX),
        beside=_BESIDE.get(driver["name"], ()),
        templates=templates,
        chosen=chosen if chosen in {each["name"] for each in templates} else "",
        topic=await _topic(visit, status),
    )


async def _topic(visit: Visit, status: Mapping[str, Any]) -> str:
    """Where the first broker gets values of a new device, with ``{device}`` and, if each tag has its own, ``{tag}``."""
    sink: Mapping[str, Any] = {}
    for name in status["sinks"]:
        sink = (await visit.get(f"/v1/tables/sink/{segment(name)}"))["table"]
        break
    place = "/".join([sink.get("root", "uns"), "v1", *status["gateway"]["location"], "{device}"])
    return f"{place}/_values/main" if sink.get("granularity") == "asset" else place + "/{tag}"


async def _tables(visit: Visit) -> Response:
    """What was filled in as the tables of a link and a device: JSON for the page's element."""
    driver = await _driver(visit)
    form = _named(await visit.form())
    link_fields, device_fields = fields_of_driver(driver)
    wanted = str(form.get("use_link", ""))
    link = await given(visit, link_fields, form, str(form.get("link.name", ""))) if not wanted else None
    device = await given(visit, device_fields, form, str(form.get("device.name", "")))
    table = {**device.values, "link": wanted or (link.values.get("name", "") if link else "")}
    return JSONResponse(
        {
            "link": None if link is None else {**link.values, "driver": driver["name"]},
            "device": table,
            "wrong": {**_wrong(driver["name"], link, link_fields, form), **device.wrong},
        }
    )


def _named(form: FormData) -> FormData:
    """A new link that was given no name has its first device's."""
    if str(form.get("link.name", "")).strip():
        return form
    return FormData([*form.multi_items(), ("link.name", str(form.get("device.name", "")))])


def _unnamed(field: Field) -> Field:
    if field.name != "link.name":
        return field
    return dataclasses.replace(
        field, required=False, placeholder="as the device", hint=pieces("Name of the connection.")
    )


def _wrong(driver: str, link: Filled | None, fields: Sequence[Field], form: FormData) -> dict[str, str]:
    """What is wrong with a new link, and what of it the choice of another field makes necessary."""
    if link is None:
        return {}
    defaults = {field.name: str(field.default) for field in fields}
    when = when_of(driver)
    wrong = {name: said for name, said in link.wrong.items() if name != "link.name"}  # it is the device's that misses
    for field in (field for field in fields if field.key in _NEEDED.get(driver, ())):
        of, choices = when[field.name]
        chosen = str(form.get(of, "")) or defaults.get(of, "")
        if chosen in choices.split() and not str(form.get(field.name, "")).strip():
            wrong[field.name] = f"{field.label} is needed"
    return wrong


async def _into_draft(visit: Visit) -> Response:
    form = await visit.form()
    try:
        edits = json.loads(str(form.get("edits", "")))
    except ValueError:
        raise HTTPException(400, "the edits aren't JSON") from None
    await visit.call("PATCH", "/v1/config/draft", {"edits": edits})
    return visit.goto("/changes")


async def _driver(visit: Visit) -> dict[str, Any]:
    driver: dict[str, Any] = await visit.get(f"/v1/drivers/{segment(visit.path['driver'])}")
    return driver


def first_of(driver: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What of a link and of a device is shown at once."""
    return _FIRST.get(driver, (("name",), ("name",)))


def needed(driver: str, fields: Sequence[Field]) -> list[Field]:
    """Fields of the link, those that can't be left out where they are shown being required."""
    keys = _NEEDED.get(driver, ())
    return [dataclasses.replace(field, required=True) if field.key in keys else field for field in fields]


def when_of(driver: str, prefix: str = "link") -> Mapping[str, tuple[str, str]]:
    """Form name → (form name of another field, its choices with which this one is of use). `prefix`: of these names."""
    return {
        f"{prefix}.{key}": (f"{prefix}.{of}", " ".join(choices)) for key, (of, choices) in _WHEN.get(driver, {}).items()
    }


def fields_of_driver(driver: Mapping[str, Any]) -> tuple[list[Field], list[Field]]:
    """The fields of a link and of a device."""
    return (
        fields_of(driver["link"], "link", _LINK_WITHOUT),
        fields_of(driver["device"], "device", _DEVICE_WITHOUT),
    )


def _title(driver: Mapping[str, Any]) -> tuple[str, str]:
    return TITLES.get(driver["name"], (driver["name"], driver["summary"]))


PAGES = (
    Page("/devices/add", _choose, Role.ENGINEER),
    Page("/devices/draft", _into_draft, Role.ENGINEER, ("POST",), 16 << 20),
    Page("/devices/add/{driver}", _form, Role.ENGINEER),
    Page("/devices/add/{driver}/tables", _tables, Role.ENGINEER, ("POST",)),
    *device_search.PAGES,
)
