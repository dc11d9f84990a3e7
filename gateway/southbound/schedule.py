"""When to poll: a fixed grid per group, phases that don't coincide, delays that grow after failures."""

from __future__ import annotations

import random
from collections.abc import Callable

_GOLDEN = 0.6180339887498949


def phase(index: int) -> float:
    """Fraction of the interval by which the group number `index` of the whole configuration is shifted.

    Multiples of the golden ratio stay evenly apart for any number of groups and put neighbours, which often share a
    wire, far from each other. The same configuration gives the same phases after every restart.
    """
    return index * _GOLDEN % 1.0


class Grid:
    """Due times ``phase + k·interval`` on CLOCK_MONOTONIC, exact for every k: nothing drifts."""

    __slots__ = ("_phase_s", "interval_s")

    def __init__(self, interval_s: float, phase_fraction: float) -> None:
        """`interval_s` > 0."""
        self.interval_s = interval_s
        self._phase_s = interval_s * phase_fraction

    def due(self, slot: int) -> float:
        return self._phase_s + slot * self.interval_s

    def next_slot(self, now: float) -> int:
        """The first slot that lies after `now`."""
        slot = int((now - self._phase_s) // self.interval_s) + 1
        # The division may round across a slot's edge.
        return slot if self.due(slot) > now else slot + 1


class Backoff:
    """Delays before tries: none before the first, then doubling from `first_s` to `cap_s`, each cut by up to half.

    The cut keeps many links that failed together from coming back together.
    """

    def __init__(self, first_s: float, cap_s: float, jitter: Callable[[], float] = random.random) -> None:
        """`jitter` gives numbers in [0, 1)."""
        self._first_s = first_s
        self._cap_s = cap_s
        self._jitter = jitter
        self._tries = 0

    def next_s(self) -> float:
        """The delay before the next try; 0 before the first since the last reset."""
        tries = self._tries
        self._tries += 1
        if tries == 0:
            return 0.0
        full = min(self._cap_s, self._first_s * 2.0 ** min(tries - 1, 32))
        return full * (1.0 - 0.5 * self._jitter())

    def reset(self) -> None:
        self._tries = 0
