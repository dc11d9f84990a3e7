"""Releases in turn: an older one runs again after a newer one has brought the journal to a schema of its own."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.journal import store
from gateway.journal.recovery import open_journal
from tests.journal.test_recovery import drained_to_disk, everything, salvaged
from tests.journal.toys import batch, layout, opened

OF = layout("filler1", 2)
FIRST = store.migrations()
CHANGES = "ALTER TABLE chunk RENAME COLUMN body TO content; ALTER TABLE chunk RENAME COLUMN content TO body;"
"""Stands for what an older release couldn't use."""
ADDS = "-- Only adds\nALTER TABLE state ADD COLUMN note TEXT;"

Release = Callable[[int], None]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Release:
    """Be the release that knows so many schemas; an even number's step only adds."""

    def be(newest: int) -> None:
        steps = [*FIRST, *((number, ADDS if number % 2 == 0 else CHANGES) for number in range(2, newest + 1))]
        monkeypatch.setattr(store, "migrations", lambda: steps[:newest])

    return be


@dataclass(frozen=True)
class Ran:
    """What there was to see of one run of a gateway."""

    taken: list[tuple[int, int]]
    """(boot, number of the record in its boot) of what the sink took, in order."""
    alarms: dict[str, str]


async def run(folder: Path, records: int, *, delivers: bool = False) -> Ran:
    """A gateway that reads so many records of two values; unless it delivers the broker is away."""
    journal = await opened(folder, deadline_s=0.002)
    for _ in range(records):
        journal.append(batch(OF))
    await drained_to_disk(journal)
    taken = await everything(journal, journal.feed("plant")) if delivers else []
    await salvaged(journal)
    alarms = dict(journal.alarms.active)
    await journal.close()
    return Ran([(record.boot, (record.seq + 1) // 2) for record in taken], alarms)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix not in (".boot", ".ballast")}


async def test_a_schema_that_only_adds_is_used_by_the_older_release_too(tmp_path: Path, release: Release) -> None:
    await run(tmp_path, 3)
    release(2)
    await run(tmp_path, 2)
    release(1)
    older = await run(tmp_path, 1, delivers=True)
    assert sorted(older.taken) == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 1)]
    assert older.alarms == {}
    release(2)
    assert (await run(tmp_path, 1, delivers=True)).taken == [(4, 1)]


async def test_no_record_is_lost_when_an_older_release_runs_again_and_then_the_newer_one(
    tmp_path: Path, release: Release
) -> None:
    await run(tmp_path, 3)  # the broker is away
    release(3)
    await run(tmp_path, 2)
    assert "journal.db.before-1" in names(tmp_path)
    release(1)
    older = await run(tmp_path, 1, delivers=True)
    assert sorted(older.taken) == [(1, 1), (1, 2), (1, 3), (3, 1)], "what waited before the update is delivered"
    assert "nothing of it is lost" in older.alarms["newer"]
    assert "journal.db.newer-3-1" in names(tmp_path)
    release(3)
    newer = await run(tmp_path, 1, delivers=True)
    assert {(2, 1), (2, 2), (4, 1)} <= set(newer.taken), "and what the newer one took, once that one runs again"
    assert not {name for name in names(tmp_path) if ".newer-" in name}
    assert newer.alarms == {}


async def test_without_a_copy_the_older_release_goes_on_with_a_fresh_file(
    tmp_path: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(tmp_path, 3)
    release(3)
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
        await run(tmp_path, 0)
    assert "journal.db.before-1" not in names(tmp_path)
    release(1)
    assert (await run(tmp_path, 1, delivers=True)).taken == [(3, 1)]
    release(3)
    assert {(1, 1), (1, 2), (1, 3)} <= set((await run(tmp_path, 0, delivers=True)).taken)


async def test_a_power_cut_between_the_steps_of_going_back_loses_nothing(
    tmp_path: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(tmp_path, 3)
    release(3)
    await run(tmp_path, 2)
    release(1)
    cuts = 0
    while cut_at(tmp_path / "journal.db", cuts, monkeypatch):
        cuts += 1
        assert cuts < 20
    assert cuts >= 2
    assert {(1, 1), (1, 2), (1, 3)} <= set((await run(tmp_path, 0, delivers=True)).taken)
    release(3)
    assert {(2, 1), (2, 2)} <= set((await run(tmp_path, 0, delivers=True)).taken)


class _Cut(Exception):
    """The power fails."""


def cut_at(path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether opening the journal was cut off at the rename that is `number` steps away."""
    real, left = os.replace, number

    def step(source: Path, target: Path) -> None:
        nonlocal left
        if left == 0:
            raise _Cut
        left -= 1
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", step)
        opening = store.Store(path, max_bytes=1 << 24, ballast_bytes=0, min_free_bytes=0)
        try:
            open_journal(opening, ["plant"])
        except _Cut:
            return True
        finally:
            opening.close()
    return False


async def test_an_absurd_schema_is_damage_and_not_a_later_release(tmp_path: Path) -> None:
    await run(tmp_path, 1)
    connection = sqlite3.connect(tmp_path / "journal.db")
    connection.execute("PRAGMA user_version = 123456789")
    connection.close()
    assert "newer" not in (await run(tmp_path, 0)).alarms
    assert not {name for name in names(tmp_path) if ".newer-" in name}


async def test_a_copy_that_nobody_goes_back_to_is_removed(tmp_path: Path, release: Release) -> None:
    await run(tmp_path, 1)
    release(3)
    await run(tmp_path, 1)
    copy = tmp_path / "journal.db.before-1"
    await run(tmp_path, 1)
    assert copy.exists()
    long_ago = time.time() - 15 * 86_400
    os.utime(copy, (long_ago, long_ago))
    await run(tmp_path, 1)
    assert not copy.exists()
