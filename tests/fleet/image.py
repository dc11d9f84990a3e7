"""What a simulated appliance publishes: update slots and itself. `tests.fleet.boot` restarts it.

A bundle is a line of text, ``sound VERSION`` or ``unhealthy VERSION``; anything else isn't signed by anybody trusted.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Collection, Sequence
from pathlib import Path
from typing import Any

from gateway.ops.slots import Slot, Step, Trial, UpdateRefused
from tests.ops.machine import FileMachine

STATE = Path("/data/slots/slots.json")
EMPTY = {"version": None, "healthy": False, "good": False}


class Slots:
    name = "simulated image"

    def __init__(self) -> None:
        if not STATE.exists():
            first = {"version": "1.0", "healthy": True, "good": True}
            self._write({"booted": "A", "next": "A", "slots": {"A": first, "B": EMPTY}})

    async def slots(self) -> Sequence[Slot]:
        state = self._read()
        return [
            Slot(name, held["version"], name == state["booted"], name == state["next"], held["good"])
            for name, held in state["slots"].items()
        ]

    @property
    def incoming(self) -> Path:
        return STATE.parent

    @property
    def address(self) -> str | None:
        return None

    async def leaving(self, well: Collection[str]) -> None:
        """Its health is said by its bundle."""

    async def trial(self) -> Trial | None:
        state = self._read()
        other = "B" if state["booted"] == "A" else "A"
        version = state["slots"][other]["version"]
        if state["next"] == other:
            return Trial(version, other, "waiting", f"{version} waits for a restart")
        fallen = version is not None and not state["slots"][other]["good"]
        return Trial(version, other, "fallen", f"{version} wasn't well") if fallen else None

    async def install(self, bundle: Path, well: Collection[str]) -> AsyncGenerator[Step]:
        kind, _, version = bundle.read_text().strip().partition(" ")
        yield Step(10, "checking the signature")
        if kind not in ("sound", "unhealthy"):
            raise UpdateRefused("the bundle isn't signed by anybody who is trusted")
        state = self._read()
        other = "B" if state["booted"] == "A" else "A"
        yield Step(60, f"writing slot {other}")
        state["slots"][other] = {"version": version, "healthy": kind == "sound", "good": False}
        state["next"] = other
        self._write(state)

    async def mark_good(self) -> None:
        state = self._read()
        state["slots"][state["booted"]]["good"] = True
        self._write(state)

    async def roll_back(self) -> None:
        state = self._read()
        other = "B" if state["booted"] == "A" else "A"
        if state["slots"][other]["version"] is None:
            raise UpdateRefused("the other slot is empty")
        state["next"] = other
        self._write(state)

    @staticmethod
    def _read() -> dict[str, Any]:
        state: dict[str, Any] = json.loads(STATE.read_text())
        return state

    @staticmethod
    def _write(state: dict[str, Any]) -> None:
        STATE.write_text(json.dumps(state))


def appliance() -> Slots:
    return Slots()


class Box(FileMachine):
    """Its network and time are a file; a wipe is what the first program of an appliance makes of it."""

    async def wipe(self) -> None:
        Path("/data/.erase").write_text("wipe\n")
        Path("/run/init").write_text("reboot\n")


def machine() -> Box:
    directory = Path("/data/machine")
    directory.mkdir(exist_ok=True)
    return Box(directory)
