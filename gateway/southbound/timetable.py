"""What a link has to do next: its groups by due time, the longest due first."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable

from gateway.southbound.unit import Device, Group


class Timetable:
    """A heap of groups, each in it at most once. Those due together take turns. Times: CLOCK_MONOTONIC, seconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Group]] = []
        self._ticket = itertools.count()

    @property
    def next_due(self) -> float:
        """Infinite if there is nothing to do."""
        return self._heap[0][0] if self._heap else math.inf

    def push(self, group: Group, due: float) -> None:
        """Add a group that isn't in it."""
        heapq.heappush(self._heap, (due, next(self._ticket), group))

    def pop(self) -> Group:
        return heapq.heappop(self._heap)[2]

    def remove(self, group: Group) -> None:
        self._keep(lambda each: each is not group)

    def remove_device(self, device: Device) -> None:
        self._keep(lambda each: each.device is not device)

    def clear(self) -> None:
        self._heap.clear()

    def bring_forward(self, earliest: Callable[[Group], float]) -> None:
        """Have groups at `earliest` (infinite: as they are) if they aren't due before. They are off the grid then."""
        for place, (due, ticket, group) in enumerate(self._heap):
            sooner = earliest(group)
            if sooner < due:
                group.at_once = True
                self._heap[place] = (sooner, ticket, group)
        heapq.heapify(self._heap)

    def _keep(self, wanted: Callable[[Group], bool]) -> None:
        self._heap = [entry for entry in self._heap if wanted(entry[2])]
        heapq.heapify(self._heap)
