"""What can still be read of a journal file that was set aside because it is corrupt.

Runs in a thread of its own on a read-only connection. Rows are fetched one by one, so that damage costs only the rows
it hits; where the table itself is broken, its key space is searched from both ends and then by halves.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from gateway.journal.record import BOOT_SHIFT, Damaged, Head, check_chunk
from gateway.journal.store import SinkRow, Undecodable, decode_layout, read_ledgers, read_sinks
from gateway.model import Layout

_log = logging.getLogger(__name__)

_BATCH: Final = 64
_PROBES: Final = 2_000
"""Key ranges looked into at most where the table is broken."""
_HIGHEST: Final = (1 << 63) - 1


@dataclass(slots=True)
class Basics:
    """The small tables of a set-aside file; None is what couldn't be read."""

    sinks: list[SinkRow] | None = None
    ledgers: dict[int, Any] | None = None
    layouts: dict[int, bytes] = field(default_factory=dict)

    @property
    def newest_boot(self) -> int:
        seen: list[int] = [sink.watermark >> BOOT_SHIFT for sink in self.sinks or ()]
        return max([0, *seen, *list[int](self.ledgers or ())])

    def known_layouts(self) -> dict[int, Layout]:
        return {key: decode_layout(body) for key, body in self.layouts.items()}


@dataclass(slots=True)
class Rows:
    """Sound rows, as they lay there."""

    chunks: list[tuple[int, int, int | None, bytes]] = field(default_factory=list)
    refused: list[tuple[str, str, int, str, str | None, bytes]] = field(default_factory=list)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    # Without this SQLite reads nothing at all of a file that is shorter than its header says.
    connection.execute("PRAGMA writable_schema = ON")
    return connection


def read_basics(path: Path) -> Basics:
    """Sinks, ledgers and layouts of a set-aside file, as far as they are sound. Never raises for damage."""
    basics = Basics()
    try:
        connection = _open(path)
    except sqlite3.Error as error:
        _log.warning("%s can't be opened at all: %s", path, error)
        return basics
    try:
        try:
            basics.sinks = read_sinks(connection)
        except (sqlite3.Error, UnicodeDecodeError, Undecodable) as error:
            _log.warning("%s: how far the sinks were can't be read: %s", path, error)
        try:
            basics.ledgers = read_ledgers(connection)
        except (sqlite3.Error, UnicodeDecodeError, Undecodable) as error:
            _log.warning("%s: the ledger can't be read: %s", path, error)
        for key in _keys(connection, "layout", "key"):
            row = _row(connection, "SELECT body FROM layout WHERE key = ?", key)
            if row is not None and _sound_layout(row[0]):
                basics.layouts[key] = row[0]
    finally:
        connection.close()
    return basics


def chunk_ranges(path: Path) -> list[tuple[int, int]]:
    """(first, last) id of every chunk of a set-aside file, as far as they can be read."""
    try:
        with closing(_open(path)) as connection:
            return connection.execute("SELECT first, last FROM chunk ORDER BY first").fetchall()
    except sqlite3.Error as error:
        _log.warning("%s: which records it holds can't be read: %s", path, error)
        return []


def salvage(path: Path, keep: Callable[[Rows], None]) -> int:
    """Hand every sound chunk, in id order, and every sound refused record to `keep`. Returns how many were damaged.

    `keep` may block, and may raise to stop.
    """
    connection = _open(path)
    damaged = 0
    try:
        rows = Rows()
        for first in _keys(connection, "chunk", "first"):
            row = _row(connection, "SELECT written_ns, body FROM chunk WHERE first = ?", first)
            heads = [] if row is None else _heads(row[1])
            if not heads:
                damaged += 1
                continue
            # The body has a checksum; what stands beside it hasn't.
            written_ns = row[0] if isinstance(row[0], int) else None
            rows.chunks.append((heads[0].id, heads[-1].id, written_ns, row[1]))
            if len(rows.chunks) >= _BATCH:
                keep(rows)
                rows = Rows()
        for number in _keys(connection, "refused", "number"):
            row = _row(
                connection, "SELECT sink, source, id, reason, positions, body FROM refused WHERE number = ?", number
            )
            if row is None or not _heads(row[5]):
                damaged += 1
                continue
            rows.refused.append(row)
            if len(rows.refused) >= _BATCH:
                keep(rows)
                rows = Rows()
        keep(rows)
    finally:
        connection.close()
    return damaged


def _row(connection: sqlite3.Connection, query: str, key: int) -> Any:
    try:
        return connection.execute(query, (key,)).fetchone()
    except (sqlite3.Error, UnicodeDecodeError):  # SQLite quotes damaged names
        return None


def _heads(body: object) -> list[Head]:
    """Heads of a sound chunk; empty if it isn't."""
    if not isinstance(body, bytes):
        return []
    try:
        return check_chunk(body)
    except Damaged:
        return []


def _sound_layout(body: Any) -> bool:
    try:
        decode_layout(body)
    except Undecodable:
        return False
    return True


def _keys(connection: sqlite3.Connection, table: str, column: str) -> Iterator[int]:
    """Keys of a table in ascending order, as many as can be reached. Each is yielded once."""
    reached = -1
    while True:  # upwards, until the end or the first damage
        batch, broken = _some(connection, table, column, reached + 1, _HIGHEST, "ASC")
        for key in batch:
            yield key
            reached = key
        if broken:
            break
        if not batch:
            return
    above: list[int] = []
    floor = _HIGHEST
    while floor > reached + 1:  # downwards from the other end
        batch, broken = _some(connection, table, column, reached + 1, floor - 1, "DESC")
        above += batch
        if batch:
            floor = batch[-1]
        if broken or not batch:
            break
    probes = _PROBES
    between: list[int] = []
    spans = [(reached + 1, floor - 1)]
    while spans and probes:  # islands between the two
        low, high = spans.pop()
        if low > high:
            continue
        probes -= 1
        batch, broken = _some(connection, table, column, low, high, "ASC")
        between += batch
        if batch:
            low = batch[-1] + 1
        elif not broken:
            continue
        if broken and low < high:
            middle = (low + high) // 2
            spans += [(low, middle), (middle + 1, high)]
        elif not broken:
            spans.append((low, high))
    yield from sorted({*between, *above})


def _some(
    connection: sqlite3.Connection, table: str, column: str, low: int, high: int, order: str
) -> tuple[list[int], bool]:
    """(up to some keys of low..high from one end, whether damage cut it short)."""
    keys: list[int] = []
    try:
        for (key,) in connection.execute(
            f"SELECT {column} FROM {table} WHERE {column} BETWEEN ? AND ? ORDER BY {column} {order} LIMIT 256",
            (low, high),
        ):
            # A broken tree may lead anywhere: in circles, too.
            if not isinstance(key, int) or not low <= key <= high:
                return keys, True
            keys.append(key)
            low, high = (key + 1, high) if order == "ASC" else (low, key - 1)
    except (sqlite3.Error, UnicodeDecodeError):
        return keys, True
    return keys, False
