"""Changing what is set for a device and its link, and taking a device out: edits for the draft, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from gateway.actors import Role
from gateway.control.client import segment
from gateway.web.forms import Field, edits_of, shown, split
from gateway.web.given import given
from gateway.web.pages import device_setup
from gateway.web.visit import Page, Visit


async def _form(visit: Visit) -> Response:
    name = visit.path["name"]
    device, link, driver = await _tables(visit, name)
    link_fields, device_fields = _fields(driver)
    first = device_setup.first_of(driver["name"])
    status = await visit.get("/v1/status")
    others = [each for each in status["southbound"]["links"].get(link["name"], {}).get("devices", {}) if each != name]
    return visit.render(
        "device_edit.html",
        name=name,
        link=link["name"],
        driver=driver,
        others=others,
        link_fields=split(device_setup.needed(driver["name"], link_fields), first[0]),
        device_fields=split(device_fields, first[1]),
        values=shown(link_fields, link) | shown(device_fields, device),
        when=device_setup.when_of(driver["name"]),
    )


async def _save(visit: Visit) -> Response:
    """Put what was changed into the draft, or say what is wrong beside the form, which stays as it is."""
    name = visit.path["name"]
    device, link, driver = await _tables(visit, name)
    form = await visit.form()
    edits: list[dict[str, Any]] = []
    wrong: dict[str, str] = {}
    for section, table, fields in zip(("link", "device"), (link, device), _fields(driver), strict=True):
        filled = await given(visit, fields, form, name)
        wrong |= filled.wrong
        edits += edits_of((section, table["name"]), table, fields, filled.values)
    if wrong or not edits:
        return visit.render("device_edited.html", wrong=list(wrong.values()))
    await visit.call("PATCH", "/v1/config/draft", {"edits": edits})
    return visit.goto("/changes")


async def _remove(visit: Visit) -> Response:
    name = visit.path["name"]
    _, link, _ = await _tables(visit, name)
    edits = [{"op": "remove", "path": ["device", name]}]
    if (await visit.form()).get("with_link") == "on":
        edits.append({"op": "remove", "path": ["link", link["name"]]})
    await visit.call("PATCH", "/v1/config/draft", {"edits": edits})
    return visit.goto("/changes")


async def _tables(visit: Visit, name: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """(the device's table, its link's, what its driver lets one set)"""
    device = (await visit.get(f"/v1/tables/device/{segment(name)}"))["table"]
    link = (await visit.get(f"/v1/tables/link/{segment(str(device.get('link')))}"))["table"]
    return device, link, await visit.get(f"/v1/drivers/{segment(str(link.get('driver')))}")


def _fields(driver: Mapping[str, Any]) -> tuple[list[Field], list[Field]]:
    """Without names: other tables refer to them."""
    link, device = device_setup.fields_of_driver(driver)
    return [field for field in link if field.key != "name"], [field for field in device if field.key != "name"]


PAGES = (
    Page("/devices/named/{name}/edit", _form, Role.ENGINEER),
    Page("/devices/named/{name}/edit", _save, Role.ENGINEER, ("POST",)),
    Page("/devices/named/{name}/remove", _remove, Role.ENGINEER, ("POST",)),
)
