"""How a release gets into a box: handed over, installed, started, proved."""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from typing import Any

from hil.benches.page import Declined
from hil.tests.box import Box

PART = 4 << 20
"""Bytes of one part of an upload."""
_PAUSE_S = 1.0
_INSTALL_S = 600.0


class InstallFailed(Exception):
    """The box said so."""


def upload(box: Box, bundle: Path) -> str:
    """Hand a bundle over as the page does. Returns its path in the box."""
    size = bundle.stat().st_size
    with bundle.open("rb") as file:
        while part := file.read(PART):
            offset = file.tell() - len(part)
            answer = box.api.send("PUT", f"/v1/update/upload?offset={offset}&size={size}", part)
    path = answer["path"]
    assert isinstance(path, str), answer
    return path


def install(box: Box, path: str, *, for_s: float | None = None) -> bool:
    """Write it to the other slot. `for_s`: watch no longer than that; False: it wasn't done by then.

    Raises InstallFailed.
    """
    end = time.monotonic() + (box.patient(_INSTALL_S) if for_s is None else for_s)
    box.api.call("POST", "/v1/update/install", {"path": path})
    while time.monotonic() < end:
        latest = box.api.get("/v1/update")["installation"]
        if latest is not None and latest["state"] == "failed":
            raise InstallFailed(latest["detail"])
        if latest is not None and latest["state"] == "done":
            return True
        time.sleep(_PAUSE_S)
    assert for_s is not None, f"not installed within {box.patient(_INSTALL_S):.0f} s: {latest}"
    return False


def update(box: Box, path: str, *, for_s: float | None = None) -> str:
    """Install it and restart. `for_s`: until then, however far it has come; else until it has started.

    Returns what it was at.
    """
    began = time.monotonic()
    started = box.bench.expect_start()
    if not install(box, path, for_s=for_s):
        return "while it was written"
    box.api.call("POST", "/v1/machine/restart")
    if for_s is None:
        started(120)
        return "started"
    stage, end = "while it restarted", began + for_s
    while (left_s := end - time.monotonic()) > 0:
        stage = _stage(box, min(left_s, _PAUSE_S))
        time.sleep(max(0.0, min(_PAUSE_S, end - time.monotonic())))
    return stage


def _stage(box: Box, within_s: float) -> str:
    """Asked for no longer than that: the moment of a power cut doesn't wait for an answer."""
    try:
        trial = box.api.within(within_s).get("/v1/update")["trial"]
    except (OSError, http.client.HTTPException, Declined):
        return "while it restarted"
    if trial is None:
        return "after it had proved itself"
    return "before it restarted" if trial["state"] == "waiting" else "while it was on trial"


def chosen(box: Box) -> list[tuple[str, bool, bool]]:
    """Of each slot: its name, whether it runs, whether it runs next."""
    return [(slot["name"], slot["booted"], slot["next"]) for slot in box.api.get("/v1/update")["slots"]]


def healthy(box: Box) -> dict[str, Any]:
    """The slot that runs, once it has proved itself and nothing is on trial."""

    def look() -> dict[str, Any] | None:
        said = box.api.get("/v1/update")
        running = next((slot for slot in said["slots"] if slot["booted"]), None)
        trial = said["trial"]
        settled = trial is None or trial["state"] == "fallen"
        return running if running is not None and running["good"] and settled else None

    found: dict[str, Any] = box.until(look, 600, "a slot that has proved itself runs")
    return found
