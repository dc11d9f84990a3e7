"""A prepared read: which requests fetch a group, and how their replies become columns.

Planning is pure. What a plan learns while it is used - addresses the device doesn't have, reads it refuses to do in one
go - changes its requests but never its columns.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from drivers.common.blocks import Span, merge
from drivers.common.words import BitCodec, BlockCodec, picker
from drivers.modbus import pdu
from drivers.modbus.address import Table
from drivers.modbus.bus import ModbusBus
from drivers.modbus.options import DeviceOptions
from drivers.modbus.points import Located, locate
from gateway.driver import PointError, PollGroup
from gateway.model import Batch, Quality, Value

P = TypeVar("P")

HOLE_RETRY_S = 10.0
"""When an address that the device said it doesn't have is first asked for again; doubled each time."""
HOLE_RETRY_MAX_S = 86_400.0
# Columns hold plain integers.
_UNDECODABLE = int(Quality.BAD_DECODING_ERROR)


@dataclass(frozen=True, slots=True)
class Request(Generic[P]):
    """One read on the wire."""

    table: Table
    span: Span
    members: tuple[int, ...]
    """Columns it serves, by ascending address."""
    columns: tuple[int, ...]
    """Column of each decoded value."""
    decode: Callable[[bytes], tuple[Value, ...]]
    prepared: P


@dataclass(slots=True)
class Hole:
    """A column the device refuses to give."""

    quality: int
    delay_s: float
    retry_at: float
    """Monotonic seconds."""


