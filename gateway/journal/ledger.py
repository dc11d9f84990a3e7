"""The ledger: what became of every value, per sink, boot and source.

``last - first + 1 = delivered + refused + pending + dropped``, always; every number counts values. Counting costs one
addition a record; ranges are kept only of what waits on the disk and of what was dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from gateway.journal.intervals import IntervalSet
from gateway.journal.record import Head
from gateway.journal.status import AccountStatus, FeedTotals, SourceLedger
from gateway.model import Layout

KEPT_BOOTS: Final = 4
"""Boots that stay in the ledger after everything of them is settled."""
_TELLING_NS: Final = 600_000_000_000
"""How long the others stay."""
_MOST_SETTLED: Final = 50
"""How many of them, at most: a gateway may be started again and again."""

UNKNOWN_AT_CRASH: Final = "unconfirmed at crash"
REMOVED: Final = "destination removed"


class Account:
    """One source in one boot, for one sink. Sequence numbers start at 1."""

    __slots__ = ("delivered", "dropped", "dropped_values", "first", "last", "refused", "stored")

    def __init__(self, first: int = 1) -> None:
        self.first = first
        """Lowest sequence number that is the sink's: higher than 1 if it was added while the source was numbered."""
        self.last = first - 1
        """Highest sequence number given out. Of the running boot it is set when somebody asks."""
        self.delivered = 0
        self.refused = 0
        self.stored = IntervalSet()
        """Sequence numbers that wait on the disk."""
        self.dropped: list[tuple[int, int, str]] = []
        self.dropped_values = 0

    @property
    def pending(self) -> int:
        return self.count - self.delivered - self.refused - self.dropped_values

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    def drop(self, first: int, last: int, reason: str) -> None:
        """Count first..last as dropped; a range that continues one of the same reason lengthens it."""
        self.dropped_values += last - first + 1
        ranges = self.dropped
        if ranges and ranges[-1][1] + 1 == first and ranges[-1][2] == reason:
            ranges[-1] = (ranges[-1][0], last, reason)
            return
        ranges.append((first, last, reason))
        if len(ranges) > 1 and ranges[-2][0] > first:
            ranges.sort()
            merged = ranges[:1]
            for entry in ranges[1:]:
                before = merged[-1]
                if before[1] + 1 == entry[0] and before[2] == entry[2]:
                    merged[-1] = (before[0], entry[1], entry[2])
                else:
                    merged.append(entry)
            ranges[:] = merged

    def to_json(self) -> AccountStatus:
        return {
            "first": self.first,
            "last": self.last,
            "delivered": self.delivered,
            "refused": self.refused,
            "pending": self.pending,
            "dropped": [{"first": first, "last": last, "reason": reason} for first, last, reason in self.dropped],
        }


