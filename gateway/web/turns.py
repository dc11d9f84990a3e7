"""Taking turns: what one may have at the same time is bounded, and what all may have; so nobody takes it all."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator


class Crowded(Exception):
    """So many are waiting already."""


class Turns:
    """Call from one event loop."""

    def __init__(self, most: int, each: int, *, waiting: int = 0) -> None:
        """`most`: turns at once; `each`: of one; `waiting`: how many of one may wait, beyond which it is Crowded."""
        self._all = asyncio.Semaphore(most)
        self._each = each
        self._waiting = waiting
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._here: Counter[str] = Counter()
        """Who has a turn or waits for one."""

    @contextlib.asynccontextmanager
    async def take(self, who: str) -> AsyncIterator[None]:
        """Raises Crowded."""
        gate = self._gates.setdefault(who, asyncio.Semaphore(self._each))
        if self._here[who] >= self._each + self._waiting or (not self._waiting and self._all.locked()):
            self._let_go(who)
            raise Crowded(f"{who} has too much under way")
        self._here[who] += 1
        try:
            async with gate, self._all:
                yield
        finally:
            self._here[who] -= 1
            self._let_go(who)

    def _let_go(self, who: str) -> None:
        if not self._here[who]:
            del self._here[who], self._gates[who]
