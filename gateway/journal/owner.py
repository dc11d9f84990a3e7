"""The thread that owns the journal's file: it does one thing after another and reports back to the event loop."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from gateway.journal.store import Store

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Owner:
    """Runs jobs on the store in the order they came, and hands result or error to `done` on the event loop."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[Store], T], done: Callable[[T | Exception], None]) -> None:
        """Do `job` after everything submitted before it."""

        def work() -> None:
            result: T | Exception
            try:
                result = job(self._store)
            except Exception as error:  # noqa: BLE001 — whatever it is, the loop must learn of it
                result = error
            try:
                self._loop.call_soon_threadsafe(done, result)
            except RuntimeError:
                _log.warning("the event loop ended before the journal did")

        self._jobs.put(work)

    async def call(self, job: Callable[[Store], T]) -> T:
        """Do `job` and wait for it. Raises what it raises."""
        future: asyncio.Future[T] = self._loop.create_future()

        def done(result: T | Exception) -> None:
            if future.done():
                return
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.submit(job, done)
        return await future

    def stop(self) -> None:
        """End the thread once it has done what it was given. Blocks for that long."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._jobs.get()) is not None:
            work()
