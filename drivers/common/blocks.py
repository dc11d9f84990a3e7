"""Merging addresses into reads: as few requests as a device's limits allow.

Units are the protocol's own: registers, or bits. A value is never split over two reads.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """The addresses one value takes: `count` of them from `address` on."""

    address: int
    count: int

    @property
    def end(self) -> int:
        return self.address + self.count


@dataclass(frozen=True, slots=True)
class Block:
    """One read, and which spans it covers (their indexes, by ascending address)."""

    address: int
    count: int
    members: tuple[int, ...]


def merge(
    spans: Sequence[Span],
    *,
    max_size: int,
    max_gap: int,
    separate: bool = False,
    cuts: Collection[int] = (),
) -> list[Block]:
    """Cover every span by exactly one block, in ascending address order, with the fewest blocks.

    `max_size` limits a block; `max_gap` limits the unwanted addresses read between two wanted ones; `separate` gives
    each span a block of its own; no block that merges spans reaches over an address in `cuts` from below (it may start
    there). A span longer than `max_size` has a block of its own.
    """
    blocks: list[Block] = []
    members: list[int] = []
    start = end = 0
    for index in sorted(range(len(spans)), key=lambda index: (spans[index].address, spans[index].end)):
        span = spans[index]
        if (
            members
            and not separate
            and span.address - end <= max_gap
            and max(end, span.end) - start <= max_size
            and not any(start < cut < max(end, span.end) for cut in cuts)
        ):
            members.append(index)
            end = max(end, span.end)
            continue
        if members:
            blocks.append(Block(start, end - start, tuple(members)))
        members = [index]
        start, end = span.address, span.end
    if members:
        blocks.append(Block(start, end - start, tuple(members)))
    return blocks
