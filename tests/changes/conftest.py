"""A configuration, and a gateway that only remembers what it was told to run."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from gateway import registry
from gateway.actors import Actor, Role
from gateway.changes.changes import Changes
from gateway.changes.ports import Plant
from gateway.changes.start import Load, start
from gateway.config import load
from gateway.delta import Applied, changes_between
from gateway.settings import GatewaySettings
from tests.config.text import GOOD, write

ANNA = Actor("anna", Role.ENGINEER, "page")
ROBOT = Actor("robot", Role.ENGINEER, "token ansible")


@pytest.fixture(autouse=True)
def _fake_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._BUILT_IN, "fake", "tests.config.fake_driver:KIND")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


class Rows:
    """An audit log in memory."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []
        self.details: list[dict[str, Any]] = []
        self.refuses: Exception | None = None

    async def record(self, actor: Actor, action: str, subject: str, outcome: str, **details: Any) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.rows.append((actor.name, action, subject, outcome))
        self.details.append(details)


class FakePlant:
    """Runs whatever it is told, unless it is told to fail; all is well but what is said to be ill."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.fails: list[Exception | None] = []
        self.settled = 0
        self.ill: set[str] = set()
        self.hold: asyncio.Event | None = None

    async def apply(self, settings: GatewaySettings) -> Applied:
        if self.hold is not None:
            await self.hold.wait()
        if self.fails and (error := self.fails.pop(0)) is not None:
            raise error
        delta = changes_between(self.settings, settings)
        self.settings = settings
        return Applied(*(getattr(delta, field.name) for field in fields(delta)))

    async def settle(self) -> None:
        self.settled += 1

    async def try_out(self, settings: GatewaySettings) -> list[str]:
        return [device.name for link in settings.links for device in link.devices]

    def well(self) -> frozenset[str]:
        return frozenset({"sink plant", "device filler1"} - self.ill)


class Rig:
    """One gateway's configuration, as of one start."""

    def __init__(self, changes: Changes, plant: FakePlant, audit: Rows, main: Path) -> None:
        self.changes = changes
        self.plant = plant
        self.audit = audit
        self.main = main

    @property
    def site(self) -> str:
        """What the gateway runs, told by one word of it."""
        return self.plant.settings.location[1]

    @property
    def text(self) -> str:
        return self.main.read_text()

    async def draft(self, old: str = "plant1", new: str = "plant2") -> None:
        text = (self.changes.drafting.draft.tree if self.changes.drafting.draft else self.changes.running).files
        body = text["tidegate.toml"].replace(old.encode(), new.encode())
        await self.changes.drafting.put_files(ANNA, {"tidegate.toml": body})

    async def until(self, condition: Callable[[], object]) -> None:
        """Let what is going on go on until it comes true."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@asynccontextmanager
async def started(main: Path, *, unattended: bool = False) -> AsyncIterator[Rig]:
    """As `tidegate run` does it; the process ends with the context."""
    check: Load = lambda tree: load(main, tree=tree)  # noqa: E731
    begun = await asyncio.to_thread(functools.partial(start, main, check, unattended=unattended))
    plant, audit = FakePlant(begun.settings), Rows()
    changes = Changes(begun, Plant(plant.apply, plant.settle, changes_between, plant.try_out, plant.well), audit)
    await changes.open()
    try:
        yield Rig(changes, plant, audit, main)
    finally:
        await changes.close()


@pytest.fixture
def main(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return write(tmp_path / "etc", GOOD)


@pytest.fixture
async def rig(main: Path) -> AsyncIterator[Rig]:
    async with started(main) as rig:
        yield rig
