"""Files that were torn, cut off, overwritten or bit-flipped: collection goes on, what can be read comes back in order,
what can't is counted."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.journal import Journal
from gateway.journal.feed import JournalFeed
from gateway.model import Record
from tests.journal.toys import batch, layout, opened, take_all

OF = layout(count=125)
RECORDS = 120


async def filled(folder: Path, records: int = RECORDS) -> Journal:
    """A journal with `records` records, in many chunks on the disk."""
    journal = await opened(folder, deadline_s=0.002)
    noise = random.Random(1)
    for number in range(records):
        journal.append(batch(OF, [noise.randrange(1 << 16) for _ in range(125)]))
        if number % 2:  # however busy the machine is: one chunk would stand or fall as a whole
            await drained_to_disk(journal)
    await drained_to_disk(journal)
    return journal


async def drained_to_disk(journal: Journal) -> None:
    async with asyncio.timeout(5):
        while journal.unwritten or journal.status()["sinks"]["plant"]["live_records"]:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def salvaged(journal: Journal) -> None:
    async with asyncio.timeout(20):
        while journal.salvaging:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def everything(journal: Journal, feed: JournalFeed) -> list[Record]:
    """Take and settle until nothing is pending."""
    taken: list[Record] = []
    async with asyncio.timeout(10):
        while True:
            for record in take_all(feed):
                feed.settle(record)
                taken.append(record)
            if not journal.salvaging and not journal.accounts.totals("plant")["pending"]:
                return taken
            await asyncio.sleep(0.005)


def balanced(journal: Journal) -> dict[str, int]:
    """Values delivered, pending and dropped over all boots; every account adds up."""
    sums = {"last": 0, "delivered": 0, "pending": 0, "dropped": 0}
    for entry in journal.ledger("plant")["sources"].values():
        for account in entry["boots"].values():
            dropped = sum(part["last"] - part["first"] + 1 for part in account["dropped"])
            assert account["last"] == account["delivered"] + account["refused"] + account["pending"] + dropped, account
            assert min(account["delivered"], account["pending"], dropped) >= 0
            for name in ("last", "delivered", "pending"):
                sums[name] += account[name]
            sums["dropped"] += dropped
    return sums


def flip(path: Path, *offsets: int) -> None:
    body = bytearray(path.read_bytes())
    for offset in offsets:
        body[offset] ^= 0x10
    path.write_bytes(body)


def zero_header(path: Path) -> None:
    path.write_bytes(b"\0" * 512 + path.read_bytes()[512:])


def cut(path: Path) -> None:
    body = path.read_bytes()
    path.write_bytes(body[: len(body) // 2 + 100])


def flip_many(path: Path) -> None:
    size = path.stat().st_size
    noise = random.Random(7)
    flip(path, *[noise.randrange(4096, size) for _ in range(8)])


def blank_pages(path: Path) -> None:
    body = bytearray(path.read_bytes())
    for page in (21, 40, 41):
        body[page * 512 : (page + 1) * 512] = bytes(512)
    path.write_bytes(body)


def nonsense(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


@pytest.mark.fault
@pytest.mark.parametrize("damage", [cut, flip_many, blank_pages, zero_header, nonsense])
async def test_a_damaged_file_at_start(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    journal = await filled(tmp_path)
    await journal.close()
    damage(tmp_path / "journal.db")
    journal = await opened(tmp_path)
    assert journal.boot == 2
    feed = journal.feed("plant")
    journal.append(batch(OF))
    taken = await everything(journal, feed)
    assert taken[-1].boot == 2 or taken[0].boot == 2, "the new one was delivered"
    late = [record.id for record in taken if record.boot == 1]
    assert late == sorted(set(late)), "the salvaged ones come once, in order"
    sums = balanced(journal)
    assert sums["delivered"] >= 125 * len(taken)
    if damage not in (zero_header, nonsense):
        assert len(late) >= RECORDS // 4, "little was salvaged"
        assert sums["dropped"] == 125 * (RECORDS - len(late)), "what is lost isn't counted"
    await journal.close()
    journal = await opened(tmp_path)
    assert await everything(journal, journal.feed("plant")) == []
    assert balanced(journal) == sums
    await journal.close()


@pytest.mark.fault
@pytest.mark.parametrize("damage", [cut, flip_many, blank_pages, zero_header, nonsense])
async def test_a_file_that_is_damaged_while_it_is_open(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    journal = await filled(tmp_path)
    names: list[tuple[str, bool]] = []
    journal.on_alarm(lambda alarm: names.append((alarm.name, alarm.active)))
    await journal.on_owner(lambda store: store.checkpoint())
    await journal.on_owner(lambda store: store.close())
    damage(tmp_path / "journal.db")
    feed = journal.feed("plant")
    taken: list[Record] = []
    for _ in range(20):
        journal.append(batch(OF))
        for record in take_all(feed):
            feed.settle(record)
            taken.append(record)
        await asyncio.sleep(0.005)
    await salvaged(journal)
    taken += await everything(journal, feed)
    sums = balanced(journal)
    assert sums["last"] == 125 * (RECORDS + 20)
    assert sums["delivered"] == 125 * len(taken)
    assert sums["delivered"] + sums["dropped"] == sums["last"], "nothing is unaccounted for"
    assert len({record.id for record in taken}) == len(taken)
    assert len(taken) >= 20
    if sums["dropped"]:
        assert ("corrupt", True) in names
    if damage in (cut, flip_many, blank_pages):
        assert len(taken) >= 20 + RECORDS // 4, "little was salvaged"
    await journal.close()


@pytest.mark.fault
async def test_a_flipped_bit_in_a_stored_value_is_noticed_and_counted(tmp_path: Path) -> None:
    journal = await filled(tmp_path, 40)
    await journal.close()
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as connection:
        first, body = connection.execute("SELECT first, body FROM chunk ORDER BY first LIMIT 1 OFFSET 3").fetchone()
        damaged = bytearray(body)
        damaged[-5] ^= 4
        connection.execute("UPDATE chunk SET body = ? WHERE first = ?", (bytes(damaged), first))
    connection.close()
    journal = await opened(tmp_path)
    alarms: list[str] = []
    journal.on_alarm(lambda alarm: alarms.append(alarm.name))
    taken = await everything(journal, journal.feed("plant"))
    sums = balanced(journal)
    assert 0 < sums["dropped"] < 40 * 125
    assert 125 * len(taken) + sums["dropped"] == 40 * 125
    assert alarms == ["corrupt"]
    await journal.close()


@pytest.mark.fault
async def test_a_torn_log_loses_at_most_its_last_commits(tmp_path: Path) -> None:
    journal = await filled(tmp_path / "a", 60)
    shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=shutil.ignore_patterns("*-shm"))
    await journal.close()
    log = tmp_path / "b" / "journal.db-wal"
    body = log.read_bytes()
    log.write_bytes(body[: len(body) * 3 // 4 + 7])
    journal = await opened(tmp_path / "b")
    taken = await everything(journal, journal.feed("plant"))
    assert [record.id & 0xFFFF for record in taken] == list(range(1, len(taken) + 1))
    assert len(taken) > 20
    assert balanced(journal)["delivered"] == 125 * len(taken)
    await journal.close()


@pytest.mark.fault
async def test_salvage_goes_on_after_a_restart_in_the_middle(tmp_path: Path) -> None:
    journal = await filled(tmp_path)
    await journal.close()
    flip_many(tmp_path / "journal.db")
    journal = await opened(tmp_path)
    await journal.close()  # before the salvage is done
    journal = await opened(tmp_path)
    taken = await everything(journal, journal.feed("plant"))
    assert len(taken) >= RECORDS // 4
    assert balanced(journal)["dropped"] == 125 * (RECORDS - len(taken))
    assert not list(tmp_path.glob("*.corrupt-*"))
    await journal.close()


@pytest.mark.fault
async def test_what_was_delivered_before_the_damage_does_not_come_again(tmp_path: Path) -> None:
    journal = await filled(tmp_path)
    feed = journal.feed("plant")
    before: list[int] = []
    async with asyncio.timeout(5):
        while len(before) < 50:
            while len(before) < 50 and (record := feed.take()) is not None:
                feed.settle(record)
                before.append(record.id)
            await asyncio.sleep(0.005)
    await journal.close()
    flip_many(tmp_path / "journal.db")
    journal = await opened(tmp_path)
    after = [record.id for record in await everything(journal, journal.feed("plant"))]
    assert not set(before) & set(after)
    assert balanced(journal)["delivered"] == 125 * (50 + len(after))
    await journal.close()
