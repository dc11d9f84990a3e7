"""The journal's file. The only module that speaks SQL; used from one thread, which owns the only connection.

WAL with ``synchronous=FULL``: a commit that returned is on the disk. A commit that failed is *unknown*: the connection
is given up, and the next one first moves everything the log holds into the file and syncs it, so that what it then
finds is really there. Every statement is idempotent, so a job that failed is simply done again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from gateway.journal import versions
from gateway.journal.record import (
    MAX_RECORDS,
    MAX_WEIGHT,
    Damaged,
    Head,
    decode_chunk,
    decode_heads,
    encode_chunk,
    layout_key,
)
from gateway.journal.weight import weight
from gateway.model import Layout, Record
from gateway.ops.files import sync_directory

_log = logging.getLogger(__name__)

PAGE_BYTES: Final = 512
"""SQLite's least: a commit rewrites whole pages, and most commits are few kilobytes (ADR 0004)."""
_LOG_PAGES: Final = 2048
"""Pages in the write-ahead log at which SQLite moves it into the file."""
_LOG_BYTES: Final = 4 << 20
"""What the log is cut back to after an unusually large transaction."""
_CHECK_S: Final = 0.5
"""Time spent at start on SQLite's own check of the file; what it can't reach is found when it is read."""
_TRIM_ROWS: Final = 256
_HEADROOM_BYTES: Final = 8 << 20
"""What SQLite is allowed above the journal's limit, which the journal keeps by dropping records."""


_DAMAGE: Final = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        # The statements are fixed: what can make them wrong is damage to the schema or to a column.
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_SCHEMA,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_INTERNAL,
    }
)
_VERSIONS: Final = 1000
"""No schema is that far ahead: such a number is damage."""
_ONLY_ADDS: Final = "-- Only adds"
_CORRUPT: Final = "corrupt"
_SALVAGED: Final = "salvaged"
_PARTS: Final = ("-wal", "-shm", "")


class JournalError(Exception):
    """The journal can't be used as it is; one sentence for a user."""


class DiskTrouble(Exception):
    """A read or write failed and may succeed later. `full` says the disk has no room."""

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


class Undecodable(Exception):
    """A row that isn't what was written."""


class Newer(Exception):
    """A later release wrote the file, in a schema that this one can't use."""

    def __init__(self, schema: int) -> None:
        super().__init__(f"schema {schema}")
        self.schema = schema


class Corrupt(Exception):
    """The file isn't a sound database any more."""


@dataclass(slots=True)
class Chunk:
    """Records on their way to the disk as one row."""

    first: int
    """Its key: the smallest id it was made with."""
    last: int
    records: list[Record]
    written_ns: int | None
    weight: int
    """Of all its records, as :func:`gateway.journal.weight.weight` has it."""

    @property
    def values(self) -> int:
        return sum(len(record.batch.values) for record in self.records)


@dataclass(slots=True)
class SinkRow:
    name: str
    watermark: int
    ahead: list[tuple[int, int]]


@dataclass(slots=True)
class Refusal:
    """A record, or the values of it at `positions`, that a sink refused."""

    sink: str
    reason: str
    record: Record
    positions: Sequence[int] | None

    @property
    def source(self) -> str:
        return self.record.batch.layout.source

    @property
    def count(self) -> int:
        return len(self.record.batch.values) if self.positions is None else len(self.positions)


@dataclass(slots=True)
class Commit:
    """Everything one transaction does. Whatever is empty touches nothing."""

    chunks: list[Chunk] = field(default_factory=list)
    sinks: list[SinkRow] = field(default_factory=list)
    trim: list[tuple[int, int]] = field(default_factory=list)
    """Chunks wholly inside one of these id ranges are settled by every sink."""
    refused: list[Refusal] = field(default_factory=list)
    released: list[tuple[str, str, int]] = field(default_factory=list)
    """(sink, source, id) of refused records that are no longer kept aside."""
    ledgers: dict[int, Any] = field(default_factory=dict)
    closed_ledgers: list[int] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    """Sinks that are no longer configured, or were meanwhile. They go before anything in `sinks` comes."""
    clean: bool = False
    """The last commit of an orderly stop."""

    @property
    def empty(self) -> bool:
        return not (
            self.chunks
            or self.sinks
            or self.trim
            or self.refused
            or self.released
            or self.ledgers
            or self.closed_ledgers
            or self.forgotten
            or self.clean
        )


