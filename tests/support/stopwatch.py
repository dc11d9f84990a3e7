"""How long a piece of work takes, for bounds that hold on a busy machine, too."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator
from types import TracebackType


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
