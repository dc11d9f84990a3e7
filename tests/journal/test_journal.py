"""The journal on asyncio and by hand: deadlines, order, loans, refusals, bounds, restarts."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from gateway.journal import Alarm, Journal, JournalError
from gateway.journal.feed import JournalFeed
from gateway.model import Batch, DataType, Layout, Record, Tag
from tests.journal.toys import MS, HandJournal, batch, layout, opened, take_all

OF = layout()
OTHER = layout("mixer")


def numbers(records: list[Record]) -> list[int]:
    """The records' places in their boot, negative for backfill."""
    return [(-1 if record.backfill else 1) * (record.id & 0xFFFFFF) for record in records]


def chunks(journal: HandJournal) -> int:
    return len(journal.store.oldest(-1, 1000))


def account(
    journal: HandJournal, sink: str = "plant", source: str = "filler1", boot: int | None = None
) -> dict[str, int]:
    boots = journal.journal.ledger(sink)["sources"][source]["boots"]
    found: dict[str, int] = boots[str(journal.journal.boot if boot is None else boot)]
    return found


@pytest.fixture
def hand(tmp_path: Path) -> HandJournal:
    return HandJournal(tmp_path / "j")


# -- numbering


def test_sequence_numbers_count_values_per_source(hand: HandJournal) -> None:
    taken = [hand.append(OF), hand.append(OTHER), hand.append(OF)]
    assert [record.seq for record in taken] == [1, 1, 4]
    assert [record.boot for record in taken] == [1, 1, 1]
    assert taken[0].id < taken[1].id < taken[2].id
    hand.store.close()


@pytest.mark.parametrize("values", [[], [1, 2], [1, 2, 3, 4]])
def test_columns_that_do_not_fit_are_refused_before_they_are_numbered(hand: HandJournal, values: list[int]) -> None:
    with pytest.raises(ValueError, match="filler1"):
        hand.append(OF, values)
    assert hand.append(OF).seq == 1
    hand.store.close()


