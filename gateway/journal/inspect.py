"""Looking into a journal's file from outside, through sqlite-utils: read-only, and safe beside a running gateway.

Every statement is short and its own transaction, so a reader never keeps the gateway's log from being cut back. A file
without a log belongs to a gateway that has stopped: it is opened as immutable, which leaves nothing behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from gateway.journal.record import Damaged, Head, check_chunk, decode_chunk
from gateway.journal.store import (
    JournalError,
    Undecodable,
    decode_layout,
    migrations,
    read_ledgers,
    read_sinks,
)
from gateway.model import Layout

_TABLES = {"chunk", "layout", "sink", "refused", "ledger", "state"}


def stats(path: Path) -> dict[str, Any]:
    """What the journal at `path` holds, JSON-ready. Raises JournalError."""
    with _opened(path) as database:
        sources: dict[str, dict[str, int]] = {}
        layouts = _layouts(database)
        records = values = 0
        for _, _, body in _chunks(database):
            for head in _heads(body):
                records += 1
                values += head.count
                layout = layouts.get(head.layout)
                source = sources.setdefault(
                    "unknown" if layout is None else layout.source, {"records": 0, "values": 0, "oldest_ms": 0}
                )
                source["records"] += 1
                source["values"] += head.count
                source["oldest_ms"] = source["oldest_ms"] or head.read_ns // 1_000_000
        connection = database.conn
        return {
            "path": str(path),
            "schema": _version(connection),
            "file_bytes": path.stat().st_size,
            "log_bytes": _size(path.with_name(path.name + "-wal")),
            "free_bytes": _pragma(connection, "freelist_count") * _pragma(connection, "page_size"),
            "chunks": database["chunk"].count,
            "records": records,
            "values": values,
            "sources": sources,
            "sinks": {
                row.name: {"watermark": row.watermark, "ahead": [list(span) for span in row.ahead]}
                for row in _undecodable_is_error(path, read_sinks, connection)
            },
            "refused": [
                dict(row)
                for row in database.query(
                    "SELECT sink, source, reason, count(*) AS records FROM refused GROUP BY sink, source, reason"
                )
            ],
            "boots": sorted(_undecodable_is_error(path, read_ledgers, connection)),
            "set_aside": sorted(
                str(other)
                for word in ("corrupt", "salvaged")
                for other in path.parent.glob(f"{path.name}.{word}-*")
                if not other.name.endswith(("-wal", "-shm"))
            ),
        }


def verify(path: Path) -> Iterator[str]:
    """Everything that is wrong with the journal at `path`, a sentence each. Raises JournalError if it can't be read."""
    with _opened(path) as database:
        connection = database.conn
        for (finding,) in connection.execute("PRAGMA integrity_check(20)").fetchall():
            if finding != "ok":
                yield f"SQLite: {finding}"
        layouts: dict[int, Layout] = {}
        for key, body in connection.execute("SELECT key, body FROM layout").fetchall():
            try:
                layouts[key] = decode_layout(body)
            except Undecodable as error:
                yield f"layout {key} can't be read: {error}"
        before = -1
        for first, last, body in _chunks(database):
            if first <= before or last < first:
                yield f"chunk {first} overlaps the one before it"
            before = last
            yield from _chunk_problems(first, last, body, layouts)
        for sink, id_, body in connection.execute("SELECT sink, id, body FROM refused ORDER BY number").fetchall():
            for problem in _chunk_problems(id_, id_, body, layouts):
                yield f"refused by {sink}: {problem}"
        for read in (read_sinks, read_ledgers):
            try:
                read(connection)
            except Undecodable as error:
                yield f"{error}"


def _chunk_problems(first: int, last: int, body: bytes, layouts: dict[int, Layout]) -> Iterator[str]:
    try:
        heads = check_chunk(body)
    except Damaged as error:
        yield f"chunk {first} to {last}: {error}"
        return
    ids = [head.id for head in heads]
    if ids != sorted(set(ids)) or (ids and not first <= ids[0] <= ids[-1] <= last):
        yield f"chunk {first} to {last} holds other records than its place says"
    if missing := {head.layout for head in heads} - layouts.keys():
        yield f"chunk {first} to {last} names {len(missing)} layouts that aren't stored"
        return
    try:
        decode_chunk(body, layouts.__getitem__)
    except Damaged as error:
        yield f"chunk {first} to {last}: {error}"


@contextmanager
def _opened(path: Path) -> Iterator[Database]:
    if not path.exists():
        raise JournalError(f"there is no journal at {path}")
    how = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)) as connection:
            database = Database(connection)
            known = len(migrations())
            if not set(database.table_names()) >= _TABLES:
                raise JournalError(f"{path} isn't a journal of Tidegate")
            if _version(connection) > known:
                raise JournalError(f"{path} has schema {_version(connection)}, and this version knows {known} at most")
            yield database
    except sqlite3.Error as error:
        raise JournalError(f"{path} can't be read: {error}") from error


def _chunks(database: Database) -> Iterator[tuple[int, int, bytes]]:
    """One statement a chunk: the gateway may write, trim and cut its log back meanwhile."""
    after = -1
    while True:
        row = database.conn.execute(
            "SELECT first, last, body FROM chunk WHERE first > ? ORDER BY first LIMIT 1", (after,)
        ).fetchone()
        if row is None:
            return
        yield row
        after = row[0]


def _heads(body: bytes) -> list[Head]:
    try:
        return check_chunk(body)
    except Damaged:
        return []


def _layouts(database: Database) -> dict[int, Layout]:
    found: dict[int, Layout] = {}
    for row in database["layout"].rows:
        try:
            found[row["key"]] = decode_layout(row["body"])
        except Undecodable:
            continue
    return found


def _undecodable_is_error(path: Path, read: Any, connection: sqlite3.Connection) -> Any:
    try:
        return read(connection)
    except Undecodable as error:
        raise JournalError(f"{path} is damaged: {error}") from error


def _version(connection: sqlite3.Connection) -> int:
    return _pragma(connection, "user_version")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
