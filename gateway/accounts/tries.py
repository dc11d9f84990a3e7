"""How often something may go wrong: a bucket of tries that fills up again with time."""

from __future__ import annotations

import time
from collections.abc import Callable


class Tries:
    """`most` at once, and one more every `refill_s` seconds. Kept in memory: a restart fills it."""

    def __init__(self, most: int, refill_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._refill_s = refill_s
        self._monotonic = monotonic
        self._left = float(most)
        self._at = monotonic()

    def wait_s(self) -> float:
        """Seconds until the next try is allowed; 0: now."""
        now = self._monotonic()
        self._left = min(float(self._most), self._left + (now - self._at) / self._refill_s)
        self._at = now
        return 0.0 if self._left >= 1 else (1 - self._left) * self._refill_s

    def spend(self) -> None:
        """One went wrong."""
        self._left = max(0.0, self._left - 1)

    def refill(self) -> None:
        self._left = float(self._most)
