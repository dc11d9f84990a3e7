"""The tags and groups of a device, edited in the page as a sheet. The page's element `<tag-sheet>` does the work."""

from __future__ import annotations

from starlette.responses import Response

from gateway.actors import Role
from gateway.control.client import segment
from gateway.web.visit import Page, Visit


async def owner_of(visit: Visit, device: str) -> tuple[str, str]:
    """(section, name) of whose tags are to be edited: the device's, or those of the template that it has them from."""
    table = (await visit.get(f"/v1/tables/device/{segment(device)}"))["table"]
    template = table.get("template")
    return ("template", template) if template and not table.get("group") else ("device", device)


async def _tags(visit: Visit) -> Response:
    name = visit.path["name"]
    device = (await visit.get(f"/v1/tables/device/{segment(name)}"))["table"]
    link = (await visit.get(f"/v1/tables/link/{segment(str(device.get('link')))}"))["table"]
    driver = await visit.get(f"/v1/drivers/{segment(str(link.get('driver')))}")
    section, owner = await owner_of(visit, name)
    return visit.render(
        "device_tags.html",
        name=name,
        section=section,
        owner=owner,
        shared=device.get("template"),
        driver=driver,
        copies=[("Command line", f"tidegate tags export {name}")],
    )


PAGES = (Page("/devices/named/{name}/tags", _tags, Role.ENGINEER),)
