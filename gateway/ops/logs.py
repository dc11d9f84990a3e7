"""The last log records, kept in memory for whoever asks: bounded by count and by bytes, without secrets.

Records come from any thread; watchers live on an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from gateway.secrets import redacted

KEPT: Final = 2000
KEPT_BYTES: Final = 2 << 20
_MOST_CHARACTERS: Final = 4000
_MOST_TRACEBACK: Final = 16_000
_OVERHEAD: Final = 300
"""Bytes a kept entry has besides its texts, about."""

NOT_KEPT: Final = "not_kept"
"""``extra={NOT_KEPT: True}``: the record is for the console alone; nobody gets it through the control API."""

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_FORMAT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_JOURNAL_FORMAT: Final = "%(name)s: %(message)s"


# All that a terminal may obey (C0, DEL, C1), but for tab and newline.
_CONTROLS: Final = {number: f"\\x{number:02x}" for number in (*range(9), *range(11, 32), *range(127, 160))}


class RedactingFormatter(logging.Formatter):
    """Lines for a stream, secrets crossed out.

    Names and texts come from devices and from whoever types: none of them begins a line that looks like another record,
    and none of them steers the terminal that shows it.
    """

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return super().formatMessage(record).translate(_CONTROLS).replace("\n", "\n    ")


class JournalFormatter(RedactingFormatter):
    """The same for systemd's journal, which keeps the time itself and takes the level from a mark at each line's start
    (sd-daemon(3)): ``journalctl -p warning`` finds what it should."""

    def format(self, record: logging.LogRecord) -> str:
        mark = next(mark for level, mark in _MARKS if record.levelno >= level)
        return "\n".join(mark + line for line in super().format(record).split("\n"))


_MARKS: Final = ((logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"), (0, "<7>"))


def formatter_for(stream: TextIO) -> RedactingFormatter:
    """What is written to a stream: a terminal or file, or systemd's journal, which says so in ``JOURNAL_STREAM``."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return RedactingFormatter(_FORMAT)
    if os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}":
        return JournalFormatter(_JOURNAL_FORMAT)
    return RedactingFormatter(_FORMAT)


@dataclass(frozen=True, slots=True)
class LogEntry:
    id: int
    """Counts up by one from 1 at the gateway's start."""
    timestamp_ms: int
    level: str
    """``debug``, ``info``, ``warning`` or ``error``."""
    logger: str
    message: str
    traceback: str | None = None

    @property
    def size(self) -> int:
        return _OVERHEAD + len(self.message) + len(self.logger) + len(self.traceback or "")


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which entries are wanted."""

    level: str = "debug"
    """The least."""
    since_ms: int = 0
    after: int = 0
    """Only entries with a higher id."""
    match: str = ""
    """Stands somewhere in the message, the traceback or the logger's name, in whatever case."""

    def takes(self, entry: LogEntry) -> bool:
        if entry.id <= self.after or entry.timestamp_ms < self.since_ms or LEVELS[entry.level] < LEVELS[self.level]:
            return False
        sought = self.match.casefold()
        texts = (entry.message, entry.logger, entry.traceback or "")
        return not sought or any(sought in text.casefold() for text in texts)


@dataclass(frozen=True, slots=True)
class LogsMissed:
    """So many entries came and went before a watcher could be told of them."""

    missed: int


class LogRing(logging.Handler):
    """A handler that keeps what it is given for a while. What is too old is let go, and counted by the ids."""

    def __init__(self, kept: int = KEPT, kept_bytes: int = KEPT_BYTES) -> None:
        super().__init__()
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._last = 0
        self._entries: deque[LogEntry] = deque()
        self._tracebacks = logging.Formatter()
        self._guard = threading.Lock()
        self._watchers: list[_Watcher] = []

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, NOT_KEPT, False):
            return
        try:
            message = _shortened(redacted(record.getMessage()), _MOST_CHARACTERS)
            traceback = None
            if record.exc_info:
                text = redacted(self._tracebacks.formatException(record.exc_info))
                traceback = text if len(text) <= _MOST_TRACEBACK else f"…\n{text[-_MOST_TRACEBACK:]}"
        except Exception:  # noqa: BLE001 - a bad log call must not stop what logs; logging says it on stderr
            self.handleError(record)
            return
        with self._guard:
            self._last += 1
            entry = LogEntry(
                self._last, int(record.created * 1000), _level(record.levelno), record.name, message, traceback
            )
            self._entries.append(entry)
            self._bytes += entry.size
            while len(self._entries) > self._kept or (self._bytes > self._kept_bytes and len(self._entries) > 1):
                self._bytes -= self._entries.popleft().size
            watchers = tuple(self._watchers)
        for watcher in watchers:
            watcher.wake()

    @property
    def last_id(self) -> int:
        """Id of the newest entry; 0 before the first."""
        return self._last

    @property
    def first_id(self) -> int:
        """Id of the oldest entry that is still kept; what the next one will have, if there is none."""
        with self._guard:
            return self._entries[0].id if self._entries else self._last + 1

    def latest(self, wanted: LogFilter, limit: int = KEPT) -> Sequence[LogEntry]:
        """The newest entries that are wanted, oldest first."""
        with self._guard:
            entries = tuple(self._entries)
        found: deque[LogEntry] = deque(maxlen=limit)
        found.extend(entry for entry in entries if wanted.takes(entry))
        return tuple(found)

    async def follow(self, wanted: LogFilter) -> AsyncIterator[LogEntry | LogsMissed]:
        """What is kept of what is wanted, then what comes. A watcher that is too slow is told how many it missed."""
        watcher = _Watcher()
        with self._guard:
            self._watchers.append(watcher)
        try:
            last = wanted.after
            while True:
                watcher.awake.clear()
                with self._guard:
                    entries = tuple(entry for entry in self._entries if entry.id > last)
                if entries:
                    if last and entries[0].id > last + 1:
                        yield LogsMissed(entries[0].id - last - 1)
                    for entry in entries:
                        if wanted.takes(entry):
                            yield entry
                    last = entries[-1].id
                await watcher.awake.wait()
        finally:
            with self._guard:
                self._watchers.remove(watcher)


class _Watcher:
    """Wakes a coroutine from whatever thread."""

    def __init__(self) -> None:
        self.awake = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        if not self.awake.is_set():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody watches any more
                self._loop.call_soon_threadsafe(self.awake.set)


def _level(number: int) -> str:
    return next((name for name, least in reversed(LEVELS.items()) if number >= least), "debug")


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
