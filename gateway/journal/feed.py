"""One sink's view of the journal: what is live, what is on loan, and the backlog on the disk. See `gateway.sink.Feed`.

A record is in exactly one place per sink:

- *live*: in memory, never lent, younger than the deadline;
- *parked*: in memory, lent once and given back before it was written;
- *backlog*: given to the disk. `_cursor` says how far the backlog has been read; what was read and not yet lent is in
  `_ready`. Reading goes in id order, so backfill does too;
- *on loan*: `_loans` while it is in memory only, `_stored_loans` once it was given to the disk, `_retry_loans` if it
  was refused before;
- *settled*, or *refused* and kept aside.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol

from gateway.journal.intervals import IntervalSet, Progress
from gateway.journal.ledger import Account, Ledger
from gateway.journal.status import FeedRecords
from gateway.journal.store import Chunk, ChunkRow, Refusal, Stored
from gateway.model import Batch, Record
from gateway.ops.clock import Clock

_log = logging.getLogger(__name__)

_READ_AHEAD: Final = 128
"""Records ready to be lent below which more are read."""
_RETRY_ROWS: Final = 32
_FIRST_RETRY_NS: Final = 1_000_000_000


class Journal(Protocol):
    """What a feed needs of the journal."""

    assigned: int
    """Highest id that was given to the disk: everything up to it is settled, dropped or in a chunk."""
    readable: int
    """Highest id up to which the backlog can be read from the disk now."""
    unwritten: deque[Chunk]
    """Chunks not yet committed, oldest first."""
    clock: Clock
    accounts: Ledger
    boot: int

    @property
    def salvaging(self) -> bool: ...
    def read(self, feed: JournalFeed, after: int, through: int) -> None: ...
    def read_refused(self, feed: JournalFeed, source: str, after: int, limit: int) -> None: ...
    def later(self, delay_s: float, call: Callable[[], None]) -> None: ...
    def settled_stored(self, id_: int, *, promptly: bool) -> None: ...
    def keep_refused(self, refusal: Refusal) -> None: ...
    def release_refused(self, feed: JournalFeed, source: str, id_: int, *, promptly: bool) -> None: ...
    def commit_promptly(self) -> None: ...
    def drained(self, feed: JournalFeed) -> None: ...
    def lost(self, row: ChunkRow, why: str) -> None: ...


class _Retry:
    """Refused records of one source, on their way to be tried again.

    One is tried alone first; the rest follow once it has succeeded.
    """

    __slots__ = ("after", "count", "due_ns", "on_loan", "proved", "queue", "reading", "wait_ns")

    def __init__(self, count: int, due_ns: int) -> None:
        self.count = count
        self.due_ns = due_ns
        self.wait_ns = _FIRST_RETRY_NS
        self.after = -1
        self.proved = False
        self.on_loan = 0
        self.reading = False
        self.queue: deque[Record] = deque()

    def restart(self, due_ns: int) -> None:
        """Begin again with the oldest."""
        self.due_ns = due_ns
        self.after = -1
        self.proved = False
        self.queue.clear()


class JournalFeed:
    """Implements :class:`gateway.sink.Feed`."""

    def __init__(self, journal: Journal, sink: str, progress: Progress, refused: dict[str, int]) -> None:
        self.sink = sink
        self.progress = progress
        self.unsaved = 0
        """Records stored on the disk that are settled, but not yet there."""
        self.dirty = False
        """Whether `progress` changed in what concerns the disk."""
        self.strict = False
        self.window = 100
        self.retry_ns = 60_000_000_000
        self.live: deque[Record] = deque()
        self._journal = journal
        self._accounts: dict[str, Account] = journal.accounts.accounts[sink][journal.boot]
        self._parked: deque[Record] = deque()
        self._loans: dict[int, Record] = {}
        self._stored_loans: dict[int, Record] = {}
        self._retry_loans: dict[int, Record] = {}
        self._releasing: set[int] = set()
        """Ids of refused records that were taken in the end or dropped, and are still to be deleted from the disk."""
        self._ready: deque[Record] = deque()
        self._cursor = progress.watermark
        self._reading = False
        self._generation = 0
        self._starved = False
        self._wake: Callable[[], None] | None = None
        self._rate: float | None = None
        self._credit = 0.0
        self._credit_ns = 0
        now = journal.clock.mono_ns()
        self._retries = {source: _Retry(count, now) for source, count in refused.items()}

    def configure(
        self, *, strict: bool, backfill_values_per_s: float | None, retry_refused_s: float, window: int
    ) -> None:
        self.strict = strict
        self.retry_ns = int(retry_refused_s * 1e9)
        self.window = window
        self._rate = backfill_values_per_s
        self._credit_ns = self._journal.clock.mono_ns()

    # -- the contract

    def take(self) -> Record | None:
        live = self.live
        if live and not (self.strict and self._behind()):
            record = live.popleft()
            if not record.batch.trusted:
                record = self._restamped(record)
            self._loans[record.id] = record
            return record
        record_or_none = self._take_backlog()
        self._starved = record_or_none is None
        return record_or_none

    def on_ready(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def settle(self, record: Record) -> None:
        if self._loans.pop(record.id, None) is None:
            self._settle_stored(record)
            return
        batch = record.batch
        self._accounts[batch.layout.source].delivered += len(batch.values)
        if self._retries:
            self._encourage(batch.layout.source)

    def refuse(self, record: Record, reason: str, positions: Sequence[int] | None = None) -> None:
        if positions is None:
            positions = record.only
        elif record.only is None and len(positions) == len(record.batch.values):
            positions = None
        id_ = record.id
        source = record.batch.layout.source
        refused = len(record.batch.values) if positions is None else len(positions)
        again = self._retry_loans.pop(id_, None) is not None
        account = self._journal.accounts.account(self.sink, record.boot, source)
        if again:
            delivered = _count(record) - refused
            account.refused -= delivered
            account.delivered += delivered
            retry = self._retries[source]
            retry.on_loan -= 1
            retry.wait_ns = min(2 * retry.wait_ns, max(self.retry_ns, _FIRST_RETRY_NS))
            retry.restart(self._journal.clock.mono_ns() + self.retry_ns)
            self._journal.later(self.retry_ns / 1e9, self.nudge)
            if not delivered:
                self.nudge()
                return
        else:
            if self._loans.pop(id_, None) is None:
                self._take_off_loan(record)
            account.refused += refused
            account.delivered += len(record.batch.values) - refused
            entry = self._retries.get(source)
            if entry is None:
                entry = self._retries[source] = _Retry(0, self._journal.clock.mono_ns() + self.retry_ns)
                self._journal.later(self.retry_ns / 1e9, self.nudge)
            entry.count += 1
        self._journal.keep_refused(Refusal(self.sink, reason, record, positions))

    def restore(self) -> None:
        returned = [*self._loans.values(), *self._parked]
        self._loans.clear()
        returned.sort(key=_id)
        self._parked = deque(_late(record) for record in returned)
        self._reread(min(self._stored_loans, default=None))
        self._stored_loans.clear()
        self._retry_loans.clear()
        now = self._journal.clock.mono_ns()
        for retry in self._retries.values():
            retry.on_loan = 0
            retry.restart(now)
        self.nudge()

    # -- taking

    def _behind(self) -> bool:
        """Whether something older than what is live waits to be lent."""
        if self._ready or self._parked:
            return True
        self._skip_settled()
        return self._cursor < self._journal.assigned

    def _take_backlog(self) -> Record | None:
        if len(self._stored_loans) + len(self._retry_loans) + self.unsaved >= self.window:
            if self.unsaved:
                self._journal.commit_promptly()
            return None
        if not self._affordable():
            return None
        ready = self._ready
        if len(ready) < _READ_AHEAD:
            self._read_on()
        if ready:
            record = self._restamped(ready.popleft())
            self._stored_loans[record.id] = record
        elif self._cursor < self._journal.assigned:
            return None
        elif self._parked:
            record = self._restamped(self._parked.popleft())
            self._loans[record.id] = record
        elif self._retries:
            refused = self._take_refused()
            if refused is None:
                return None
            record = refused
        else:
            return None
        if self._rate is not None:
            self._credit -= _count(record)
        return record

    def _affordable(self) -> bool:
        """Whether the rate of backfill allows another record now; if not, the sink is woken when it does."""
        if self._rate is None:
            return True
        now = self._journal.clock.mono_ns()
        self._credit = min(self._credit + (now - self._credit_ns) * self._rate / 1e9, self._rate / 4)
        self._credit_ns = now
        if self._credit > 0:
            return True
        self._journal.later(max(-self._credit / self._rate, 0.001), self.nudge)
        return False

    def _skip_settled(self) -> None:
        """Move the cursor over what needs no reading."""
        journal = self._journal
        if self._cursor < journal.readable and self.progress.covers(self._cursor + 1, journal.readable):
            self._cursor = journal.readable
        if self._cursor < journal.assigned and self.progress.covers(self._cursor + 1, journal.assigned):
            self._cursor = journal.assigned

    def _read_on(self) -> None:
        """Make more of the backlog ready: from memory if it isn't written yet, else ask for it."""
        journal = self._journal
        if self._reading or self._cursor >= journal.assigned:
            return
        self._skip_settled()
        if self._cursor < journal.readable:
            self._reading = True
            journal.read(self, self._cursor, journal.readable)
        elif not journal.salvaging:
            for chunk in journal.unwritten:
                if chunk.last > self._cursor:
                    self._ready.extend(_late(record) for record in chunk.records if self._lendable(record.id))
                    self._cursor = chunk.last
                if len(self._ready) >= _READ_AHEAD:
                    return
            self._cursor = journal.assigned

    def _lendable(self, id_: int) -> bool:
        return id_ > self._cursor and id_ not in self._stored_loans and id_ not in self.progress

    @property
    def generation(self) -> int:
        """Changes whenever what is being read must be read again."""
        return self._generation

    def on_read(self, found: Stored | None, generation: int) -> None:
        """A read came back; None if it failed: the next `take` asks again."""
        self._reading = False
        if found is not None and generation == self._generation:
            cursor = self._cursor
            for row, why in found.damaged:
                self._journal.lost(row, why)
            before = cursor
            progress = self.progress
            for record in found.records:
                id_ = record.id
                if id_ > before + 1:
                    progress.settle(before + 1, id_ - 1)
                before = id_
                if id_ > cursor and id_ not in self._stored_loans and id_ not in progress:
                    self._ready.append(record)
            if found.through > before:
                progress.settle(before + 1, found.through)
            self._cursor = max(cursor, found.through)
            if not self._ready:
                self._read_on()
                self._check_drained()
        self.nudge()

    def _restamped(self, record: Record) -> Record:
        """Of this boot and taken while the clock wasn't trusted: with the right time, now that it is known."""
        clock = self._journal.clock
        old = record.batch
        if old.trusted or record.boot != self._journal.boot or not clock.trusted:
            return record
        read_ns = clock.now_ns() - (clock.mono_ns() - old.mono_ns)
        batch = Batch(
            *(old.layout, read_ns, old.mono_ns, old.values, old.qualities, old.columns, old.source_ns),
            history=old.history,
            event=old.event,
        )
        return Record(record.id, record.boot, record.seq, batch, record.backfill, record.only)

    def nudge(self) -> None:
        """Something may be there to take."""
        if self._starved and self._wake is not None:
            self._starved = False
            self._wake()

    def offer(self, record: Record) -> None:
        """A new record."""
        self.live.append(record)
        if self._starved:
            self.nudge()

    # -- refused records

    def _take_refused(self) -> Record | None:
        now = self._journal.clock.mono_ns()
        for source, retry in self._retries.items():
            if retry.due_ns > now or (retry.on_loan and not retry.proved):
                continue
            if retry.queue:
                record = retry.queue.popleft()
                retry.on_loan += 1
                self._retry_loans[record.id] = record
                return record
            if not retry.reading:
                retry.reading = True
                self._journal.read_refused(self, source, retry.after, _RETRY_ROWS)
        return None

    def on_refused_read(self, source: str, after: int, found: Iterable[Record | tuple[int, str]] | None) -> None:
        """Refused records came back from the disk; None if reading failed."""
        retry = self._retries.get(source)
        if retry is None:
            return
        retry.reading = False
        if retry.after != after:
            self.nudge()
            return
        rows = list(found or ())
        for row in rows:
            if isinstance(row, Record):
                retry.after = row.id
                # What is read from the start again may still be on loan, or on the disk though it was delivered.
                if row.id not in self._retry_loans and row.id not in self._releasing:
                    retry.queue.append(row)
            else:
                retry.after = row[0]
        if not rows:  # the end: what is left came later, or was refused again
            retry.restart(self._journal.clock.mono_ns() + min(retry.wait_ns, self.retry_ns))
            self._journal.later(min(retry.wait_ns, self.retry_ns) / 1e9, self.nudge)
        self.nudge()

    def _encourage(self, source: str) -> None:
        """A live record of the source was taken: its refused ones may be welcome too."""
        retry = self._retries.get(source)
        if retry is None or retry.on_loan:
            return
        now = self._journal.clock.mono_ns()
        soon = now + retry.wait_ns if retry.wait_ns > _FIRST_RETRY_NS else now
        if soon < retry.due_ns:
            retry.due_ns = soon
            self._journal.later((soon - now) / 1e9, self.nudge)

    def forget_refused(self, source: str, count: int) -> None:
        """Refused records of a source are no longer kept."""
        retry = self._retries[source]
        retry.count -= count
        if retry.count <= 0:
            del self._retries[source]

    def count_refused(self, counts: dict[str, int]) -> None:
        """What is kept aside was counted anew."""
        now = self._journal.clock.mono_ns()
        for source, count in counts.items():
            self._retries.setdefault(source, _Retry(0, now)).count = count

    def stored_on_loan(self) -> Iterable[Record]:
        """What is on loan of the records that were given to the disk."""
        return self._stored_loans.values()

    @property
    def refused_records(self) -> int:
        return sum(retry.count for retry in self._retries.values())

    def released(self, id_: int) -> None:
        """A refused record is deleted from the disk."""
        self._releasing.discard(id_)

    def droppable_retry(self, id_: int) -> bool:
        """Whether a refused record may be dropped: it isn't on loan, nor taken or dropped already."""
        return id_ not in self._retry_loans and id_ not in self._releasing

    def drop_retry(self, source: str, id_: int) -> None:
        """A refused record is being dropped: don't lend it any more."""
        self._releasing.add(id_)
        retry = self._retries.get(source)
        if retry is None:
            return
        retry.queue = deque(record for record in retry.queue if record.id != id_)
        self.forget_refused(source, 1)

    # -- settling what is on the disk

    def _settle_stored(self, record: Record) -> None:
        source = record.batch.layout.source
        if record.id in self._retry_loans:
            del self._retry_loans[record.id]
            account = self._journal.accounts.account(self.sink, record.boot, source)
            count = _count(record)
            account.refused -= count
            account.delivered += count
            retry = self._retries[source]
            retry.on_loan -= 1
            retry.proved = True
            retry.wait_ns = _FIRST_RETRY_NS
            self.forget_refused(source, 1)
            self.unsaved += 1
            self._releasing.add(record.id)
            self._journal.release_refused(self, source, record.id, promptly=2 * self.unsaved >= self.window)
            return
        self._take_off_loan(record)
        account = self._journal.accounts.account(self.sink, record.boot, source)
        account.delivered += len(record.batch.values)
        if self._retries and not record.backfill:
            self._encourage(source)

    def _take_off_loan(self, record: Record) -> None:
        """Settle a record that is on the disk. Raises LookupError if it isn't on loan."""
        if self._stored_loans.pop(record.id, None) is None:
            raise LookupError(f"record {record.id} is not on loan to sink {self.sink!r}")
        self.progress.settle(record.id, record.id)
        account = self._journal.accounts.account(self.sink, record.boot, record.batch.layout.source)
        account.stored.remove(record.seq, record.seq + len(record.batch.values) - 1)
        self.unsaved += 1
        self.dirty = True
        self._journal.settled_stored(record.id, promptly=2 * self.unsaved >= self.window)
        self._check_drained()

    def _check_drained(self) -> None:
        if not self._stored_loans and not self._ready and self._cursor >= self._journal.assigned:
            self._journal.drained(self)

    # -- for the journal

    def in_memory(self) -> Iterator[Record]:
        """Everything not settled that was never given to the disk, in no particular order."""
        yield from self._loans.values()
        yield from self._parked
        yield from self.live

    def lent(self, id_: int) -> bool:
        """Whether the sink has it now."""
        return id_ in self._loans or id_ in self._stored_loans or id_ in self._retry_loans

    def oldest_ns(self) -> int | None:
        """Monotonic time of the oldest record that is in memory only."""
        stamps = [record.batch.mono_ns for record in self._loans.values()]
        if self.live:
            stamps.append(self.live[0].batch.mono_ns)
        if self._parked:
            stamps.append(self._parked[0].batch.mono_ns)
        return min(stamps, default=None)

    def hand_over(self, assigned: int, now_assigned: int) -> None:
        """Everything in memory up to `now_assigned` was given to the disk; it was `assigned` before.

        What isn't pending here between the two is settled. What was on loan still is, the rest is backlog.
        """
        pending = sorted(record.id for record in self.in_memory())
        before = assigned
        for id_ in pending:
            if id_ > before + 1:
                self.progress.settle(before + 1, id_ - 1)
            before = id_
        if now_assigned > before:
            self.progress.settle(before + 1, now_assigned)
        if self._cursor >= assigned and not self.live and not self._parked:
            self._cursor = now_assigned  # all of it is on loan: nothing to read
        self.live.clear()
        self._parked.clear()
        self._stored_loans.update(self._loans)
        self._loans.clear()

    def on_loan(self, id_: int) -> bool:
        return id_ in self._stored_loans

    def forget_settled(self) -> None:
        """Records that were not on loan were settled without being lent: don't lend them."""
        if any(record.id in self.progress for record in self._ready):
            self._ready = deque(record for record in self._ready if record.id not in self.progress)

    def settle_not_on_loan(self, first: int, last: int) -> None:
        """Settle every id of first..last but those on loan."""
        for id_ in sorted(id_ for id_ in self._stored_loans if first <= id_ <= last):
            if id_ > first:
                self.progress.settle(first, id_ - 1)
            first = id_ + 1
        if first <= last:
            self.progress.settle(first, last)
        self.dirty = True

    def _reread(self, lowest: int | None) -> None:
        """Forget what was read ahead and read again, from before `lowest` if that is earlier."""
        firsts = [record.id for record in self._ready]
        if lowest is not None:
            firsts.append(lowest)
        self._cursor = min(self._cursor, min(firsts, default=self._cursor + 1) - 1)
        self._ready.clear()
        self._generation += 1

    def read_again(self, after: int) -> None:
        """Read the backlog again from just after an id."""
        self._reread(after + 1)

    @property
    def behind(self) -> bool:
        """Whether something of the backlog is still to be lent."""
        return bool(self._ready) or self._cursor < self._journal.assigned

    @property
    def quiet(self) -> bool:
        """Whether nothing of the backlog is unread, ready or on loan."""
        return not (self._reading or self._stored_loans or self.behind)

    def status(self) -> FeedRecords:
        return {
            "live_records": len(self.live) + len(self._parked),
            "on_loan": len(self._loans) + len(self._stored_loans) + len(self._retry_loans),
            "refused_records": self.refused_records,
        }

    def unwritten_seqs(self) -> dict[str, IntervalSet]:
        """Per source, the sequence numbers that are pending in memory only."""
        found: dict[str, IntervalSet] = {}
        for record in sorted(self.in_memory(), key=_id):
            source = record.batch.layout.source
            found.setdefault(source, IntervalSet()).add(record.seq, record.seq + len(record.batch.values) - 1)
        return found


def _id(record: Record) -> int:
    return record.id


def _count(record: Record) -> int:
    return len(record.batch.values) if record.only is None else len(record.only)


def _late(record: Record) -> Record:
    return Record(record.id, record.boot, record.seq, record.batch, backfill=True, only=record.only)
