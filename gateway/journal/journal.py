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
from typing import Final, TypeVar

from gateway.journal.alarms import Alarm, Alarms
from gateway.journal.bounds import Bounds
from gateway.journal.fate import Fate, fate_of
from gateway.journal.feed import JournalFeed
from gateway.journal.intervals import IntervalSet, Progress
from gateway.journal.ledger import Ledger
from gateway.journal.owner import Owner
from gateway.journal.record import BOOT_SHIFT, MAX_RECORDS, MAX_WEIGHT, NotStorable
from gateway.journal.recovery import Found, Recovery, open_journal
from gateway.journal.status import JournalStatus, LedgerStatus
from gateway.journal.store import (
    Chunk,
    ChunkRow,
    Commit,
    Corrupt,
    DiskTrouble,
    JournalError,
    Refusal,
    SinkRow,
    Space,
    Store,
    Stored,
)
from gateway.journal.weight import weight
from gateway.model import Batch, Record
from gateway.ops.clock import Clock
from gateway.settings import JournalSettings

_log = logging.getLogger(__name__)

_NEWER: Final = "newer"

T = TypeVar("T")

_LEDGER_NS: Final = 60_000_000_000
_CLOCK_NS: Final = 600_000_000_000
"""How often the time is saved: a start without a clock is wrong by at most this and the time it was off."""
_SLACK_NS: Final = 10_000_000
"""Time allowed for the event loop and the owner thread to get round to a commit."""
_FIRST_RETRY_NS: Final = 50_000_000
_LONGEST_RETRY_NS: Final = 2_000_000_000
"""First and longest wait before a failed commit is tried again."""
_CLOSE_ATTEMPTS: Final = 20


