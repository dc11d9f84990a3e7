"""A set of whole numbers as disjoint intervals: millions of sequence numbers in a few entries."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Intervals:
    """Sorted, disjoint, never touching intervals; both ends belong to them. Adding at the upper end costs O(1)."""

    __slots__ = ("_ends", "_starts", "count")

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.count = 0
        """How many numbers are in it."""
        for low, high in spans:
            self.add(low, high)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def first(self) -> int:
        """The smallest number. Raises IndexError if there is none."""
        return self._starts[0]

    @property
    def last(self) -> int:
        """The largest number. Raises IndexError if there is none."""
        return self._ends[-1]

    def add(self, low: int, high: int) -> int:
        """Put `low` … `high` in and return how many of them are new."""
        starts, ends = self._starts, self._ends
        if not ends or low > ends[-1]:
            if ends and low == ends[-1] + 1:
                ends[-1] = high
            else:
                starts.append(low)
                ends.append(high)
            self.count += high - low + 1
            return high - low + 1
        # Everything that overlaps or touches low … high becomes one interval.
        left = bisect_left(ends, low - 1)
        right = bisect_right(starts, high + 1)
        known = sum(ends[i] - starts[i] + 1 for i in range(left, right))
        if left < right:
            low, high = min(low, starts[left]), max(high, ends[right - 1])
        starts[left:right] = [low]
        ends[left:right] = [high]
        new = high - low + 1 - known
        self.count += new
        return new

    def within(self, low: int, high: int) -> int:
        """How many numbers from `low` to `high` are in it."""
        if high < low:
            return 0
        left = bisect_left(self._ends, low)
        right = bisect_right(self._starts, high)
        return sum(min(self._ends[i], high) - max(self._starts[i], low) + 1 for i in range(left, right))

    def gaps(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """The spans between `low` and `high` that aren't in it."""
        at = low
        for i in range(bisect_left(self._ends, low), len(self._starts)):
            start, end = self._starts[i], self._ends[i]
            if start > high:
                break
            if start > at:
                yield at, start - 1
            at = max(at, end + 1)
        if at <= high:
            yield at, high
