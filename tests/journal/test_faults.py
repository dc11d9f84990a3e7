"""kill -9, a disk that fails, a disk that is full."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.journal import Alarm, Journal, store
from gateway.journal.store import Commit, DiskTrouble, Store
from tests.journal.toys import HandJournal, batch, layout, opened, take_all

OF = layout(count=125)
ROOT = Path(__file__).parents[2]


def child(body: str, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A Python process of its own that runs `body`."""
    return subprocess.Popen(
        [*before, sys.executable, "-c", textwrap.dedent(body), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


WRITER = """
    import asyncio, sys, time
    from pathlib import Path
    from tests.journal.toys import batch, layout, opened

    async def main():
        journal = await opened(Path(sys.argv[1]))
        of = layout(count=125)
        while True:
            made = batch(of)
            record = journal.append(made)
            print(record.seq, made.mono_ns, flush=True)
            await asyncio.sleep(0.003)

    asyncio.run(main())
"""


@pytest.mark.fault
async def test_kill_9_loses_nothing_older_than_the_deadline(tmp_path: Path) -> None:
    process = child(WRITER, str(tmp_path))
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if len(lines) == 400:
            break
    killed_ns = time.monotonic_ns()
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    written = {}
    for line in lines + rest.splitlines():
        seq, mono_ns = line.split()
        written[int(seq)] = int(mono_ns)
    journal = await opened(tmp_path)
    feed = journal.feed("plant")
    taken: list[int] = []
    async with asyncio.timeout(10):
        while journal.accounts.totals("plant")["pending"]:
            for record in take_all(feed):
                feed.settle(record)
                taken.append(record.seq)
            await asyncio.sleep(0.005)
    old = {seq for seq, mono_ns in written.items() if mono_ns < killed_ns - 250_000_000}
    assert len(old) > 100
    assert old <= set(taken)
    assert taken == list(range(1, 125 * len(taken), 125)), "a hole, a repetition or a wrong order"
    await journal.close()


SETTLER = """
    import asyncio, sys
    from pathlib import Path
    from tests.journal.toys import opened, take_all

    async def main():
        journal = await opened(Path(sys.argv[1]))
        feed = journal.feed("plant", window=20)
        while True:
            for record in take_all(feed):
                print(record.id, flush=True)
                feed.settle(record)
            await asyncio.sleep(0)

    asyncio.run(main())
"""


@pytest.mark.fault
async def test_kill_9_while_draining_repeats_no_more_than_the_window(tmp_path: Path) -> None:
    journal = await opened(tmp_path)
    for _ in range(3000):
        journal.append(batch(OF))
    await journal.close()
    seen: list[int] = []
    for _ in range(3):
        process = child(SETTLER, str(tmp_path))
        assert process.stdout is not None
        before = len(seen)
        for line in process.stdout:
            seen.append(int(line))
            if len(seen) - before == 400:
                break
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        seen += [int(line) for line in rest.split("\n") if line]
    journal = await opened(tmp_path)
    feed = journal.feed("plant")
    async with asyncio.timeout(20):
        while journal.accounts.totals("plant")["pending"]:
            for record in take_all(feed):
                feed.settle(record)
                seen.append(record.id)
            await asyncio.sleep(0.001)
    assert len(set(seen)) == 3000
    assert len(seen) - 3000 <= 3 * 20
    await journal.close()


class FailingConnection:
    """Stands before a connection and fails when told to, before or after the work was done."""

    def __init__(self, real: sqlite3.Connection, plan: list[str]) -> None:
        self._real = real
        self._plan = plan

    def execute(self, sql: str, *arguments: Any) -> Any:
        if sql == "COMMIT" and self._plan:
            fault = self._plan.pop(0)
            if fault == "after":
                self._real.execute(sql)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return self._real.execute(sql, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_failed_commit_is_unknown_and_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    plan: list[str] = []
    real = sqlite3.connect
    monkeypatch.setattr(store.sqlite3, "connect", lambda *a, **k: FailingConnection(real(*a, **k), plan))
    hand = HandJournal(tmp_path / "j")
    alarms: list[Alarm] = []
    hand.journal.on_alarm(alarms.append)
    feed = hand.journal.feed("plant")
    for _ in range(5):
        hand.append(OF)
    plan += [fault] * 3
    hand.advance(2000)
    assert not plan
    assert [(alarm.name, alarm.active) for alarm in alarms] == [("disk", True), ("disk", False)]
    plan += [fault]
    taken = hand.drain(feed)
    assert [record.seq for record in taken] == [1 + 125 * i for i in range(5)]
    hand.append(OF)
    taken = take_all(feed)
    feed.refuse(taken[0], "no")
    plan += [fault] * 2
    hand.advance(2000)
    hand.kill()
    hand.open()
    assert hand.journal.ledger("plant")["sources"]["filler1"]["boots"]["1"] == {
        "first": 1,
        "last": 750,
        "delivered": 625,
        "refused": 125,
        "pending": 0,
        "dropped": [],
    }
    assert len(hand.drain(hand.journal.feed("plant"))) == 1
    hand.store.close()


def test_while_the_disk_fails_everything_goes_on_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan: list[str] = []
    real = sqlite3.connect
    monkeypatch.setattr(store.sqlite3, "connect", lambda *a, **k: FailingConnection(real(*a, **k), plan))
    hand = HandJournal(tmp_path / "j")
    plan += ["before"] * 10_000
    for _ in range(50):
        hand.append(OF)
        hand.advance(50)
    feed = hand.journal.feed("plant")
    taken = []
    for _ in range(20):
        for record in take_all(feed):
            feed.settle(record)
            taken.append(record.seq)
        plan[:] = plan[:10_000]
        hand.advance(10)
    assert sorted(taken) == [1 + 125 * i for i in range(50)]
    plan.clear()
    hand.advance(3000)
    assert hand.journal.ledger("plant")["sources"]["filler1"]["boots"]["1"]["delivered"] == 50 * 125
    assert not hand.store.oldest(-1, 10)
    hand.store.close()


def strace_works() -> bool:
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(
        ["strace", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when=1", "true"], capture_output=True
    )
    return tried.returncode == 0


FAILING = """
    import asyncio, sys
    from pathlib import Path
    from tests.journal.toys import batch, layout, opened

    async def main():
        journal = await opened(Path(sys.argv[1]), deadline_s=0.02)
        journal.on_alarm(lambda alarm: print(alarm.name, alarm.active, flush=True))
        for _ in range(40):
            journal.append(batch(layout(count=125)))
            await asyncio.sleep(0.02)
        async with asyncio.timeout(10):
            while journal.unwritten or "disk" in journal.alarms.active:
                await asyncio.sleep(0.02)
        await journal.close()

    asyncio.run(main())
"""


@pytest.mark.fault
@pytest.mark.skipif(not strace_works(), reason="strace can't inject faults here")
@pytest.mark.parametrize(("call", "when"), [("fdatasync", "10..200+10"), ("pwrite64", "150..900+75")])
async def test_an_io_error_from_the_kernel_loses_nothing(tmp_path: Path, call: str, when: str) -> None:
    process = child(
        FAILING,
        str(tmp_path),
        before=("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:error=EIO:when={when}"),
    )
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "disk True" in out
    journal = await opened(tmp_path)
    feed = journal.feed("plant")
    taken: list[int] = []
    async with asyncio.timeout(5):
        while journal.accounts.totals("plant")["pending"]:
            for record in take_all(feed):
                feed.settle(record)
                taken.append(record.seq)
            await asyncio.sleep(0.005)
    assert taken == [1 + 125 * i for i in range(40)]
    await journal.close()


def test_the_last_word_on_size_is_sqlites_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without headroom SQLite itself says *full*: dropping makes room, and nothing is dropped uncounted."""
    monkeypatch.setattr(store, "_HEADROOM_BYTES", -20_000)
    hand = HandJournal(tmp_path / "j", max_bytes=100_000)
    alarms: list[str] = []
    hand.journal.on_alarm(lambda alarm: alarms.append(alarm.name))
    for i in range(800):
        hand.append(OF, [(i * 7919 + k * 104_729) & 0xFFFF for k in range(125)])
        hand.advance(20)
    hand.settle_down()
    entry = hand.journal.ledger("plant")["sources"]["filler1"]["boots"]["1"]
    dropped = sum(part["last"] - part["first"] + 1 for part in entry["dropped"])
    assert dropped + entry["pending"] == 100_000
    assert dropped > 0
    assert entry["pending"] > 0
    assert "disk" in alarms
    assert "dropping" in alarms
    taken = hand.drain(hand.journal.feed("plant"))
    assert 125 * len(taken) == entry["pending"]
    hand.store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a tmpfs isn't permitted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.fault
async def test_a_full_disk_is_survived_and_everything_is_counted(small_disk: Path) -> None:
    journal = await opened(small_disk, deadline_s=0.01, ballast_bytes=1 << 19, min_free_bytes=0)
    assert (small_disk / "journal.db.ballast").stat().st_size == 1 << 19
    alarms: list[str] = []
    journal.on_alarm(lambda alarm: alarms.append(alarm.name))
    filler = small_disk / "somebody-elses"
    with filler.open("wb") as file:
        file.write(b"x" * (1 << 20))
    for i in range(9000):
        journal.append(batch(OF, [(i * 7919 + k * 104_729) & 0xFFFF for k in range(125)]))
        if i % 8 == 0:
            await asyncio.sleep(0.001)
    async with asyncio.timeout(20):
        while journal.unwritten:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert "disk" in alarms
    entry = journal.ledger("plant")["sources"]["filler1"]["boots"]["1"]
    dropped = sum(part["last"] - part["first"] + 1 for part in entry["dropped"])
    assert dropped > 0
    assert dropped + entry["pending"] == entry["last"] == 9000 * 125
    filler.unlink()
    feed = journal.feed("plant")
    taken = 0
    async with asyncio.timeout(20):
        while journal.accounts.totals("plant")["pending"]:
            for record in take_all(feed):
                feed.settle(record)
                taken += len(record.batch)
            await asyncio.sleep(0.001)
    entry = journal.ledger("plant")["sources"]["filler1"]["boots"]["1"]
    dropped = sum(part["last"] - part["first"] + 1 for part in entry["dropped"])
    assert entry["delivered"] == taken > 0
    assert dropped + taken == 9000 * 125
    await journal.close()


def test_every_step_of_the_schema_is_applied_once_and_wholly(tmp_path: Path) -> None:
    steps = [*store.migrations(), (2, "ALTER TABLE state ADD COLUMN note TEXT"), (3, "CREATE TABLE broken (; nonsense")]
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    connection.executescript(store.migrations()[0][1] + "PRAGMA user_version = 1;")
    connection.execute("INSERT INTO state (key, value) VALUES ('clean', 1)")
    with pytest.raises(sqlite3.OperationalError):
        store.migrate(connection, steps)
    connection.rollback()
    assert connection.execute("PRAGMA user_version").fetchone() == (2,), "the good step stays, the bad one goes"
    assert connection.execute("SELECT key, value, note FROM state ORDER BY key").fetchall() == [
        ("clean", 1, None),
        ("readable_from", 2, None),
    ]
    assert store.migrate(connection, steps[:2]) == 2
    connection.close()


def test_a_database_of_version_1_opens_and_is_read(tmp_path: Path) -> None:
    """The oldest database there may be in the field, made by its own SQL."""
    (tmp_path / "j").mkdir()
    connection = sqlite3.connect(tmp_path / "j" / "journal.db", isolation_level=None)
    connection.executescript(store.migrations()[0][1] + "PRAGMA user_version = 1;")
    connection.close()
    hand = HandJournal(tmp_path / "j")
    hand.append(OF)
    hand.advance(300)
    assert len(hand.drain(hand.journal.feed("plant"))) == 1
    hand.store.close()


def test_an_empty_commit_touches_nothing() -> None:
    assert Commit().empty
    assert not Commit(clean=True).empty


def test_trouble_that_is_not_sqlites_is_trouble_too(tmp_path: Path) -> None:
    absent = Store(tmp_path / "nowhere" / "journal.db", max_bytes=1 << 20, ballast_bytes=0, min_free_bytes=0)
    with pytest.raises(DiskTrouble):
        absent.open()


# -- wear


def written_bytes() -> int:
    """Bytes this process made the kernel write to disks (proc_pid_io(5))."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes"):
            return int(line.split()[1])
    raise AssertionError("no write_bytes")


@pytest.fixture
def real_disk() -> Iterator[Path]:
    """A folder on the file system of the project, where writes are counted; tmpfs counts none."""
    place = ROOT / "build" / f"journal-test-{os.getpid()}"
    place.mkdir(parents=True)
    yield place
    shutil.rmtree(place)


async def wear(journal: Journal, *, settle: bool) -> float:
    """Bytes written per value over 2 s at 50 batches of 125 values a second."""
    feed = journal.feed("plant")
    sources = [layout(f"filler{i}", 125) for i in range(50)]
    before = written_bytes()
    start = time.monotonic()
    for i in range(100):
        journal.append(batch(sources[i % 50], [(i * 7919 + k * 104_729) & 0xFFFF for k in range(125)]))
        if settle:
            for record in take_all(feed):
                feed.settle(record)
        await asyncio.sleep(max(0.0, start + 0.02 * i - time.monotonic()))
    return (written_bytes() - before) / (100 * 125)


@pytest.mark.fault
async def test_bytes_written_per_value(real_disk: Path) -> None:
    """The goals are 0.1 and 10; a run this short also bears the layouts, which are written once."""
    journal = await opened(real_disk)
    assert await wear(journal, settle=True) <= 0.1
    assert await wear(journal, settle=False) <= 16
    await journal.close()
