"""The history of the configuration: every revision, what it changed and what came of it, and the way back to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.actors import Role
from gateway.control.client import segment
from gateway.web.visit import Page, Visit

TIMES = (("30 s", 30), ("1 min", 60), ("5 min", 300), ("15 min", 900), ("Needs no confirmation", 0))
"""In which time a change is to be confirmed."""


def how(form: Mapping[str, Any]) -> dict[str, Any]:
    """How a change is to be made, from a form, as the control API takes it. Raises HTTPException."""
    try:
        within_s = float(str(form.get("within", "60")))
    except ValueError:
        raise HTTPException(400, "the time to confirm isn't a number of seconds") from None
    by = "health" if form.get("by") == "health" else "hand"
    return {"reason": str(form.get("reason", "")).strip()[:500], "confirm_within_s": within_s, "confirm_by": by}


async def _show(visit: Visit) -> Response:
    number = visit.path["number"]
    against = "running" if visit.query.get("to") == "running" else ""
    revision = await visit.get(f"/v1/config/history/{segment(number)}")
    difference = await visit.get(f"/v1/config/history/{segment(number)}/diff", to=against or None)
    config = await visit.get("/v1/config")
    return visit.render(
        "revision.html",
        revision=revision,
        difference=difference,
        against=against,
        runs=revision["digest"] == config["running_digest"],
        pending=config["pending"],
        times=TIMES,
        copies=[
            ("Command line", f"tidegate config history {revision['number']}"),
            ("Patch", difference["patch"]),
        ],
    )


async def _go_back(visit: Visit) -> Response:
    form, number = await visit.form(), visit.path["number"]
    if not (number.isascii() and number.isdigit()):
        raise HTTPException(404)
    await visit.post("/v1/config/rollback", {**how(form), "to": int(number)})
    return visit.goto("/changes")


PAGES = (
    Page("/changes/history/{number}", _show),
    Page("/changes/history/{number}", _go_back, Role.ENGINEER, ("POST",)),
)
