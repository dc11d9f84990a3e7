"""The machine itself: its network, time and name; restart, reset, wipe. Where there is no appliance it says so.

A change of network or time counts down on every page: the element `<machine-banner>`,
which leads to the new address.
"""

from __future__ import annotations

import json
import re
import zoneinfo
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.actors import Role
from gateway.control.client import Refused, segment
from gateway.web.visit import Page, Visit

TIMES = (("1 minute", 60), ("2 minutes", 120), ("5 minutes", 300), ("10 minutes", 600))
_AGE_S = 30
_NETWORK_S = 120
"""Under another address people have to sign in before they can confirm."""


async def _show(visit: Visit) -> Response:
    machine = await visit.get("/v1/machine")
    return visit.render(
        "system_machine.html",
        machine=machine,
        interfaces=[_interface(each) for each in machine["interfaces"]],
        times=TIMES,
        network_s=_NETWORK_S,
        zones=sorted(zoneinfo.available_timezones()) if visit.may("admin") and machine["appliance"] else (),
        copies=[
            ("Command line", "tidegate machine status"),
            ("curl", "curl --unix-socket /run/tidegate/control.sock http://gateway/v1/machine"),
        ],
    )


def _interface(told: Mapping[str, Any]) -> dict[str, Any]:
    settings = told["settings"]
    how = f"by hand, in {told['file']}" if settings is None else "by DHCP" if settings["dhcp"] else "fixed"
    return {**told, "how": how}


async def _act(visit: Visit) -> Response:
    form = await visit.form()
    text = {key: str(value).strip() for key, value in form.items()}
    within = {"within_s": float(text["within"])} if text.get("within", "").isdigit() else {}
    match text.get("action"):
        case "network":
            dhcp = text.get("how") == "dhcp"
            body = {
                "dhcp": dhcp,
                "address": None if dhcp else text.get("address") or None,
                "gateway": None if dhcp else text.get("gateway") or None,
                "dns": _words(text.get("dns", "")),
                **within,
            }
            change = await visit.call("PUT", f"/v1/machine/network/{segment(text.get('interface', ''))}", body)
            return await _on_trial(visit, change)
        case "time":
            body = {"timezone": text.get("timezone") or "UTC", "servers": _words(text.get("servers", "")), **within}
            return await _on_trial(visit, await visit.call("PUT", "/v1/machine/time", body))
        case "hostname":
            await visit.call("PUT", "/v1/machine/hostname", {"hostname": text.get("hostname", "")})
            return visit.goto("/system/machine")
        case "restart":
            await visit.post("/v1/machine/restart")
            return visit.render("system_machine_restarting.html", how="restart")
        case "reset" | "wipe" as how:
            await visit.post(f"/v1/machine/{how}", {"hostname": text.get("hostname", "")})
            return visit.render("system_machine_restarting.html", how=how)
    raise HTTPException(400)


async def _on_trial(visit: Visit, change: Mapping[str, Any]) -> Response:
    """Hand the change to the banner, which counts down even if this page is cut off from now on."""
    hostname = (await visit.get("/v1/machine"))["hostname"] if change["address"] is None else ""
    response = Response(status_code=204)
    response.headers["hx-trigger"] = json.dumps({"tg:machine": {**change, "hostname": hostname}})
    return response


def _words(text: str) -> list[str]:
    """Addresses or names with blanks or commas between them."""
    return [word for word in re.split(r"[\s,;]+", text) if word]


async def standing(visit: Visit) -> tuple[bool, str] | None:
    """(whether network and time are as they should be, that in one sentence); None where the machine isn't ours."""
    try:
        machine = await visit.get("/v1/machine", max_age_s=_AGE_S)
    except Refused as refused:  # it doesn't answer just now
        return False, f"The machine doesn't say how it is set: {refused}."
    if not machine["appliance"]:
        return None
    clock = machine["clock"]
    reached = [
        f"{each['name']} {each['addresses'][0].partition('/')[0]}"
        for each in machine["interfaces"]
        if each["addresses"] and not each["addresses"][0].startswith(("fe80:", "169.254."))
    ]
    network = f"{', '.join(reached)}." if reached else "No interface has an address of this network."
    if clock["synchronised"]:
        return bool(reached), f"{network} The time comes from {clock['source'] or 'a server'}."
    return False, f"{network} No server has said what time it is: values are marked until one does."


PAGES = (
    Page("/system/machine", _show),
    Page("/system/machine", _act, Role.ADMIN, ("POST",)),
)