class Ledger:
    """All accounts. Lives on the event loop; :meth:`saved` and :meth:`load` are its stored form."""

    def __init__(self, sinks: Iterable[str]) -> None:
        self.boot = 0
        self.next_seq: dict[str, int] = {}
        """The running boot's next sequence number per source."""
        self.accounts: dict[str, dict[int, dict[str, Account]]] = {sink: {} for sink in sinks}
        self.changed: set[int] = set()
        """Older boots whose accounts differ from what is stored."""
        self._settled_ns: dict[int, int] = {}
        """When a boot was first seen to be settled."""

    def start_boot(self, boot: int) -> None:
        self.boot = boot
        for boots in self.accounts.values():
            boots[boot] = {}

    def open_source(self, source: str) -> None:
        """Begin to number a source."""
        self.next_seq[source] = 1
        for boots in self.accounts.values():
            boots[self.boot][source] = Account()

    def add_sink(self, sink: str) -> None:
        """It takes part from now on."""
        self.accounts[sink] = {self.boot: {source: Account(seq) for source, seq in self.next_seq.items()}}

    def remove_sink(self, sink: str) -> None:
        """It takes part no longer, in no boot."""
        del self.accounts[sink]
        self.all_changed()

    def forget_others(self, saved: Mapping[int, Any]) -> None:
        """Have what was saved of sinks that are no longer there written anew without them."""
        self.changed.update(boot for boot, body in saved.items() if not body["sinks"].keys() <= self.accounts.keys())

    def give_up(self, sink: str, volatile: Mapping[str, IntervalSet]) -> int:
        """Drop all that is pending for a sink: what waits on the disk and, per source, `volatile`. How many values."""
        self.up_to_date()
        count = 0
        for boot, accounts in self.accounts[sink].items():
            for source, account in accounts.items():
                pending = account.stored.copy()
                account.stored.clear()
                for first, last in volatile.get(source, ()) if boot == self.boot else ():
                    pending.add(first, last)
                for first, last in pending:
                    account.drop(first, last, REMOVED)
                count += pending.size
        return count

    def account(self, sink: str, boot: int, source: str) -> Account:
        """The account, made if there is none; it is expected to change."""
        if boot != self.boot:
            self.changed.add(boot)
        boots = self.accounts[sink].setdefault(boot, {})
        found = boots.get(source)
        if found is None:
            found = boots[source] = Account()
        return found

    def up_to_date(self) -> None:
        """Bring `last` of the running boot's accounts up to what was given out."""
        for boots in self.accounts.values():
            current = boots[self.boot]
            for source, seq in self.next_seq.items():
                current[source].last = seq - 1

    def to_json(self, sink: str) -> dict[str, SourceLedger]:
        """``{source: {"boots": {boot: account}}}`` of one sink."""
        self.up_to_date()
        sources: dict[str, SourceLedger] = {}
        for boot, accounts in sorted(self.accounts[sink].items()):
            for source, account in accounts.items():
                sources.setdefault(source, {"boots": {}})["boots"][str(boot)] = account.to_json()
        return sources

    def totals(self, sink: str) -> FeedTotals:
        """Values pending, waiting on the disk, refused and dropped, over all sources and boots."""
        self.up_to_date()
        totals: FeedTotals = {"pending": 0, "stored": 0, "refused": 0, "dropped": 0}
        for accounts in self.accounts[sink].values():
            for account in accounts.values():
                totals["pending"] += account.pending
                totals["stored"] += account.stored.size
                totals["refused"] += account.refused
                totals["dropped"] += account.dropped_values
        return totals

    def all_changed(self) -> None:
        """Nothing of it is stored any more."""
        self.changed = {boot for boots in self.accounts.values() for boot in boots if boot != self.boot}

    def close_boots(self, now_ns: int) -> list[int]:
        """Forget old boots of which nothing is pending or refused any more; returns those forgotten.

        The last few stay, and each stays long enough for its end to be published; `now_ns` is monotonic.
        """
        boots = sorted({boot for accounts in self.accounts.values() for boot in accounts})
        for boot in boots[:-KEPT_BOOTS]:
            if any(
                account.pending or account.refused
                for by_boot in self.accounts.values()
                for account in by_boot.get(boot, {}).values()
            ):
                self._settled_ns.pop(boot, None)
            else:
                self._settled_ns.setdefault(boot, now_ns)
        settled = sorted(self._settled_ns)
        excess = settled[: max(0, len(settled) - _MOST_SETTLED)]
        closed = [boot for boot in settled if boot in excess or now_ns - self._settled_ns[boot] > _TELLING_NS]
        for boot in closed:
            del self._settled_ns[boot]
            for accounts in self.accounts.values():
                accounts.pop(boot, None)
            self.changed.discard(boot)
        return closed

    # -- stored form

    def saved(
        self, boot: int, volatile: Mapping[str, Mapping[str, IntervalSet]], through: int | None
    ) -> dict[str, Any]:
        """One boot as JSON. `volatile` names per sink and source what is pending in memory only; `through` is the id
        up to which everything pending was written with or before this."""
        self.up_to_date()
        body: dict[str, Any] = {
            "sinks": {
                sink: {
                    source: [
                        account.last,
                        account.delivered,
                        account.refused,
                        list(account.stored),
                        list(account.dropped),
                        list(volatile.get(sink, {}).get(source, ())),
                        account.first,
                    ]
                    for source, account in boots.get(boot, {}).items()
                }
                for sink, boots in self.accounts.items()
            }
        }
        if through is not None:
            body["through"] = through
        return body

    def load(
        self,
        saved: Mapping[int, Any],
        chunks: Iterable[Iterable[Head]],
        layouts: Mapping[int, Layout],
        settled: Mapping[str, Callable[[int], bool]],
    ) -> None:
        """Take over older boots: what was saved, and what was written after it.

        What of a boot was neither stored nor dropped nor refused was settled: only such records are never written.
        `settled` tells per sink that existed then whether it is done with an id.
        """
        volatile: dict[tuple[str, int, str], IntervalSet] = {}
        for boot, body in saved.items():
            for sink, sources in body["sinks"].items():
                if sink not in settled:
                    continue
                accounts = self.accounts[sink].setdefault(boot, {})
                for source, (last, delivered, refused, stored, dropped, unwritten, *first_of_all) in sources.items():
                    account = accounts[source] = Account(*first_of_all)
                    account.last, account.delivered, account.refused = last, delivered, refused
                    account.stored = IntervalSet((first, end) for first, end in stored)
                    for first, end, reason in dropped:
                        account.drop(first, end, reason)
                    if unwritten:
                        volatile[sink, boot, source] = IntervalSet((first, end) for first, end in unwritten)
        written: set[tuple[int, str]] = set()
        for heads in chunks:
            for head in heads:
                layout = layouts.get(head.layout)
                if layout is None:
                    continue
                end = head.seq + head.count - 1
                written.add((head.boot, layout.source))
                for sink, done in settled.items():
                    account = self.account(sink, head.boot, layout.source)
                    account.last = max(account.last, end)
                    if not done(head.id):
                        account.stored.add(head.seq, end)
        continued = {boot for boot, _ in written}
        for boot, source in written:
            for sink in settled:
                self._settle_rest(sink, boot, source)
        for (sink, boot, source), unwritten_set in volatile.items():
            if boot in continued:  # a later commit would have written them if they hadn't been settled by then
                self._settle_rest(sink, boot, source)
            else:
                self._settle_volatile(sink, boot, source, unwritten_set)

    def _settle_rest(self, sink: str, boot: int, source: str) -> None:
        account = self.account(sink, boot, source)
        account.delivered = account.count - account.stored.size - account.refused - account.dropped_values

    def _settle_volatile(self, sink: str, boot: int, source: str, unwritten: IntervalSet) -> None:
        """Some values were only in memory when the ledger was last saved, and no commit came after.

        Their fate is unknown, like that of all later ones. If nothing later is on record the account ends before them.
        """
        account = self.account(sink, boot, source)
        first = next(iter(unwritten))[0]
        later = [end for _, end in account.stored] + [end for _, end, _ in account.dropped]
        if account.refused == 0 and all(end < first for end in later):
            account.last = first - 1
        else:
            for low, high in unwritten:
                account.drop(low, high, UNKNOWN_AT_CRASH)
        self._settle_rest(sink, boot, source)
