"""One who listens to a subscription, as the runtime does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.model import Batch


class Ear:
    """A Receiver that keeps what it is told."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.confirmed: list[Sequence[int] | None] = []
        self.losses: list[tuple[int, str]] = []
        self.ends: list[tuple[str, str]] = []
        """``silent`` or ``down``, and why."""
        self._news = asyncio.Event()

    def take(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._news.set()

    def confirm(self, columns: Sequence[int] | None = None) -> None:
        self.confirmed.append(columns)
        self._news.set()

    def lost(self, count: int, reason: str) -> None:
        self.losses.append((count, reason))
        self._news.set()

    def silent(self, reason: str) -> None:
        self.ends.append(("silent", reason))
        self._news.set()

    def down(self, reason: str) -> None:
        self.ends.append(("down", reason))
        self._news.set()

    async def until(self, condition: Callable[[], object], bound_s: float = 20.0) -> None:
        """Raises TimeoutError if it doesn't become true."""
        async with asyncio.timeout(bound_s):
            while not condition():
                self._news.clear()
                await self._news.wait()
