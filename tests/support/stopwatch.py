"""How long a piece of work takes, for bounds that hold on a busy machine, too."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType

_TICK_S = 0.002


class Stopwatch:
    """Measures the pieces of work that are done ``with`` it, in CPU time of this thread: what else the machine does
    isn't in it. Where a bound is tight, take it from :func:`stopwatch`."""

    def __init__(self) -> None:
        self.slowest_s = 0.0
        """The most that one piece took, in seconds."""
        self._begun = 0.0

    def __enter__(self) -> None:
        self._begun = time.thread_time()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.slowest_s = max(self.slowest_s, time.thread_time() - self._begun)


@contextlib.contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """A watch that isn't disturbed by what other tests left in memory.

    A garbage collection goes through all objects there are, for 100 ms and more in a long session, and falls into
    whatever happens to run. Within this context it leaves alone those that were there before.
    """
    gc.collect()
    gc.freeze()
    try:
        yield Stopwatch()
    finally:
        gc.unfreeze()


@contextlib.asynccontextmanager
async def loop_clock() -> AsyncIterator[Callable[[], float]]:
    """Seconds since the beginning of this context, but without those that the event loop was held up.

    For upper bounds on waiting: it shows what a clock on the wall does if the machine has time, and never more.
    """
    loop = asyncio.get_running_loop()
    lived_s, last = 0.0, time.monotonic()

    def look() -> float:
        nonlocal lived_s, last
        now = time.monotonic()
        lived_s += min(now - last, 2 * _TICK_S)
        last = now
        return lived_s

    def tick() -> None:
        nonlocal timer
        look()
        timer = loop.call_later(_TICK_S, tick)

    timer = loop.call_later(_TICK_S, tick)
    try:
        yield look
    finally:
        timer.cancel()
