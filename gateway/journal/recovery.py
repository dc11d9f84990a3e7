"""Going on after the file turned out corrupt: set it aside, open a fresh one, salvage behind, count what is lost.

New records and live delivery never wait for it. The backlog does: what is salvaged is older than what the fresh file
holds, so `readable` follows the salvage until it is done, and backfill stays in order.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from gateway.journal import versions
from gateway.journal.alarms import Alarms
from gateway.journal.boot import next_boot
from gateway.journal.feed import JournalFeed
from gateway.journal.intervals import IntervalSet
from gateway.journal.ledger import Account, Ledger
from gateway.journal.record import BOOT_SHIFT
from gateway.journal.salvage import Basics, Rows, chunk_ranges, read_basics, salvage
from gateway.journal.store import Chunk, ChunkRow, Corrupt, DiskTrouble, JournalError, Newer, Opened, Store

_log = logging.getLogger(__name__)

T = TypeVar("T")

CORRUPT: Final = "corrupt"
_AGAIN_S: Final = 1.0
_AUDIT_ROWS: Final = 64


@dataclass(slots=True)
class Found:
    """What a start has to go on."""

    opened: Opened
    boot: int
    asides: list[Path]
    """Files to be salvaged, oldest first."""
    newer: list[Path]
    """Files of later releases, which this one can't use."""
    reopened: dict[str, list[tuple[int, int]]]
    """By sink: ids that a later release left pending, and of which what ran since knew nothing."""
    unknown: set[str]
    """Sinks of which isn't known how far they were: everything salvaged is pending for them."""


def open_journal(store: Store, sinks: Iterable[str]) -> Found:
    """Open the journal, whatever state it is in, and count the boot. Runs on the owner thread.

    Raises JournalError if the disk forbids it, OSError if the boot can't be counted.
    """
    names = tuple(sinks)
    try:
        return _open(store, names)
    except (DiskTrouble, OSError) as error:
        # On a full disk not even the log can be opened: a gateway must collect after a power cut there, too.
        store.close()
        if not store.release_ballast():
            raise _unusable(store, error) from error
        _log.warning("the journal can't be opened (%s): its reserve of disk space is released", error)
    try:
        return _open(store, names)
    except DiskTrouble as error:
        raise _unusable(store, error) from error


def _unusable(store: Store, error: Exception) -> Exception:
    if isinstance(error, OSError):
        return error
    return JournalError(f"the journal {store.path} can't be opened: {error}; check the disk and the directory's owner")


def _open(store: Store, sinks: Sequence[str]) -> Found:
    """Raises JournalError, DiskTrouble or OSError."""
    store.go_back()
    try:
        opened = store.open()
    except Newer as error:
        aside = store.set_newer_aside(error.schema)
        _log.error("a later release wrote the journal (%s): it is set aside for that one as %s", error, aside)
        store.go_back()
        opened = store.open()
    except Corrupt as error:
        _log.error("the journal %s is corrupt (%s): set aside as %s", store.path, error, store.set_aside())
        opened = store.open()
    asides = store.asides()
    rows = {row.name for row in opened.sinks}
    unknown = {name for name in sinks if name not in rows and _pending(opened.ledgers, name)}
    newest = opened.newest_id >> BOOT_SHIFT
    reopened = _reopened([aside for aside in asides if versions.is_newer(aside)], opened)
    for basics in (read_basics(aside) for aside in reversed(asides)):
        newest = max(newest, basics.newest_boot)
        store.insert_layouts(basics.layouts)
        _fill_in(opened, basics)
        if basics.sinks is None:
            unknown |= {name for name in sinks if all(row.name != name for row in opened.sinks)}
    boot = next_boot(store.path.with_suffix(".boot"), max([newest, *opened.ledgers]))
    return Found(opened, boot, asides, store.left_by_newer(), reopened, unknown)


def _reopened(asides: Sequence[Path], opened: Opened) -> dict[str, list[tuple[int, int]]]:
    """What wasn't delivered when an older release took over. What that one knew of is told by the open file."""
    pending: dict[str, IntervalSet] = {}
    for aside in asides:
        ranges = [span for span in chunk_ranges(aside) if span[0] >> BOOT_SHIFT not in opened.ledgers]
        for row in read_basics(aside).sinks or ():
            waits = pending.setdefault(row.name, IntervalSet())
            for first, last in ranges:
                waits.add(first, last)
            for first, last in ((0, row.watermark), *row.ahead):
                waits.remove(first, last)
    return {sink: list(waits) for sink, waits in pending.items()}


