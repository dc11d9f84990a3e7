"""A toy plant, and two ways to run a journal: on asyncio, or by hand with time and disk under the test's control."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.journal import Journal
from gateway.journal.feed import JournalFeed
from gateway.journal.recovery import open_journal
from gateway.journal.store import DiskTrouble, Store
from gateway.model import Batch, DataType, Layout, Record, Tag, Value
from gateway.ops.clock import Clock
from gateway.settings import JournalSettings

MS = 1_000_000
T_MS = 250


def layout(source: str = "filler1", count: int = 3, type_: DataType = DataType.UINT16) -> Layout:
    return Layout(source, "fast", ("acme", "plant1", source), tuple(Tag(f"t{i}", type_) for i in range(count)))


def mixed_layout(source: str, count: int) -> Layout:
    """`count` columns, the last two of which are an array and a structure."""
    plain = layout(source, count - 2)
    tags = (Tag("wave", DataType.FLOAT32, count=0), Tag("event", DataType.JSON))
    return Layout(source, plain.group, plain.location, plain.tags + tags)


def row(of: Layout, start: int) -> list[Value]:
    """A value for every column, counted up from `start` and cut to 16 bits."""
    numbers = [(start + i) & 0xFFFF for i in range(len(of.tags))]
    values: list[Value] = list(numbers)
    for column in of.bulky:
        number = numbers[column]
        text = of.tags[column].type.is_text
        values[column] = f'{{"n":{number}}}' if text else (number / 2, None) * (number % 4)
    return values


def batch(of: Layout, values: Sequence[Value] | None = None, *, mono_ns: int | None = None) -> Batch:
    mono = time.monotonic_ns() if mono_ns is None else mono_ns
    return Batch(of, time.time_ns(), mono, list(range(len(of.tags))) if values is None else values)


def settings(folder: Path, **changes: Any) -> JournalSettings:
    return JournalSettings(**{"path": folder / "journal.db", "min_free_bytes": 0, "ballast_bytes": 0, **changes})


async def opened(folder: Path, sinks: Sequence[str] = ("plant",), **changes: Any) -> Journal:
    journal = Journal(settings(folder, **changes), Clock("trusted"), sinks)
    await journal.start()
    return journal


def take_all(feed: JournalFeed) -> list[Record]:
    taken = []
    while (record := feed.take()) is not None:
        taken.append(record)
    return taken


class _Timer:
    def __init__(self, at_ns: int, call: Callable[[], None]) -> None:
        self.at_ns = at_ns
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class HandLoop:
    """The part of an event loop that the journal uses; time passes when the test says so."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self._timers: list[_Timer] = []

    def call_later(self, delay_s: float, call: Callable[[], None]) -> _Timer:
        timer = _Timer(self.now_ns + int(delay_s * 1e9), call)
        self._timers.append(timer)
        return timer

    def run_until(self, at_ns: int, after_each: Callable[[], None]) -> None:
        """Let time pass up to `at_ns`, calling every timer at its time."""
        for _ in range(100_000):
            self._timers = [timer for timer in self._timers if not timer.cancelled]
            due = [timer for timer in self._timers if timer.at_ns <= at_ns]
            if not due:
                self.now_ns = at_ns
                return
            first = min(due, key=lambda timer: timer.at_ns)
            self._timers.remove(first)
            self.now_ns = max(self.now_ns, first.at_ns)
            first.call()
            after_each()
        raise AssertionError("timers without end")


class HandOwner:
    """The owner thread's place: jobs wait until the test lets one be done."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.jobs: deque[tuple[Callable[[Store], Any], Callable[[Any], None]]] = deque()
        self.stalled = False
        self.faults: list[str] = []
        """What the next jobs meet: ``before`` or ``after`` the work is done, the disk fails."""

    def submit(self, job: Callable[[Store], Any], done: Callable[[Any], None]) -> None:
        self.jobs.append((job, done))

    def step(self) -> bool:
        if not self.jobs:
            return False
        job, done = self.jobs.popleft()
        result: Any
        fault = self.faults.pop() if self.faults else None
        try:
            result = DiskTrouble("it failed") if fault == "before" else job(self.store)
            if fault == "after":
                result = DiskTrouble("it failed at the end")
        except Exception as error:  # noqa: BLE001 — as the real one does
            result = error
        done(result)
        return True

    def run(self) -> None:
        """Do everything there is, unless the disk is stalled."""
        for _ in range(100_000):
            if self.stalled or not self.step():
                return
        raise AssertionError("jobs without end")


class HandJournal:
    """A journal whose time and disk the test moves by hand."""

    def __init__(
        self, folder: Path, sinks: Sequence[str] = ("plant",), *, clock: str = "trusted", **changes: Any
    ) -> None:
        self.folder = folder
        self.sinks = sinks
        self.changes = changes
        self.clock_mode = clock
        self.synchronised = False
        self.mono_ns = 1_000_000 * MS
        self.open()

    def open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.loop = HandLoop(self.mono_ns)
        self.clock = Clock(
            self.clock_mode,
            wall_ns=lambda: 1_800_000_000_000 * MS + self.loop.now_ns,
            mono_ns=lambda: self.loop.now_ns,
            synchronised=lambda: self.synchronised,
        )
        self.settings = settings(self.folder, **self.changes)
        self.store = Store(self.settings.path, max_bytes=self.settings.max_bytes, ballast_bytes=0, min_free_bytes=0)
        self.owner = HandOwner(self.store)
        found = open_journal(self.store, self.sinks)
        self.journal = Journal(self.settings, self.clock, self.sinks)
        self.journal.begin(self.owner, self.loop, found)  # type: ignore[arg-type]

    def append(self, of: Layout, values: Sequence[Value] | None = None, *, age_ms: int = 0) -> Record:
        made = batch(of, values, mono_ns=self.loop.now_ns - age_ms * MS)
        made.read_ns = self.clock.now_ns() - age_ms * MS
        made.trusted = self.clock.trusted
        return self.journal.append(made)

    def advance(self, ms: float) -> None:
        """Let time pass; the disk keeps up unless it is stalled."""
        self.owner.run()
        self.loop.run_until(self.loop.now_ns + int(ms * MS), self.owner.run)
        self.owner.run()
        self.mono_ns = self.loop.now_ns

    def settle_down(self) -> None:
        """Let everything that is under way come to an end."""
        self.advance(4 * T_MS)

    def kill(self) -> None:
        """kill -9: what is on the disk now is all there is. The journal isn't usable until `open`."""
        after = self.folder.with_name(f"{self.folder.name}k")
        after.mkdir()
        for name in ("journal.db", "journal.db-wal", "journal.boot"):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, after / name)
        self.store.close()
        shutil.rmtree(self.folder)
        self.folder = after

    def close(self) -> None:
        """An orderly stop."""
        self.owner.stalled = False
        self.owner.faults.clear()
        self.settle_down()
        journal = self.journal
        journal.gather()
        job = journal._job(self.loop.now_ns, whole=True)
        job.clean = True
        self.store.commit(job)
        journal._end(self.store)

    def drain(self, feed: JournalFeed) -> list[Record]:
        """Take and settle until nothing comes for a while."""
        drained: list[Record] = []
        idle = 0
        while idle < 5:
            taken = take_all(feed)
            for record in taken:
                feed.settle(record)
            drained += taken
            idle = 0 if taken else idle + 1
            self.advance(50)
        return drained
