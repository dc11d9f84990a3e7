"""An image as its maker writes it, but its slots are files in a directory: ``SLOTS`` names it.

A bundle is a text file, whatever white space is behind it: ``sound VERSION``, ``slow VERSION``, ``flaw`` or anything
else, which isn't trusted.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Collection, Sequence
from pathlib import Path

from gateway.ops.slots import Slot, Step, Trial, UpdateRefused


class FileSlots:
    name = "test image"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if not (directory / "next").exists():
            for name, text in (("A", "1.0"), ("good", "A"), ("next", "A")):
                (directory / name).write_text(text)

    @property
    def incoming(self) -> Path:
        return self._directory

    @property
    def address(self) -> str | None:
        return self._read("address")

    async def trial(self) -> Trial | None:
        if (fallen := self._read("fallen")) is not None:
            return Trial(fallen, "B", "fallen", f"{fallen} didn't work: no device answered; 1.0 runs again")
        waits = self._read("next") == "B"
        return Trial(self._read("B") or "", "B", "waiting", "it waits for a restart") if waits else None

    def _read(self, name: str) -> str | None:
        path = self._directory / name
        return path.read_text() if path.exists() else None

    async def slots(self) -> Sequence[Slot]:
        good = (self._read("good") or "").split()
        return [
            Slot(name, self._read(name), name == "A", name == self._read("next"), name in good, None) for name in "AB"
        ]

    async def install(self, bundle: Path, well: Collection[str]) -> AsyncGenerator[Step]:
        kind, *version = bundle.read_text().split()
        yield Step(10, "checking the signature")
        if kind == "flaw":
            raise RuntimeError("a flaw")
        if kind not in ("sound", "slow"):
            raise UpdateRefused("the bundle isn't signed by anybody who is trusted")
        for percent in (40, 80):
            yield Step(percent, "writing slot B")
            if kind == "slow":
                await asyncio.Event().wait()
        (self._directory / "well").write_text(" ".join(sorted(well)))
        (self._directory / "B").write_text(" ".join(version))
        (self._directory / "next").write_text("B")

    async def leaving(self, well: Collection[str]) -> None:
        (self._directory / "left").write_text(" ".join(sorted(well)))

    async def mark_good(self) -> None:
        (self._directory / "good").write_text("A")

    async def roll_back(self) -> None:
        if self._read("B") is None:
            raise UpdateRefused("the other slot is empty")
        (self._directory / "next").write_text("B")


def appliance() -> FileSlots:
    return FileSlots(Path(os.environ["SLOTS"]))