def _fill_in(opened: Opened, older: Basics) -> None:
    """Take from a set-aside file what the fresh one doesn't say."""
    named = {row.name for row in opened.sinks}
    opened.sinks += [row for row in older.sinks or () if row.name not in named]
    opened.ledgers = {**(older.ledgers or {}), **opened.ledgers}
    opened.layouts = {**older.known_layouts(), **opened.layouts}


def _pending(ledgers: dict[int, Any], sink: str) -> bool:
    """Whether a stored ledger says that something waits on the disk for a sink."""
    return any(account[3] for body in ledgers.values() for account in body["sinks"].get(sink, {}).values())


class Journal(Protocol):
    """What recovery needs of the journal."""

    accounts: Ledger
    alarms: Alarms
    feeds: dict[str, JournalFeed]
    unwritten: deque[Chunk]
    boot: int
    readable: int
    committed: int

    async def on_owner(self, work: Callable[[Store], T]) -> T: ...
    def all_changed(self) -> None: ...
    def doubt(self) -> None: ...
    def commit_promptly(self) -> None: ...


class Recovery:
    """The event loop's side of it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._renewal: asyncio.Task[None] | None = None
        self._salvage: asyncio.Task[None] | None = None
        self._waiting: list[Path] = []
        self._stopping = False
        self.salvaged_records = 0
        self.lost_values = 0

    @property
    def active(self) -> bool:
        """Whether records of a set-aside file are still to come in."""
        return self._renewal is not None or self._salvage is not None

    async def stop(self) -> None:
        """Leave off where it is: the next start goes on. What is being written is finished first."""
        self._stopping = True
        if self._renewal is not None:
            await self._renewal
        if self._salvage is not None:
            await self._salvage

    def begin(self, asides: Iterable[Path]) -> None:
        """Salvage what a start found."""
        for aside in asides:
            self._add(aside)

    def renew(self, error: Corrupt) -> None:
        """The open file turned out corrupt: replace it. Told again while that is being done, it does nothing."""
        if self._renewal is not None:
            return
        _log.error("the journal is corrupt: %s", error)
        self._journal.readable = 0
        for feed in self._journal.feeds.values():
            feed.read_again(feed.progress.watermark)
        self._renewal = asyncio.create_task(self._renew(), name="journal renewal")

    async def _renew(self) -> None:
        aside: Path | None = None
        while aside is None or not self._stopping:
            try:
                if aside is None:
                    aside = await self._journal.on_owner(Store.set_aside)
                await self._journal.on_owner(Store.open)
                break
            except (DiskTrouble, Corrupt) as error:
                self._journal.alarms.raise_("disk", f"no fresh journal can be made: {error}")
                await asyncio.sleep(_AGAIN_S)
        self._renewal = None
        self._add(aside)
        self._journal.all_changed()
        self._journal.commit_promptly()

    def _add(self, aside: Path) -> None:
        if versions.is_newer(aside):
            _log.warning("what this release wrote before an older one ran is brought in again: %s", aside)
        else:
            self._journal.alarms.raise_(
                CORRUPT, f"the journal was corrupt: it is set aside as {aside}, and what can be read of it is salvaged"
            )
        self._journal.doubt()
        self._waiting.append(aside)
        if self._salvage is None:
            self._salvage = asyncio.create_task(self._salvage_all(), name="journal salvage")

    async def _salvage_all(self) -> None:
        doubtful = False
        done: list[Path] = []
        while self._waiting and not self._stopping:
            aside = self._waiting.pop(0)
            try:
                damaged = await self._salvage_one(aside)
            except _Stopped:
                break
            doubtful = doubtful or damaged
            done.append(aside)
        else:
            if not self._stopping:
                await self._finish(done, doubtful)
        self._salvage = None
        self._journal.readable = self._journal.committed
        for feed in self._journal.feeds.values():
            feed.nudge()

    async def _salvage_one(self, aside: Path) -> bool:
        """Bring in one file. True if some of it is damaged. Raises _Stopped."""
        loop = asyncio.get_running_loop()
        basics = await loop.run_in_executor(None, read_basics, aside)
        await self._insist(lambda store: store.insert_layouts(basics.layouts))

        def keep(rows: Rows) -> None:
            asyncio.run_coroutine_threadsafe(self._take_over(rows), loop).result()

        try:
            damaged = await loop.run_in_executor(None, salvage, aside, keep)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            _log.error("nothing can be salvaged from %s: %s", aside, error)
            damaged = 1
        counts = await self._insist(Store.refused_counts)
        for name, feed in self._journal.feeds.items():
            feed.count_refused(counts.get(name, {}))
        return bool(damaged) or basics.sinks is None or basics.ledgers is None

    async def _take_over(self, rows: Rows) -> None:
        if self._stopping:
            raise _Stopped
        feeds = self._journal.feeds.values()
        chunks = [row for row in rows.chunks if not all(feed.progress.covers(row[0], row[1]) for feed in feeds)]
        for row in await self._insist(lambda store: store.insert_salvaged(chunks, rows.refused)):
            self.salvaged_records += len(row.heads)
            for feed in feeds:
                for head, source in row.heads:
                    account = self._journal.accounts.account(feed.sink, head.boot, source)
                    account.last = max(account.last, head.seq + head.count - 1)
                    if head.id not in feed.progress:
                        account.stored.add(head.seq, head.seq + head.count - 1)
            self._journal.readable = max(self._journal.readable, row.last)
        for feed in feeds:
            feed.nudge()

    async def _insist(self, work: Callable[[Store], T]) -> T:
        """Do something on the owner thread, again and again while the disk refuses. Raises _Stopped."""
        while not self._stopping:
            try:
                return await self._journal.on_owner(work)
            except Corrupt as error:
                self.renew(error)
            except DiskTrouble as error:
                self._journal.alarms.raise_("disk", f"the journal can't be written: {error}")
            await asyncio.sleep(_AGAIN_S)
        raise _Stopped

    async def _finish(self, asides: list[Path], doubtful: bool) -> None:
        """Count what is lost, and tell."""
        try:
            before = self.lost_values
            await self._audit(doubtful)
            lost = self.lost_values - before
            self._journal.all_changed()
            self._journal.commit_promptly()
            for aside in asides:
                kept = await self._insist(partial(Store.finish_aside, aside=aside, keep=doubtful))
                _log.warning(
                    "salvaged %d records from %s; %d values are lost%s",
                    self.salvaged_records,
                    aside,
                    lost,
                    "" if kept is None else f"; the file is kept as {kept}",
                )
        except _Stopped:
            return
        alarms = self._journal.alarms
        alarms.clear(CORRUPT, "the salvage of the corrupt journal is done")
        if doubtful:
            alarms.raise_(
                CORRUPT,
                f"the journal was corrupt: {self.salvaged_records} records were salvaged, {lost} values are known lost",
            )

    async def _audit(self, doubtful: bool) -> None:
        """Drop from the accounts what should wait on the disk and doesn't."""
        expected: dict[tuple[str, int, str], IntervalSet] = {}
        for sink, boots in self._journal.accounts.accounts.items():
            for boot, accounts in boots.items():
                for source, account in accounts.items():
                    expected[sink, boot, source] = account.stored.copy()
        for chunk in self._journal.unwritten:
            for record in chunk.records:
                self._found(expected, record.boot, record.batch.layout.source, record.seq, len(record.batch.values))
        for feed in self._journal.feeds.values():
            for record in feed.stored_on_loan():
                self._found(expected, record.boot, record.batch.layout.source, record.seq, len(record.batch.values))
        after = -1
        while True:
            rows: list[ChunkRow] = await self._insist(partial(Store.oldest, after=after, limit=_AUDIT_ROWS))
            for row in rows:
                after = row.first
                for head, source in row.heads:
                    self._found(expected, head.boot, source, head.seq, head.count)
            if len(rows) < _AUDIT_ROWS:
                break
        for (sink, boot, source), missing in expected.items():
            account = self._journal.accounts.account(sink, boot, source)
            for first, last in missing:
                for lost_first, lost_last in list(account.stored.within(first, last)):
                    account.stored.remove(lost_first, lost_last)
                    account.drop(lost_first, lost_last, CORRUPT)
                    self.lost_values += lost_last - lost_first + 1
            if boot != self._journal.boot:
                self._explain(account, doubtful)

    def _found(
        self, expected: dict[tuple[str, int, str], IntervalSet], boot: int, source: str, seq: int, count: int
    ) -> None:
        for sink in self._journal.feeds:
            if (missing := expected.get((sink, boot, source))) is not None:
                missing.remove(seq, seq + count - 1)

    def _explain(self, account: Account, doubtful: bool) -> None:
        """Values of an older boot no ledger tells of: holes among the salvaged count as lost, the rest as delivered."""
        unexplained = account.pending - account.stored.size
        if unexplained > 0 and doubtful and account.stored:
            lowest = next(iter(account.stored))[0]
            for first, last in list(account.stored.gaps(lowest, account.last)):
                count = min(unexplained, last - first + 1)
                if count:
                    account.drop(first, first + count - 1, CORRUPT)
                    self.lost_values += count
                    unexplained -= count
        account.delivered += max(0, unexplained)


class _Stopped(Exception):
    """The journal is closing."""