class ReadPlan(Generic[P]):
    """Implements :class:`gateway.driver.Plan`. Belongs to one device."""

    def __init__(self, group: PollGroup, options: DeviceOptions, bus: ModbusBus[P]) -> None:
        self.group = group
        self._options = options
        self._bus = bus
        self._located: dict[int, Located] = {}
        errors: list[PointError] = []
        for column, point in enumerate(group.points):
            try:
                self._located[column] = _checked(group, column, options)
            except ValueError as error:
                errors.append(PointError(point.path, str(error)))
        self._errors = tuple(errors)
        self.holes: dict[int, Hole] = {}
        self.next_retry_at = math.inf
        """Monotonic seconds at which a hole is to be asked for again."""
        self._cuts: dict[Table, set[int]] = {table: set() for table in Table}
        self.first = 0
        """Which request to begin with. Not 0 only after one stayed unanswered: it is then asked last."""
        self.last: Batch | None = None
        """The batch last read, for values that are held."""
        self.requests: tuple[Request[P], ...] = ()
        self._rebuild()

    @property
    def errors(self) -> Sequence[PointError]:
        return self._errors

    @property
    def asks(self) -> bool:
        return bool(self.requests) or self.next_retry_at <= time.monotonic()

    def describe(self) -> Sequence[str]:
        return [
            f"unit {self._options.unit}: read {_count(request.span.count, request.table.plural)} "
            f"from {request.table.prefix}:{request.span.address + self._options.address_offset} "
            f"(function {request.table.read_function}, {_count(len(request.members), 'tags')})"
            for request in self.requests
        ]

    # -- assembling

    def assemble(self, parts: Sequence[tuple[Value, ...]], read_ns: int, mono_ns: int) -> Batch:
        """The batch of a read in which every request was answered; `parts` are their decoded values in order."""
        values: tuple[Value, ...] = parts[0] if len(parts) == 1 else tuple(chain.from_iterable(parts))
        if self._gather is not None:
            values = self._gather((*values, None))
        qualities = self._base_qualities
        if self._fallible and None in values:
            base = qualities or (0,) * len(values)
            qualities = tuple(
                _UNDECODABLE if value is None and not quality else quality
                for value, quality in zip(values, base, strict=True)
            )
        batch = Batch(self.group.layout, read_ns, mono_ns, values, qualities)
        self.last = batch
        return batch

    def base_quality(self, column: int) -> int:
        """The quality a column has whatever the device answers, or 0."""
        if column in self.holes:
            return self.holes[column].quality
        return 0 if column in self._located else int(Quality.BAD_CONFIGURATION_ERROR)

    # -- learning

    def halve(self, request: Request[P]) -> tuple[Request[P], Request[P]] | None:
        """Two requests for the same members, or None if they all share one place and stand or fall together."""
        places: dict[Span, list[int]] = {}
        for column in request.members:
            places.setdefault(self._located[column].span, []).append(column)
        if len(places) < 2:
            return None
        columns = list(places.values())
        middle = len(columns) // 2
        return (
            self.request_for(tuple(chain.from_iterable(columns[:middle]))),
            self.request_for(tuple(chain.from_iterable(columns[middle:]))),
        )

    def cut(self, at: Request[P]) -> None:
        """Remember that no read may reach from below into `at`: the device answers both sides, but not together."""
        self._cuts[at.table].add(at.span.address)

    def dig(self, columns: Sequence[int], quality: int) -> None:
        """Remember that the device refuses these columns, and when to ask again."""
        now = time.monotonic()
        for column in columns:
            hole = self.holes.get(column)
            delay = HOLE_RETRY_S if hole is None else min(2 * hole.delay_s, HOLE_RETRY_MAX_S)
            self.holes[column] = Hole(int(quality), delay, now + delay)
        self._schedule_retry()

    def fill(self, columns: Sequence[int]) -> None:
        """Forget that the device refused these columns."""
        for column in columns:
            self.holes.pop(column, None)
        self._schedule_retry()

    def _schedule_retry(self) -> None:
        self.next_retry_at = min((hole.retry_at for hole in self.holes.values()), default=math.inf)

    def due_hole(self) -> Request[P] | None:
        """A request for one refused value whose time has come, or None."""
        if self.next_retry_at > time.monotonic():
            return None
        return self.request_for((min(self.holes, key=lambda column: self.holes[column].retry_at),))

    def learn(self) -> None:
        """Take what was learnt into the requests."""
        self._rebuild()

    # -- building

    def request_for(self, columns: tuple[int, ...]) -> Request[P]:
        """One read of these columns, which are of one table and in ascending order of address."""
        places = [self._located[column] for column in columns]
        table = places[0].table
        start = places[0].span.address
        count = max(place.span.end for place in places) - start
        codec: BlockCodec | BitCodec
        if table.holds_bits:
            codec = BitCodec([place.span.address - start for place in places], count)
        else:
            codec = BlockCodec(
                [(place.span.address - start, place.encoding) for place in places if place.encoding is not None], count
            )
        return Request(
            table=table,
            span=Span(start, count),
            members=columns,
            columns=tuple(columns[position] for position in codec.order),
            decode=codec.decode,
            prepared=self._bus.prepare(self._options.unit, pdu.read(table, start, count)),
        )

    def _rebuild(self) -> None:
        tables: dict[Table, list[int]] = {}
        for column, place in self._located.items():
            if column not in self.holes:
                tables.setdefault(place.table, []).append(column)
        requests: list[Request[P]] = []
        for table, columns in tables.items():
            bits = table.holds_bits
            hole_spans = [self._located[column].span for column in self.holes if self._located[column].table is table]
            cuts = {*self._cuts[table], *chain.from_iterable((span.address, span.end) for span in hole_spans)}
            blocks = merge(
                [self._located[column].span for column in columns],
                max_size=self._options.max_bits if bits else self._options.max_registers,
                max_gap=self._options.max_gap_bits if bits else self._options.max_gap,
                separate=self._options.one_request_per_tag,
                cuts=cuts,
            )
            requests += [self.request_for(tuple(columns[index] for index in block.members)) for block in blocks]
        self.requests = tuple(requests)
        self.first = 0
        width = len(self.group.points)
        order = list(chain.from_iterable(request.columns for request in requests))
        self._gather: Callable[[Sequence[Any]], tuple[Any, ...]] | None = None
        if order != list(range(width)):
            position = {column: index for index, column in enumerate(order)}
            # A column that no request serves takes the None that is appended to what was decoded.
            self._gather = picker([position.get(column, len(order)) for column in range(width)])
        base = tuple(self.base_quality(column) for column in range(width))
        self._base_qualities: tuple[int, ...] | None = base if any(base) else None
        self._fallible = any(place.encoding is not None and place.encoding.fallible for place in self._located.values())


def _count(number: int, plural: str) -> str:
    return f"{number} {plural if number != 1 else plural.removesuffix('s')}"


def _checked(group: PollGroup, column: int, options: DeviceOptions) -> Located:
    place = locate(group.points[column], options)
    if group.layout.tags[column].writable and not place.table.writable:
        kind = "discrete inputs" if place.table.holds_bits else "input registers"
        raise ValueError(
            f"'{group.points[column].options.address}' can't be writable: {kind} are read-only, drop 'writable'"
        )
    return place
