"""The ids of writes and what came of them, over crashes, for at least a day. Blocking; one owner.

Segments of lines, ``ids-NUMBER.log``: a CRC-32 in hexadecimal, a space, a JSON document. The first line of a segment
says when it was begun. A write has a line before it is sent and one when its outcome is known; both hold all of it.
A line counts once it is synced; what a power cut tore off is cut off.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from gateway.commands.request import Outcome, WriteRecord
from gateway.ops.files import sync_directory

_log = logging.getLogger(__name__)

KEPT_S = 86_400.0
SEGMENT_S = 7200.0
CONTINUED_BYTES = 256 * 1024
MOST_IDS = 100_000
_NAME = re.compile(r"ids-([0-9]{8})\.log")
_HEAD = 9
"""Checksum and space."""


class MemoryFull(Exception):
    """So many writes in a day can't be remembered. The message is one sentence for a user."""


@dataclass(slots=True)
class _Segment:
    number: int
    path: Path
    begun_ns: int
    trusted: bool
    opened: float
    """CLOCK_MONOTONIC when this process learnt of it."""
    size: int = 0
    """Bytes of whole lines when this process learnt of it."""


class Memory:
    """What one gateway remembers of its writes."""

    def __init__(
        self,
        directory: Path,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        trusted: Callable[[], bool] = lambda: True,
        monotonic: Callable[[], float] = time.monotonic,
        most_ids: int = MOST_IDS,
    ) -> None:
        self._directory = directory
        self._now_ns = now_ns
        self._trusted = trusted
        self._monotonic = monotonic
        self._most_ids = most_ids
        self._segments: dict[int, _Segment] = {}
        self._index: dict[bytes, tuple[int, int]] = {}
        """A hash of the id → segment and offset of its latest line: small, as there may be many."""
        self._file: int | None = None
        self._size = 0

    def open(self) -> tuple[list[WriteRecord], list[WriteRecord]]:
        """(writes whose outcome a crash left open, now remembered as unknown; the latest ones with an outcome).

        Raises OSError.
        """
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._index.clear()
        self._segments.clear()
        open_ones: dict[str, WriteRecord] = {}
        latest: list[WriteRecord] = []
        for number, path in self._found():
            for record in self._load(number, path):
                if record.outcome is Outcome.PENDING:
                    open_ones[record.id] = record
                else:
                    open_ones.pop(record.id, None)
                    latest = [*latest[-199:], record]
        if not self._continue_segment():
            self._begin_segment()
        self._drop_old()
        lost = [
            replace(
                record,
                outcome=Outcome.UNKNOWN,
                code="unknown",
                message=f"the gateway stopped while {record.tag} was being written; whether it was written is unknown",
                done_ns=self._now_ns(),
            )
            for record in open_ones.values()
        ]
        for record in lost:
            self._append(record)
        return lost, latest

    def close(self) -> None:
        """Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def get(self, write_id: str) -> WriteRecord | None:
        """Raises OSError."""
        place = self._index.get(_key(write_id))
        if place is None:
            return None
        number, offset = place
        with self._segments[number].path.open("rb") as file:
            file.seek(offset)
            body = _parse(file.readline())
        record = WriteRecord.from_json(body) if body is not None else None
        return record if record is not None and record.id == write_id else None

    def asked(self, record: WriteRecord) -> None:
        """Remember a write that is about to be sent. Raises MemoryFull or OSError; it must not be sent then."""
        if self._monotonic() - self._current.opened >= SEGMENT_S:
            self._begin_segment()
            self._drop_old()
        if len(self._index) >= self._most_ids:
            raise MemoryFull(f"{self._most_ids} writes in a day are the most whose ids can be remembered")
        self._append(record)

    def done(self, record: WriteRecord) -> None:
        """Remember an outcome. Raises OSError."""
        self._append(record)

    @property
    def _current(self) -> _Segment:
        return self._segments[max(self._segments)]

    def _append(self, record: WriteRecord) -> None:
        if self._file is None:
            self._begin_segment()
        offset = self._size
        self._write(record.to_json())
        self._index[_key(record.id)] = (self._current.number, offset)

    def _write(self, body: dict[str, Any]) -> None:
        assert self._file is not None
        line = _line(body)
        try:
            view = memoryview(line)
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError:
            # What is in the file now isn't known: go on in another one, behind nothing half-written.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            self.close()
            raise
        self._size += len(line)

    def _continue_segment(self) -> bool:
        """Go on in the last segment unless it is large: not every start of a gateway shall leave a file."""
        if not self._segments or (segment := self._current).size >= CONTINUED_BYTES:
            return False
        self._file = os.open(segment.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        os.ftruncate(self._file, segment.size)
        self._size = segment.size
        return segment.size > 0

    def _begin_segment(self) -> None:
        self.close()
        number = max(self._segments, default=0) + 1
        segment = _Segment(
            number, self._directory / f"ids-{number:08d}.log", self._now_ns(), self._trusted(), self._monotonic()
        )
        self._file = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = 0
        self._segments[number] = segment
        sync_directory(self._directory)
        self._write({"begun_ns": segment.begun_ns, "trusted": segment.trusted})

    def _drop_old(self) -> None:
        """Forget segments whose last line is a day old: by this process's uptime, or by clocks that were right."""
        numbers = sorted(self._segments)
        now, now_ns, trusted = self._monotonic(), self._now_ns(), self._trusted()
        for number, following in itertools.pairwise(numbers):
            # Nothing was added to a segment after the following one was begun.
            end = self._segments[following]
            by_clock = trusted and end.trusted and now_ns - end.begun_ns >= KEPT_S * 1e9
            if not by_clock and now - end.opened < KEPT_S:
                return
            with contextlib.suppress(FileNotFoundError):
                self._segments[number].path.unlink()
            del self._segments[number]
            self._index = {key: place for key, place in self._index.items() if place[0] != number}

    def _found(self) -> list[tuple[int, Path]]:
        names = ((path, _NAME.fullmatch(path.name)) for path in self._directory.iterdir())
        return sorted((int(match[1]), path) for path, match in names if match)

    def _load(self, number: int, path: Path) -> Iterator[WriteRecord]:
        segment = _Segment(number, path, 0, False, self._monotonic())
        self._segments[number] = segment
        offset = damaged = 0
        with path.open("rb") as file:
            for line in file:
                body = _parse(line)
                record = None
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    if body is not None and "begun_ns" in body:
                        segment.begun_ns, segment.trusted = int(body["begun_ns"]), bool(body["trusted"])
                    elif body is not None:
                        record = WriteRecord.from_json(body)
                if record is not None:
                    self._index[_key(record.id)] = (number, offset)
                    yield record
                elif body is None and line.endswith(b"\n"):
                    damaged += 1
                offset += len(line)
                if line.endswith(b"\n"):
                    segment.size = offset
        if damaged:
            _log.error("%d lines of %s are damaged: so many outcomes of writes may be forgotten", damaged, path)


def _key(write_id: str) -> bytes:
    return hashlib.sha256(write_id.encode()).digest()[:16]


def _line(body: dict[str, Any]) -> bytes:
    document = orjson.dumps(body)
    return b"%08x %b\n" % (zlib.crc32(document), document)


def _parse(line: bytes) -> dict[str, Any] | None:
    document = line[_HEAD:-1]
    if not line.endswith(b"\n") or line[:_HEAD] != b"%08x " % zlib.crc32(document):
        return None
    body = orjson.loads(document)
    return body if isinstance(body, dict) else None
