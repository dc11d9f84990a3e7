"""A box for the tests of updates and of what judges them: its root in a folder, and the real RAUC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tidegate_appliance.places import Places
from tidegate_appliance.slots import RaucSlots

from gateway.ops.slots import Step, UpdateRefused
from tests.support.rauc_service import RaucBox

WELL = frozenset({"sink plant", "device dev0"})


@dataclass
class Box:
    """A box with RAUC on its bus."""

    rauc: RaucBox
    places: Places
    slots: RaucSlots
    address: str

    async def install(self, bundle: Path) -> list[Step]:
        return [step async for step in self.slots.install(bundle, WELL)]

    async def refusal(self, bundle: Path) -> str:
        with pytest.raises(UpdateRefused) as refused:
            await self.install(bundle)
        assert self.rauc.said("primary") == "A"
        assert not self.places.trial.exists()
        return str(refused.value)


Restart = Callable[[Box, str], Awaitable[RaucSlots]]


def a_root(directory: Path, version: str = "0.1.1") -> Places:
    """It runs `version` from slot A."""
    places = Places(directory)
    for path in (places.incoming, places.release.parent, places.rauc_conf.parent, places.boot_id.parent):
        path.mkdir(parents=True)
    places.release.write_text(f"VERSION={version}\nCOMPATIBLE=tidegate-test\n")
    started(places, "A", "the first")
    return places


def started(places: Places, slot: str, boot_id: str = "another") -> None:
    """What the kernel says of a start of `slot`."""
    places.cmdline.write_text(f"console=ttyAMA0 ro rauc.slot={slot} quiet\n")
    places.boot_id.write_text(f"{boot_id}\n")
