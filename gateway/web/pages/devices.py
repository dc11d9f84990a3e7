"""Devices: what there is and how it does, one device with its tags, tags from and for a spreadsheet."""

from __future__ import annotations

import re
import shlex
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.actors import Role
from gateway.grids import MAX_BYTES, GridError
from gateway.web.condition import devices_of
from gateway.web.pages import device_edit, device_setup, device_tags, templates
from gateway.web.visit import Page, Section, Visit
from gateway.web.workbooks import csv_of, table_of, workbook_of

_SHOWN_CHANGES = 200
_SHOWN_PROBLEMS = 100
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


async def _list(visit: Visit) -> Response:
    return visit.render("devices.html", links=await _links(visit), copies=[("Command line", "tidegate status")])


async def _list_part(visit: Visit) -> Response:
    return visit.render("devices_live.html", links=await _links(visit))


async def _device(visit: Visit) -> Response:
    device = await _found(visit)
    return visit.render(
        "device.html",
        device=device,
        values=await visit.get("/v1/values", device=device["name"]),
        copies=[
            ("Command line", f"tidegate probe {shlex.quote(device['name'])}"),
            ("Tags as CSV", f"tidegate tags export {shlex.quote(device['name'])}"),
        ],
    )


async def _device_part(visit: Visit) -> Response:
    device = await _found(visit)
    return visit.render("device_live.html", device=device, values=await visit.get("/v1/values", device=device["name"]))


async def _download(visit: Visit) -> Response:
    """The configured tags of one device or template, or of all, as CSV or as a workbook."""
    device, template, form = visit.query.get("device"), visit.query.get("template"), visit.path["form"]
    name = device or template
    table = await visit.get("/v1/sheet", device=device, template=template, every_column=True if name else None)
    if form == "csv":
        body, kind = csv_of(table["header"], table["rows"]), "text/csv; charset=utf-8"
    elif form == "xlsx":
        body, kind = await workbook_of(visit, table["header"], table["rows"]), _XLSX
    else:
        raise HTTPException(404)
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", name or "all")
    return Response(
        body,
        media_type=kind,
        headers={"content-disposition": f'attachment; filename="tags-{stem}.{form}"', "cache-control": "no-store"},
    )


async def _table(visit: Visit) -> Response:
    device = await _found(visit)
    section, owner = await device_tags.owner_of(visit, device["name"])
    return visit.render("device_table.html", device=device, shared=owner if section == "template" else None)


async def _try_table(visit: Visit) -> Response:
    """Try a table that was sent as a file or pasted: what it changes, what is wrong. Writes nothing."""
    device = await _found(visit)
    form = await visit.form()
    file, pasted = form.get("file"), str(form.get("pasted") or "")
    try:
        data = await file.read(MAX_BYTES + 1) if isinstance(file, UploadFile) and file.filename else pasted
        if not data.strip():
            raise GridError("there is no table", "choose a file, or paste cells with their header")
        table = await table_of(visit, data)
    except GridError as error:
        return visit.render(
            "device_trial.html", device=device, wrong=error, trial=None, problems=[], changes=[], edits=""
        )
    finally:
        await form.close()
    section, owner = await device_tags.owner_of(visit, device["name"])
    body = {**table, "section": section, "owner": owner, "remove": form.get("remove") == "on"}
    trial = await visit.post("/v1/sheet/try", body)
    return visit.render(
        "device_trial.html",
        device=device,
        wrong=None,
        trial=trial,
        problems=trial["problems"][:_SHOWN_PROBLEMS],
        changes=trial["changes"][:_SHOWN_CHANGES],
        edits=trial["edits"],
    )


async def _found(visit: Visit) -> dict[str, Any]:
    name = visit.path["name"]
    for link in await _links(visit):
        for device in link["devices"]:
            if device["name"] == name:
                return {**device, "link": link}
    raise HTTPException(404)


async def _links(visit: Visit) -> list[dict[str, Any]]:
    status = await visit.get("/v1/status")
    return [
        {
            "name": name,
            "driver": link["driver"],
            "far_end": link["far_end"],
            "detail": link["detail"],
            "devices": list(devices_of({name: link})),
        }
        for name, link in status["southbound"]["links"].items()
    ]


SECTION = Section(
    "Devices",
    "/devices",
    "devices",
    (
        Page("/devices", _list),
        Page("/devices/live", _list_part),
        Page("/devices/tags.{form}", _download),
        *device_setup.PAGES,
        Page("/devices/named/{name}", _device),
        Page("/devices/named/{name}/live", _device_part),
        Page("/devices/named/{name}/table", _table, role=Role.ENGINEER),
        Page("/devices/named/{name}/table", _try_table, Role.ENGINEER, ("POST",), MAX_BYTES + (64 << 10)),
        *device_edit.PAGES,
        *device_tags.PAGES,
        *templates.PAGES,
    ),
)
