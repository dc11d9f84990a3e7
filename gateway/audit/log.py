"""The audit log as the rest of the gateway sees it: rows in, durable when the call returns; rows out, newest first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from gateway.actors import Actor
from gateway.audit.chain import MAX_FILE_BYTES, MAX_TOTAL_BYTES, AuditError, Chain, gateway_entry
from gateway.audit.files import files_in, lines_backwards
from gateway.audit.row import BadLine, Entry, Row, moment, parse
from gateway.audit.verify import Verification, verify

_log = logging.getLogger(__name__)

MOST_WAITING = 1000
MOST_ROWS = 1000


class AuditLog:
    """One gateway's audit log. ``async with`` takes it over, mends it and lets it go; rows are kept in call order."""

    def __init__(
        self,
        directory: Path,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        trusted: Callable[[], bool] = lambda: True,
        max_file_bytes: int = MAX_FILE_BYTES,
        max_total_bytes: int = MAX_TOTAL_BYTES,
    ) -> None:
        """`now_ns`: ns since 1970; `trusted`: whether that is known to be right. Both from any thread."""
        self.directory = directory
        self._now_ns = now_ns
        self._trusted = trusted
        self._chain = Chain(directory, self._note, max_file_bytes=max_file_bytes, max_total_bytes=max_total_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._waiting: deque[tuple[Entry, asyncio.Future[None]]] = deque()

    async def __aenter__(self) -> Self:
        """A log that can't be written is said, and every :meth:`record` tries again."""
        try:
            await self._in_thread(self._chain.open)
        except AuditError as error:
            _log.error("%s; what must be recorded is refused until it can be", error)
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._waiting:
            await asyncio.wait([self._waiting[-1][1]])
        await self._in_thread(self._chain.close)
        self._thread.shutdown()

    async def record(self, actor: Actor, action: str, subject: str, outcome: str, **details: Any) -> None:
        """Keep one row. When this returns it is on the disk. Raises AuditError if it isn't.

        What is too long in `details` is cut; secrets don't belong there. Rows that wait together are synced together.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise AuditError(f"{MOST_WAITING} rows are waiting for the audit log: the disk is too slow for them")
        entry = Entry(moment(self._now_ns()), self._trusted(), actor, action, subject, outcome, details)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        if len(self._waiting) == 1:
            self._write_waiting()
        await done

    async def query(
        self,
        before: int | None = None,
        limit: int = 100,
        action: str | None = None,
        actor: str | None = None,
        subject: str | None = None,
        *,
        after: int = 0,
    ) -> list[Row]:
        """Rows numbered under `before` and over `after`, newest first, at most `limit` (and MOST_ROWS) of them.

        `action` also matches all actions below it: ``write`` matches ``write.intent``. `actor` and `subject` match in
        full, `subject` also all below it (``filler1`` matches ``filler1/setpoint``). Raises OSError.
        """

        def wanted(row: Row) -> bool:
            return (
                (action is None or row.action == action or row.action.startswith(f"{action}."))
                and (actor is None or row.actor == actor)
                and (subject is None or row.subject == subject or row.subject.startswith(f"{subject}/"))
            )

        return await asyncio.to_thread(_newest, self.directory, before, after, min(limit, MOST_ROWS), wanted)

    async def verify(self) -> Verification:
        """See :func:`gateway.audit.verify`. Raises OSError."""
        return await asyncio.to_thread(verify, self.directory)

    def _write_waiting(self) -> None:
        """Have the thread append everything that waits now. What comes meanwhile is the next lot."""
        lot = list(self._waiting)
        writing = self._in_thread(self._chain.append, [entry for entry, _ in lot])

        def written(result: asyncio.Future[None]) -> None:
            error = result.exception()
            for _, done in lot:
                self._waiting.popleft()
                if done.done():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)
            if self._waiting:
                self._write_waiting()

        writing.add_done_callback(written)

    def _in_thread(self, function: Callable[..., None], *arguments: Any) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _note(self, action: str, subject: str, details: dict[str, object]) -> Entry:
        return gateway_entry(moment(self._now_ns()), self._trusted(), action, subject, details)


def _newest(directory: Path, before: int | None, after: int, limit: int, wanted: Callable[[Row], bool]) -> list[Row]:
    rows: list[Row] = []
    for first, path in reversed(files_in(directory)):
        if before is not None and first >= before:
            continue
        try:
            for line in lines_backwards(path):
                try:
                    row = parse(line)
                except BadLine:
                    continue  # verify() says so
                if row.number <= after or len(rows) == limit:
                    return rows
                if (before is None or row.number < before) and wanted(row):
                    rows.append(row)
        except FileNotFoundError:
            break  # dropped meanwhile, and all before it
    return rows