class Journal:
    """Call every method on the event loop. `append` and the feeds return at once; only `start` and `close` wait."""

    def __init__(self, settings: JournalSettings, clock: Clock, sinks: Sequence[str]) -> None:
        self.settings = settings
        self.clock = clock
        self.boot = 0
        self.assigned = 0
        """Highest id that was given to the disk."""
        self.committed = 0
        """Highest id up to which everything given to the disk is there."""
        self.readable = 0
        """Highest id up to which the backlog may be read from the disk: `committed`, but while a salvage runs."""
        self.unwritten: deque[Chunk] = deque()
        self.accounts = Ledger(sinks)
        self.feeds: dict[str, JournalFeed] = {}
        self.alarms = Alarms()
        self.space = Space()
        self._names = tuple(sinks)
        self._deadline_ns = int(settings.deadline_s * 1e9)
        self._each: tuple[JournalFeed, ...] = ()
        self._id = 0
        self._bounds = Bounds(self)
        self._recovery = Recovery(self)
        self._owner: Owner | None = None

        self._watching = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._commit_by_ns: int | None = None
        self._retry_by_ns = 0
        self._retry_wait_ns = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._slow_commit_ns = 0
        self._commits = 0
        self._ledger_ns = 0
        self._ledger_dirty = False
        self._ledger_id = 0
        self._clock_ns = 0

        self._refusals: list[Refusal] = []
        self._released: list[tuple[str, str, int]] = []
        self._trims: set[tuple[int, int]] = set()
        self._forgotten: list[str] = []
        self._closed_boots: list[int] = []

    # -- for the gateway

    async def start(self) -> None:
        """Open the file, count the boot, and find out what is pending. Raises JournalError or OSError."""
        settings = self.settings
        settings.path.parent.mkdir(parents=True, exist_ok=True)
        store = Store(
            settings.path,
            max_bytes=settings.max_bytes,
            ballast_bytes=settings.ballast_bytes,
            min_free_bytes=settings.min_free_bytes,
        )
        owner = Owner(store, asyncio.get_running_loop())
        try:
            found = await owner.call(lambda store: open_journal(store, self._names))
        except BaseException:
            owner.stop()
            raise
        self.begin(owner, asyncio.get_running_loop(), found)

    def begin(self, owner: Owner, loop: asyncio.AbstractEventLoop, found: Found) -> None:
        """Take over what a start found."""
        self._owner = owner
        self._loop = loop
        opened = found.opened
        self.boot = found.boot
        self._id = self._ledger_id = self.assigned = self.committed = found.boot << BOOT_SHIFT
        self.readable = 0 if found.asides else self.committed
        self.accounts.start_boot(found.boot)
        rows = {row.name: row for row in opened.sinks}
        progress: dict[str, Progress] = {}
        for name in self._names:
            if name in rows:
                progress[name] = Progress(rows[name].watermark, rows[name].ahead)
            else:
                progress[name] = Progress(0 if name in found.unknown else self.assigned)
        self.accounts.load(
            opened.ledgers,
            opened.chunks_since,
            opened.layouts,
            {name: progress[name].__contains__ for name in self._names if name in rows or name in found.unknown},
        )
        for name in self._names:
            for first, last in found.reopened.get(name, ()):
                progress[name].reopen(first, last)
            if not found.asides:
                progress[name].settle(opened.newest_id + 1, self.assigned)
            feed = JournalFeed(self, name, progress[name], opened.refused.get(name, {}))
            feed.dirty = name not in rows or name in found.reopened  # its row must be there before the first chunk is
            self.feeds[name] = feed
            if feed.refused_records:
                self.alarms.raise_(
                    f"refused:{name}", f"sink {name!r} has refused records: they are kept and tried again"
                )
        self._each = tuple(self.feeds.values())
        self._forgotten = [name for name in rows if name not in self.feeds]
        self.accounts.forget_others(opened.ledgers)
        self._ledger_dirty = bool(self.accounts.changed)
        if opened.newest_id and self._each:
            self._trims.add((0, min(feed.progress.watermark for feed in self._each)))
        if found.newer:
            self.alarms.raise_(
                _NEWER,
                f"a later release wrote a journal that this one can't use: {', '.join(map(str, found.newer))}; nothing "
                "of it is lost, and it is delivered once that release runs again",
            )
        self.space = opened.space
        self._ledger_ns = self._clock_ns = self.clock.mono_ns()
        self.doubt()
        if found.asides:
            self.all_changed()
            self._recovery.begin(found.asides)
        else:
            for feed in self._each:
                self.drained(feed)

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
        bounds = self._bounds
        bounds.memory_values += weight(batch) if layout.bulky else count
        if bounds.memory_values > self.settings.memory_values:
            bounds.bound_memory()
        if not self._watching:
            self._watching = True
            self._arm(self.clock.mono_ns() + self._deadline_ns - self._margin_ns)
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
        found = self.feeds[sink]
        found.configure(
            strict=strict,
            backfill_values_per_s=backfill_values_per_s,
            retry_refused_s=retry_refused_s,
            window=window,
        )
        return found

    def add_sink(self, name: str) -> None:
        """Give a sink that there wasn't a feed of its own: of everything from now on."""
        self.accounts.add_sink(name)
        feed = self.feeds[name] = JournalFeed(self, name, Progress(self._id), {})
        feed.dirty = self._ledger_dirty = True  # its row must be there before the first chunk is
        self._each = tuple(self.feeds.values())
        self.commit_promptly()

    def withdraw_sink(self, name: str) -> int:
        """A sink is given nothing any more, and all it owes is dropped. Returns how many values that is.

        Its ledger can still be asked for, until :meth:`forget_sink`. Nothing may be on loan. Raises KeyError if there
        is no such sink.
        """
        feed = self.feeds.pop(name)
        self._each = tuple(self.feeds.values())
        owed = self.accounts.give_up(name, feed.unwritten_seqs()) + self.accounts.totals(name)["refused"]
        self._refusals = [refusal for refusal in self._refusals if refusal.sink != name]
        self._released = [released for released in self._released if released[0] != name]
        self._forgotten.append(name)
        self._bounds.forget_sink(name)
        self._bounds.forget_settled()
        self._free_settled()
        self.alarms.clear(f"refused:{name}", f"sink {name!r} is no longer there")
        self.commit_promptly()
        return owed

    def forget_sink(self, name: str) -> None:
        """Close the ledger of a sink that was withdrawn."""
        self.accounts.remove_sink(name)
        self._ledger_dirty = True
        self.commit_promptly()

    def reconfigure(self, settings: JournalSettings) -> None:
        """Take over another deadline and other bounds; its path stays."""
        self.settings = settings
        self._deadline_ns = int(settings.deadline_s * 1e9)

        def done(result: Exception | None) -> None:
            if isinstance(result, Exception):
                self.read_failed(result)

        self.submit(
            lambda store: store.limit(max_bytes=settings.max_bytes, min_free_bytes=settings.min_free_bytes), done
        )
        self._bounds.bound_memory()
        self._bounds.bound_disk()
        self._arm(self.clock.mono_ns())

    def ledger(self, sink: str) -> LedgerStatus:
        """What became of every value, for one sink; numbers count values. Raises KeyError for an unknown sink."""
        return {
            "timestamp_ms": self.clock.now_ns() // 1_000_000,
            "boot": self.boot,
            "sources": self.accounts.to_json(sink),
        }

    @property
    def newest(self) -> int:
        """Id of the last record that was appended; 0 before :meth:`start`."""
        return self._id

    def fate(self, sink: str, record: Record, position: int) -> Fate:
        """What has become of one value of a record of this boot. Raises KeyError for an unknown sink."""
        feed = self.feeds[sink]
        self.accounts.up_to_date()
        account = self.accounts.accounts[sink][self.boot][record.batch.layout.source]
        ahead = self.accounts.totals(sink)["pending"]
        return fate_of(feed, account, record, position, assigned=self.assigned, ahead=ahead)

    def on_alarm(self, listener: Callable[[Alarm], None]) -> None:
        """Call `listener` at every transition of a condition somebody should know of."""
        self.alarms.listen(listener)

    def status(self) -> JournalStatus:
        """How full it is, how fast the disk is, and what is wrong; JSON-ready."""
        oldest_ns = self.space.oldest_ns
        return {
            "boot": self.boot,
            "path": str(self.settings.path),
            "deadline_ms": self.settings.deadline_s * 1e3,
            "used_bytes": self.space.used_bytes,
            "max_bytes": self.settings.max_bytes,
            "disk_free_bytes": self.space.free_bytes,
            "oldest_ms": None if oldest_ns is None else oldest_ns // 1_000_000,
            "commits": self._commits,
            "commit_ms": round(self._slow_commit_ns / 1e6, 3),
            "unwritten_values": sum(chunk.values for chunk in self.unwritten),
            "salvaging": self.salvaging,
            "salvaged_records": self._recovery.salvaged_records,
            "alarms": dict(self.alarms.active),
            "sinks": {feed.sink: {**self.accounts.totals(feed.sink), **feed.status()} for feed in self._each},
        }

    async def answered(self) -> None:
        """Return once the thread that owns the file has done all it was given so far; at once if there is none."""
        if self._owner is not None:
            await self._owner.call(lambda store: None)

    async def close(self) -> None:
        """Write everything unsettled, and stop. Does nothing if `start` failed or was never called."""
        owner, self._owner = self._owner, None
        if owner is None:
            return
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        await self._idle.wait()
        self._owner = owner
        await self._recovery.stop()
        self.gather()
        for attempt in range(_CLOSE_ATTEMPTS):
            job = self._job(self.clock.mono_ns(), whole=True)
            job.clean = True
            if await self._write_last(owner, job, first=attempt == 0):
                break
        else:
            values = sum(chunk.values for chunk in self.unwritten)
            _log.error("the journal couldn't be written on the way out: %d values not delivered yet are lost", values)
        await owner.call(self._end)
        self._owner = None
        owner.stop()

    async def _write_last(self, owner: Owner, job: Commit, *, first: bool) -> bool:
        try:
            self.space = await owner.call(lambda store: store.commit(job))
        except (DiskTrouble, Corrupt, NotStorable) as error:
            self._take_back(job)
            if first:
                _log.warning("the journal can't be written on the way out, trying on for a moment: %s", error)
            if isinstance(error, Corrupt):
                await owner.call(Store.set_aside)
                self.all_changed()
            elif isinstance(error, NotStorable):
                self._bounds.drop_unstorable()
            else:
                await asyncio.sleep(_FIRST_RETRY_NS / 1e9)
            return False
        self.unwritten.clear()
        return True

    def _end(self, store: Store) -> None:
        """On the owner thread."""
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

    # -- time

    @property
    def _margin_ns(self) -> int:
        """How long before the deadline a commit begins: twice what slow ones took of late, and some slack."""
        return min(2 * self._slow_commit_ns + _SLACK_NS, self._deadline_ns // 2)

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
        """With the next turn of the loop, or as soon as the running commit is done."""
        self._commit_within(0)

    def commit_in_time(self) -> None:
        """Within the deadline."""
        self._commit_within(self._deadline_ns - self._margin_ns)

    def _tick(self) -> None:
        """Do what is due, and come back when the next thing is."""
        self._timer = None
        if self._closing or not self._idle.is_set():
            return
        now = self.clock.mono_ns()
        gather_ns = self._gather_at(now)
        if gather_ns is not None and gather_ns <= now:
            self.gather()
            gather_ns = None
        self._watching = gather_ns is not None
        wanted: list[int] = []
        if self._commit_by_ns is not None:
            wanted.append(self._commit_by_ns)
        if self._ledger_id != self._id or self._ledger_dirty:
            wanted.append(self._ledger_ns + _LEDGER_NS)
        if self.unwritten:
            wanted.append(now)
        commit_ns = max(min(wanted), self._retry_by_ns) if wanted else None
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

    def gather(self) -> None:
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
                    stored = self.accounts.account(feed.sink, record.boot, record.batch.layout.source).stored
                    stored.add(record.seq, record.seq + len(record.batch.values) - 1)
            feed.hand_over(before, self.assigned)
        written_ns = self.clock.now_ns() if self.clock.trusted else None
        part: list[Record] = []
        size = 0
        for record in records:
            weighs = weight(record.batch)
            if part and (len(part) == MAX_RECORDS or size + weighs > MAX_WEIGHT):
                self.unwritten.append(Chunk(part[0].id, part[-1].id, part, written_ns, size))
                part, size = [], 0
            part.append(record)
            size += weighs
        self.unwritten.append(Chunk(part[0].id, part[-1].id, part, written_ns, size))

    def _job(self, now: int, *, whole: bool = False) -> Commit:
        """Everything there is to commit. `whole`: the ledger and every sink too, changed or not."""
        if self.unwritten and (self._retry_wait_ns or self._trims):
            self._bounds.forget_settled()
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
            self._ledger_id = self._id
            volatile = {feed.sink: feed.unwritten_seqs() for feed in self._each}
            job.closed_ledgers = self._closed_boots + self.accounts.close_boots(now)
            self._closed_boots = []
            job.ledgers = {boot: self.accounts.saved(boot, {}, None) for boot in self.accounts.changed}
            job.ledgers[self.boot] = self.accounts.saved(self.boot, volatile, self.assigned)
            self.accounts.changed.clear()
        return job

    def _commit(self, now: int) -> None:
        self._commit_by_ns = None
        job = self._job(now)
        if job.empty:
            return
        self._idle.clear()
        assigned = self.assigned
        unsaved = {feed: feed.unsaved for feed in self._each}
        save_clock = bool(job.ledgers) and now - self._clock_ns >= _CLOCK_NS
        if save_clock:
            self._clock_ns = now

        def work(store: Store) -> Space:
            space = store.commit(job)
            if save_clock:
                self._save_clock()
            return space

        def done(result: Space | Exception) -> None:
            self._idle.set()
            if isinstance(result, Exception):
                self._take_back(job)
                self._commit_failed(result)
            else:
                self._committed(job, result, now, assigned, unsaved)
            self._tick()

        self.submit(work, done)

    def _committed(
        self, job: Commit, space: Space, began_ns: int, assigned: int, unsaved: dict[JournalFeed, int]
    ) -> None:
        self._commits += 1
        self._slow_commit_ns = max(self.clock.mono_ns() - began_ns, self._slow_commit_ns * 7 // 8)
        self._retry_wait_ns = self._retry_by_ns = 0
        self.space = space
        written = {id(chunk) for chunk in job.chunks}
        while self.unwritten and id(self.unwritten[0]) in written:
            self.unwritten.popleft()
        self._bounds.count_memory()
        self.committed = assigned
        if not self.salvaging:
            self.readable = assigned
        if not space.trimmed_all:
            self._trims.update(job.trim)
            self.commit_in_time()
        for feed, count in unsaved.items():
            feed.unsaved -= count
        for sink, _, id_ in job.released:
            if sink in self.feeds:
                self.feeds[sink].released(id_)
        self.alarms.clear("disk", "the journal is being written again")
        self.alarms.clear("memory", "the journal is being written again: memory isn't full any more")
        for feed in self._each:
            feed.nudge()
        self._bounds.bound_disk()

    def _take_back(self, job: Commit) -> None:
        """A commit failed: everything in it is still to be done. What did reach the disk will be written over."""
        self._refusals = [each for each in job.refused if each.sink in self.feeds] + self._refusals
        self._released = [each for each in job.released if each[0] in self.feeds] + self._released
        self._forgotten = job.forgotten + self._forgotten
        self._closed_boots = job.closed_ledgers + self._closed_boots
        self._trims.update(job.trim)
        for row in job.sinks:
            if row.name in self.feeds:
                self.feeds[row.name].dirty = True
        if job.ledgers:
            self._ledger_dirty = True
            self.accounts.changed.update(boot for boot in job.ledgers if boot != self.boot)

    def _commit_failed(self, error: Exception) -> None:
        self._retry_wait_ns = min(2 * self._retry_wait_ns or _FIRST_RETRY_NS, _LONGEST_RETRY_NS)
        self._retry_by_ns = self._commit_by_ns = self.clock.mono_ns() + self._retry_wait_ns
        if isinstance(error, Corrupt):
            self._recovery.renew(error)
        elif isinstance(error, NotStorable):
            self._bounds.drop_unstorable()
            self._retry_by_ns = 0
            self.commit_promptly()
        elif isinstance(error, DiskTrouble):
            self.alarms.raise_("disk", f"the journal can't be written: {error}; records are kept in memory meanwhile")
            if error.full:
                self._bounds.make_room()
        else:
            _log.error("a fault in the journal itself: %r", error, exc_info=error)
            self.alarms.raise_("disk", f"the journal can't be written for a fault of its own: {error!r}")

    def all_changed(self) -> None:
        """The file is another one: everything must be written to it."""
        for feed in self._each:
            feed.dirty = True
        self._ledger_dirty = True
        self.accounts.all_changed()

    def ledger_changed(self) -> None:
        """It goes with the next commit."""
        self._ledger_dirty = True

    # -- reading

    @property
    def salvaging(self) -> bool:
        """Whether records of a file that was set aside are still to come in."""
        return self._recovery.active

    def submit(self, work: Callable[[Store], T], done: Callable[[T | Exception], None]) -> None:
        """Have the owner thread do something; nothing happens any more once the journal is closed."""
        if self._owner is not None:
            self._owner.submit(work, done)

    async def on_owner(self, work: Callable[[Store], T]) -> T:
        if self._owner is None:
            raise JournalError("the journal is closed")
        return await self._owner.call(work)

    def read(self, feed: JournalFeed, after: int, through: int) -> None:
        """Read on in the backlog; `feed.on_read` gets it."""
        generation = feed.generation

        def done(result: Stored | Exception) -> None:
            if isinstance(result, Exception):
                self.read_failed(result)
                self.later(_FIRST_RETRY_NS / 1e9, lambda: feed.on_read(None, generation))
            else:
                feed.on_read(result, generation)

        self.submit(lambda store: store.read(after, through), done)

    def read_refused(self, feed: JournalFeed, source: str, after: int, limit: int) -> None:
        """Read on in the refused records of a source; `feed.on_refused_read` gets them."""

        def done(result: list[Record | tuple[int, str]] | Exception) -> None:
            if isinstance(result, Exception):
                self.read_failed(result)
                self.later(_FIRST_RETRY_NS / 1e9, lambda: feed.on_refused_read(source, after, None))
            else:
                feed.on_refused_read(source, after, result)

        self.submit(lambda store: store.read_refused(feed.sink, source, after, limit), done)

    def read_failed(self, error: Exception) -> None:
        """Something but a commit failed on the disk."""
        if isinstance(error, Corrupt):
            self._recovery.renew(error)
        elif isinstance(error, DiskTrouble):
            self.alarms.raise_("disk", f"the journal can't be read: {error}")
            self._ledger_dirty = True  # so that there is something to commit, which tells when the disk is well again
            self._commit_within(_FIRST_RETRY_NS)
        else:
            raise error

    def lost(self, row: ChunkRow, why: str) -> None:
        """A chunk can't be read back."""
        self._bounds.lost(row, why)

    def doubt(self) -> None:
        """The file was damaged."""
        self._bounds.doubt()

    def drained(self, feed: JournalFeed) -> None:
        """A sink has delivered its whole backlog."""
        self._bounds.drained(feed)

    # -- settling

    def settled_stored(self, id_: int, *, promptly: bool) -> None:
        """A record on the disk was settled by one sink: see whether its chunk is free, and commit."""
        self._ledger_dirty = True
        self.free(id_)
        self.commit_promptly() if promptly else self.commit_in_time()

    def free(self, id_: int) -> None:
        """If every sink is done with an id, chunks wholly in the range around it can go."""
        first, last = 0, self.assigned
        for feed in self._each:
            around = feed.progress.around(id_)
            if around is None:
                return
            first, last = max(first, around[0]), min(last, around[1])
        self.free_chunk(first, last)

    def _free_settled(self) -> None:
        """Chunks may wait only for a sink that is gone."""
        settled = [(0, self.assigned)]
        for feed in self._each:
            ranges = IntervalSet([(0, feed.progress.watermark), *feed.progress.ahead])
            settled = [part for first, last in settled for part in ranges.within(first, last)]
        for first, last in settled:
            self.free_chunk(first, last)

    def free_chunk(self, first: int, last: int) -> None:
        """Every sink is done with first..last: chunks inside go with the next commit."""
        self._trims = {(low, high) for low, high in self._trims if low < first or high > last}
        self._trims.add((first, last))

    def keep_refused(self, refusal: Refusal) -> None:
        """A sink refused a record: keep it aside."""
        self._refusals.append(refusal)
        self._ledger_dirty = True
        self.alarms.raise_(
            f"refused:{refusal.sink}",
            f"sink {refusal.sink!r} refused a record of {refusal.source!r}: {refusal.reason}; what is refused is kept "
            "and tried again",
        )
        self._commit_within(self._deadline_ns // 4)

    def release_refused(self, feed: JournalFeed, source: str, id_: int, *, promptly: bool) -> None:
        """A refused record needn't be kept any longer."""
        self._released.append((feed.sink, source, id_))
        self._ledger_dirty = True
        self.commit_promptly() if promptly else self.commit_in_time()
        if not feed.refused_records:
            self.alarms.clear(f"refused:{feed.sink}", f"nothing that sink {feed.sink!r} refused is kept any longer")
