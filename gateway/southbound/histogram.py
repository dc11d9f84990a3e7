"""Durations in fixed buckets: constant memory, one bisection per sample."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from gateway.southbound.status import Durations

_BOUNDS_S = tuple(50e-6 * 1.25**step for step in range(64))
"""50 µs to 64 s, each bucket a quarter wider than the last."""


class Histogram:
    """Seconds in, milliseconds out."""

    __slots__ = ("_counts", "max_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_S) + 1)
        self.max_s = 0.0

    def add(self, seconds: float) -> None:
        """Negative counts as 0: a timer may fire a fraction of a millisecond early."""
        self._counts[bisect_right(_BOUNDS_S, seconds)] += 1
        if seconds > self.max_s:
            self.max_s = seconds

    def quantile_s(self, fraction: float) -> float:
        """Linear within the bucket the quantile falls into, never above the largest sample. 0 without samples."""
        rank = fraction * sum(self._counts)
        below = 0
        for bucket, count in enumerate(self._counts):
            if count and below + count >= rank:
                low = _BOUNDS_S[bucket - 1] if bucket else 0.0
                high = _BOUNDS_S[bucket] if bucket < len(_BOUNDS_S) else self.max_s
                return min(low + (high - low) * (rank - below) / count, self.max_s)
            below += count
        return 0.0

    def summary(self) -> Durations:
        """{"p50", "p99", "max"} in milliseconds."""
        return {
            "p50": round(self.quantile_s(0.50) * 1e3, 3),
            "p99": round(self.quantile_s(0.99) * 1e3, 3),
            "max": round(self.max_s * 1e3, 3),
        }

    @classmethod
    def merged(cls, parts: Iterable[Histogram]) -> Histogram:
        total = cls()
        for part in parts:
            total._counts = [a + b for a, b in zip(total._counts, part._counts, strict=True)]
            total.max_s = max(total.max_s, part.max_s)
        return total