@dataclass(slots=True)
class Space:
    """How much there is."""

    used_bytes: int = 0
    """Pages in use, free ones inside the file not counted."""
    file_bytes: int = 0
    free_bytes: int = 0
    """Free on the file system."""
    oldest_ns: int | None = None
    """When the oldest chunk was written, if the clock was trusted then."""
    trimmed_all: bool = True
    """False if there was more to trim than one transaction does."""


@dataclass(slots=True)
class ChunkRow:
    """A chunk on the disk, without its values."""

    first: int
    last: int
    heads: list[tuple[Head, str]]
    """What its records are and the source of each; empty if that is damaged too."""
    size: int
    """Bytes."""
    written_ns: int | None


@dataclass(slots=True)
class RefusedRow:
    """A refused record on the disk, without its values."""

    sink: str
    source: str
    id: int
    positions: list[int] | None
    head: Head | None
    """None if that is damaged."""
    size: int
    """Bytes."""


@dataclass(slots=True)
class Stored:
    """Records read back, in id order. `through` is the id up to which everything stored is among them."""

    records: list[Record]
    through: int
    damaged: list[tuple[ChunkRow, str]] = field(default_factory=list)
    """Chunks that couldn't be decoded, and what is wrong with each."""


@dataclass(slots=True)
class Opened:
    """What a start finds."""

    sinks: list[SinkRow]
    ledgers: dict[int, Any]
    newest_id: int
    chunks_since: list[list[Head]]
    """Heads of the chunks written after the newest ledger."""
    layouts: dict[int, Layout]
    refused: dict[str, dict[str, int]]
    """Refused records per sink and source."""
    clean: bool
    space: Space


def migrations() -> list[tuple[int, str]]:
    """(version, SQL) of every schema step, in order."""
    folder = files("gateway.journal") / "sql"
    return sorted(
        (int(entry.name[:4]), entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".sql")
    )


def migrate(
    connection: sqlite3.Connection,
    steps: Sequence[tuple[int, str]] | None = None,
    keep: Callable[[int], None] = lambda _: None,
) -> int:
    """Bring a database to the newest schema, each step in its own transaction; returns the version it had.

    `keep`: told the schema there is before it is changed. A newer schema is used as it is if every step since this
    one's only added to it, which the first line of such a step says (``-- Only adds``). Raises Newer otherwise, Corrupt
    if no release wrote it.
    """
    steps = migrations() if steps is None else steps
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    newest = steps[-1][0]
    if not 0 <= found < newest + _VERSIONS:
        raise Corrupt(f"schema {found}")
    if found > newest:
        if _readable_from(connection) > newest:
            raise Newer(found)
        return found
    if 0 < found < newest:
        keep(found)
    for version, script in steps:
        if version > found:
            adds = script.startswith(_ONLY_ADDS)
            from_here = f"INSERT OR {'IGNORE' if adds else 'REPLACE'} INTO state (key, value) VALUES ('readable_from', "
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\n;{from_here}{version - 1 if adds else version});"
                f"PRAGMA user_version = {version};\nCOMMIT;"
            )
    return found


def _readable_from(connection: sqlite3.Connection) -> float:
    """The oldest schema whose releases can use a newer one, as that one says."""
    try:
        said = connection.execute("SELECT value FROM state WHERE key = 'readable_from'").fetchone()
    except sqlite3.OperationalError:  # it has no such table any more
        return math.inf
    return math.inf if said is None else int(said[0])


