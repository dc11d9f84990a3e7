"""The ledger checker: silent about a true account, and loud about every kind of false one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.ledger_check import Checker, Verdict

GATEWAY = "uns/v1/acme/plant1/gw1"
ASSET = "uns/v1/acme/plant1/line1/filler1"
WINDOW = 10


@dataclass
class Message:
    topic: str
    body: Any
    retain: bool = False


@dataclass
class Account:
    """What an honest gateway publishes for one source: built message by message, then tampered with."""

    tags: Sequence[str] = ("motor/speed", "level", "temperature")
    whole: bool = False
    messages: list[Message] = field(default_factory=lambda: [Message(f"{ASSET}/_meta", {}, True)])
    last: int = 0
    boot: int = 1

    def values(self, count: int, *, hist: bool = False, first: int | None = None) -> list[Message]:
        """`count` values from number `first` on (default: the next ones), in one poll."""
        start = self.last + 1 if first is None else first
        self.last = max(self.last, start + count - 1)
        flag = {"hist": True} if hist else {}
        head = {"timestamp_ms": 1_700_000_000_000 + start, "boot": self.boot, **flag}
        if self.whole:
            columns = {f"tag{n}": n for n in range(count)}
            made = [Message(f"{ASSET}/_values/fast", {**head, "seq": start, "values": columns})]
        else:
            made = [
                Message(
                    f"{ASSET}/{self.tags[at % len(self.tags)]}", {**head, "value": 1.5, "quality": 0, "seq": start + at}
                )
                for at in range(count)
            ]
        self.messages += made
        return made

    def broken(self) -> None:
        self.messages += [
            Message(f"{GATEWAY}/_state", {"state": "offline", "boot": self.boot}),
            Message(f"{GATEWAY}/_state", {"state": "online", "boot": self.boot}),
        ]

    def ledger(self, *, retain: bool = False, **change: Any) -> Message:
        counts = {"first": 1, "last": self.last, "delivered": self.last, "refused": 0, "pending": 0, "dropped": []}
        counts |= change
        boots = {str(self.boot): counts}
        body = {"timestamp_ms": 1, "boot": self.boot, "sources": {"filler1": {"topic": ASSET, "boots": boots}}}
        message = Message(f"{GATEWAY}/_ledger", body, retain)
        self.messages.append(message)
        return message

    def verdict(self, *, from_start: bool = True, window: int = WINDOW) -> Verdict:
        checker = Checker(window=window, from_start=from_start)
        for message in self.messages:
            body = message.body
            payload = body if isinstance(body, bytes) else orjson.dumps(body)
            if message.retain:
                checker.expect_retained()
            checker.feed(message.topic, payload, message.retain)
        return checker.verdict()


@pytest.fixture(params=[False, True], ids=["tag", "asset"])
def account(request: pytest.FixtureRequest) -> Account:
    return Account(whole=request.param)


def polls(account: Account, count: int, size: int = 3) -> None:
    for _ in range(count):
        account.values(size)


def failing(verdict: Verdict, *words: str) -> None:
    assert not verdict.passed
    text = " ".join(verdict.reasons)
    for word in words:
        assert word in text, verdict.reasons


def test_a_true_account_passes(account: Account) -> None:
    account.broken()
    polls(account, 50)
    account.ledger()
    verdict = account.verdict()
    assert verdict.passed, verdict.reasons
    assert (verdict.sources, verdict.values, verdict.repeated, verdict.missing) == (1, 150, 0, 0)
    assert verdict.to_json()["verdict"] == "PASS"


def test_backfill_beside_live_values_makes_the_whole(account: Account) -> None:
    polls(account, 10)
    stored = account.last + 1
    account.last += 30
    account.broken()
    for n in range(10):
        account.values(3)
        account.values(3, hist=True, first=stored + 3 * n)
    account.ledger()
    verdict = account.verdict()
    assert verdict.passed, verdict.reasons
    assert verdict.backfilled == 30


def test_a_missing_value_is_found(account: Account) -> None:
    polls(account, 5)
    account.last += 3
    polls(account, 5)
    account.ledger(pending=0)
    failing(account.verdict(), "missing: 16–18", "counts too many")


def test_a_single_missing_value_of_a_poll_is_found() -> None:
    account = Account()
    polls(account, 5)
    del account.messages[8]
    account.ledger()
    failing(account.verdict(), "1 value is missing: 8.")


def test_a_lost_tail_is_found(account: Account) -> None:
    polls(account, 5)
    account.last += 6
    account.ledger()
    failing(account.verdict(), "missing: 16–21", "it counts 21 values as delivered, of which 15 came here")


def test_a_lost_beginning_is_found(account: Account) -> None:
    account.last = 4
    polls(account, 5)
    account.ledger()
    failing(account.verdict(from_start=True), "missing: 1–4")


def test_who_comes_late_proves_only_what_follows(account: Account) -> None:
    account.last = 400
    account.messages.insert(
        0, Message(f"{ASSET}/level", {"timestamp_ms": 1, "value": 1, "quality": 0, "seq": 400, "boot": 1}, True)
    )
    polls(account, 5)
    account.ledger(delivered=300, dropped=[{"first": 1, "last": 115, "reason": "journal full"}])
    verdict = account.verdict(from_start=False)
    assert verdict.passed, verdict.reasons
    assert verdict.values == 15
    account.last += 1
    polls(account, 2)
    failing(account.verdict(from_start=False), "1 value is missing: 416.")


def test_a_later_boot_is_checked_from_its_start(account: Account) -> None:
    account.last = 400
    polls(account, 5)
    account.boot, account.last = 2, 3
    polls(account, 5)
    account.ledger()
    failing(account.verdict(from_start=False), "filler1 boot 2", "missing: 1–3")


def test_order_is_checked_in_the_live_stream(account: Account) -> None:
    polls(account, 4)
    later = account.values(3)
    earlier = account.values(3)
    del account.messages[-2 * len(later) :]
    account.messages += earlier + later
    account.ledger()
    failing(account.verdict(), "out of order", "in the live stream of boot 1")


def test_order_is_checked_in_the_backfill(account: Account) -> None:
    polls(account, 4)
    account.last = 24
    account.values(3, hist=True, first=19)
    account.values(3, hist=True, first=13)
    account.values(3, hist=True, first=16)
    account.values(3, hist=True, first=22)
    account.ledger()
    failing(account.verdict(), "out of order", "in the backfill stream of boot 1")


def test_what_was_in_flight_may_come_twice_after_a_break(account: Account) -> None:
    polls(account, 30)
    in_flight = account.messages[-WINDOW:]
    account.broken()
    polls(account, 30)
    account.messages += in_flight
    account.ledger()
    verdict = account.verdict()
    assert verdict.passed, verdict.reasons
    assert verdict.repeated == (3 * WINDOW if account.whole else WINDOW)


def test_what_was_long_delivered_may_not_come_twice(account: Account) -> None:
    polls(account, 30)
    old = account.messages[-WINDOW - 1]
    account.broken()
    account.messages.append(old)
    account.ledger()
    failing(account.verdict(), "repeated beyond the window")


def test_repeating_for_ever_is_found(account: Account) -> None:
    polls(account, 30)
    account.messages += [account.messages[-1]] * (WINDOW + 1)
    account.ledger()
    failing(account.verdict(), "more messages came again than the 10")


def test_the_subscribers_own_break_excuses_repeats() -> None:
    account = Account()
    polls(account, 30)
    checker = Checker(window=WINDOW, from_start=True)
    send: Callable[[Message], None] = lambda m: checker.feed(m.topic, orjson.dumps(m.body), m.retain)  # noqa: E731
    for message in account.messages:
        send(message)
    checker.interrupted()
    before = len(account.messages)
    polls(account, 30)
    for message in account.messages[before:] + account.messages[before - WINDOW : before]:
        send(message)
    send(account.ledger())
    assert checker.verdict().passed, checker.verdict().reasons
    checker.session_lost()
    failing(checker.verdict(), "kept no session while this subscriber was away")


def test_drops_the_ledger_owns_up_to_are_no_fault(account: Account) -> None:
    polls(account, 5)
    account.last += 6
    polls(account, 5)
    account.ledger(delivered=30, dropped=[{"first": 16, "last": 21, "reason": "journal full"}])
    verdict = account.verdict()
    assert verdict.passed, verdict.reasons
    assert verdict.dropped == 6
    assert "16–21 were dropped, as the ledger says: journal full." in verdict.notes[0]


def test_what_is_pending_is_noted_but_only_as_much_as_the_ledger_says(account: Account) -> None:
    polls(account, 5)
    account.last += 6
    account.ledger(delivered=15, pending=6)
    verdict = account.verdict()
    assert verdict.passed, verdict.reasons
    assert (verdict.pending, verdict.missing) == (6, 6)
    account.ledger(delivered=16, pending=5)
    failing(account.verdict(), "missing: 16–21")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"delivered": 14}, "doesn't add up"),
        ({"delivered": 16}, "counts too many"),
        ({"last": 14, "delivered": 14}, "goes back"),
        ({"delivered": 0, "refused": 15, "pending": 0}, "goes back"),
    ],
)
def test_a_wrong_count_is_found(account: Account, change: dict[str, int], words: str) -> None:
    polls(account, 5)
    account.ledger()
    account.ledger(**change)
    failing(account.verdict(), words)


def test_after_a_kill_the_next_run_may_know_less_of_the_one_before_but_only_once(account: Account) -> None:
    polls(account, 5)
    told = account.ledger()
    boots = told.body["sources"]["filler1"]["boots"]
    account.boot, account.last = 2, 0
    saved = {**boots["1"], "last": 12, "delivered": 12}
    for _ in range(2):
        polls(account, 1)
        account.ledger().body["sources"]["filler1"]["boots"]["1"] = saved
    verdict = account.verdict()
    assert verdict.passed, verdict.reasons
    assert "its end was told, but not saved yet" in verdict.notes[0]
    account.ledger().body["sources"]["filler1"]["boots"]["1"] = {**saved, "last": 11, "delivered": 11}
    failing(account.verdict(), "filler1 boot 1: ledger goes back")


def test_a_run_that_was_killed_still_began_where_it_did(account: Account) -> None:
    polls(account, 5)
    told = account.ledger()
    counts = told.body["sources"]["filler1"]["boots"]["1"]
    account.boot, account.last = 2, 0
    polls(account, 1)
    account.ledger().body["sources"]["filler1"]["boots"]["1"] = {**counts, "first": 4, "delivered": 12}
    failing(account.verdict(), "filler1 boot 1: ledger goes back")


def test_a_ledger_that_counts_too_few_is_found(account: Account) -> None:
    polls(account, 200)
    account.ledger(delivered=100, pending=500)
    failing(account.verdict(), "counts too few")


@pytest.mark.parametrize("quality", [0, 0x40940000])
def test_null_needs_a_bad_quality(account: Account, quality: int) -> None:
    polls(account, 2)
    body = account.messages[-1].body
    if account.whole:
        body["values"]["tag1"] = None
        body["quality"] = {"tag1": quality}
    else:
        body |= {"value": None, "quality": quality}
    account.ledger()
    failing(account.verdict(), "null that isn't bad")
    if account.whole:
        body["quality"] = {"tag1": 0x80310000}
    else:
        body["quality"] = 0x80310000
    assert account.verdict().passed


def test_what_the_broker_retains_may_be_ahead_of_the_stream(account: Account) -> None:
    polls(account, 4)
    late = account.values(3)
    stream = account.messages[: -len(late)]
    account.messages = [*stream, account.ledger(retain=True)]
    failing(account.verdict(), "missing: 13–15", "counts too many: it counts 15 values as delivered, of which 12 came")
    account.messages += late
    verdict = account.verdict()
    assert verdict.passed, verdict.reasons
    earlier = account.ledger(delivered=12, pending=3)
    account.messages = [*account.messages[:-1], earlier]
    assert account.verdict().passed


def test_retained_backfill_is_found() -> None:
    account = Account()
    polls(account, 4)
    account.ledger()
    head = {"timestamp_ms": 1, "value": 1, "quality": 0, "boot": 1}
    account.messages.append(Message(f"{ASSET}/level", {**head, "seq": 2, "hist": True}, True))
    failing(account.verdict(), "the broker retains a backfilled value")
    account.messages[-1] = Message(f"{ASSET}/level", {**head, "seq": 2}, True)
    failing(account.verdict(), "is older than live 11")
    account.messages[-1] = Message(f"{ASSET}/level", {**head, "seq": 11}, True)
    assert account.verdict().passed


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "isn't JSON"),
        (b"71.3", "use the payload profile full"),
        ({"timestamp_ms": 1, "value": 2}, "no seq and boot"),
        ({"value": 2, "quality": 0, "seq": 1, "boot": 1}, "no timestamp_ms"),
        ({"timestamp_ms": 1, "quality": 0, "seq": 1, "boot": 1}, "lacks value or quality"),
    ],
)
def test_payloads_that_prove_nothing_are_found(body: Any, words: str) -> None:
    account = Account()
    account.messages.append(Message(f"{ASSET}/level", body))
    failing(account.verdict(), words)


def test_silence_is_no_proof() -> None:
    verdict = Checker().verdict()
    assert verdict.reasons == ("No values came below uns/v1/.", "No _ledger came below uns/v1/.")


def test_values_of_an_asset_nobody_announced_are_found() -> None:
    account = Account(messages=[])
    polls(account, 1)
    failing(account.verdict(), "3 messages belong to no asset")


def test_values_may_come_before_their_asset_is_known() -> None:
    account = Account(messages=[])
    polls(account, 3)
    account.ledger()
    verdict = account.verdict()
    assert verdict.passed, verdict.reasons
    assert verdict.values == 9


def test_other_topics_are_let_be() -> None:
    account = Account()
    account.messages += [
        Message("other/v1/x", b"\xff"),
        Message(f"{ASSET}/_cmd/motor/speed", b"\xff"),
        Message(f"{ASSET}/_state", {"state": "normal"}),
        Message(f"{GATEWAY}/_namespace", {}, True),
    ]
    polls(account, 1)
    account.ledger()
    assert account.verdict().passed


@settings(max_examples=60)
@given(st.data())
def test_any_history_of_an_honest_gateway_passes_and_any_loss_is_found(data: st.DataObject) -> None:
    """Outages at random: what wasn't acknowledged comes again, what was stored comes as backfill beside live values."""
    account = Account(whole=data.draw(st.booleans()))
    stored: list[list[Message]] = []
    for _ in range(data.draw(st.integers(1, 6))):
        for _ in range(data.draw(st.integers(0, 8))):
            account.values(data.draw(st.integers(1, 4)))
            if stored and data.draw(st.booleans()):
                account.messages += stored.pop(0)
        if data.draw(st.booleans()):
            flying = [m for m in account.messages[-data.draw(st.integers(1, WINDOW)) :] if "seq" in m.body]
            account.broken()
            sent = len(account.messages)
            sizes = data.draw(st.lists(st.integers(1, 4), max_size=4))
            stored += [account.values(size, hist=True) for size in sizes]
            del account.messages[sent:]
            account.messages += flying
    for batch in stored:
        account.messages += batch
    account.values(1)
    account.ledger()
    verdict = account.verdict()
    assert verdict.passed, verdict.reasons
    assert verdict.values == account.last

    numbered = [at for at, message in enumerate(account.messages) if "seq" in message.body]
    lost = account.messages[data.draw(st.sampled_from(numbered))].body["seq"]
    account.messages = [message for message in account.messages if message.body.get("seq") != lost]
    failing(account.verdict(), "missing", "counts too many")
