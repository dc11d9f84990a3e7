"""Looking into the journal from outside finds what is there, and what is wrong with it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.journal import JournalError
from gateway.journal.inspect import stats, verify
from tests.journal.toys import batch, layout, opened


async def stored(folder: Path, records: int = 5) -> Path:
    """A journal at rest with `records` undelivered records of three values."""
    journal = await opened(folder)
    of = layout()
    for number in range(records):
        journal.append(batch(of, [number, number, number]))
    await journal.close()
    return folder / "journal.db"


async def test_stats_count_what_is_stored(tmp_path: Path) -> None:
    body = stats(await stored(tmp_path))
    assert (body["records"], body["values"]) == (5, 15)
    assert body["sources"]["filler1"]["values"] == 15
    assert list(body["sinks"]) == ["plant"]
    assert body["refused"] == []
    assert body["set_aside"] == []


async def test_a_sound_journal_is_sound_and_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    path = await stored(tmp_path)
    before = sorted(file.name for file in tmp_path.iterdir())
    assert list(verify(path)) == []
    assert sorted(file.name for file in tmp_path.iterdir()) == before


async def test_beside_a_running_gateway(tmp_path: Path) -> None:
    path = await stored(tmp_path)
    journal = await opened(tmp_path)
    try:
        assert list(verify(path)) == []
        assert stats(path)["records"] == 5
    finally:
        await journal.close()


async def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = await stored(tmp_path)
    with sqlite3.connect(path) as connection:
        (first, body) = connection.execute("SELECT first, body FROM chunk").fetchone()
        damaged = body[:-3] + bytes([body[-3] ^ 0x10]) + body[-2:]
        connection.execute("UPDATE chunk SET body = ? WHERE first = ?", (damaged, first))
    connection.close()
    (problem,) = verify(path)
    assert "checksum" in problem


async def test_a_missing_layout_is_found(tmp_path: Path) -> None:
    path = await stored(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM layout")
    connection.close()
    (problem,) = verify(path)
    assert "layout" in problem


def test_what_is_no_journal_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal at"):
        stats(tmp_path / "none.db")
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database, not by far" * 100)
    with pytest.raises(JournalError, match="can't be read"):
        stats(garbage)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE somebody (else_)")
    connection.close()
    with pytest.raises(JournalError, match="isn't a journal"):
        stats(other)