class Store:
    """The open journal file. Every method may raise DiskTrouble or Corrupt and can then be called again."""

    def __init__(self, path: Path, *, max_bytes: int, ballast_bytes: int, min_free_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._ballast_bytes = ballast_bytes
        self._ballast = path.with_name(f"{path.name}.ballast")
        self._min_free_bytes = min_free_bytes
        self._connection: sqlite3.Connection | None = None
        self._suspect = False
        self._layouts: dict[int, Layout] = {}
        self._stored_layouts: set[int] = set()
        self._marked_dirty = False

    # -- opening and closing

    def open(self) -> Opened:
        """Open or make the file, check it within bounds, and read what a start needs. Raises JournalError too."""
        with self._guard():
            connection = self._connect()
            self._quick_check(connection)
            return self._opened(connection)

    def close(self) -> None:
        """Give the connection up. Never raises: what was committed is safe."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:
                _log.warning("closing the journal: %s", error)

    def limit(self, *, max_bytes: int, min_free_bytes: int) -> None:
        """Take over other bounds. A file that is larger already stays so until records were dropped."""
        self._max_bytes, self._min_free_bytes = max_bytes, min_free_bytes
        if self._connection is not None:
            with self._guard():
                self._bound_pages(self._connection)

    def checkpoint(self) -> None:
        """Move the whole log into the file."""
        with self._guard():
            self._connect().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def go_back(self) -> None:
        """Go on with what this release left when another one took over, where no journal is. Raises OSError."""
        if versions.take_back(self.path, migrations()[-1][0]):
            _log.warning("the journal is the one from before the newer release")
        versions.forget_old_copies(self.path)

    def set_newer_aside(self, schema: int) -> Path:
        """Put the file of a later release aside, for that one. Returns where it is now. Raises OSError."""
        self.close()
        return versions.set_aside(self.path, schema)

    def left_by_newer(self) -> list[Path]:
        """What later releases wrote and this one can't use."""
        return [path for schema, path in versions.asides(self.path) if schema > migrations()[-1][0]]

    def set_aside(self) -> Path:
        """Close the file and rename it, with its log, to the next free ``.corrupt-N``. Returns the new path."""
        self.close()
        number = 1
        while any(self._aside(word, number).exists() for word in (_CORRUPT, _SALVAGED)):
            number += 1
        aside = self._aside(_CORRUPT, number)
        _rename(self.path, aside)
        self._stored_layouts.clear()
        self._marked_dirty = False
        self._suspect = False
        return aside

    def asides(self) -> list[Path]:
        """Files set aside that were not salvaged to the end, oldest first; before them those an older release left."""
        newest = migrations()[-1][0]
        known = [path for schema, path in versions.asides(self.path) if schema <= newest]
        for path in known:
            try:
                with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
                    migrate(connection)
            except (sqlite3.Error, Corrupt) as error:
                _log.warning("%s can't be brought to this release's schema; it is salvaged as it is: %s", path, error)
        found = self.path.parent.glob(f"{self.path.name}.{_CORRUPT}-*")
        numbered = [(path.name.rpartition("-")[2], path) for path in found]
        corrupt = sorted((int(number), path) for number, path in numbered if number.isdigit())
        return [*known, *(path for _, path in corrupt)]

    def finish_aside(self, aside: Path, *, keep: bool) -> Path | None:
        """A set-aside file was salvaged: delete it, or keep it, as the only one, for whoever looks into the damage.

        Returns where it is now.
        """
        with self._guard():
            for path in self.path.parent.glob(f"{self.path.name}.{_SALVAGED}-*"):
                path.unlink()
            if not keep:
                for suffix in _PARTS:
                    aside.with_name(aside.name + suffix).unlink(missing_ok=True)
                return None
            kept = self._aside(_SALVAGED, int(aside.name.rpartition("-")[2]))
            _rename(aside, kept)
            return kept

    def _aside(self, word: str, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{word}-{number}")

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=1.0)
        try:
            self._refuse_foreign(connection)
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}").fetchall()
            connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}").fetchall()
            connection.execute("PRAGMA cache_size = -512")
            connection.execute("PRAGMA temp_store = MEMORY")
            self._bound_pages(connection)
            migrate(connection, keep=lambda schema: versions.keep(connection, self.path, schema, self._min_free_bytes))
            if self._suspect:
                # What a failed sync left in the page cache looks written and may not be: write it again.
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if busy:
                    raise DiskTrouble("the journal's log can't be moved into its file: another process is reading it")
        except BaseException:
            connection.close()
            raise
        self._suspect = False
        self._connection = connection
        self._keep_ballast()
        return connection

    def _bound_pages(self, connection: sqlite3.Connection) -> None:
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        pages = (self._max_bytes + _HEADROOM_BYTES) // page_bytes
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()

    def _refuse_foreign(self, connection: sqlite3.Connection) -> None:
        """Raise JournalError, having changed nothing, if the file is somebody else's database."""
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if tables and "chunk" not in tables:
                raise JournalError(
                    f"{self.path} is a database of something else, not a journal: name another place with path in "
                    "[journal], or move the file away"
                )

    def _quick_check(self, connection: sqlite3.Connection) -> None:
        deadline = time.monotonic() + _CHECK_S
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        try:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            return
        finally:
            connection.set_progress_handler(None, 0)
        if verdict != "ok":
            raise Corrupt(str(verdict).replace("\n", " "))

    def _opened(self, connection: sqlite3.Connection) -> Opened:
        state = dict(connection.execute("SELECT key, value FROM state").fetchall())
        newest = connection.execute("SELECT max(last) FROM chunk").fetchone()[0] or 0
        newest_refused = connection.execute("SELECT max(id) FROM refused").fetchone()[0] or 0
        if not newest and not newest_refused:
            connection.execute("DELETE FROM layout")
        layouts = {
            key: decode_layout(body) for key, body in connection.execute("SELECT key, body FROM layout").fetchall()
        }
        self._stored_layouts = set(layouts)
        self._layouts.update(layouts)
        ledgers = read_ledgers(connection)
        ledger_through = max((body.get("through", 0) for body in ledgers.values()), default=0)
        return Opened(
            sinks=read_sinks(connection),
            ledgers=ledgers,
            newest_id=max(newest, newest_refused, ledger_through),
            chunks_since=[
                heads_if_sound(body)
                for (body,) in connection.execute(
                    "SELECT body FROM chunk WHERE first > ? ORDER BY first", (ledger_through,)
                )
            ],
            layouts=dict(layouts),
            refused=_refused_counts(connection),
            clean=bool(state.get("clean", 0)),
            space=self._space(connection),
        )

    # -- writing

    def commit(self, job: Commit) -> Space:
        """Do all of `job` in one transaction. Returns the space there is then."""
        with self._guard():
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            complete = self._apply(connection, job)
            connection.execute("COMMIT")
            self._marked_dirty = not job.clean
            for chunk in job.chunks:
                self._remember_layouts(chunk.records)
            self._remember_layouts(refusal.record for refusal in job.refused)
            space = self._space(connection)
            space.trimmed_all = complete
            if not self._ballast.exists():
                self._keep_ballast()
            return space

    def _apply(self, connection: sqlite3.Connection, job: Commit) -> bool:
        complete = True
        # First what makes room: a full file has none for anything else. A sink that is forgotten may be new again.
        for name in job.forgotten:
            connection.execute("DELETE FROM sink WHERE name = ?", (name,))
            connection.execute("DELETE FROM refused WHERE sink = ?", (name,))
        for first, last in job.trim:
            done = connection.execute(
                "DELETE FROM chunk WHERE first IN (SELECT first FROM chunk WHERE first BETWEEN ? AND ? AND last <= ?"
                " ORDER BY first LIMIT ?)",
                (first, last, last, _TRIM_ROWS),
            )
            complete = complete and done.rowcount < _TRIM_ROWS
        if job.released:
            connection.executemany("DELETE FROM refused WHERE sink = ? AND source = ? AND id = ?", job.released)
        for chunk in job.chunks:
            records = chunk.records  # the event loop may replace it meanwhile
            if not records:
                continue
            self._insert_layouts(connection, records)
            connection.execute(
                "INSERT OR REPLACE INTO chunk (first, last, written_ns, body) VALUES (?, ?, ?, ?)",
                (chunk.first, chunk.last, chunk.written_ns, encode_chunk(records)),
            )
        for refusal in job.refused:
            self._insert_layouts(connection, (refusal.record,))
            connection.execute(
                "INSERT OR REPLACE INTO refused (sink, source, id, reason, positions, body) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    refusal.sink,
                    refusal.source,
                    refusal.record.id,
                    refusal.reason,
                    None if refusal.positions is None else json.dumps(list(refusal.positions)),
                    encode_chunk((refusal.record,)),
                ),
            )
        for sink in job.sinks:
            connection.execute(
                "INSERT OR REPLACE INTO sink (name, body) VALUES (?, ?)",
                (sink.name, _pack([sink.name, sink.watermark, sink.ahead])),
            )
        for boot, body in job.ledgers.items():
            connection.execute(
                "INSERT OR REPLACE INTO ledger (boot, body) VALUES (?, ?)",
                (boot, _pack(body)),
            )
        connection.executemany("DELETE FROM ledger WHERE boot = ?", [(boot,) for boot in job.closed_ledgers])
        if job.clean or not self._marked_dirty:
            connection.execute("INSERT OR REPLACE INTO state (key, value) VALUES ('clean', ?)", (int(job.clean),))
        return complete

    def _insert_layouts(self, connection: sqlite3.Connection, records: Iterable[Record]) -> None:
        inserted: set[int] = set()
        for record in records:
            key = layout_key(record.batch.layout)
            if key not in self._stored_layouts and key not in inserted:
                inserted.add(key)
                connection.execute(
                    "INSERT OR IGNORE INTO layout (key, body) VALUES (?, ?)",
                    (key, encode_layout(record.batch.layout)),
                )

    def _remember_layouts(self, records: Iterable[Record]) -> None:
        for record in records:
            key = layout_key(record.batch.layout)
            if key not in self._stored_layouts:
                self._stored_layouts.add(key)
                self._layouts[key] = record.batch.layout

    def insert_salvaged(
        self,
        chunks: Sequence[tuple[int, int, int | None, bytes]],
        refused: Sequence[tuple[str, str, int, str, str | None, bytes]],
    ) -> list[ChunkRow]:
        """Take over rows of a file that was set aside, as they are. Returns what the chunks hold."""
        with self._guard():
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR IGNORE INTO chunk (first, last, written_ns, body) VALUES (?, ?, ?, ?)", chunks
            )
            connection.executemany(
                "INSERT OR IGNORE INTO refused (sink, source, id, reason, positions, body) VALUES (?, ?, ?, ?, ?, ?)",
                refused,
            )
            connection.execute("COMMIT")
            return [self._known(row) for row in chunks]

    def insert_layouts(self, bodies: Mapping[int, bytes]) -> None:
        """Take over layouts of a file that was set aside, as they are."""
        with self._guard():
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR IGNORE INTO layout (key, body) VALUES (?, ?)", list(bodies.items()))
            connection.execute("COMMIT")
            for key, body in bodies.items():
                self._layouts[key] = decode_layout(body)
                self._stored_layouts.add(key)

    # -- reading

    def read(self, after: int, through: int) -> Stored:
        """Stored records with ids in ``after+1 .. through``, oldest first, as many as are worth reading at once."""
        with self._guard():
            connection = self._connect()
            start = connection.execute("SELECT max(first) FROM chunk WHERE first <= ?", (after,)).fetchone()[0] or 0
            rows = connection.execute(
                "SELECT first, last, body FROM chunk WHERE first BETWEEN ? AND ? AND last > ? ORDER BY first",
                (start, through, after),
            )
            found = Stored([], through)
            size = 0
            before = start - 1
            try:
                for first, last, body in rows:
                    if first <= before:
                        raise Corrupt(f"chunk {first} comes after {before}")
                    before = last
                    try:
                        _check_place(first, last, decode_heads(body))
                        records = decode_chunk(body, self._layout, after)
                    except (Damaged, KeyError) as error:
                        found.damaged.append((self._known((first, last, None, body)), str(error)))
                        continue
                    found.records += records
                    size += sum(weight(record.batch) for record in records)
                    if len(found.records) >= MAX_RECORDS or size >= MAX_WEIGHT:
                        found.through = last
                        break
            finally:
                rows.close()
            return found

    def read_refused(self, sink: str, source: str, after: int, limit: int) -> list[Record | tuple[int, str]]:
        """Refused records of one source with ids above `after`, oldest first; (id, what is wrong) for damaged ones."""
        with self._guard():
            rows = self._connect().execute(
                "SELECT id, positions, body FROM refused WHERE sink = ? AND source = ? AND id > ? ORDER BY id LIMIT ?",
                (sink, source, after, limit),
            )
            found: list[Record | tuple[int, str]] = []
            for id_, positions, body in rows.fetchall():
                try:
                    (record,) = decode_chunk(body, self._layout)
                    record.only = _positions(positions, len(record.batch.values))
                    if (record.id, record.batch.layout.source) != (id_, source):
                        raise Damaged(f"record {record.id} of {record.batch.layout.source!r} lies there")
                except (Damaged, KeyError, ValueError) as error:
                    found.append((id_, str(error)))
                else:
                    found.append(record)
            return found

    def oldest(self, after: int, limit: int) -> list[ChunkRow]:
        """The oldest chunks that begin after an id: what would be dropped first."""
        with self._guard():
            rows = self._connect().execute(
                "SELECT first, last, written_ns, body FROM chunk WHERE first > ? ORDER BY first LIMIT ?", (after, limit)
            )
            return [self._known(row) for row in rows.fetchall()]

    def oldest_refused(self, limit: int) -> list[RefusedRow]:
        """The records refused longest ago."""
        with self._guard():
            rows = self._connect().execute(
                "SELECT sink, source, id, positions, body FROM refused ORDER BY number LIMIT ?", (limit,)
            )
            return [_refused_row(*row) for row in rows.fetchall()]

    def _known(self, row: tuple[int, int, int | None, bytes]) -> ChunkRow:
        """A chunk without its values."""
        first, last, written_ns, body = row
        heads = heads_if_sound(body)
        if heads:
            _check_place(first, last, heads)
        try:
            known = [(head, self._layout(head.layout).source) for head in heads]
        except KeyError:
            known = []
        return ChunkRow(first, last, known, len(body), written_ns)

    def refused_counts(self) -> dict[str, dict[str, int]]:
        """Refused records per sink and source."""
        with self._guard():
            return _refused_counts(self._connect())

    def _layout(self, key: int) -> Layout:
        try:
            return self._layouts[key]
        except KeyError:
            raise KeyError(f"the layout {key:016x} of a record is missing") from None

    # -- space

    def _space(self, connection: sqlite3.Connection) -> Space:
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        free = connection.execute("PRAGMA freelist_count").fetchone()[0]
        oldest = connection.execute("SELECT written_ns FROM chunk ORDER BY first LIMIT 1").fetchone()
        return Space(
            used_bytes=(pages - free) * page_bytes,
            file_bytes=pages * page_bytes,
            free_bytes=self._free_bytes(),
            oldest_ns=None if oldest is None else oldest[0],
        )

    def _free_bytes(self) -> int:
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize

    def _keep_ballast(self) -> None:
        """Reserve the room that deleting needs on a full disk, while there is plenty."""
        if not self._ballast_bytes or self._ballast.exists():
            return
        # Twice, or what was released for want of room would be taken again at once.
        if self._free_bytes() < self._min_free_bytes + 2 * self._ballast_bytes:
            return
        handle = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, self._ballast_bytes)
        except OSError:
            self._ballast.unlink()
        finally:
            os.close(handle)

    def release_ballast(self) -> bool:
        """Give the reserved room back to the file system; False if there is none to give."""
        try:
            self._ballast.unlink()
        except FileNotFoundError:
            return False
        return True

    def _guard(self) -> _Guard:
        return _Guard(self)

    def _failed(self) -> None:
        self._suspect = True
        self.close()


