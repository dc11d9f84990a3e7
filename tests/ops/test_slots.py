"""Update slots: through the interface, and from the command line with an image that publishes it as a package does."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.ops.slots import Appliance, UpdateRefused, appliance
from gateway.ops.updates import MAX_BUNDLE, Installation, OutOfPlace, Updates
from tests.fleet import image as simulated
from tests.ops.appliance import FileSlots
from tests.support.configuration import configuration
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import free_port

ROOT = Path(__file__).parents[2]


def bundle(directory: Path, text: str) -> Path:
    path = directory / "bundle"
    path.write_text(text)
    return path


async def followed(updates: Updates) -> list[Installation]:
    return [latest async for latest in updates.follow()]


def test_here_is_no_image() -> None:
    assert appliance() is None
    assert isinstance(FileSlots, type)


def test_what_a_fleet_simulates_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "STATE", tmp_path / "slots.json")
    assert isinstance(simulated.appliance(), Appliance)


async def test_an_installation_is_followed_to_its_end(tmp_path: Path) -> None:
    image = FileSlots(tmp_path)
    assert isinstance(image, Appliance)
    updates, ends = Updates(lambda: image, lambda: {"sink plant", "device oven"}), asyncio.Queue[Installation]()
    assert await followed(updates) == []
    updates.install(bundle(tmp_path, "sound 2.0"), ends.put)
    seen = await followed(updates)
    assert await ends.get() == seen[-1]
    assert (tmp_path / "well").read_text() == "device oven sink plant"
    assert (seen[0].percent, seen[0].state) == (0, "running")
    assert (seen[-1].percent, seen[-1].state) == (100, "done")
    assert [(slot.name, slot.version, slot.next) for slot in await image.slots()] == [
        ("A", "1.0", False),
        ("B", "2.0", True),
    ]
    assert await followed(updates) == seen[-1:]
    await updates.close()
    assert (tmp_path / "left").read_text() == "device oven sink plant"


@pytest.mark.parametrize(("text", "says"), [("forged", "isn't signed"), ("flaw", "the image's installer failed")])
async def test_a_failure_is_said_and_changes_nothing(tmp_path: Path, text: str, says: str) -> None:
    image = FileSlots(tmp_path)
    updates = Updates(lambda: image)
    updates.install(bundle(tmp_path, text))
    last = (await followed(updates))[-1]
    assert last.state == "failed"
    assert says in last.detail
    assert [slot.next for slot in await image.slots()] == [True, False]
    updates.install(bundle(tmp_path, "sound 2.0"))  # another one may follow
    assert (await followed(updates))[-1].state == "done"


async def test_only_one_at_a_time_and_a_stop_ends_it(tmp_path: Path) -> None:
    updates = Updates(lambda: FileSlots(tmp_path))
    slow = bundle(tmp_path, "slow 2.0")
    updates.install(slow)
    with pytest.raises(UpdateRefused, match="already"):
        updates.install(slow)
    async for latest in updates.follow():
        if latest.percent == 40 and latest.state == "running":
            await updates.close()
    assert (latest.state, latest.detail) == ("failed", "it was stopped")


async def test_what_cant_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UpdateRefused, match="no update slots"):
        Updates(lambda: None).install(tmp_path)
    with pytest.raises(UpdateRefused, match="there is no file"):
        Updates(lambda: FileSlots(tmp_path)).install(tmp_path / "nothing")


async def test_an_upload_comes_in_parts_and_is_gone_after_its_installation(tmp_path: Path) -> None:
    updates = Updates(lambda: FileSlots(tmp_path))
    first = await updates.receive(b"sound", 0, 9)
    assert first.received == 5
    with pytest.raises(OutOfPlace) as early:
        await updates.receive(b"2.0", 6, 9)
    assert early.value.received == 5
    with pytest.raises(UpdateRefused, match="more came than the 9 bytes"):
        await updates.receive(b" 2.000", 5, 9)
    await updates.receive(b" 2.0", 5, 9)
    updates.install(Path(first.path))
    assert (await followed(updates))[-1].state == "done"
    assert (tmp_path / "B").read_text() == "2.0"
    assert not Path(first.path).exists()
    await updates.receive(b"slow 2.1", 0, 9)
    begun = await updates.receive(b"slow 2.2", 0, 8)
    assert Path(begun.path).read_text() == "slow 2.2", "a new one begins at 0"
    updates.install(Path(begun.path))
    with pytest.raises(UpdateRefused, match="already"):
        await updates.receive(b"x", 0, 1)
    await updates.close()


async def test_what_has_no_room_isnt_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    updates = Updates(lambda: FileSlots(tmp_path))
    with pytest.raises(UpdateRefused, match="is the most that is taken"):
        await updates.receive(b"x", 0, MAX_BUNDLE + 1)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=65 << 20))
    with pytest.raises(UpdateRefused, match="2 MiB and 64 MiB to spare are needed, and 65 MiB are free"):
        await updates.receive(b"x", 0, 2 << 20)


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path of every process started from here, as an image installs it."""
    package = tmp_path / "site" / "test_image-1.dist-info"
    package.mkdir(parents=True)
    package.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: test-image\nVersion: 1\n")
    package.joinpath("entry_points.txt").write_text("[tidegate.appliance]\nimage = tests.ops.appliance:appliance\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(ROOT)]))
    slots = tmp_path / "slots"
    slots.mkdir()
    monkeypatch.setenv("SLOTS", str(slots))
    return slots


@pytest.mark.integration
async def test_the_command_line(tmp_path: Path, image: Path) -> None:
    with GatewayProcess(tmp_path, configuration(tmp_path / "data", [free_port()], free_port())) as gateway:

        def tidegate(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "gateway", "update", *arguments, "--config", str(gateway.config)]
            return subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)

        async def call(*arguments: str) -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(tidegate, *arguments)

        await gateway.until(lambda body: True, "it answers")
        shown = await call("status")
        assert shown.returncode == 0
        assert "A\t1.0\truns, next, good" in shown.stdout
        empty = await call("rollback", "--yes")
        assert (empty.returncode, "the other slot is empty" in empty.stderr) == (5, True)
        forged = await call("install", str(bundle(tmp_path, "forged")))
        assert forged.returncode == 1
        assert "isn't signed" in forged.stderr
        assert "→" in forged.stderr
        nowhere = await call("install")
        assert (nowhere.returncode, "no address is set" in nowhere.stderr) == (2, True)
        (image / "address").write_text("http://files.example/from-the-settings")
        assert "http://files.example/from-the-settings is no address" in (await call("install")).stderr
        plain = await call("install", "http://files.example/2.raucb")
        assert (plain.returncode, "must be https" in plain.stderr) == (5, True)
        done = await call("install", str(bundle(tmp_path, "sound 2.0")), "--json")
        assert done.returncode == 0
        assert json.loads(done.stdout)["installation"]["state"] == "done"
        assert "it waits for a restart" in (await call("status")).stdout
        audited = await asyncio.to_thread(gateway.client.get, "/v1/audit", action="update.install")
        outcomes = [row["outcome"] for row in audited["rows"]]
        assert sorted(outcomes) == ["asked", "asked", "done", "failed"], "put down before it begins, and when it ends"
        assert (await call("rollback")).returncode == 2  # nobody can be asked
        assert (await call("rollback", "--yes")).returncode == 0
        assert (await call("mark-good", "--json")).returncode == 0
        assert (image / "next").read_text() == "B"


@pytest.mark.integration
async def test_without_slots_the_package_manager_is_named(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, configuration(tmp_path / "data", [free_port()], free_port())) as gateway:
        await gateway.until(lambda body: True, "it answers")
        command = [sys.executable, "-m", "gateway", "update", "mark-good", "--config", str(gateway.config)]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 1
        assert "no update slots" in done.stderr
        assert "package manager" in done.stderr
