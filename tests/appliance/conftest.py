"""Boxes in folders, some with the real RAUC."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tidegate_appliance.places import Places
from tidegate_appliance.slots import RaucSlots

from tests.appliance.box import Box, Restart, a_root, started
from tests.appliance.programs import Programs
from tests.support.rauc_service import RaucBox, bus_of_a_box, rauc_command


@pytest.fixture
def rauc_box(tmp_path: Path) -> RaucBox:
    """Two slots and a boot loader, nothing running yet."""
    command = rauc_command()
    if command is None or os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("RAUC mounts bundles: this needs root, loop devices and RAUC 1.13 (make image brings it)")
    return RaucBox(tmp_path / "box", command)


@pytest.fixture
async def box(tmp_path: Path, rauc_box: RaucBox, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Box]:
    places = a_root(tmp_path / "root")
    async with bus_of_a_box(tmp_path) as address, rauc_box.service(address):
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield Box(rauc_box, places, RaucSlots(places), address)


@pytest.fixture
async def restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Restart]:
    """Another start, of one of the slots, with a bus and a RAUC of its own."""
    async with contextlib.AsyncExitStack() as stack:

        async def restart(box: Box, slot: str) -> RaucSlots:
            box.rauc.boots(slot)
            number = len([*tmp_path.glob("start-*")])
            directory = tmp_path / f"start-{number}"
            directory.mkdir()
            started(box.places, slot, f"start {number}")
            address = await stack.enter_async_context(bus_of_a_box(directory))
            await stack.enter_async_context(box.rauc.service(address))
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
            return RaucSlots(box.places)

        yield restart


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A box in a folder, as the initramfs leaves it."""
    root = tmp_path / "box"
    for directory in ("data/identity", "data/config", "data/appliance", "etc/systemd/network"):
        (root / directory).mkdir(parents=True)
    return Places(root)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    return Programs(tmp_path / "programs", monkeypatch)