def test_the_boot_number_outlives_the_journal_and_its_own_file(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j")
    hand.append(OF)
    hand.close()
    hand.open()
    assert hand.journal.boot == 2
    hand.append(OF)
    hand.close()
    hand.settings.path.with_suffix(".boot").write_text("no number")
    hand.open()
    assert hand.journal.boot == 3
    hand.close()
    hand.settings.path.unlink()
    hand.open()
    assert hand.journal.boot == 4
    hand.close()


# -- the deadline


def test_what_is_settled_in_time_never_touches_the_disk(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant")
    for _ in range(200):
        hand.append(OF)
        for record in take_all(feed):
            feed.settle(record)
        hand.advance(20)
    assert hand.journal.status()["commits"] == 0
    assert account(hand)["delivered"] == 600
    hand.store.close()


def test_what_is_not_settled_is_on_the_disk_before_the_deadline(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant")
    lent = hand.append(OF)
    assert feed.take() is lent
    hand.append(OF)
    hand.advance(249)
    assert chunks(hand) == 1
    hand.kill()
    hand.open()
    assert numbers(hand.drain(hand.journal.feed("plant"))) == [-1, -2]
    hand.store.close()


def test_the_deadline_counts_from_the_reading_not_from_the_append(hand: HandJournal) -> None:
    hand.append(OF, age_ms=200)
    hand.advance(1)
    assert chunks(hand) == 0
    hand.advance(49)
    hand.append(OF)
    hand.advance(200)
    assert chunks(hand) == 1
    hand.store.close()


def test_a_stamp_from_the_future_does_not_put_the_deadline_off(hand: HandJournal) -> None:
    hand.append(OF, age_ms=-10_000)
    hand.advance(250)
    assert chunks(hand) == 1
    hand.store.close()


def test_a_slow_disk_makes_commits_begin_earlier(hand: HandJournal) -> None:
    hand.owner.stalled = True
    hand.append(OF)
    hand.advance(240)
    hand.loop.now_ns += 60 * MS  # the commit takes 60 ms
    hand.owner.stalled = False
    hand.owner.run()
    hand.append(OF)
    hand.advance(125)
    assert chunks(hand) == 2
    hand.store.close()


def test_one_commit_takes_everything_unsettled(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant")
    for i in range(100):
        hand.append(OF)
        if i % 2:
            feed.settle(feed.take() or pytest.fail("nothing to take"))
        hand.advance(2)
    hand.advance(250)
    assert hand.journal.status()["commits"] <= 3
    hand.store.close()


# -- feeds


def test_after_an_outage_live_values_do_not_wait_behind_the_backlog(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant")
    for _ in range(50):
        hand.append(OF)
        hand.advance(20)
    hand.append(OF)
    first = feed.take()
    assert first is not None
    assert not first.backfill
    feed.settle(first)
    taken = hand.drain(feed)
    assert sorted(abs(number) for number in numbers([first, *taken])) == list(range(1, 52))
    late = [record.id for record in taken if record.backfill]
    assert late == sorted(late)
    assert len(late) >= 40
    assert chunks(hand) == 0
    hand.store.close()


def test_strict_order_lends_nothing_live_before_what_is_stored(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant", strict=True)
    for _ in range(30):
        hand.append(OF)
        hand.advance(20)
    hand.append(OF)
    assert feed.take() is None, "the live one came before the stored ones"
    taken = hand.drain(feed)
    assert [abs(number) for number in numbers(taken)] == list(range(1, 32))
    hand.store.close()


def test_what_was_on_loan_when_the_connection_went_comes_again_in_order(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant")
    for _ in range(6):
        hand.append(OF)
    lent = take_all(feed)
    feed.settle(lent[2])
    feed.restore()
    hand.append(OF)
    assert numbers(take_all(feed)) == [7, -1, -2, -4, -5, -6]
    hand.store.close()


def test_a_record_can_be_settled_once_only(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant")
    hand.append(OF)
    (record,) = take_all(feed)
    feed.settle(record)
    with pytest.raises(LookupError, match="not on loan"):
        feed.settle(record)
    hand.append(OF)
    (record,) = take_all(feed)
    feed.restore()
    with pytest.raises(LookupError, match="not on loan"):
        feed.settle(record)
    hand.store.close()


def test_the_sink_is_woken_when_there_is_something_and_only_then(hand: HandJournal) -> None:
    woken: list[str] = []
    feed = hand.journal.feed("plant")
    feed.on_ready(lambda: woken.append("up"))
    hand.append(OF)
    assert not woken, "woken without having asked"
    take_all(feed)
    hand.append(OF)
    hand.append(OF)
    assert woken == ["up"]
    hand.store.close()


def test_the_sink_is_woken_when_the_backlog_has_been_read(hand: HandJournal) -> None:
    hand.append(OF)
    hand.advance(300)
    woken: list[str] = []
    feed = hand.journal.feed("plant")
    feed.on_ready(lambda: woken.append("up"))
    assert feed.take() is None
    hand.owner.run()
    assert woken == ["up"]
    assert numbers(take_all(feed)) == [-1]
    hand.store.close()


def test_backfill_keeps_to_its_rate_and_live_does_not(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant", backfill_values_per_s=300)
    for _ in range(300):
        hand.append(OF)
    hand.advance(300)
    late = live = 0
    for _ in range(100):
        hand.append(OF)
        for record in take_all(feed):
            feed.settle(record)
            late += record.backfill
            live += not record.backfill
        hand.advance(10)
    assert live == 100
    assert 80 <= late <= 130, "1 s at 300 values a second is 100 records of 3"
    hand.store.close()


def test_duplicates_after_a_kill_stay_within_the_window(hand: HandJournal) -> None:
    for _ in range(500):
        hand.append(OF)
    hand.advance(300)
    feed = hand.journal.feed("plant", window=10)
    settled: list[int] = []
    while len(settled) < 200:
        for record in take_all(feed):
            feed.settle(record)
            settled.append(record.id)
        hand.owner.run()
        hand.loop.run_until(hand.loop.now_ns + MS, lambda: None)
    hand.kill()
    hand.open()
    again = [record.id for record in hand.drain(hand.journal.feed("plant"))]
    assert len(set(again) & set(settled)) <= 10
    assert len(set(again) | set(settled)) == 500
    hand.store.close()


def test_a_backlog_drains_with_few_commits(hand: HandJournal) -> None:
    for _ in range(1500):
        hand.append(OF)
    hand.advance(300)
    before = hand.journal.status()["commits"]
    feed = hand.journal.feed("plant")
    assert len(hand.drain(feed)) == 1500
    assert hand.journal.status()["commits"] - before < 60
    hand.store.close()


def test_sinks_are_independent_and_the_slowest_keeps_the_records(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", ("fast", "slow"))
    fast = hand.journal.feed("fast")
    for _ in range(20):
        hand.append(OF)
        for record in take_all(fast):
            fast.settle(record)
        hand.advance(20)
    hand.advance(300)
    assert account(hand, "fast")["delivered"] == 60
    assert account(hand, "slow")["pending"] == 60
    hand.kill()
    hand.open()
    assert hand.drain(hand.journal.feed("fast")) == []
    assert len(hand.drain(hand.journal.feed("slow"))) == 20
    assert chunks(hand) == 0
    hand.store.close()


def test_a_new_sink_starts_from_now_and_a_removed_one_keeps_nothing(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", ("old",))
    hand.append(OF)
    hand.close()
    hand.sinks = ("new",)
    hand.open()
    feed = hand.journal.feed("new")
    assert hand.drain(feed) == []
    hand.append(OF)
    hand.advance(300)
    assert len(hand.drain(feed)) == 1
    hand.advance(1000)
    assert chunks(hand) == 0
    hand.close()
    hand.open()
    assert list(hand.journal.feeds) == ["new"]
    hand.store.close()


def test_records_are_read_back_by_the_layout_they_were_stored_under(hand: HandJournal) -> None:
    of = layout("oven", 2, DataType.STRING)
    hand.append(of, ["007", "ä"])
    hand.close()
    hand.open()
    (record,) = hand.drain(hand.journal.feed("plant"))
    assert record.batch.layout == of
    assert record.batch.values == ("007", "ä")
    hand.store.close()


# -- time


def test_values_read_before_the_time_was_known_get_the_right_time(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", clock="auto")
    feed = hand.journal.feed("plant")
    made = Batch(OF, 5, hand.loop.now_ns, [1, 2, 3], trusted=False)
    hand.journal.append(made)
    hand.journal.append(Batch(OF, 6, hand.loop.now_ns, [1, 2, 3], source_ns=[7, 8, 9], trusted=False, history=True))
    untrusted = feed.take()
    assert untrusted is not None
    assert not untrusted.batch.trusted
    hand.advance(1000)
    hand.synchronised = True
    hand.advance(5000)
    assert hand.clock.trusted
    feed.restore()
    stored = hand.drain(feed)
    assert [(record.batch.trusted, record.batch.history) for record in stored] == [(True, False), (True, True)]
    assert {record.batch.read_ns for record in stored} == {hand.clock.now_ns() - (hand.loop.now_ns - made.mono_ns)}
    hand.store.close()


def test_values_of_an_earlier_boot_stay_marked(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", clock="auto")
    hand.append(OF)
    hand.close()
    hand.synchronised = True
    hand.open()
    (record,) = hand.drain(hand.journal.feed("plant"))
    assert not record.batch.trusted
    hand.store.close()


# -- refusals


def refuse_all(hand: HandJournal, feed: JournalFeed, positions: list[int] | None = None) -> list[Record]:
    taken = take_all(feed)
    for record in taken:
        feed.refuse(record, "not authorised (0x87)", positions)
    hand.advance(100)
    return taken


def test_what_is_refused_is_kept_told_and_tried_again(hand: HandJournal) -> None:
    alarms: list[Alarm] = []
    hand.journal.on_alarm(alarms.append)
    feed = hand.journal.feed("plant", retry_refused_s=60)
    hand.append(OF)
    hand.append(OF)
    refuse_all(hand, feed)
    assert [(alarm.name, alarm.active) for alarm in alarms] == [("refused:plant", True)]
    assert account(hand)["refused"] == 6
    assert account(hand)["pending"] == 0
    hand.advance(50_000)
    assert take_all(feed) == []
    hand.advance(11_000)
    hand.append(OTHER)
    taken = hand.drain(feed)
    assert numbers(taken) == [3, -1, -2]
    assert account(hand)["refused"] == 0
    assert account(hand)["delivered"] == 6
    assert [alarm.active for alarm in alarms] == [True, False]
    hand.close()


def test_what_is_refused_survives_a_kill(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant")
    hand.append(OF)
    refuse_all(hand, feed)
    hand.advance(150)
    hand.kill()
    hand.open()
    assert account(hand, boot=1)["refused"] == 3
    assert "refused:plant" in hand.journal.status()["alarms"]
    feed = hand.journal.feed("plant")
    assert numbers(hand.drain(feed)) == [-1]
    assert account(hand, boot=1)["delivered"] == 3
    hand.store.close()


def test_only_the_refused_values_are_tried_again(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant")
    hand.append(OF)
    refuse_all(hand, feed, [1])
    assert (account(hand)["delivered"], account(hand)["refused"]) == (2, 1)
    feed.restore()  # a new connection tries at once
    assert feed.take() is None
    hand.owner.run()
    record = feed.take()
    assert record is not None
    assert record.only == [1]
    feed.settle(record)
    hand.advance(300)
    assert (account(hand)["delivered"], account(hand)["refused"]) == (3, 0)
    hand.store.close()


def test_refused_again_waits_for_the_next_round(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant", retry_refused_s=10)
    for _ in range(5):
        hand.append(OF)
    refuse_all(hand, feed)
    tried = 0
    for _ in range(40):
        for record in take_all(feed):
            assert record.backfill
            feed.refuse(record, "still not authorised")
            tried += 1
        hand.advance(1000)
    assert 2 <= tried <= 5, "one is tried a round"
    assert account(hand)["refused"] == 15
    hand.store.close()


def test_a_refused_record_on_a_slow_loan_is_not_lent_twice(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant", retry_refused_s=1)
    for _ in range(3):
        hand.append(OF)
    refuse_all(hand, feed)
    hand.advance(1100)
    assert feed.take() is None  # asks the disk
    hand.owner.run()
    first = feed.take()
    assert first is not None
    feed.settle(first)
    second, third = take_all(feed)
    hand.owner.run()
    assert take_all(feed) == []  # finds the end, and will begin again
    hand.advance(1100)
    feed.settle(second)
    assert take_all(feed) == []
    hand.owner.run()
    assert take_all(feed) == []
    hand.advance(1100)
    assert take_all(feed) == []
    feed.settle(third)
    hand.advance(3000)
    assert hand.drain(feed) == []
    assert (account(hand)["delivered"], account(hand)["refused"]) == (9, 0)
    hand.store.close()


def test_a_live_record_that_is_taken_brings_its_source_back(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant", retry_refused_s=3600)
    hand.append(OF)
    refuse_all(hand, feed)
    hand.append(OF)
    taken = hand.drain(feed)
    assert numbers(taken) == [2, -1]
    hand.store.close()


# -- bounds


def test_a_full_journal_drops_the_oldest_and_counts_exactly(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", max_bytes=100_000)
    alarms: list[Alarm] = []
    hand.journal.on_alarm(alarms.append)
    of = layout(count=125)
    for i in range(1000):
        hand.append(of, [(i * 7919 + k * 104_729) & 0xFFFF for k in range(125)])
        hand.advance(20)
    assert hand.journal.space.used_bytes <= 100_000 + 4096
    entry = hand.journal.ledger("plant")["sources"]["filler1"]["boots"]["1"]
    assert len(entry["dropped"]) == 1
    (dropped,) = entry["dropped"]
    assert (dropped["first"], dropped["reason"]) == (1, "journal full")
    assert dropped["last"] + entry["pending"] == entry["last"] == 125_000
    taken = hand.drain(hand.journal.feed("plant"))
    assert max(record.seq for record in taken) + 124 == 125_000
    assert 125 * len(taken) == entry["pending"]
    assert min(record.seq for record in taken) == dropped["last"] + 1
    assert [(alarm.name, alarm.active) for alarm in alarms] == [("dropping", True), ("dropping", False)]
    hand.store.close()


def test_what_is_on_loan_is_not_dropped(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", max_bytes=60_000)
    feed = hand.journal.feed("plant")
    of = layout(count=125)
    hand.append(of)
    kept = feed.take()
    assert kept is not None
    for i in range(600):
        hand.append(of, [(i * 7919 + k * 104_729) & 0xFFFF for k in range(125)])
        hand.advance(20)
    entry = hand.journal.ledger("plant")["sources"]["filler1"]["boots"]["1"]
    assert entry["dropped"][0]["first"] == 126
    feed.settle(kept)
    hand.advance(300)
    assert account(hand)["delivered"] == 125
    hand.store.close()


def test_what_is_too_old_is_dropped(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", max_age_s=3600)
    hand.append(OF)
    hand.advance(3_500_000)
    hand.append(OF)
    hand.advance(200_000)
    hand.append(OF)
    hand.advance(1000)
    entry = hand.journal.ledger("plant")["sources"]["filler1"]["boots"]["1"]
    assert entry["dropped"] == [{"first": 1, "last": 3, "reason": "too old"}]
    assert numbers(hand.drain(hand.journal.feed("plant"))) == [-2, -3]
    hand.store.close()


def test_age_means_nothing_while_the_time_is_not_known(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", clock="auto", max_age_s=3600)
    hand.append(OF)
    hand.advance(10_000_000)
    hand.append(OF)
    hand.advance(1000)
    assert len(hand.drain(hand.journal.feed("plant"))) == 2
    hand.store.close()


def test_memory_is_bounded_while_the_disk_stalls(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", memory_values=3000)
    alarms: list[Alarm] = []
    hand.journal.on_alarm(alarms.append)
    hand.owner.stalled = True
    for _ in range(2000):
        hand.append(OF)
        hand.advance(1)
    held = hand.journal.status()["unwritten_values"] + 3 * hand.journal.status()["sinks"]["plant"]["live_records"]
    assert held <= 3000
    assert ("memory", True) in [(alarm.name, alarm.active) for alarm in alarms]
    hand.owner.stalled = False
    hand.settle_down()
    taken = hand.drain(hand.journal.feed("plant"))
    entry = hand.journal.ledger("plant")["sources"]["filler1"]["boots"]["1"]
    dropped = sum(part["last"] - part["first"] + 1 for part in entry["dropped"])
    assert {part["reason"] for part in entry["dropped"]} == {"memory full"}
    assert 3 * len(taken) + dropped == entry["last"] == 6000
    assert entry["delivered"] == 3 * len(taken)
    assert ("memory", False) in [(alarm.name, alarm.active) for alarm in alarms]
    hand.store.close()


def test_arrays_take_memory_by_their_elements(tmp_path: Path) -> None:
    of = Layout("filler1", "fast", ("acme", "plant1", "filler1"), (Tag("wave", DataType.UINT16, count=0),))
    hand = HandJournal(tmp_path / "j", memory_values=3000)
    hand.owner.stalled = True
    for _ in range(100):
        hand.append(of, [tuple(range(99))])
        hand.advance(1)
    hand.owner.stalled = False
    hand.settle_down()
    taken = hand.drain(hand.journal.feed("plant"))
    entry = hand.journal.ledger("plant")["sources"]["filler1"]["boots"]["1"]
    assert 1 <= len(taken) <= 30
    assert all(record.batch.values == (tuple(range(99)),) for record in taken)
    assert len(taken) + sum(part["last"] - part["first"] + 1 for part in entry["dropped"]) == 100
    hand.store.close()


def test_what_waits_for_a_stalled_disk_is_delivered_from_memory(hand: HandJournal) -> None:
    hand.owner.stalled = True
    for _ in range(10):
        hand.append(OF)
        hand.advance(100)
    feed = hand.journal.feed("plant", window=5)
    taken = take_all(feed)
    for record in taken:
        feed.settle(record)
    assert taken
    hand.owner.stalled = False
    taken += hand.drain(feed)
    assert sorted(abs(number) for number in numbers(taken)) == list(range(1, 11))
    hand.store.close()


def test_a_batch_that_cannot_be_stored_stops_nothing_else(hand: HandJournal) -> None:
    hand.append(OF)
    hand.append(OF, [1, 2, object()])  # type: ignore[list-item]
    hand.append(OF)
    hand.advance(1000)
    entry = hand.journal.ledger("plant")["sources"]["filler1"]["boots"]["1"]
    assert entry["dropped"] == [{"first": 4, "last": 6, "reason": "not storable"}]
    assert numbers(hand.drain(hand.journal.feed("plant"))) == [-1, -3]
    hand.store.close()


# -- the ledger


def test_the_ledger_adds_up_over_restarts(hand: HandJournal) -> None:
    feed = hand.journal.feed("plant")
    for _ in range(10):
        hand.append(OF)
    for record in take_all(feed)[:4]:
        feed.settle(record)
    hand.advance(300)
    hand.kill()
    hand.open()
    assert account(hand, boot=1) == {
        "first": 1,
        "last": 30,
        "delivered": 12,
        "refused": 0,
        "pending": 18,
        "dropped": [],
    }
    hand.close()
    hand.open()
    assert account(hand, boot=1)["pending"] == 18
    hand.drain(hand.journal.feed("plant"))
    assert account(hand, boot=1)["delivered"] == 30
    hand.close()


def test_old_boots_leave_the_ledger_once_they_are_done(hand: HandJournal) -> None:
    hand.append(OF)
    for _ in range(8):
        hand.close()
        hand.open()
    assert "1" in hand.journal.ledger("plant")["sources"]["filler1"]["boots"], "still pending"
    hand.drain(hand.journal.feed("plant"))
    for _ in range(6):
        hand.append(OF)
        hand.drain(hand.journal.feed("plant"))
        hand.close()
        hand.open()
    assert "1" in hand.journal.ledger("plant")["sources"]["filler1"]["boots"], "gone before it was told"
    for _ in range(12):
        hand.append(OF)
        hand.advance(60_000)
    assert "1" not in hand.journal.ledger("plant")["sources"]["filler1"]["boots"]
    hand.store.close()


# -- on asyncio


async def committed(journal: Journal) -> None:
    """Until the journal has committed once more."""
    before = journal.status()["commits"]
    async with asyncio.timeout(5):
        while journal.status()["commits"] == before:  # noqa: ASYNC110 — commits wake nobody
            await asyncio.sleep(0.005)


async def test_on_a_real_loop_and_a_real_disk(tmp_path: Path) -> None:
    journal = await opened(tmp_path, deadline_s=0.05)
    feed = journal.feed("plant")
    ready = asyncio.Event()
    feed.on_ready(ready.set)
    for _ in range(300):
        journal.append(batch(OF))
    await committed(journal)
    journal.append(batch(OF))
    taken: list[Record] = []
    async with asyncio.timeout(5):
        while len(taken) < 301:
            for record in take_all(feed):
                taken.append(record)
                feed.settle(record)
            ready.clear()
            if len(taken) < 301:
                await ready.wait()
    assert not taken[0].backfill
    assert numbers(taken[1:]) == [-i for i in range(1, 301)]
    await journal.close()
    assert not tmp_path.joinpath("journal.db-wal").exists()
    again = await opened(tmp_path)
    assert again.boot == 2
    assert again.ledger("plant")["sources"]["filler1"]["boots"]["1"]["delivered"] == 903
    await again.close()


async def test_closing_writes_what_is_unsettled(tmp_path: Path) -> None:
    journal = await opened(tmp_path, deadline_s=60.0)
    for _ in range(5):
        journal.append(batch(OF))
    await journal.close()
    await journal.close()
    again = await opened(tmp_path)
    assert again.ledger("plant")["sources"]["filler1"]["boots"]["1"]["pending"] == 15
    await again.close()


async def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(JournalError, match="can't be opened"):
        await opened(tmp_path)


async def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="a database of something else"):
        await opened(tmp_path)
    assert path.read_bytes() == before


async def test_the_hot_path_is_cheap(tmp_path: Path) -> None:
    """A generous bound: it takes 1 to 2 µs on the machine this was written on, for 125 values."""
    journal = await opened(tmp_path)
    feed = journal.feed("plant")
    made = batch(layout(count=125))
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(200):
            for _ in range(10):
                journal.append(made)
            for record in take_all(feed):
                feed.settle(record)
        best = min(best, (time.perf_counter() - start) / 2000)
    assert best < 30e-6
    await journal.close()
