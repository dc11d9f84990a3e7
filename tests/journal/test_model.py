"""The journal against a toy model of it, under random actions, kills and a disk that stalls."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.journal.feed import JournalFeed
from gateway.journal.record import BOOT_SHIFT
from gateway.model import Record, Value
from tests.journal.toys import MS, T_MS, HandJournal, layout, mixed_layout, row
from tests.support.effort import times

STEADY = ("live", "strict")
GUEST = "guest"
"""A sink that comes and goes while everything runs."""
SINKS = (*STEADY, GUEST)
WINDOW = 6
COUNT = 40
LAYOUTS = [layout("filler1", COUNT), layout("filler2", COUNT), mixed_layout("mixer", COUNT)]


class ModelSink:
    """What a sink saw, and what it may expect."""

    def __init__(self, since: int = 0) -> None:
        self.since = since
        """Records up to this id aren't for it."""
        self.loans: dict[int, Record] = {}
        self.settled: set[int] = set()
        self.refused: set[int] = set()
        self.ever_refused: set[int] = set()
        """These come when they come: their order among themselves is all that is left of it."""
        self.last_live: dict[str, int] = {}
        self.last_late: dict[str, int] = {}
        self.last_any = 0
        self.dropped: set[int] = set()
        self.settled_now: set[int] = set()
        """Since the last start."""
        self.settled_before: set[int] = set()
        """Between the last start and the one before: what a kill may bring back."""
        self.repeated: set[int] = set()

    def restart(self) -> None:
        self.repeated.clear()
        self.settled_before = self.settled_now
        self.settled_now = set()
        self.new_connection()

    def new_connection(self) -> None:
        self.loans.clear()
        self.last_late.clear()
        self.last_any = 0


class JournalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self.appended: dict[int, tuple[str, int, list[Value]]] = {}
        self.born_ns: dict[int, int] = {}
        self.durable: dict[str, set[int]] = {sink: set() for sink in STEADY}
        self.lost: dict[str, set[int]] = {sink: set() for sink in STEADY}
        self.model = {sink: ModelSink() for sink in STEADY}
        self.next_value = 0
        self.actions = 0

    @initialize(small=st.booleans())
    def start(self, small: bool) -> None:
        self.journal = HandJournal(
            Path(self._temporary.name) / "j", STEADY, max_bytes=20_000 if small else 1 << 30, deadline_s=T_MS / 1000
        )
        self.small = small
        self._configure()

    def _configure(self) -> None:
        self.feeds: dict[str, JournalFeed] = {sink: self._feed(sink) for sink in self.model}

    def _feed(self, sink: str) -> JournalFeed:
        return self.journal.journal.feed(sink, strict=sink == "strict", window=WINDOW, retry_refused_s=1.0)

    def _meant_for(self, sink: str) -> set[int]:
        return {id_ for id_ in self.appended if id_ > self.model[sink].since}

    # -- actions

    @rule()
    def come(self) -> None:
        if GUEST in self.model:
            return
        self.journal.journal.add_sink(GUEST)
        self.journal.sinks = SINKS
        self.model[GUEST] = ModelSink(since=max(self.appended, default=0))
        self.durable[GUEST], self.lost[GUEST] = set(), set()
        self.feeds[GUEST] = self._feed(GUEST)

    @rule()
    def go(self) -> None:
        if GUEST not in self.model:
            return
        self.restore(GUEST)
        self._note_dropped()
        journal, model = self.journal.journal, self.model[GUEST]
        owed = self._meant_for(GUEST) - model.settled - model.dropped - self.lost[GUEST]
        assert journal.withdraw_sink(GUEST) >= COUNT * len(owed), "what it owed isn't all accounted for"
        for entry in journal.ledger(GUEST)["sources"].values():
            assert not any(account["pending"] for account in entry["boots"].values())
        journal.forget_sink(GUEST)
        self.journal.sinks = STEADY
        for known in (self.model, self.durable, self.lost, self.feeds):
            del known[GUEST]  # type: ignore[attr-defined]

    @rule(small=st.booleans())
    def rebound(self, small: bool) -> None:
        """Other bounds; larger ones, so that what is dropped stays told apart."""
        bytes_ = self.journal.journal.settings.max_bytes + 1024 * small
        self.journal.changes["max_bytes"] = bytes_
        self.journal.journal.reconfigure(replace(self.journal.journal.settings, max_bytes=bytes_))

    @rule(which=st.integers(0, 2), times=st.integers(1, 30))
    def append(self, which: int, times: int) -> None:
        for _ in range(times):
            values = row(LAYOUTS[which], self.next_value)
            self.next_value += 977
            record = self.journal.append(LAYOUTS[which], values)
            self.appended[record.id] = (LAYOUTS[which].source, record.seq, values)
            self.born_ns[record.id] = self.journal.loop.now_ns

    @rule(which=st.integers(0, 2), times=st.integers(1, 6))
    def outage(self, which: int, times: int) -> None:
        for _ in range(times):
            self.append(which, 20)
            self.advance(300)

    @rule(sink=st.sampled_from(SINKS), most=st.integers(1, WINDOW))
    def take(self, sink: str, most: int) -> None:
        if sink not in self.model:
            return
        for _ in range(most):
            if len(self.model[sink].loans) < WINDOW and not self._take(sink):
                self.journal.owner.run()  # what it asked for comes

    def _take(self, sink: str) -> bool:
        model = self.model[sink]
        record = self.feeds[sink].take()
        if record is None:
            return False
        assert record.id not in model.loans, "lent twice at once"
        assert record.id > model.since, "older than the sink"
        source, seq, values = self.appended[record.id]
        assert (record.batch.layout.source, record.seq, list(record.batch.values)) == (source, seq, values)
        assert record.boot == record.id >> BOOT_SHIFT
        assert record.id not in model.dropped, "dropped and delivered"
        assert record.backfill or record.id not in model.refused
        if record.backfill and record.id in model.ever_refused:
            pass
        else:
            stream = model.last_late if record.backfill else model.last_live
            assert record.id > stream.get(source, 0), "out of order"
            stream[source] = record.id
            if sink == "strict":
                assert record.id > model.last_any, "out of order in strict mode"
                model.last_any = record.id
        if record.id in model.settled:
            assert record.id not in model.settled_now, "delivered again without a crash"
            if record.id in model.settled_before:
                model.repeated.add(record.id)
        model.loans[record.id] = record
        return True

    @rule(sink=st.sampled_from(SINKS), turns=st.integers(1, 12))
    def drain(self, sink: str, turns: int) -> None:
        if sink not in self.model:
            return
        for _ in range(turns):
            self.take(sink, WINDOW)
            for id_ in list(self.model[sink].loans):
                self._settle(sink, id_)

    @rule(sink=st.sampled_from(SINKS), data=st.data())
    def settle(self, sink: str, data: st.DataObject) -> None:
        model = self.model.get(sink)
        if model is not None and model.loans:
            for id_ in data.draw(st.lists(st.sampled_from(sorted(model.loans)), unique=True)):
                self._settle(sink, id_)

    def _settle(self, sink: str, id_: int) -> None:
        model = self.model[sink]
        self.feeds[sink].settle(model.loans.pop(id_))
        model.settled.add(id_)
        model.settled_now.add(id_)
        model.refused.discard(id_)

    @rule(sink=st.sampled_from(SINKS), data=st.data())
    def refuse(self, sink: str, data: st.DataObject) -> None:
        model = self.model.get(sink)
        if model is not None and model.loans:
            id_ = data.draw(st.sampled_from(sorted(model.loans)))
            self.feeds[sink].refuse(model.loans.pop(id_), "not authorised")
            model.refused.add(id_)
            model.ever_refused.add(id_)

    @rule(sink=st.sampled_from(SINKS))
    def restore(self, sink: str) -> None:
        if sink not in self.model:
            return
        self.feeds[sink].restore()
        self.model[sink].new_connection()

    @rule(ms=st.sampled_from([1, 20, 130, 260, 1000]))
    def advance(self, ms: int) -> None:
        self.journal.advance(ms)
        disk_keeps_up = not self.journal.owner.stalled and not self.journal.owner.faults
        if disk_keeps_up and not self.journal.journal.unwritten and not self.journal.journal._refusals:
            self._note_durable()

    def _note_durable(self) -> None:
        old = self.journal.loop.now_ns - T_MS * MS
        for sink, model in self.model.items():
            self.durable[sink] |= {
                id_
                for id_, born in self.born_ns.items()
                if born <= old and id_ > model.since and id_ not in model.settled and id_ not in self.lost[sink]
            }

    @rule()
    def stall_disk(self) -> None:
        self.journal.owner.stalled = True

    @rule(faults=st.lists(st.sampled_from(["before", "after"]), min_size=1, max_size=4))
    def fail_disk(self, faults: list[str]) -> None:
        self.journal.owner.faults += faults

    @rule()
    def free_disk(self) -> None:
        self.journal.owner.stalled = False
        self.journal.owner.run()

    @precondition(lambda self: self.journal.owner.stalled)
    @rule(jobs=st.integers(1, 3))
    def do_jobs(self, jobs: int) -> None:
        for _ in range(jobs):
            self.journal.owner.step()

    @precondition(lambda self: self.actions > 8)
    @rule()
    def kill(self) -> None:
        self.actions = 0
        self._note_dropped()
        self.journal.kill()
        for sink, model in self.model.items():
            # What was settled but not known to be on the disk may come again, no more than the window.
            assert len(model.repeated) <= WINDOW, "more duplicates than the window"
            model.restart()
            for id_ in self._meant_for(sink):
                if id_ not in model.settled and id_ not in self.durable[sink]:
                    self.lost[sink].add(id_)
        self.journal.open()
        self._configure()
        self._note_dropped()  # what was dropped but not on the disk yet is there again

    @precondition(lambda self: self.actions > 8)
    @rule()
    def reopen(self) -> None:
        self.actions = 0
        self._note_dropped()
        self.journal.close()
        for model in self.model.values():
            assert len(model.repeated) <= WINDOW, "more duplicates than the window"
            model.restart()
            model.settled_before.clear()
        self.journal.open()
        self._configure()
        for sink, model in self.model.items():
            self.durable[sink] |= {
                id_ for id_ in self._meant_for(sink) if id_ not in model.settled and id_ not in self.lost[sink]
            }

    # -- what must hold

    def _note_dropped(self) -> None:
        for sink, model in self.model.items():
            model.dropped.clear()
            for source, entry in self.journal.journal.ledger(sink)["sources"].items():
                for boot, account in entry["boots"].items():
                    for dropped in account["dropped"]:
                        assert dropped["reason"] in ("journal full", "unconfirmed at crash"), dropped
                        if dropped["reason"] == "journal full":
                            self._drop(model, source, int(boot), dropped)

    def _drop(self, model: ModelSink, source: str, boot: int, dropped: dict[str, Any]) -> None:
        for id_, (of, seq, _) in self.appended.items():
            if of == source and id_ >> BOOT_SHIFT == boot and dropped["first"] <= seq <= dropped["last"]:
                assert seq + COUNT - 1 <= dropped["last"], "half a record dropped"
                model.dropped.add(id_)
                model.refused.discard(id_)

    @invariant()
    def count_actions(self) -> None:
        self.actions += 1

    @invariant()
    def accounts_add_up(self) -> None:
        for sink, model in self.model.items():
            boot_now = self.journal.journal.boot
            for source, entry in self.journal.journal.ledger(sink)["sources"].items():
                for boot, account in entry["boots"].items():
                    dropped = sum(entry["last"] - entry["first"] + 1 for entry in account["dropped"])
                    parts = account["delivered"], account["refused"], account["pending"], dropped
                    assert min(parts) >= 0, account
                    assert account["last"] - account["first"] + 1 == sum(parts), account
                    if int(boot) == boot_now:
                        mine = {
                            id_
                            for id_, (of, _, _) in self.appended.items()
                            if of == source and id_ >> BOOT_SHIFT == boot_now
                        }
                        assert account["last"] == COUNT * len(mine)
                        earlier = {id_ for id_ in mine if id_ <= model.since}
                        assert account["first"] == COUNT * len(earlier) + 1
                        assert account["delivered"] == COUNT * len(mine & model.settled), account
                        if not dropped:
                            assert account["refused"] == COUNT * len(mine & model.refused), account

    def teardown(self) -> None:
        if not hasattr(self, "journal"):
            return
        try:
            self._finish()
        finally:
            self.journal.store.close()
            self._temporary.cleanup()

    def _finish(self) -> None:
        """Let both sinks take everything: nothing may be missing."""
        self.journal.owner.stalled = False
        self.journal.owner.faults.clear()
        self.journal.settle_down()
        for sink in self.model:
            for id_ in list(self.model[sink].loans):
                self._settle(sink, id_)
        idle = 0
        for _ in range(2_000):
            moved = False
            for sink in self.model:
                while len(self.model[sink].loans) < WINDOW and self._take(sink):
                    moved = True
                for id_ in list(self.model[sink].loans):
                    self._settle(sink, id_)
            self.journal.advance(20)
            idle = 0 if moved else idle + 1
            if idle > 60:
                break
        self._note_dropped()
        for sink, model in self.model.items():
            assert len(model.repeated) <= WINDOW, "more duplicates than the window"
            missing = self._meant_for(sink) - model.settled - model.dropped - self.lost[sink]
            assert not missing, f"{len(missing)} records never reached {sink}"
            assert not (self.durable[sink] - model.settled - model.dropped), "what was durable is lost"
            if not self.small:
                assert not model.dropped
            for entry in self.journal.journal.ledger(sink)["sources"].values():
                for account in entry["boots"].values():
                    assert account["pending"] == 0, account
                    assert account["refused"] == 0, account
        used = self.journal.journal.space.used_bytes
        assert used < 60_000, f"{used} bytes are left behind"


JournalMachine.TestCase.settings = settings(
    max_examples=times(60), stateful_step_count=30, suppress_health_check=list(HealthCheck)
)
TestJournalModel = JournalMachine.TestCase
