"""Sinks that come and go, and bounds that change, while the journal runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.journal.test_journal import OF, OTHER, account, chunks
from tests.journal.toys import HandJournal, take_all


def test_a_sink_that_comes_is_given_everything_from_then_on(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", ("old",))
    for _ in range(5):
        hand.append(OF)
    hand.advance(300)
    hand.append(OF)
    hand.journal.add_sink("new")
    first = hand.append(OF)
    other = hand.append(OTHER)
    feed = hand.journal.feed("new")
    assert [record.id for record in take_all(feed)] == [first.id, other.id]
    assert account(hand, "new") == {"first": 19, "last": 21, "delivered": 0, "refused": 0, "pending": 3, "dropped": []}
    assert account(hand, "new", "mixer")["first"] == 1
    assert account(hand, "old")["pending"] == 21
    hand.advance(300)
    hand.kill()
    hand.sinks = ("old", "new")
    hand.open()
    assert [record.id for record in hand.drain(hand.journal.feed("new"))] == [first.id, other.id]
    settled = {"first": 19, "last": 21, "delivered": 3, "refused": 0, "pending": 0, "dropped": []}
    assert account(hand, "new", boot=1) == settled
    assert len(hand.drain(hand.journal.feed("old"))) == 8
    assert chunks(hand) == 0
    hand.close()
    hand.open()
    assert account(hand, "new", boot=1) == settled
    hand.store.close()


def test_a_sink_that_goes_is_accounted_for_and_keeps_nothing(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", ("plant", "cloud"))
    plant, cloud = hand.journal.feed("plant"), hand.journal.feed("cloud")
    for _ in range(10):
        hand.append(OF)
    for record in take_all(cloud)[:4]:
        cloud.settle(record)
    hand.drain(plant)
    hand.advance(300)
    assert chunks(hand) > 0
    cloud.restore()
    hand.append(OF)
    assert hand.journal.withdraw_sink("cloud") == 7 * 3
    assert account(hand, "cloud")["pending"] == 0
    assert account(hand, "cloud")["dropped"] == [{"first": 13, "last": 33, "reason": "destination removed"}]
    hand.append(OF)
    hand.journal.forget_sink("cloud")
    hand.drain(plant)
    assert chunks(hand) == 0
    assert account(hand)["delivered"] == 36
    with pytest.raises(KeyError):
        hand.journal.ledger("cloud")
    hand.kill()
    hand.sinks = ("plant",)
    hand.open()
    assert [row.name for row in hand.store.open().sinks] == ["plant"]
    hand.store.close()


def test_a_refused_record_goes_with_its_sink(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", ("plant", "cloud"))
    plant, cloud = hand.journal.feed("plant"), hand.journal.feed("cloud")
    hand.append(OF)
    (record,) = take_all(cloud)
    cloud.refuse(record, "not authorised")
    hand.drain(plant)
    assert "refused:cloud" in hand.journal.alarms.active
    assert hand.journal.withdraw_sink("cloud") == 3
    hand.journal.forget_sink("cloud")
    hand.advance(300)
    assert hand.journal.alarms.active == {}
    assert hand.store.refused_counts() == {}
    hand.store.close()


@pytest.mark.parametrize("fault", [None, "before", "after"])
def test_a_sink_may_go_and_come_back_within_one_commit(tmp_path: Path, fault: str | None) -> None:
    hand = HandJournal(tmp_path / "j", ("plant", "cloud"))
    plant = hand.journal.feed("plant")
    for _ in range(3):
        hand.append(OF)
    hand.advance(300)
    hand.owner.stalled = True
    hand.journal.withdraw_sink("cloud")
    hand.journal.forget_sink("cloud")
    hand.journal.add_sink("cloud")
    late = hand.append(OF)
    hand.owner.stalled = False
    hand.owner.faults += [fault] if fault else []
    hand.advance(1000)
    hand.kill()
    hand.open()
    cloud = hand.journal.feed("cloud")
    assert [record.id for record in hand.drain(cloud)] == [late.id]
    assert account(hand, "cloud", boot=1)["first"] == 10
    plant = hand.journal.feed("plant")
    assert len(hand.drain(plant)) == 4
    assert chunks(hand) == 0
    hand.store.close()


def test_the_last_sink_may_go_and_another_come(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", ("plant",))
    hand.append(OF)
    hand.advance(300)
    hand.append(OF)
    assert hand.journal.withdraw_sink("plant") == 6
    hand.journal.forget_sink("plant")
    hand.advance(300)
    assert chunks(hand) == 0
    hand.append(OF)
    hand.journal.add_sink("next")
    taken = hand.append(OF)
    assert [record.id for record in take_all(hand.journal.feed("next"))] == [taken.id]
    hand.store.close()


def test_a_sink_that_was_taken_out_and_is_configured_again_later_starts_from_then(tmp_path: Path) -> None:
    """What the ledger of an older boot still said of it must not bring back what was others' meanwhile."""
    hand = HandJournal(tmp_path / "j", ("plant", "cloud"))
    hand.append(OF)
    for sinks in (("plant",), ("plant", "cloud")):
        hand.close()
        hand.sinks = sinks
        hand.open()
        hand.append(OF)
    assert len(hand.drain(hand.journal.feed("cloud"))) == 1
    assert len(hand.drain(hand.journal.feed("plant"))) == 3
    hand.store.close()


def test_a_lower_bound_drops_and_counts_at_once(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", ("plant",))
    feed = hand.journal.feed("plant")
    for _ in range(200):
        hand.append(OF)
        hand.advance(260)
    assert account(hand)["dropped"] == []
    hand.journal.reconfigure(replace(hand.journal.settings, max_bytes=hand.journal.space.used_bytes // 2))
    hand.settle_down()
    gone = sum(part["last"] - part["first"] + 1 for part in account(hand)["dropped"])  # type: ignore[attr-defined]
    assert gone > 100
    assert 3 * len(hand.drain(feed)) + gone == 600
    assert hand.journal.status()["max_bytes"] == hand.journal.settings.max_bytes
    hand.store.close()


def test_memory_and_the_deadline_change_at_once(tmp_path: Path) -> None:
    hand = HandJournal(tmp_path / "j", ("plant",), deadline_s=60.0)
    for _ in range(10):
        hand.append(OF)
    hand.advance(1000)
    assert chunks(hand) == 0
    hand.journal.reconfigure(replace(hand.journal.settings, deadline_s=0.25))
    hand.advance(1)
    assert chunks(hand) == 1, "what is older than the new deadline is written now"
    hand.owner.stalled = True
    for _ in range(100):
        hand.append(OF)
    hand.journal.reconfigure(replace(hand.journal.settings, memory_values=30))
    assert account(hand)["dropped"], "what is more than memory may hold now goes"
    hand.owner.stalled = False
    hand.settle_down()
    hand.store.close()
