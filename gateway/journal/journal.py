"""The journal on the event loop: numbering, deadlines, what goes to disk and what may leave it. No I/O happens here.

Invariants, in the words of the code:

- Every record up to `assigned` is settled by a sink, dropped and counted, refused and kept aside, or in a chunk; chunks
  not committed yet are in `unwritten`. Every record above `assigned` that isn't settled is in some feed's memory.
- A group write takes *everything* unsettled in memory. So a record that was never written was settled by every sink.
- A chunk is deleted only when every sink's progress covers it, in or after the transaction that says so.
- A change of progress that concerns the disk is committed within T, promptly while a backlog drains.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.journal.alarms import Alarm, Alarms
from gateway.journal.boot import next_boot
from gateway.journal.feed import JournalFeed
from gateway.journal.intervals import Progress
from gateway.journal.ledger import Ledger
from gateway.journal.owner import Owner
from gateway.journal.record import BOOT_SHIFT, MAX_RECORDS, MAX_VALUES, NotStorable, storable
from gateway.journal.store import (
    Chunk,
    ChunkRow,
    Commit,
    Corrupt,
    DiskTrouble,
    JournalError,
    Opened,
    Refusal,
    RefusedRow,
    SinkRow,
    Space,
    Store,
    Stored,
)
from gateway.model import Batch, Record
from gateway.ops.clock import Clock
from gateway.settings import JournalSettings

_log = logging.getLogger(__name__)

T = TypeVar("T")

_LEDGER_NS: Final = 60_000_000_000
_SLACK_NS: Final = 10_000_000
"""Time allowed for the event loop and the owner thread to get round to a commit."""
_RETRY_NS: Final = (50_000_000, 2_000_000_000)
"""First and longest wait before a failed commit is tried again."""


_CLOSE_ATTEMPTS: Final = 20
_LOOK_ROWS: Final = 16
"""Chunks looked at in one go to find what to drop."""
_SHARE: Final = 64
"""When the journal is full, this part of it is freed at once, so that not every commit has to drop something."""
_LEAST_BYTES: Final = 16 << 20
"""What the journal may use even while the disk has less free than it should."""

FULL, OLD, MEMORY, CORRUPT, UNSTORABLE = "journal full", "too old", "memory full", "corrupt", "not storable"


class Journal:
    """Call every method on the event loop. `append` and the feeds return at once; only `start` and `close` wait."""

    def __init__(self, settings: JournalSettings, clock: Clock, sinks: Sequence[str]) -> None:
        self.clock = clock
        self.boot = 0
        self.assigned = 0
        self.readable = 0
        self.unwritten: deque[Chunk] = deque()
        self.accounts = Ledger(sinks)
        self._settings = settings
        self._deadline_ns = int(settings.deadline_s * 1e9)
        self._names = tuple(sinks)
        self._id = 0
        self._feeds: dict[str, JournalFeed] = {}
        self._each: tuple[JournalFeed, ...] = ()
        self._alarms = Alarms()
        self._space = Space()

        self._watching = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._commit_by_ns: int | None = None
        self._retry_by_ns = 0
        self._retry_wait_ns = 0
        self._committing = False
        self._closing = False
        self._slow_commit_ns = 0
        self._commits = 0
        self._ledger_ns = 0
        self._ledger_dirty = False
        self._saved_id = 0
        self._memory_values = 0
        self._clock_ns = 0
        self._looking = False
        self._look_after = 0
        self._damaged = False

        self._refusals: list[Refusal] = []
        self._released: list[tuple[str, str, int]] = []
        self._trims: set[tuple[int, int]] = set()
        self._forgotten: list[str] = []
        self._idle = asyncio.Event()
        self._idle.set()
        self._owner: Owner | None = None

    # -- the public side

    async def start(self) -> None:
        """Open the file, count the boot, and find out what is pending. Raises JournalError or OSError."""
        settings = self._settings
        settings.path.parent.mkdir(parents=True, exist_ok=True)
        self._loop = asyncio.get_running_loop()
        store = Store(
            settings.path,
            max_bytes=settings.max_bytes,
            ballast_bytes=settings.ballast_bytes,
            min_free_bytes=settings.min_free_bytes,
        )
        owner = Owner(store, self._loop)
        try:
            opened, boot, _ = await owner.call(self._open)
        except BaseException:
            owner.stop()
            raise
        self._owner = owner
        self._begin(opened, boot)

    def append(self, batch: Batch) -> Record:
        """Number a batch and offer it to every sink. Raises ValueError if its columns don't fit each other."""
        count = len(batch.values)
        layout = batch.layout
        if not count or count != len(layout.tags if batch.columns is None else batch.columns):
            raise ValueError(f"a batch of {layout.source!r} has {count} values for another number of columns")
        numbers = self.accounts.next_seq
        source = layout.source
        if source not in numbers:
            self.accounts.open_source(source)
        seq = numbers[source]
        numbers[source] = seq + count
        self._id = id_ = self._id + 1
        record = Record(id_, self.boot, seq, batch)
        for feed in self._each:
            feed.offer(record)
        self._memory_values += count
        if self._memory_values > self._settings.memory_values:
            self._bound_memory()
        if not self._watching:
            self._watch()
        return record

    def feed(
        self,
        sink: str,
        *,
        strict: bool = False,
        backfill_values_per_s: float | None = None,
        retry_refused_s: float = 60.0,
        window: int = 100,
    ) -> JournalFeed:
        """The feed of one of the sinks the journal was made for. Raises KeyError if it wasn't.

        `window` is the most records the sink has in flight; it bounds what may be delivered twice after a crash.
        """
        found = self._feeds[sink]
        found.configure(
            strict=strict,
            backfill_values_per_s=backfill_values_per_s,
            retry_refused_s=retry_refused_s,
            window=window,
        )
        return found

    def ledger(self, sink: str) -> dict[str, Any]:
        """What became of every value, for one sink; numbers count values. Raises KeyError for an unknown sink."""
        return {
            "timestamp_ms": self.clock.now_ns() // 1_000_000,
            "boot": self.boot,
            "sources": self.accounts.to_json(sink),
        }

    def on_alarm(self, listener: Callable[[Alarm], None]) -> None:
        """Call `listener` at every transition of a condition somebody should know of."""
        self._alarms.listen(listener)

    def status(self) -> dict[str, Any]:
        """How full it is, how fast the disk is, and what is wrong; JSON-ready."""
        return {
            "boot": self.boot,
            "path": str(self._settings.path),
            "deadline_ms": self._settings.deadline_s * 1e3,
            "used_bytes": self._space.used_bytes,
            "max_bytes": self._settings.max_bytes,
            "disk_free_bytes": self._space.free_bytes,
            "commits": self._commits,
            "commit_ms": round(self._slow_commit_ns / 1e6, 3),
            "unwritten_values": sum(chunk.values for chunk in self.unwritten),
            "oldest_ms": None if self._space.oldest_ns is None else self._space.oldest_ns // 1_000_000,
            "salvaging": self.salvaging,
            "alarms": dict(self._alarms.active),
            "sinks": {name: self._sink_status(name, feed) for name, feed in self._feeds.items()},
        }

    def _sink_status(self, name: str, feed: JournalFeed) -> dict[str, int]:
        self.accounts.up_to_date()
        totals = {"pending": 0, "stored": 0, "refused": 0, "dropped": 0}
        for boots in self.accounts.accounts[name].values():
            for account in boots.values():
                totals["pending"] += account.pending
                totals["stored"] += account.stored.size
                totals["refused"] += account.refused
                totals["dropped"] += account.dropped_values
        return {**totals, **feed.status()}

    async def close(self) -> None:
        """Write everything unsettled, and stop. Safe if `start` failed or was never called."""
        if self._owner is None or self._closing:
            return
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        await self._idle.wait()
        self._gather()
        for attempt in range(_CLOSE_ATTEMPTS):
            job = self._job(self.clock.mono_ns(), whole=True)
            job.clean = True
            try:
                await self._owner.call(lambda store, job=job: store.commit(job))
                break
            except (DiskTrouble, Corrupt) as error:
                self._take_back(job)
                _log.error("the journal can't be written on the way out (attempt %d): %s", attempt + 1, error)
                await asyncio.sleep(_RETRY_NS[0] / 1e9)
        await self._owner.call(self._end)
        self._owner.stop()

    def _end(self, store: Store) -> None:
        try:
            store.checkpoint()
        except (DiskTrouble, Corrupt) as error:
            _log.warning("the journal's log stays beside its file: %s", error)
        store.close()
        self._save_clock()

    def _save_clock(self) -> None:
        try:
            self.clock.save()
        except OSError as error:
            _log.warning("the time can't be saved for the next start: %s", error)

    # -- starting

    def _open(self, store: Store) -> tuple[Opened, int, Path | None]:
        """On the owner thread."""
        aside: Path | None = None
        try:
            try:
                opened = store.open()
            except Corrupt as error:
                _log.error("the journal %s is corrupt (%s)", store.path, error)
                aside = store.set_aside()
                opened = store.open()
        except DiskTrouble as error:
            raise JournalError(
                f"the journal {store.path} can't be opened: {error}; check the disk and the directory's owner"
            ) from error
        seen = max([opened.newest_id >> BOOT_SHIFT, *opened.ledgers])
        return opened, next_boot(store.path.with_suffix(".boot"), seen), aside

    def _begin(self, opened: Opened, boot: int) -> None:
        self.boot = boot
        self._id = self._saved_id = self.assigned = self.readable = boot << BOOT_SHIFT
        self.accounts.start_boot(boot)
        rows = {row.name: row for row in opened.sinks}
        progress: dict[str, Progress] = {}
        for name in self._names:
            row = rows.pop(name, None)
            progress[name] = Progress(self.assigned) if row is None else Progress(row.watermark, row.ahead)
        known = [name for name in self._names if any(row.name == name for row in opened.sinks)]
        self.accounts.load(
            opened.ledgers, opened.chunks_since, opened.layouts, {name: progress[name].__contains__ for name in known}
        )
        for name in self._names:
            progress[name].settle(min(opened.newest_id + 1, self.assigned), self.assigned)
            feed = JournalFeed(self, name, progress[name], opened.refused.get(name, {}))
            feed.dirty = name not in known  # its row must exist before the first chunk does
            self._feeds[name] = feed
            if feed.refused_records:
                self._alarms.raise_(
                    f"refused:{name}", f"sink {name!r} has refused records; they are kept and tried again"
                )
        self._each = tuple(self._feeds.values())
        self._forgotten = list(rows)
        if opened.newest_id and self._each:
            self._trims.add((0, min(feed.progress.watermark for feed in self._each)))
        self._space = opened.space
        self._ledger_ns = self.clock.mono_ns()

    # -- time

    @property
    def _margin_ns(self) -> int:
        """How long before the deadline a commit begins: twice what slow ones took of late, and some slack."""
        return min(2 * self._slow_commit_ns + _SLACK_NS, self._deadline_ns // 2)

    def _watch(self) -> None:
        self._watching = True
        self._arm(self.clock.mono_ns() + self._deadline_ns - self._margin_ns)

    def _arm(self, at_ns: int) -> None:
        """See to it that `_tick` runs at `at_ns` or before."""
        if self._closing or (self._timer is not None and self._timer_ns <= at_ns):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = at_ns
        self._timer = self._loop.call_later(max(0, at_ns - self.clock.mono_ns()) / 1e9, self._tick)

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        self._loop.call_later(delay_s, call)

    def _commit_within(self, wait_ns: int) -> None:
        by = self.clock.mono_ns() + wait_ns
        if self._commit_by_ns is None or by < self._commit_by_ns:
            self._commit_by_ns = by
            self._arm(by)

    def commit_promptly(self) -> None:
        self._commit_within(0)

    def _submit(self, work: Callable[[Store], T], done: Callable[[T | Exception], None]) -> None:
        if self._owner is None:
            raise JournalError("the journal isn't started")
        self._owner.submit(work, done)

    def _tick(self) -> None:
        """Do what is due, and come back when the next thing is."""
        self._timer = None
        if self._committing or self._closing:
            return
        now = self.clock.mono_ns()
        gather_ns = self._gather_at(now)
        if gather_ns is not None and gather_ns <= now:
            self._gather()
            gather_ns = None
        self._watching = gather_ns is not None
        wanted: list[int] = []
        if self._commit_by_ns is not None:
            wanted.append(self._commit_by_ns)
        if self._saved_id != self._id or self._ledger_dirty:
            wanted.append(self._ledger_ns + _LEDGER_NS)
        if self.unwritten:
            wanted.append(now)
        commit_ns = None if not wanted else max(min(wanted), self._retry_by_ns)
        if commit_ns is not None and commit_ns <= now:
            self._commit(now)
            commit_ns = None
        for at_ns in (gather_ns, commit_ns):
            if at_ns is not None:
                self._arm(at_ns)

    def _gather_at(self, now: int) -> int | None:
        """When the oldest record in memory must go to the disk; None if there is none."""
        oldest = [stamp for feed in self._each if (stamp := feed.oldest_ns()) is not None]
        if not oldest:
            return None
        if max(oldest) > now:  # stamped by a clock that isn't ours: no deadline can be told from it
            return now
        return min(oldest) + self._deadline_ns - self._margin_ns

    # -- writing

    def _gather(self) -> None:
        """Give everything unsettled in memory to the disk."""
        pending: dict[int, Record] = {}
        for feed in self._each:
            for record in feed.in_memory():
                pending[record.id] = record
        if not pending:
            return
        records = [pending[id_] for id_ in sorted(pending)]
        before, self.assigned = self.assigned, self._id
        for feed in self._each:
            mine = {record.id for record in feed.in_memory()}
            if len(mine) != len(records):
                feed.dirty = True  # it is done with some of what is written for others: that must be known too
            for record in records:
                if record.id in mine:
                    source = record.batch.layout.source
                    stored = self.accounts.account(feed.sink, record.boot, source).stored
                    stored.add(record.seq, record.seq + len(record.batch.values) - 1)
            feed.hand_over(before, self.assigned)
        written_ns = self.clock.now_ns() if self.clock.trusted else None
        part: list[Record] = []
        values = 0
        for record in records:
            count = len(record.batch.values)
            if part and (len(part) == MAX_RECORDS or values + count > MAX_VALUES):
                self.unwritten.append(Chunk(part[0].id, part[-1].id, part, written_ns, values))
                part, values = [], 0
            part.append(record)
            values += count
        self.unwritten.append(Chunk(part[0].id, part[-1].id, part, written_ns, values))

    def _job(self, now: int, *, whole: bool = False) -> Commit:
        """Everything there is to commit. `whole`: the ledger and every sink too, changed or not."""
        if self._retry_wait_ns:
            self._forget_settled()
        job = Commit(
            chunks=list(self.unwritten),
            refused=self._refusals,
            released=self._released,
            trim=list(self._trims),
            forgotten=self._forgotten,
        )
        self._refusals, self._released, self._forgotten = [], [], []
        self._trims.clear()
        for feed in self._each:
            if feed.dirty or whole:
                feed.dirty = False
                job.sinks.append(SinkRow(feed.sink, feed.progress.watermark, list(feed.progress.ahead)))
        if self._ledger_dirty or whole or now >= self._ledger_ns + _LEDGER_NS:
            self._ledger_dirty = False
            self._ledger_ns = now
            self._saved_id = self._id
            volatile = {feed.sink: feed.unwritten_seqs() for feed in self._each}
            job.closed_ledgers = self.accounts.closed_boots()
            job.ledgers = {boot: self.accounts.saved(boot, {}, None) for boot in self.accounts.changed}
            job.ledgers[self.boot] = self.accounts.saved(self.boot, volatile, self.assigned)
            self.accounts.changed.clear()
        return job

    def _commit(self, now: int) -> None:
        self._commit_by_ns = None
        job = self._job(now)
        if job.empty:
            return
        self._committing = True
        self._idle.clear()
        assigned = self.assigned
        unsaved = {feed: feed.unsaved for feed in self._each}
        save_clock = bool(job.ledgers) and now - self._clock_ns >= _LEDGER_NS
        if save_clock:
            self._clock_ns = now

        def work(store: Store) -> Space:
            space = store.commit(job)
            if save_clock:
                self._save_clock()
            return space

        def done(result: Space | Exception) -> None:
            self._committing = False
            self._idle.set()
            if isinstance(result, Exception):
                self._take_back(job)
                self._commit_failed(result)
            else:
                self._committed(job, result, now, assigned, unsaved)
            if not self._closing:
                self._tick()

        self._submit(work, done)

    def _committed(
        self, job: Commit, space: Space, began_ns: int, assigned: int, unsaved: dict[JournalFeed, int]
    ) -> None:
        now = self.clock.mono_ns()
        self._commits += 1
        self._slow_commit_ns = max(now - began_ns, self._slow_commit_ns * 7 // 8)
        self._retry_wait_ns = self._retry_by_ns = 0
        self._space = space
        written = {id(chunk) for chunk in job.chunks}
        while self.unwritten and id(self.unwritten[0]) in written:
            self.unwritten.popleft()
        self._memory_values = self._values_in_memory()
        if not self.salvaging:
            self.readable = assigned
        if not space.trimmed_all:
            self._trims.update(job.trim)
            self._commit_within(self._deadline_ns)
        for feed, count in unsaved.items():
            feed.unsaved -= count
        self._alarms.clear("disk", "the journal is being written again")
        self._alarms.clear("memory", "the journal is being written again: memory isn't full any more")
        for feed in self._each:
            feed.nudge()
        self._bound_disk()

    def _take_back(self, job: Commit) -> None:
        """A commit failed: everything in it is still to be done. What did reach the disk will be written over."""
        self._refusals = job.refused + self._refusals
        self._released = job.released + self._released
        self._forgotten = job.forgotten + self._forgotten
        self._trims.update(job.trim)
        for row in job.sinks:
            self._feeds[row.name].dirty = True
        if job.ledgers:
            self._ledger_dirty = True
            self.accounts.changed.update(boot for boot in job.ledgers if boot != self.boot)

    def _commit_failed(self, error: Exception) -> None:
        if isinstance(error, Corrupt):
            self._recover(error)
            return
        if isinstance(error, NotStorable):
            self._drop_unstorable()
            return
        if not isinstance(error, DiskTrouble):
            raise error
        first, longest = _RETRY_NS
        self._retry_wait_ns = min(2 * self._retry_wait_ns or first, longest)
        self._retry_by_ns = self.clock.mono_ns() + self._retry_wait_ns
        self._commit_by_ns = self._retry_by_ns
        self._alarms.raise_("disk", f"the journal can't be written: {error}; records are kept in memory meanwhile")
        if error.full:
            self._make_room()

    # -- what feeds ask for

    @property
    def salvaging(self) -> bool:
        """Whether records of a file that was set aside are still coming in."""
        return False

    def read(self, feed: JournalFeed, after: int, through: int) -> None:
        generation = feed.generation

        def done(result: Stored | Exception) -> None:
            if isinstance(result, Exception):
                self._read_failed(result)
                self.later(_RETRY_NS[0] / 1e9, lambda: feed.on_read(None, generation))
            else:
                feed.on_read(result, generation)

        self._submit(lambda store: store.read(after, through), done)

    def read_refused(self, feed: JournalFeed, source: str, after: int, limit: int) -> None:
        def done(result: list[Record | tuple[int, str]] | Exception) -> None:
            if isinstance(result, Exception):
                self._read_failed(result)
                self.later(_RETRY_NS[0] / 1e9, lambda: feed.on_refused_read(source, after, None))
            else:
                feed.on_refused_read(source, after, result)

        self._submit(lambda store: store.read_refused(feed.sink, source, after, limit), done)

    def _read_failed(self, error: Exception) -> None:
        if isinstance(error, Corrupt):
            self._recover(error)
        elif isinstance(error, DiskTrouble):
            self._alarms.raise_("disk", f"the journal can't be read: {error}")
            self._commit_within(_RETRY_NS[0])
        else:
            raise error

    def settled_stored(self, feed: JournalFeed, id_: int, *, promptly: bool) -> None:
        """A record on the disk was settled by one sink: see whether its chunk is free, and commit."""
        self._ledger_dirty = True
        self._free(id_)
        self._commit_within(0 if promptly else self._deadline_ns - self._margin_ns)

    def _free(self, id_: int) -> None:
        """If every sink is done with an id, chunks wholly in the range around it can go."""
        first, last = 0, self.assigned
        for feed in self._each:
            around = feed.progress.around(id_)
            if around is None:
                return
            first, last = max(first, around[0]), min(last, around[1])
        self._trims = {(low, high) for low, high in self._trims if low < first or high > last}
        self._trims.add((first, last))

    def keep_refused(self, refusal: Refusal) -> None:
        self._refusals.append(refusal)
        self._ledger_dirty = True
        self._alarms.raise_(
            f"refused:{refusal.sink}",
            f"sink {refusal.sink!r} refused a record of {refusal.source!r}: {refusal.reason}; refused records are kept "
            "and tried again",
        )
        self._commit_within(self._deadline_ns // 4)

    def release_refused(self, feed: JournalFeed, source: str, id_: int, *, promptly: bool) -> None:
        self._released.append((feed.sink, source, id_))
        self._ledger_dirty = True
        self._commit_within(0 if promptly else self._deadline_ns - self._margin_ns)
        if not feed.refused_records:
            self._alarms.clear(f"refused:{feed.sink}", f"sink {feed.sink!r} has taken everything it had refused")

    # -- bounds

    def _values_in_memory(self) -> int:
        return sum(chunk.values for chunk in self.unwritten) + max(
            (sum(len(record.batch.values) for record in feed.in_memory()) for feed in self._each), default=0
        )

    def _bound_memory(self) -> None:
        """More values came in than memory may hold: count what is really there, and drop the oldest of it."""
        limit = self._settings.memory_values
        self._memory_values = self._values_in_memory()
        if self._memory_values <= limit:
            return
        self._gather()
        goal = limit - limit // _SHARE
        for chunk in self.unwritten:
            if self._memory_values <= goal:
                break
            self._memory_values -= self._drop_records(chunk, chunk.records, MEMORY)
        self._alarms.raise_(
            "memory", "memory for values the disk can't take is full; the oldest are dropped and counted"
        )
        self._commit_within(0)

    def _drop_records(self, chunk: Chunk, records: Sequence[Record], reason: str) -> int:
        """Drop what no sink has on loan of a chunk that is in memory. Returns how many values went."""
        doomed = {record.id for record in records if not any(feed.on_loan(record.id) for feed in self._each)}
        gone = 0
        kept: list[Record] = []
        for record in chunk.records:
            if record.id not in doomed:
                kept.append(record)
                continue
            gone += len(record.batch.values)
            for feed in self._each:
                if record.id not in feed.progress:
                    source = record.batch.layout.source
                    self._drop(feed, record.id, record.boot, source, record.seq, len(record.batch.values), reason)
        chunk.records = kept
        chunk.values -= gone
        if doomed:
            for feed in self._each:
                feed.forget_settled()
            self._free(max(doomed))
        return gone

    def _drop(self, feed: JournalFeed, id_: int, boot: int, source: str, seq: int, count: int, reason: str) -> None:
        """Settle a record that was given to the disk without delivering it, and count it."""
        feed.progress.settle(id_, id_)
        feed.dirty = True
        account = self.accounts.account(feed.sink, boot, source)
        account.stored.remove(seq, seq + count - 1)
        account.drop(seq, seq + count - 1, reason)
        self._ledger_dirty = True

    def _forget_settled(self) -> None:
        """Let go of records that were settled while the disk couldn't take them."""
        kept: deque[Chunk] = deque()
        for chunk in self.unwritten:
            chunk.records = [
                record for record in chunk.records if any(record.id not in feed.progress for feed in self._each)
            ]
            chunk.values = sum(len(record.batch.values) for record in chunk.records)
            if chunk.records:
                kept.append(chunk)
            else:
                self._trims.add((chunk.first, chunk.last))  # in case a commit that failed did write it
        self.unwritten = kept

    def _drop_unstorable(self) -> None:
        for chunk in self.unwritten:
            bad = [record for record in chunk.records if not storable(record)]
            if bad:
                _log.error(
                    "%d records of %r can't be stored: they hold what is no value", len(bad), bad[0].batch.layout.source
                )
                self._drop_records(chunk, bad, UNSTORABLE)
        self.unwritten = deque(chunk for chunk in self.unwritten if chunk.records)

    def _excess(self) -> tuple[int, str]:
        """(bytes to free, why); 0 bytes and *too old* if only age matters; ``(-1, "")`` if nothing is to go."""
        space, settings = self._space, self._settings
        if space.used_bytes > settings.max_bytes:
            return space.used_bytes - settings.max_bytes + settings.max_bytes // _SHARE, FULL
        if space.free_bytes < settings.min_free_bytes:
            allowed = max(space.file_bytes, _LEAST_BYTES)
            room = allowed // _SHARE
            if space.used_bytes > allowed - room:
                return space.used_bytes - allowed + 2 * room, FULL
        if space.oldest_ns is not None and self._too_old(space.oldest_ns):
            return 0, OLD
        return -1, ""

    def _too_old(self, written_ns: int) -> bool:
        return self.clock.trusted and self.clock.now_ns() - written_ns > self._settings.max_age_s * 1e9

    def _bound_disk(self) -> None:
        """Drop the oldest that isn't on loan if the journal is too large or holds what is too old."""
        need, reason = self._excess()
        if need < 0:
            self._look_after = 0
            if not self._looking:
                self._alarms.clear("dropping", "the journal has room again: nothing is being dropped")
            return
        if self._looking:
            return
        self._looking = True
        after = self._look_after

        def work(store: Store) -> tuple[list[ChunkRow], list[RefusedRow]]:
            return store.oldest(after, _LOOK_ROWS), store.oldest_refused(_LOOK_ROWS)

        def done(result: tuple[list[ChunkRow], list[RefusedRow]] | Exception) -> None:
            self._looking = False
            if isinstance(result, Exception):
                self._read_failed(result)
            else:
                self._drop_oldest(deque(result[0]), deque(result[1]), need, reason)

        self._submit(work, done)

    def _drop_oldest(self, chunks: deque[ChunkRow], refused: deque[RefusedRow], need: int, reason: str) -> None:
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
            what = "holds what is older than its limit" if reason == OLD else "is full"
            self._alarms.raise_("dropping", f"the journal {what}: the oldest records are dropped and counted")
            self._look_after = 0
            self._commit_within(0)
        elif self._look_after:
            self._commit_within(self._deadline_ns)  # all of it is on loan: look further with the next commit

    def _drop_chunk(self, row: ChunkRow, reason: str) -> bool:
        """Drop what isn't on loan of a chunk on the disk. True if all of it can go."""
        for feed in self._each:
            before = row.first - 1
            for head, source in row.heads:
                if head.id > before + 1:
                    feed.progress.settle(before + 1, head.id - 1)
                before = head.id
                if head.id not in feed.progress and not feed.on_loan(head.id):
                    self._drop(feed, head.id, head.boot, source, head.seq, head.count, reason)
            if not row.heads:
                self._damaged = True
                feed.settle_not_on_loan(row.first, row.last)
            feed.forget_settled()
        whole = all(feed.progress.covers(row.first, row.last) for feed in self._each)
        if whole:
            self._trims.add((row.first, row.last))
        return whole

    def _drop_refused(self, row: RefusedRow) -> int:
        feed = self._feeds[row.sink]
        if feed.retry_on_loan(row.id):
            return 0
        feed.drop_retry(row.source, row.id)
        self._released.append((row.sink, row.source, row.id))
        self._ledger_dirty = True
        for head in row.heads:
            account = self.accounts.account(row.sink, head.boot, row.source)
            positions = range(head.count) if row.positions is None else row.positions
            account.refused -= len(positions)
            for position in positions:
                account.drop(head.seq + position, head.seq + position, FULL)
        return row.size

    def _make_room(self) -> None:
        """The disk has no room left at all: give the reserve back, and drop the oldest."""

        def work(store: Store) -> None:
            if store.release_ballast():
                _log.warning("the disk is full: the journal's reserve is released so that it can delete")

        def done(result: None | Exception) -> None:
            if isinstance(result, Exception):
                self._read_failed(result)

        self._submit(work, done)
        self._space.free_bytes = 0
        self._bound_disk()

    def lost(self, row: ChunkRow, why: str) -> None:
        """A chunk can't be read back: what of it is pending is lost, and counted where that much is known."""
        _log.error("a chunk of the journal (records %d to %d) is damaged: %s", row.first, row.last, why)
        self._alarms.raise_("corrupt", f"part of the journal is damaged: {why}; what it held is counted as dropped")
        self._drop_chunk(row, CORRUPT)
        self._commit_within(self._deadline_ns)

    def drained(self, feed: JournalFeed) -> None:
        """A sink has delivered its whole backlog. What should have been in it and wasn't is lost."""
        if not self._damaged or self.salvaging or not feed.quiet:
            return
        for boot, accounts in list(self.accounts.accounts[feed.sink].items()):
            for source, account in accounts.items():
                for first, last in list(account.stored):
                    self.accounts.account(feed.sink, boot, source).drop(first, last, CORRUPT)
                    self._ledger_dirty = True
                account.stored.clear()
        self._commit_within(self._deadline_ns)

    def _recover(self, error: Exception) -> None:
        raise error
