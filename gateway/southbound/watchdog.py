"""Ends a driver's call that doesn't return, and tells that cancellation from a stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Watchdog:
    """Watches the calls that one task makes, one at a time. Costs a call two assignments, and no timer."""

    def __init__(self, limit_s: float, clock: Callable[[], float]) -> None:
        self.limit_s = limit_s
        self.fired = False
        """The call under way was cancelled for taking too long."""
        self._clock = clock
        self._since = 0.0
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def busy(self) -> bool:
        return bool(self._since)

    def age(self, now: float) -> float:
        """How long the call under way has taken, s; of no meaning if there is none."""
        return now - self._since

    @property
    def sentence(self) -> str:
        return f"a call didn't return within {self.limit_s:.0f} s"

    def stop(self) -> None:
        """From now on every cancellation is meant for the task itself."""
        self._stopping = True

    def forget(self) -> None:
        """The task has ended."""
        self._task = None

    def watch(self, task: asyncio.Task[None], on_stuck: Callable[[], None]) -> Coroutine[Any, Any, None]:
        """Look every quarter of the limit, cancel what outlives it, and again; `on_stuck` when that is in vain."""
        self._task = task
        return self._look(task, on_stuck)

    async def _look(self, task: asyncio.Task[None], on_stuck: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self.limit_s / 4)
            if self._since and self._clock() - self._since > self.limit_s:
                if self.fired:
                    on_stuck()
                self.fired = True
                task.cancel()

    def begin(self, now: float) -> None:
        """A call begins."""
        self._since = now

    def end(self) -> None:
        """It ended, but by a cancellation. If it was being cancelled just then, that is of no more use."""
        self._since = 0.0
        if self.fired:
            self.survives()

    def survives(self) -> bool:
        """After a CancelledError out of a call: True if the task goes on, False if it is being stopped.

        It goes on if this watchdog caused it or the driver let a cancellation of its own escape.
        """
        self._since = 0.0
        task = self._task
        assert task is not None
        if self.fired:
            self.fired = False
            while not self._stopping and task.cancelling():
                task.uncancel()
        return not self._stopping and task.cancelling() == 0
