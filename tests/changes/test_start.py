"""What a gateway starts with: never stuck where nobody attends to it, never guessing where somebody does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gateway.changes.ports import How
from gateway.changes.start import start, starter
from gateway.config import ConfigErrors, load
from gateway.config.archive import pack_tree
from gateway.config.document import in_place
from gateway.config.reading import marker_of
from tests.changes.conftest import ANNA, started
from tests.config.text import GOOD


async def test_without_a_configuration_a_starter_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/state:{tmp_path}/other")
    monkeypatch.setattr("socket.gethostname", lambda: "tidegate_0a1b.local")
    path = tmp_path / "etc" / "gw.toml"
    with pytest.raises(ConfigErrors):
        start(path, lambda tree: load(path, tree=tree))
    async with started(path, unattended=True) as rig:
        assert rig.plant.settings.id == "tidegate-0a1b"
        assert rig.plant.settings.data_dir == tmp_path / "state"
        assert (rig.plant.settings.links, rig.plant.settings.sinks) == ((), ())
        assert rig.changes.trouble() is None
        assert rig.changes.records.revisions[0].kind == "found"
    text = path.read_text()
    assert text == starter(f"{tmp_path}/state")
    assert load(path).id == "tidegate-0a1b"


async def test_an_invalid_one_is_told_and_what_ran_last_runs(main: Path) -> None:
    async with started(main) as rig:
        await rig.draft()
        await rig.changes.apply(ANNA, How("", 0))
        await rig.draft("plant2", "plant3")
        await rig.changes.apply(ANNA, How("", 600))  # never confirmed
    good = main.read_text()
    main.write_text(good.replace('"acme"', "oops"))
    with pytest.raises(ConfigErrors):
        start(main, lambda tree: load(main, tree=tree))
    async with started(main, unattended=True) as rig:
        assert rig.site == "plant2"
        trouble = rig.changes.trouble()
        assert trouble is not None
        assert (trouble["runs"], trouble["revision"]) == ("revision", 2)
        assert [(each["file"], each["line"]) for each in trouble["problems"]] == [("tidegate.toml", 3)]
        assert main.read_text() == good.replace('"acme"', "oops"), "the work of whoever wrote it isn't lost"
        # It can be mended from here.
        await rig.changes.rollback(ANNA, How("", 0), to=2)
        assert rig.changes.trouble() is None
    assert main.read_text() == good
    async with started(main) as rig:
        assert rig.site == "plant2"


async def test_a_data_directory_that_the_broken_file_does_not_tell_is_known(main: Path) -> None:
    async with started(main):
        pass
    main.write_text(GOOD.replace('data_dir = "data"', 'data_dir = "else"').replace('"plant1"', "1"))
    async with started(main, unattended=True) as rig:
        assert rig.site == "plant1"
        assert rig.plant.settings.data_dir == main.parent / "data"


async def test_with_nothing_to_fall_back_to_it_runs_without_devices(
    main: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    main.write_text("oops")
    async with started(main, unattended=True) as rig:
        assert rig.plant.settings.links == ()
        assert (rig.changes.trouble() or {})["runs"] == "starter"
        assert main.read_text() == "oops"
        assert rig.changes.records.revisions == []
        await rig.changes.drafting.put_files(ANNA, {"tidegate.toml": GOOD.encode()})
        await rig.changes.apply(ANNA, How("", 0))
        assert main.read_text() == GOOD


async def test_a_revision_that_can_not_run_any_more_is_passed_over(main: Path) -> None:
    async with started(main) as rig:
        await rig.draft()
        await rig.changes.apply(ANNA, How("", 0))
        revisions = rig.changes.records.directory / "revisions"
    (revisions / "000002.tar").write_bytes(b"?")
    main.write_text("oops")
    async with started(main, unattended=True) as rig:
        assert rig.site == "plant1"


async def test_a_change_that_was_broken_off_is_finished(main: Path) -> None:
    tree = in_place(main)
    new = tree.replaced({"tidegate.toml": GOOD.replace("plant1", "plant7").encode(), "conf.d/x.toml": b""})
    marker_of(main).write_bytes(pack_tree(new, removed=[]))
    async with started(main) as rig:
        assert rig.site == "plant7"
        assert in_place(main) == new
        assert not marker_of(main).exists()


async def test_a_damaged_marker_is_told(main: Path) -> None:
    async with started(main):
        pass
    marker_of(main).write_bytes(b"?")
    with pytest.raises(ConfigErrors, match="marker of a change is damaged"):
        start(main, lambda tree: load(main, tree=tree))
    async with started(main, unattended=True) as rig:
        assert rig.site == "plant1"


async def test_a_data_directory_without_room_does_not_stop_a_start(main: Path) -> None:
    async with started(main):
        pass
    main.write_text(main.read_text().replace("plant1", "plant2"))
    directory = main.parent / "data" / "changes"
    shutil.rmtree(directory)
    directory.write_text("a file")
    async with started(main) as rig:
        assert rig.site == "plant2"
        assert rig.changes.records.revisions == []


async def test_a_link_to_the_history_needs_no_right_to_write(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "symlink", refuse)
    async with started(main) as rig:
        assert rig.site == "plant1"
