"""How fast writes may follow each other: per tag, and over all."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.commands.policy import Target
from gateway.commands.request import WriteRefused


class Pace:
    """Bounds on one gateway's writes. Times are CLOCK_MONOTONIC; a restart forgets them."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last: dict[str, float] = {}
        self._spent = 0.0
        """Writes of the last minute that still count, seeping away at the allowed rate."""
        self._at = monotonic()

    def take(self, target: Target, most_per_minute: int) -> None:
        """Let one write through. Raises WriteRefused, and then it doesn't count."""
        now = self._monotonic()
        last = self._last.get(target.name)
        if last is not None and (wait_s := last + target.min_interval_s - now) > 0:
            raise _too_fast(f"{target.name} may be written every {target.min_interval_s:g} s only", wait_s)
        self._spent = max(0.0, self._spent - (now - self._at) * most_per_minute / 60)
        self._at = now
        if (over := self._spent + 1 - most_per_minute) > 0:
            raise _too_fast(
                f"this gateway takes {most_per_minute} writes in a minute at most", over * 60 / most_per_minute
            )
        self._spent += 1
        self._last[target.name] = now


def _too_fast(sentence: str, wait_s: float) -> WriteRefused:
    return WriteRefused("too-fast", sentence, f"try again in {max(wait_s, 0.1):.1f} s", retry_after_s=wait_s)
