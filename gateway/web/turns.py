"""Taking turns: what one may have at the same time is bounded, and what all may have; so nobody takes it all."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

LONGEST_REST_S = 1.0


class Crowded(Exception):
    """So many are waiting already."""


class Turns:
    """Call from one event loop."""

    def __init__(self, most: int, each: int, *, waiting: int = 0, rest: float = 0.0) -> None:
        """`most`: turns at once; `each`: of one; `waiting`: how many of one may wait, beyond which it is Crowded;
        `rest`: so many times as long as a turn took, at most LONGEST_REST_S, one's next waits for it."""
        self._all = asyncio.Semaphore(most)
        self._each = each
        self._waiting = waiting
        self._rest = rest
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._here: Counter[str] = Counter()
        """Who has a turn, rests from it or waits for one."""

    @contextlib.asynccontextmanager
    async def take(self, who: str) -> AsyncIterator[None]:
        """Raises Crowded."""
        if self._here[who] >= self._each + self._waiting or (not self._waiting and self._all.locked()):
            self._let_go(who, 0)
            raise Crowded("you have too much under way: try again in a moment")
        gate = self._gates.setdefault(who, asyncio.Semaphore(self._each))
        self._here[who] += 1
        try:
            await gate.acquire()
        except BaseException:
            self._let_go(who, 1)
            raise
        loop, took_s = asyncio.get_running_loop(), 0.0
        try:
            async with self._all:
                begun = loop.time()
                try:
                    yield
                finally:
                    took_s = loop.time() - begun
        finally:
            if self._rest:
                loop.call_later(min(LONGEST_REST_S, self._rest * took_s), self._rested, who, gate)
            else:
                self._rested(who, gate)

    def _rested(self, who: str, gate: asyncio.Semaphore) -> None:
        gate.release()
        self._let_go(who, 1)

    def _let_go(self, who: str, turns: int) -> None:
        self._here[who] -= turns
        if not self._here[who]:
            del self._here[who]
            self._gates.pop(who, None)
