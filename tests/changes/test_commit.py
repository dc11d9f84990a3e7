"""Several files replaced as one: killed or without power at any moment, all of them are old or all of them new."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.changes import commit
from gateway.config.archive import pack_tree
from gateway.config.document import in_place
from gateway.config.reading import marker_of
from gateway.config.tree import Tree

ROOT = Path(__file__).parents[2]
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where syncing costs nothing: a killed process, unlike a power cut, loses nothing that isn't synced."""
GROUP = '[[device]]\n[[device.group]]\ntags_csv = "{}"\n'
OLD = Tree(
    "gw.toml",
    {
        "gw.toml": b"[gateway]\nid = 'old'\n",
        "conf.d/a.toml": GROUP.format("../tags/old.csv").encode(),
        "conf.d/b.toml": GROUP.format("b.csv").encode(),
        "conf.d/b.csv": b"name\nold\n",
        "tags/old.csv": b"name\n",
        **{f"conf.d/m{i}.toml": b"# old\n" for i in range(4)},
    },
)
NEW = Tree(
    "gw.toml",
    {
        "gw.toml": b"[gateway]\nid = 'new'\n",
        "conf.d/b.toml": GROUP.format("b.csv").encode(),
        "conf.d/b.csv": b"name\nnew\n" + 50_000 * b"x",
        "conf.d/c.toml": GROUP.format("../more/new.csv").encode(),
        "more/new.csv": b"name\n",
        **{f"conf.d/m{i}.toml": b"# new\n" for i in range(4)},
    },
)


def put(directory: Path, tree: Tree = OLD) -> Path:
    for name, body in tree.files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(body)
    return directory / tree.main


def apply(main: Path, new: Tree = NEW) -> None:
    commit.commit(commit.prepare(main, in_place(main), new))
    assert commit.finish(main)


def everything(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_a_change_is_all_there_and_leaves_nothing_else(tmp_path: Path) -> None:
    main = put(tmp_path)
    apply(main)
    assert in_place(main) == NEW
    assert everything(tmp_path) == {*NEW.files}
    assert not commit.finish(main)


def test_nothing_counts_before_it_is_committed(tmp_path: Path) -> None:
    main = put(tmp_path)
    prepared = commit.prepare(main, OLD, NEW)
    assert in_place(main) == OLD
    commit.abandon(prepared)
    assert everything(tmp_path) == {*OLD.files}
    commit.prepare(main, OLD, NEW)
    commit.clear(main, OLD)
    assert everything(tmp_path) - {"more/.new.csv.tidegate-new"} == {*OLD.files}


def test_committed_is_new_for_every_reader_though_no_file_is(tmp_path: Path) -> None:
    main = put(tmp_path)
    commit.commit(commit.prepare(main, OLD, NEW))
    assert main.read_bytes() == OLD.files["gw.toml"]
    assert in_place(main) == NEW
    for draft in tmp_path.rglob("*.tidegate-new"):
        draft.unlink()  # a disk that forgot them
    assert commit.finish(main)
    assert everything(tmp_path) == {*NEW.files}


def test_what_changes_nothing_touches_nothing(tmp_path: Path) -> None:
    main = put(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    prepared = commit.prepare(main, OLD, OLD)
    commit.commit(prepared)
    assert not commit.finish(main)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_modes_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    main = put(tmp_path / "etc")
    main.chmod(0o640)
    (tmp_path / "etc" / "conf.d" / "b.csv").rename(tmp_path / "real" / "b.csv")
    (tmp_path / "etc" / "conf.d" / "b.csv").symlink_to(tmp_path / "real" / "b.csv")
    apply(main)
    assert (tmp_path / "etc" / "conf.d" / "b.csv").is_symlink()
    assert (tmp_path / "real" / "b.csv").read_bytes() == NEW.files["conf.d/b.csv"]
    assert stat.S_IMODE(main.stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "etc" / "conf.d" / "c.toml").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "real" / "b.csv").stat().st_mode) == 0o644


def test_a_directory_that_can_not_be_written_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = put(tmp_path)

    def full(path: Path, body: bytes, mode: int = 0) -> None:
        if path.name == ".c.toml.tidegate-new":
            raise OSError(28, "No space left on device", str(path))
        path.write_bytes(body)

    monkeypatch.setattr(commit, "write_synced", full)
    with pytest.raises(OSError, match="No space"):
        commit.prepare(main, OLD, NEW)
    assert everything(tmp_path) == {*OLD.files}


def test_files_that_nobody_knows_are_in_the_way(tmp_path: Path) -> None:
    main = put(tmp_path)
    assert commit.in_the_way(main, OLD, NEW) == []
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "new.csv").write_bytes(b"mine")
    assert commit.in_the_way(main, OLD, NEW) == ["more/new.csv"]
    (tmp_path / "more" / "new.csv").write_bytes(NEW.files["more/new.csv"])
    assert commit.in_the_way(main, OLD, NEW) == []


