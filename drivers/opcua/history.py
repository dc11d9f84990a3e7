"""Filling gaps from the server's history (OPC 10000-11, HistoryRead of raw values)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.opcua import services, status
from drivers.opcua.binary import DataValue
from drivers.opcua.binding import Binding
from drivers.opcua.options import DeviceOptions
from drivers.opcua.services import HistoryResult, Service
from drivers.opcua.session import Garbled, batches
from drivers.opcua.status import ServiceFailed
from drivers.opcua.values import ticks_to_ns
from gateway.driver import Receiver
from gateway.model import Batch, Value

_log = logging.getLogger(__name__)

PAGE = 1000
"""Values of each node in one answer."""
_YIELD_EVERY = 100
"""Batches handed over before the loop gets its turn."""
_HISTORY_READ = 0x04
"""Bit of the AccessLevel attribute (OPC 10000-3 §8.57)."""


OVERRAN = "a queue of the server ran over"
FORGOTTEN = "the server forgot the subscription, and what changed meanwhile isn't in a history: that may be missing"


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing of one column: values with `after` < source time < `before`, in ticks."""

    position: int
    after: int
    before: int
    lost: int
    """Values to be counted as lost, if history doesn't have them."""
    reason: str
    """OVERRAN: there are missing ones. FORGOTTEN: only history can tell."""
    known: frozenset[int] = frozenset()
    """Source times between the two, in ticks, of values that came."""


@dataclass(slots=True)
class _Filling:
    """A gap on its way to being filled."""

    gap: Gap
    start: int = 0
    """Where the next page starts: with a value that is known, or at a continuation point."""
    known: int = 1
    """Values at that very time that are known."""
    point: bytes | None = None
    done: bool = False
    count: int = 0
    why: str = ""

    def __post_init__(self) -> None:
        self.start = self.gap.after


class HistoryReader:
    """Of one subscription."""

    def __init__(self, binding: Binding, options: DeviceOptions, times: int) -> None:
        self._binding = binding
        self._options = options
        self._times = times
        self._has: dict[int, bool] = {}
        """Position → whether the node has history, once that is known."""

    def may_have(self, position: int) -> bool:
        wanted = self._binding.columns[position].options.history or self._options.history
        return wanted != "off" and self._has.get(position, True)

    async def fill(self, gaps: Sequence[Gap], receiver: Receiver) -> None:
        """Fetch what is missing, a few nodes at a time, oldest first. Raises LinkDown or DeviceSilent."""
        await self._find_out([gap.position for gap in gaps])
        without = [gap for gap in gaps if not self.may_have(gap.position)]
        for reason in (OVERRAN, FORGOTTEN):
            lost = sum(gap.lost for gap in without if gap.reason == reason)
            if lost:
                receiver.lost(lost, reason)
        for some in batches(
            [gap for gap in gaps if gap not in without], self._binding.session.limits.nodes_per_history_read
        ):
            await self._fill([_Filling(gap) for gap in some], receiver)

    async def _find_out(self, positions: Sequence[int]) -> None:
        """Ask which nodes have history, once a session."""
        unknown = sorted({position for position in positions if position not in self._has})
        session = self._binding.session
        for some in batches(unknown, session.limits.nodes_per_read):
            nodes = [self._binding.packed[position] for position in some]
            try:
                levels = await session.read(nodes, services.SERVER_TIME, services.ACCESS_LEVEL)
            except (ServiceFailed, Garbled):
                continue
            for position, level in zip(some, levels, strict=True):
                self._has[position] = isinstance(level.value, int) and bool(level.value & _HISTORY_READ)

    async def _fill(self, fillings: list[_Filling], receiver: Receiver) -> None:
        while open_ones := [filling for filling in fillings if not filling.done]:
            # Nodes of one request start at the same time; what lies outside a node's own gap is left out.
            paged = [filling for filling in open_ones if filling.point is not None]
            await self._page(paged or open_ones, receiver)
        for filling in fillings:
            self._settle(filling, receiver)

    async def _page(self, fillings: Sequence[_Filling], receiver: Receiver) -> None:
        """One request, divided if it is refused as a whole."""
        start = min(filling.start for filling in fillings)
        end = max(filling.gap.before for filling in fillings)
        nodes = [(self._binding.packed[each.gap.position], each.point) for each in fillings]
        request = services.history_request(nodes, start, end, PAGE, self._times)
        try:
            results = await self._binding.session.call(Service.HISTORY_READ, request, services.history_response)
            if len(results) != len(fillings):
                raise Garbled(f"{len(results)} histories came for {len(fillings)} nodes")
        except (ServiceFailed, Garbled) as error:
            if len(fillings) == 1:
                fillings[0].done, fillings[0].why = True, str(error)
                return
            for filling in fillings:
                await self._page([filling], receiver)
            return
        pages = [self._take(filling, result) for filling, result in zip(fillings, results, strict=True)]
        await self._hand_over(fillings, pages, receiver)

    def _take(self, filling: _Filling, result: HistoryResult) -> list[DataValue]:
        """What of an answer is new, in order of time."""
        if result.status >= 0x8000_0000:
            filling.done, filling.why = True, status.sentence(result.status)
            return []
        gap, start = filling.gap, filling.start
        inside = sorted(
            (
                value
                for value in result.values
                if start <= value.source_ticks < gap.before and value.source_ticks not in gap.known
            ),
            key=lambda value: value.source_ticks,
        )
        if filling.point is None:
            at_start = sum(value.source_ticks == start for value in inside)
            # Of the gap's own beginning only one value is known, but all that have its time are taken for it.
            inside = inside[at_start if start == gap.after else min(filling.known, at_start) :]
        filling.point = result.more
        filling.count += len(inside)
        if inside:
            filling.start = inside[-1].source_ticks
            filling.known = sum(value.source_ticks == filling.start for value in inside)
        if filling.count >= self._options.history_max_values:
            filling.done, filling.why = True, f"there are more than {self._options.history_max_values} values"
        elif result.more is None:
            # Some servers stop at the number asked for without saying that there is more.
            filling.done = not inside or len(result.values) < PAGE
        return inside

    async def _hand_over(
        self, fillings: Sequence[_Filling], pages: Sequence[Sequence[DataValue]], receiver: Receiver
    ) -> None:
        """The first values of all columns in one batch, the second ones in the next, and so on."""
        binding = self._binding
        layout = binding.plan.group.layout
        for row in range(max(map(len, pages), default=0)):
            columns: list[int] = []
            values: list[Value] = []
            qualities: list[int] = []
            times: list[int | None] = []
            for filling, page in zip(fillings, pages, strict=False):
                if row < len(page):
                    column, data = binding.columns[filling.gap.position], page[row]
                    value, quality = binding.value(column, data)
                    columns.append(column.index)
                    values.append(value)
                    qualities.append(int(quality))
                    times.append(ticks_to_ns(data.source_ticks))
            codes = qualities if any(qualities) else None
            receiver.take(
                Batch(layout, time.time_ns(), time.monotonic_ns(), values, codes, columns, times, history=True)
            )
            binding.session.counters["history_values"] += len(values)
            if row % _YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def _settle(self, filling: _Filling, receiver: Receiver) -> None:
        gap = filling.gap
        # That a history says of nothing is an answer, too, unless something is known to have been there.
        if gap.lost and (filling.why or (gap.reason == OVERRAN and not filling.count)):
            receiver.lost(gap.lost, gap.reason)
        if filling.why:
            column = self._binding.columns[gap.position]
            self._has[gap.position] = False
            self._binding.complain(column, -1, f"its history can't be had: {filling.why}")
