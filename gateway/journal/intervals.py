"""Sets of integers kept as closed ranges: what a sink has settled, what of a source waits on disk.

Both are long runs with few holes, so a set of millions of numbers is a handful of ranges.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class IntervalSet:
    """A set of integers as sorted, disjoint, non-adjacent closed ranges."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Add every integer of first..last. Raises ValueError if last < first."""
        if last < first:
            raise ValueError(f"range {first}..{last} is empty")
        firsts, lasts = self._firsts, self._lasts
        if lasts and lasts[-1] + 1 == first:  # in order: the usual case
            lasts[-1] = last
            return
        low = bisect_left(lasts, first - 1)  # the first range that touches or follows
        high = bisect_right(firsts, last + 1)  # one past the last range that touches
        if low < high:
            first = min(first, firsts[low])
            last = max(last, lasts[high - 1])
        firsts[low:high] = [first]
        lasts[low:high] = [last]

    def remove(self, first: int, last: int) -> None:
        """Remove every integer of first..last that is in the set. Raises ValueError if last < first."""
        if last < first:
            raise ValueError(f"range {first}..{last} is empty")
        firsts, lasts = self._firsts, self._lasts
        low = bisect_left(lasts, first)
        high = bisect_right(firsts, last)
        if low >= high:
            return
        kept: list[tuple[int, int]] = []
        if firsts[low] < first:
            kept.append((firsts[low], first - 1))
        if lasts[high - 1] > last:
            kept.append((last + 1, lasts[high - 1]))
        firsts[low:high] = [kept_first for kept_first, _ in kept]
        lasts[low:high] = [kept_last for _, kept_last in kept]

    def __contains__(self, number: int) -> bool:
        index = bisect_left(self._lasts, number)
        return index < len(self._firsts) and self._firsts[index] <= number

    def around(self, number: int) -> tuple[int, int] | None:
        """The range that holds `number`, or None."""
        index = bisect_left(self._lasts, number)
        if index < len(self._firsts) and self._firsts[index] <= number:
            return self._firsts[index], self._lasts[index]
        return None

    def covers(self, first: int, last: int) -> bool:
        """True if every integer of first..last is in the set."""
        index = bisect_left(self._lasts, last)
        return index < len(self._firsts) and self._firsts[index] <= first

    def within(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The parts of the set that lie in first..last."""
        for index in range(bisect_left(self._lasts, first), bisect_right(self._firsts, last)):
            yield max(first, self._firsts[index]), min(last, self._lasts[index])

    def gaps(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The parts of first..last that are not in the set."""
        for inside_first, inside_last in self.within(first, last):
            if inside_first > first:
                yield first, inside_first - 1
            first = inside_last + 1
        if first <= last:
            yield first, last

    def copy(self) -> IntervalSet:
        twin = IntervalSet()
        twin._firsts = self._firsts.copy()
        twin._lasts = self._lasts.copy()
        return twin

    def clear(self) -> None:
        self._firsts.clear()
        self._lasts.clear()

    @property
    def size(self) -> int:
        """How many integers are in the set."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The ranges, ascending. The set must not change meanwhile."""
        return zip(self._firsts, self._lasts, strict=True)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self._firsts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IntervalSet):
            return NotImplemented
        return self._firsts == other._firsts and self._lasts == other._lasts

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"IntervalSet({list(self)!r})"


class Progress:
    """How far a sink is: everything up to a contiguous watermark is settled, and some ranges ahead of it."""

    __slots__ = ("ahead", "watermark")

    def __init__(self, watermark: int = 0, ahead: Iterable[tuple[int, int]] = ()) -> None:
        self.watermark = watermark
        self.ahead = IntervalSet(ahead)

    def settle(self, first: int, last: int) -> None:
        """Every id of first..last is settled. What lies at or below the watermark already is."""
        if last <= self.watermark:
            return
        if first <= self.watermark + 1 and not self.ahead:
            self.watermark = last
            return
        self.ahead.add(max(first, self.watermark + 1), last)
        reached = self.ahead.around(self.watermark + 1)
        if reached is not None:
            self.ahead.remove(*reached)
            self.watermark = reached[1]

    def reopen(self, first: int, last: int) -> None:
        """No id of first..last is settled."""
        if first <= self.watermark:
            if last < self.watermark:
                self.ahead.add(last + 1, self.watermark)
            self.watermark = first - 1
        self.ahead.remove(first, last)

    def __contains__(self, number: int) -> bool:
        return number <= self.watermark or number in self.ahead

    def covers(self, first: int, last: int) -> bool:
        return last <= self.watermark or self.ahead.covers(max(first, self.watermark + 1), last)

    def around(self, number: int) -> tuple[int, int] | None:
        """The settled range that holds `number`, from 0 for the watermark's, or None."""
        return (0, self.watermark) if number <= self.watermark else self.ahead.around(number)

    def __repr__(self) -> str:
        return f"Progress({self.watermark}, {list(self.ahead)!r})"