class _Guard:
    """Turns what SQLite raises into what can be done about it, and gives the connection up."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            return
        self._store._failed()
        if isinstance(error, sqlite3.Error):
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code in _DAMAGE:
                raise Corrupt(str(error)) from error
            raise DiskTrouble(str(error), full=code == sqlite3.SQLITE_FULL) from error
        if isinstance(error, OSError):
            raise DiskTrouble(str(error)) from error
        if isinstance(error, Undecodable | UnicodeDecodeError):  # the latter: SQLite quotes damaged names
            raise Corrupt(f"one of its small tables is damaged: {error}") from error


def _refused_counts(connection: sqlite3.Connection) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for sink, source, count in connection.execute("SELECT sink, source, count(*) FROM refused GROUP BY 1, 2"):
        found.setdefault(sink, {})[source] = count
    return found


def read_sinks(connection: sqlite3.Connection) -> list[SinkRow]:
    """How far the sinks are. Raises Undecodable or sqlite3.Error."""
    rows = connection.execute("SELECT name, body FROM sink").fetchall()
    found: list[SinkRow] = []
    try:
        for name, body in rows:
            named, watermark, ahead = _unpack(body)
            if named != name:
                raise ValueError(f"{named!r} lies under {name!r}")
            found.append(SinkRow(named, watermark, [(first, last) for first, last in ahead]))
    except (zlib.error, ValueError, TypeError) as error:
        raise Undecodable(f"sink: {error}") from error
    return found


def read_ledgers(connection: sqlite3.Connection) -> dict[int, Any]:
    """What is stored of the ledger, per boot. Raises Undecodable or sqlite3.Error."""
    rows = connection.execute("SELECT boot, body FROM ledger").fetchall()
    try:
        return {int(boot): _unpack(body) for boot, body in rows}
    except (zlib.error, ValueError, TypeError) as error:
        raise Undecodable(f"ledger: {error}") from error


def _pack(body: object) -> bytes:
    """JSON with a checksum."""
    return zlib.compress(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(), 6)


def _unpack(packed: bytes) -> Any:
    """Raises zlib.error, ValueError or TypeError."""
    return json.loads(zlib.decompress(packed))


def encode_layout(layout: Layout) -> bytes:
    return _pack(layout.to_json())


def decode_layout(body: bytes) -> Layout:
    """Raises Undecodable."""
    try:
        return Layout.from_json(_unpack(body))
    except (zlib.error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Undecodable(f"layout: {error}") from error


def _rename(path: Path, to: Path) -> None:
    """Rename a database with its log; the file itself last, so that its new name says all of it is there."""
    for suffix in _PARTS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.replace(part, to.with_name(to.name + suffix))
    sync_directory(path.parent)


def _positions(text: str | None, count: int) -> list[int] | None:
    """Positions in a record of `count` values. Raises Damaged."""
    if text is None:
        return None
    try:
        positions = [int(position) for position in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise Damaged(f"positions: {error}") from error
    if any(not 0 <= position < count for position in positions):
        raise Damaged("positions out of range")
    return positions


def _refused_row(sink: str, source: str, id_: int, text: str | None, body: bytes) -> RefusedRow:
    try:
        (head,) = decode_heads(body)
        return RefusedRow(sink, source, id_, _positions(text, head.count), head, len(body))
    except (Damaged, ValueError):
        return RefusedRow(sink, source, id_, None, None, len(body))


def _check_place(first: int, last: int, heads: Sequence[Head]) -> None:
    """Raise Corrupt if a sound chunk lies under a key that isn't its own: then no order can be relied on."""
    ids = [first - 1, *(head.id for head in heads), last + 1]
    if any(before >= after for before, after in pairwise(ids)):
        raise Corrupt(f"the chunk of records {ids[1]} to {ids[-2]} lies at {first} to {last}")


def heads_if_sound(body: bytes) -> list[Head]:
    try:
        return decode_heads(body)
    except Damaged:
        return []
