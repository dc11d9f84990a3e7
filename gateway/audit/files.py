"""The files of an audit log: rows of rising number, ``rows-NUMBER.jsonl`` beginning with row NUMBER, and ``head``.

``head`` holds number and hash of the last row that is known to be durable. It is written after the row and never
waited for: after a power cut it may be older than the rows, but if it is newer, rows are missing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.row import NOTHING_BEFORE

HEAD = "head"
LOCK = "lock"
_NAME = re.compile(r"rows-([0-9]{12})\.jsonl")
_HEAD = re.compile(rb"([0-9]{20}) ([0-9a-f]{64})\n")
_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """A row that was durable."""

    number: int
    hash: str

    def encode(self) -> bytes:
        """Always the same length, so that it can be overwritten in place."""
        return b"%020d %b\n" % (self.number, self.hash.encode())


def file_of(directory: Path, number: int) -> Path:
    return directory / f"rows-{number:012d}.jsonl"


def files_in(directory: Path) -> list[tuple[int, Path]]:
    """(number of its first row, file), oldest first."""
    try:
        found = [(int(match[1]), path) for path in directory.iterdir() if (match := _NAME.fullmatch(path.name))]
    except FileNotFoundError:
        return []
    return sorted(found)


def head_in(directory: Path) -> Head:
    """The durable row that is known; of number 0 if there is none, or if that can't be read. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if match := _HEAD.fullmatch(directory.joinpath(HEAD).read_bytes()):
            return Head(int(match[1]), match[2].decode())
    return Head(0, NOTHING_BEFORE)


def lines_backwards(path: Path) -> Iterator[bytes]:
    """The complete lines of a file, the last first, without their newlines, a block in memory at a time."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        rest = b""
        whole = False
        """Whether a newline stands behind `rest`: what comes after the last one isn't a line yet."""
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            parts = (file.read(end - start) + rest).split(b"\n")
            rest, end = parts[0], start
            for line in reversed(parts[1:]):
                if whole:
                    yield line
                whole = True
        if whole:
            yield rest