@pytest.fixture
def in_memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.mark.fault
def test_killed_at_any_step(in_memory: Path) -> None:
    """SIGKILL right before and right behind every single call that touches the file system, over 200 kills."""
    (in_memory / "new").write_bytes(pack_tree(NEW))
    old, new, kills = 0, 0, 0
    with subprocess.Popen(
        [sys.executable, "-m", "tests.changes.killed", str(in_memory / "new")],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as killer:  # fmt: skip
        assert killer.stdin is not None
        assert killer.stdout is not None
        step = 0
        while True:
            step = -step if step > 0 else -step + 1
            directory = in_memory / "etc"
            main = put(directory)
            killer.stdin.write(f"{step} {main}\n")
            killer.stdin.flush()
            if killer.stdout.readline() == "done\n":
                break
            kills += 1
            found = in_place(main)
            assert found in (OLD, NEW), f"a mix after a kill at step {step}"
            old, new = old + (found == OLD), new + (found == NEW)
            commit.finish(main)
            commit.clear(main, in_place(main))
            assert in_place(main) == found, "finishing changed what counts"
            assert everything(directory) - {"more/.new.csv.tidegate-new"} == {*found.files}
            # The next change works on what was left behind.
            apply(main, OLD if found == NEW else NEW)
            shutil.rmtree(directory)
        killer.stdin.close()
    assert kills >= 200
    assert min(old, new) >= 20


# --- without power: what wasn't synced may be there or not, in any combination ---


class Disk:
    """Records what is done to a directory, to make what a power cut may have left of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.steps: list[tuple[Any, ...]] = []

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real_write, real_sync = commit.write_synced, commit.sync_directory
        real_replace, real_unlink, real_mkdir = os.replace, Path.unlink, Path.mkdir

        def write(path: Path, body: bytes, mode: int = 0o644) -> None:
            self.steps.append(("half", path, body[: len(body) // 2]))
            real_write(path, body, mode)
            self.steps.append(("write", path, body))

        def sync(path: Path) -> None:
            real_sync(path)
            self.steps.append(("sync", path))

        def replace(source: Path, target: Path) -> None:
            real_replace(source, target)
            self.steps.append(("replace", source, target))

        def unlink(path: Path, missing_ok: bool = False) -> None:
            there = path.exists()
            real_unlink(path, missing_ok)
            if there:
                self.steps.append(("unlink", path))

        def mkdir(path: Path, *arguments: Any, **named: Any) -> None:
            there = path.exists()
            real_mkdir(path, *arguments, **named)
            if not there:
                self.steps.append(("mkdir", path))

        monkeypatch.setattr(commit, "write_synced", write)
        monkeypatch.setattr(commit, "sync_directory", sync)
        monkeypatch.setattr(commit.os, "replace", replace)
        monkeypatch.setattr(Path, "unlink", unlink)
        monkeypatch.setattr(Path, "mkdir", mkdir)

    @property
    def committed(self) -> int:
        """The step that makes the change count."""
        marker = marker_of(self.directory / OLD.main)
        return next(i for i, step in enumerate(self.steps) if step[0] == "replace" and step[2] == marker)

    @property
    def confirmed(self) -> int:
        """How many steps it takes until a caller is told so."""
        return self.steps.index(("sync", self.directory), self.committed) + 1

    def after(self, count: int, kept: Iterator[bool]) -> dict[Path, bytes]:
        """The files after a power cut behind `count` steps. Of each change of a name that wasn't synced, `kept` says
        whether it is on the disk. A file's bytes are: a name is only given to what is synced, or to half of it."""
        steps = self.steps[:count]
        files = {self.directory / name: body for name, body in OLD.files.items()}
        content: dict[Path, bytes] = {}  # what a name means to the running system
        for index, step in enumerate(steps):
            kind, path = step[0], step[1]
            home = (step[2] if kind == "replace" else path).parent
            synced = any(later[0] == "sync" and later[1] == home for later in steps[index + 1 :])
            match kind:
                case "half" | "write":
                    content[path] = step[2]
                    if path in files or synced or next(kept):
                        files[path] = step[2]
                case "replace":
                    body = content.get(path, files.get(path, b""))
                    content[step[2]] = body
                    if synced or next(kept):
                        files.pop(path, None)
                        files[step[2]] = body
                case "unlink":
                    if synced or next(kept):
                        files.pop(path, None)
        return files


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    disk = Disk(tmp_path_factory.mktemp("etc"))
    main = put(disk.directory)
    with pytest.MonkeyPatch.context() as monkeypatch:
        disk.patch(monkeypatch)
        apply(main)
    return disk


@settings(max_examples=400)
@given(data=st.data())
def test_without_power_at_any_moment(recorded: Disk, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(recorded.steps)))
    kept = iter(data.draw(st.lists(st.booleans(), min_size=len(recorded.steps), max_size=len(recorded.steps))))
    files = recorded.after(count, kept)
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        for path, body in files.items():
            place = Path(name) / path.relative_to(recorded.directory)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(body)
        main = Path(name) / "gw.toml"
        found = in_place(main)
        assert found in (OLD, NEW)
        committed = any(
            step[0] == "replace" and step[2] == marker_of(recorded.directory / "gw.toml")
            for step in recorded.steps[:count]
        )
        if not committed:
            assert found == OLD
        elif ("sync", recorded.directory) in recorded.steps[
            recorded.steps.index(next(s for s in recorded.steps if s[0] == "replace")) : count
        ]:
            assert found == NEW, "once it is said to be confirmed it is"
        commit.finish(main)
        assert in_place(main) == found
