"""Which sequence numbers of one source and boot have been seen: nothing missing, nothing twice, in order."""

from __future__ import annotations

from bisect import bisect_right


class Coverage:
    """A set of sequence numbers kept as disjoint ranges. Numbers start at 1."""

    __slots__ = ("_ends", "_next", "_starts", "disordered", "duplicates")

    def __init__(self) -> None:
        self._starts: list[int] = [1]
        self._ends: list[int] = [1]
        self._next = [1, 1]
        self.duplicates = 0
        """Numbers that came more than once."""
        self.disordered = 0
        """Numbers new to us that came after a higher one of the same stream (live or backfill)."""

    def add(self, first: int, count: int, backfill: bool) -> None:
        """Take the numbers `first` … `first + count - 1`."""
        end = first + count
        if first == self._ends[-1]:
            self._ends[-1] = end
            fresh = count
        else:
            fresh = self._insert(first, end)
            self.duplicates += count - fresh
        if first >= self._next[backfill]:
            self._next[backfill] = end
        else:
            self.disordered += fresh

    def _insert(self, first: int, end: int) -> int:
        """Unite one range with the set. Returns how many of its numbers are new."""
        starts, ends = self._starts, self._ends
        low = bisect_right(ends, first - 1)
        high = bisect_right(starts, end)
        fresh = end - first
        for at in range(low, high):
            fresh -= max(0, min(end, ends[at]) - max(first, starts[at]))
        if low < high:
            first, end = min(first, starts[low]), max(end, ends[high - 1])
        starts[low:high] = [first]
        ends[low:high] = [end]
        return fresh

    @property
    def last(self) -> int:
        return self._ends[-1] - 1

    @property
    def missing(self) -> int:
        """Numbers from 1 to the highest seen that have not come."""
        return self.last - sum(end - start for start, end in zip(self._starts, self._ends, strict=True))
