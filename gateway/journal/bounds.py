"""What may leave the journal undelivered, and the counting of it: bounds on bytes, age and memory, and damage.

The oldest goes first, never what a sink has on loan. Dropping a record settles it for every sink, so watermarks move,
and enters its sequence numbers and the reason into the ledger.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from gateway.journal.alarms import Alarms
from gateway.journal.feed import JournalFeed
from gateway.journal.ledger import Ledger
from gateway.journal.record import storable
from gateway.journal.store import Chunk, ChunkRow, RefusedRow, Space, Store
from gateway.journal.weight import weight
from gateway.model import Record
from gateway.ops.clock import Clock
from gateway.settings import JournalSettings

_log = logging.getLogger(__name__)

T = TypeVar("T")

FULL: Final = "journal full"
OLD: Final = "too old"
MEMORY: Final = "memory full"
CORRUPT: Final = "corrupt"
UNSTORABLE: Final = "not storable"

_LOOK_ROWS: Final = 16
"""Rows looked at in one go to find what to drop."""
_SHARE: Final = 64
"""When a bound is reached, this part of it is freed at once, so that not every commit has to drop something."""
_LEAST_BYTES: Final = 16 << 20
"""What the journal may use even while the disk has less free than it should."""


_LEAST_ROOM_BYTES: Final = 32 << 10
_QUIET_NS: Final = 60_000_000_000


class Journal(Protocol):
    """What the bounds need of the journal."""

    accounts: Ledger
    alarms: Alarms
    clock: Clock
    feeds: dict[str, JournalFeed]
    settings: JournalSettings
    space: Space
    unwritten: deque[Chunk]

    @property
    def salvaging(self) -> bool: ...
    def submit(self, work: Callable[[Store], T], done: Callable[[T | Exception], None]) -> None: ...
    def read_failed(self, error: Exception) -> None: ...
    def gather(self) -> None: ...
    def free(self, id_: int) -> None: ...
    def free_chunk(self, first: int, last: int) -> None: ...
    def release_refused(self, feed: JournalFeed, source: str, id_: int, *, promptly: bool) -> None: ...
    def ledger_changed(self) -> None: ...
    def commit_promptly(self) -> None: ...
    def commit_in_time(self) -> None: ...


class Bounds:
    """Keeps the journal within its settings."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._looking = False
        self._look_after = -1
        self._doubted: set[str] = set()
        """Sinks for which something may be missing."""
        self._filled_ns: int | None = None
        self._filled_bytes = 0
        """When the disk was last found to have no room, and how much the journal used then: all it can have."""
        self._dropped_ns = 0
        self._dropped_for = ""
        self.memory_values = 0
        """What came in since memory was last weighed, and what there was then, in ordinary values."""

    # -- memory

    def count_memory(self) -> int:
        """The weight of what some sink still needs of what is in memory."""
        journal = self._journal
        self.memory_values = sum(chunk.weight for chunk in journal.unwritten) + max(
            (sum(weight(record.batch) for record in feed.in_memory()) for feed in journal.feeds.values()), default=0
        )
        return self.memory_values

    def bound_memory(self) -> None:
        """Perhaps more values came in than memory may hold: count, and drop the oldest if so."""
        journal = self._journal
        limit = journal.settings.memory_values
        if self.count_memory() <= limit:
            return
        journal.gather()
        goal = limit - limit // _SHARE
        for chunk in journal.unwritten:
            if self.memory_values <= goal:
                break
            self.memory_values -= self._drop_records(chunk, chunk.records, MEMORY)
        journal.alarms.raise_(
            "memory", "memory for values the disk hasn't taken is full: the oldest are dropped and counted"
        )
        journal.commit_promptly()

    def drop_unstorable(self) -> None:
        """Something in the chunks to be written is no value: a bug upstream, which must not stop everything else."""
        journal = self._journal
        for chunk in journal.unwritten:
            bad = [record for record in chunk.records if not storable(record)]
            if bad:
                source = bad[0].batch.layout.source
                _log.error("%d records of %r can't be stored: they hold what is no value", len(bad), source)
                self._drop_records(chunk, bad, UNSTORABLE)
        self.forget_settled()

    def forget_settled(self) -> None:
        """Let go of records that were settled while the disk couldn't take them."""
        journal = self._journal
        feeds = journal.feeds.values()
        kept: list[Chunk] = []
        for chunk in journal.unwritten:
            chunk.records = [
                record for record in chunk.records if any(record.id not in feed.progress for feed in feeds)
            ]
            chunk.weight = sum(weight(record.batch) for record in chunk.records)
            if chunk.records:
                kept.append(chunk)
            else:
                journal.free_chunk(chunk.first, chunk.last)  # in case a commit that failed did write it
        journal.unwritten.clear()
        journal.unwritten.extend(kept)

    def _drop_records(self, chunk: Chunk, records: Sequence[Record], reason: str) -> int:
        """Drop what no sink has on loan of a chunk that is in memory. Returns the weight of what went."""
        feeds = self._journal.feeds.values()
        doomed = {record.id for record in records if not any(feed.on_loan(record.id) for feed in feeds)}
        gone = 0
        kept: list[Record] = []
        for record in chunk.records:
            if record.id not in doomed:
                kept.append(record)
                continue
            count = len(record.batch.values)
            gone += weight(record.batch)
            for feed in feeds:
                if record.id not in feed.progress:
                    self._drop(feed, record.id, record.boot, record.batch.layout.source, record.seq, count, reason)
        chunk.records = kept
        chunk.weight -= gone
        if doomed:
            for feed in feeds:
                feed.forget_settled()
            self._journal.free(max(doomed))
        return gone

    def _drop(self, feed: JournalFeed, id_: int, boot: int, source: str, seq: int, count: int, reason: str) -> None:
        """Settle a record that was given to the disk without delivering it, and count it."""
        feed.progress.settle(id_, id_)
        feed.dirty = True
        account = self._journal.accounts.account(feed.sink, boot, source)
        account.stored.remove(seq, seq + count - 1)
        account.drop(seq, seq + count - 1, reason)
        self._journal.ledger_changed()

    # -- disk

    def _excess(self) -> tuple[int, str] | None:
        """(bytes to free, why), or None. What is too old goes however large it is."""
        space, settings = self._journal.space, self._journal.settings
        if space.used_bytes > settings.max_bytes:
            return space.used_bytes - settings.max_bytes + settings.max_bytes // _SHARE, FULL
        allowed: list[int] = []
        if space.free_bytes < settings.min_free_bytes:
            allowed.append(max(space.file_bytes, _LEAST_BYTES))
        if self._filled_ns is not None and self._journal.clock.mono_ns() - self._filled_ns < _QUIET_NS:
            allowed.append(self._filled_bytes)
        if allowed:
            room = max(min(allowed) // _SHARE, _LEAST_ROOM_BYTES)
            if space.used_bytes > min(allowed) - room:
                return space.used_bytes - min(allowed) + 2 * room, FULL
        if space.oldest_ns is not None and self._too_old(space.oldest_ns):
            return 0, OLD
        return None

    def _over(self) -> bool:
        """Whether dropping is over and not just between two times: well below the bound, or nothing old for a while."""
        if self._dropped_for == OLD:
            return self._journal.clock.mono_ns() - self._dropped_ns > _QUIET_NS
        return self._journal.space.used_bytes < self._journal.settings.max_bytes // 8 * 7

    def _too_old(self, written_ns: int) -> bool:
        clock = self._journal.clock
        return clock.trusted and clock.now_ns() - written_ns > self._journal.settings.max_age_s * 1e9

    def bound_disk(self) -> None:
        """Drop the oldest that isn't on loan if the journal is too large or holds what is too old."""
        if self._looking:
            return
        excess = self._excess()
        if excess is None:
            self._look_after = -1
            if self._over():
                self._journal.alarms.clear("dropping", "the journal has room again: nothing is dropped any more")
            return
        self._looking = True
        after = self._look_after

        def work(store: Store) -> tuple[list[ChunkRow], list[RefusedRow]]:
            return store.oldest(after, _LOOK_ROWS), store.oldest_refused(_LOOK_ROWS)

        def done(result: tuple[list[ChunkRow], list[RefusedRow]] | Exception) -> None:
            self._looking = False
            if isinstance(result, Exception):
                self._journal.read_failed(result)
            else:
                self._drop_oldest(deque(result[0]), deque(result[1]), *excess)

        self._journal.submit(work, done)

    def _drop_oldest(self, chunks: deque[ChunkRow], refused: deque[RefusedRow], need: int, reason: str) -> None:
        journal = self._journal
        freed = 0
        if reason == OLD:
            refused.clear()
            chunks = deque(row for row in chunks if row.written_ns is not None and self._too_old(row.written_ns))
            need = sum(row.size for row in chunks)
        while (chunks or refused) and freed < need:
            if refused and (not chunks or refused[0].id < chunks[0].first):
                freed += self._drop_refused(refused.popleft())
                continue
            row = chunks.popleft()
            self._look_after = row.first
            if self._drop_chunk(row, reason):
                freed += row.size
        if freed:
            self._look_after = -1
            self._dropped_ns = journal.clock.mono_ns()
            self._dropped_for = reason
            what = "holds what is older than its limit" if reason == OLD else "is full"
            journal.alarms.raise_("dropping", f"the journal {what}: the oldest records are dropped and counted")
            journal.commit_promptly()
        elif self._look_after >= 0:
            journal.commit_in_time()  # all of it is on loan: look further after the next commit

    def _drop_chunk(self, row: ChunkRow, reason: str) -> bool:
        """Drop what isn't on loan of a chunk on the disk. True if all of it can go."""
        feeds = self._journal.feeds.values()
        for feed in feeds:
            before = row.first - 1
            for head, source in row.heads:
                if head.id > before + 1:
                    feed.progress.settle(before + 1, head.id - 1)
                before = head.id
                if head.id not in feed.progress and not feed.on_loan(head.id):
                    self._drop(feed, head.id, head.boot, source, head.seq, head.count, reason)
            if not row.heads:
                self._doubted.add(feed.sink)
                feed.settle_not_on_loan(row.first, row.last)
            feed.forget_settled()
        whole = all(feed.progress.covers(row.first, row.last) for feed in feeds)
        if whole:
            self._journal.free_chunk(row.first, row.last)
        return whole

    def _drop_refused(self, row: RefusedRow) -> int:
        journal = self._journal
        feed = journal.feeds.get(row.sink)
        if feed is None or not feed.droppable_retry(row.id):
            return 0
        feed.drop_retry(row.source, row.id)
        journal.release_refused(feed, row.source, row.id, promptly=True)
        if row.head is not None:
            account = journal.accounts.account(row.sink, row.head.boot, row.source)
            positions = range(row.head.count) if row.positions is None else row.positions
            account.refused -= len(positions)
            for position in positions:
                account.drop(row.head.seq + position, row.head.seq + position, FULL)
        return row.size

    def make_room(self) -> None:
        """The disk has no room left at all: give the reserve back, and drop the oldest."""

        def done(result: bool | Exception) -> None:
            if isinstance(result, Exception):
                self._journal.read_failed(result)
            elif result:
                _log.warning("the disk is full: the journal's reserve is released so that it can delete")

        self._journal.submit(Store.release_ballast, done)
        self._filled_ns = self._journal.clock.mono_ns()
        self._filled_bytes = self._journal.space.used_bytes
        self.bound_disk()

    # -- damage

    def lost(self, row: ChunkRow, why: str) -> None:
        """A chunk can't be read back: what of it is pending is lost, and counted where that much is known."""
        _log.error("a chunk of the journal (records %d to %d) is damaged: %s", row.first, row.last, why)
        self._journal.alarms.raise_(
            "corrupt", f"part of the journal is damaged ({why}): what it held is counted as dropped"
        )
        self._drop_chunk(row, CORRUPT)
        self._journal.commit_in_time()

    def doubt(self) -> None:
        """The file may be damaged: when a sink is at the end of its backlog, look whether anything was missing."""
        self._doubted = set(self._journal.feeds)

    def forget_sink(self, name: str) -> None:
        """A sink is no longer there."""
        self._doubted.discard(name)

    def drained(self, feed: JournalFeed) -> None:
        """A sink has delivered its whole backlog. What should have been in it and wasn't is lost."""
        journal = self._journal
        if feed.sink not in self._doubted or journal.salvaging or not feed.quiet:
            return
        self._doubted.discard(feed.sink)
        lost = 0
        for boot, accounts in list(journal.accounts.accounts[feed.sink].items()):
            for source in list(accounts):
                account = journal.accounts.account(feed.sink, boot, source)
                for first, last in account.stored:
                    account.drop(first, last, CORRUPT)
                    lost += last - first + 1
                account.stored.clear()
        if lost:
            _log.error("%d values that should wait for sink %r are not in the journal", lost, feed.sink)
            journal.ledger_changed()
            journal.commit_in_time()
