"""The writing end of an audit log: rows are appended, synced, and only then do they count. Blocking; one owner."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.actors import Actor
from gateway.audit.files import HEAD, LOCK, Head, file_of, files_in, head_in
from gateway.audit.row import BadLine, Entry, Row, parse
from gateway.ops.files import sync_directory

_log = logging.getLogger(__name__)

MAX_FILE_BYTES = 1 << 20
MAX_TOTAL_BYTES = 32 << 20
_TORN_SHOWN = 200


class AuditError(Exception):
    """A row can't be kept. The message is one sentence for a user."""


class Chain:
    """Appends to the log in one directory, which it locks. Not for two threads at once."""

    def __init__(
        self,
        directory: Path,
        note: Callable[[str, str, dict[str, object]], Entry],
        *,
        max_file_bytes: int = MAX_FILE_BYTES,
        max_total_bytes: int = MAX_TOTAL_BYTES,
    ) -> None:
        """`note`: (action, subject, details) → an entry by the gateway itself, for repairs and for what is dropped."""
        self._directory = directory
        self._note = note
        self._max_file_bytes = max_file_bytes
        self._max_total_bytes = max(max_total_bytes, 2 * max_file_bytes)
        self._lock: int | None = None
        self._file: int | None = None
        self._head_file: int | None = None
        self._size = 0
        self._last = Head(0, "")

    @property
    def last(self) -> Head:
        """The last row that counts."""
        return self._last

    def open(self) -> None:
        """Take the log over, mending what a power cut tore. Raises AuditError."""
        try:
            self._open()
        except OSError as error:
            self._abandon()
            raise _unwritable(self._directory, error) from None

    def append(self, entries: Sequence[Entry]) -> None:
        """Make rows durable, all or none. Raises AuditError; the next call tries anew from what is on the disk."""
        try:
            if self._file is None:
                self._open()
            self._append(entries)
        except OSError as error:
            self._abandon()
            raise _unwritable(self._directory, error) from None

    def close(self) -> None:
        """Idempotent."""
        if self._head_file is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._head_file)
        self._abandon()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _open(self) -> None:
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._take_lock()
        head = head_in(self._directory)
        found = files_in(self._directory)
        self._head_file = os.open(self._directory / HEAD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        if not found:
            self._begin_file(head.number + 1)
            self._last = head
            if head.number:
                self._append([self._note("audit.repair", "log", {"lost_rows": f"1 to {head.number}"})])
            return
        first, path = found[-1]
        last, torn, size = _tail_of(path)
        if last is None and len(found) > 1 and first > 1:
            before, _, _ = _tail_of(found[-2][1])
            last = before
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        os.ftruncate(self._file, size)
        os.lseek(self._file, size, os.SEEK_SET)
        if torn:
            os.fsync(self._file)
        self._size = size
        # Numbers go on behind everything that ever counted, so that what is missing stays missing.
        self._last = Head(first - 1, head.hash) if last is None else Head(last.number, last.hash)
        details: dict[str, object] = {}
        if torn:
            details |= {"torn_bytes": len(torn), "torn": torn[:_TORN_SHOWN].decode("utf-8", "backslashreplace")}
        if head.number > self._last.number:
            details["lost_rows"] = f"{self._last.number + 1} to {head.number}"
            self._last = Head(head.number, self._last.hash)
        if details:
            _log.warning("the audit log %s was mended: %s", path, details)
            self._append([self._note("audit.repair", path.name, details)])

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        handle = os.open(self._directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise AuditError(f"another process writes the audit log {self._directory}: use that one") from None
        self._lock = handle

    def _append(self, entries: Sequence[Entry]) -> None:
        if self._size >= self._max_file_bytes:
            self._begin_file(self._last.number + 1)
            self._bound()
        number, before = self._last.number, self._last.hash
        lines = []
        for entry in entries:
            number += 1
            line, before = entry.line(number, before)
            lines.append(line)
        body = b"".join(lines)
        assert self._file is not None
        try:
            _write_all(self._file, body)
            os.fsync(self._file)
        except OSError:
            # Whoever is told that a row doesn't count must not find it there.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
                os.fsync(self._file)
            raise
        self._size += len(body)
        self._last = Head(number, before)
        assert self._head_file is not None
        with contextlib.suppress(OSError):  # older than the rows is no harm
            os.pwrite(self._head_file, self._last.encode(), 0)

    def _begin_file(self, number: int) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        path = file_of(self._directory, number)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = 0
        sync_directory(self._directory)

    def _bound(self) -> None:
        """Drop the oldest files beyond the bound; the row that says so is durable before they are gone."""
        found = files_in(self._directory)
        total = sum(path.stat().st_size for _, path in found)
        while total > self._max_total_bytes - self._max_file_bytes and len(found) > 1:
            (first, path), (following, _) = found[0], found[1]
            last, _, _ = _tail_of(path)
            total -= path.stat().st_size
            digest = None if last is None else last.hash
            details: dict[str, object] = {"first": first, "last": following - 1, "hash": digest}
            self._append([self._note("audit.drop", path.name, details)])
            path.unlink()
            found.pop(0)
            sync_directory(self._directory)

    def _abandon(self) -> None:
        for handle in (self._file, self._head_file):
            if handle is not None:
                with contextlib.suppress(OSError):
                    os.close(handle)
        self._file = self._head_file = None


def _tail_of(path: Path) -> tuple[Row | None, bytes, int]:
    """(the last sound row, what is torn behind the last line, where the lines end)."""
    body = path.read_bytes()
    size = body.rfind(b"\n") + 1
    for line in reversed(body[:size].split(b"\n")[:-1]):
        with contextlib.suppress(BadLine):
            return parse(line), body[size:], size
    return None, body[size:], size


def _write_all(handle: int, body: bytes) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(handle, view) :]


def _unwritable(directory: Path, error: OSError) -> AuditError:
    return AuditError(f"the audit log {directory} can't be written: {error.strerror or error}")


def gateway_entry(at: str, trusted: bool, action: str, subject: str, details: dict[str, object]) -> Entry:
    """What the gateway itself did to its log."""
    return Entry(at, trusted, Actor.gateway(), action, subject, "done", details)
