"""A prepared read: which requests fetch a group, and how their replies become columns.

Planning is pure. What is learnt about the device while it is read - addresses it doesn't have, reads it refuses to do
in one go - changes a plan's requests but never its columns.
"""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from drivers.common.blocks import Block, Span, merge
from drivers.common.codec import BitCodec, BlockCodec, picker
from drivers.modbus import pdu
from drivers.modbus.address import DATA_TABLES, Table
from drivers.modbus.bus import ModbusBus
from drivers.modbus.errors import EXCEPTION_QUALITIES, exception_name
from drivers.modbus.identity import Identity
from drivers.modbus.memory import Hole, Memory, Place
from drivers.modbus.options import DeviceOptions
from drivers.modbus.points import Located, locate
from gateway.driver import PointError, PollGroup
from gateway.model import Batch, Quality, Value

P = TypeVar("P")

# Columns hold plain integers.
_UNDECODABLE = int(Quality.BAD_DECODING_ERROR)
BROADCAST = "unit 0 is every device on a serial line and none of them answers: give the device's own unit, 1 to 247"


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


class ReadPlan(Generic[P]):
    """Implements :class:`gateway.driver.Plan`. Belongs to one device."""

    def __init__(
        self, group: PollGroup, options: DeviceOptions, bus: ModbusBus[P], memory: Memory, identity: Identity
    ) -> None:
        self.group = group
        self._options = options
        self._bus = bus
        self._memory = memory
        self._identity = identity
        self._located: dict[int, Located] = {}
        self._places: dict[Place, list[int]] = {}
        self.objects: dict[int, int] = {}
        """Column → the object of the device's identification that it shows."""
        errors: list[PointError] = []
        for column, point in enumerate(group.points):
            try:
                place = _checked(group, column, options, bus)
            except ValueError as error:
                errors.append(PointError(point.path, str(error)))
                continue
            if place.table is Table.IDENTIFICATION:
                self.objects[column] = place.span.address
            else:
                self._located[column] = place
                self._places.setdefault((place.table, place.span), []).append(column)
        self._errors = tuple(errors)
        self.first = 0
        """Which request to begin with. Not 0 only after one stayed unanswered: it is then asked last."""
        self.last: Batch | None = None
        """The batch last read, for values that are held."""
        self.requests: tuple[Request[P], ...] = ()
        self._versions = (-1, -1)
        """The memory's and the identity's, when the requests were made."""
        self.review_at = math.inf
        """Monotonic seconds at which something that was learnt is to be tried again."""
        self.rebuild()

    @property
    def errors(self) -> Sequence[PointError]:
        return self._errors

    @property
    def asks(self) -> bool:
        return bool(self.requests) or self.review_at <= time.monotonic() or self.wants_identity

    @property
    def wants_identity(self) -> bool:
        """Whether the device must be asked who it is."""
        return bool(self.objects) and self._identity.is_due(self.objects.values(), self._bus.counters["connects"])

    def describe(self) -> Sequence[str]:
        """The requests, and then what was learnt about the device that they take into account."""
        return [*map(self._sentence, self.requests), *self._identity.describe(self.objects.values()), *self._learnt()]

    def _sentence(self, request: Request[P]) -> str:
        return (
            f"unit {self._options.unit}: read {_count(request.span.count, request.table.plural)} "
            f"from {self._name(request.table, request.span.address)} "
            f"(function {request.table.read_function}, {_count(len(request.members), 'tags')})"
        )

    def _learnt(self) -> Iterator[str]:
        memory = self._memory
        used = {place.table for place in self._located.values()}
        for table in DATA_TABLES:
            if table not in used:
                continue
            if table in memory.limits:
                yield f"learnt: at most {memory.limits[table]} of the {table.title} in one read"
            cuts = sorted(memory.cuts[table])
            if cuts:
                yield f"learnt: no read across {', '.join(self._name(table, cut) for cut in cuts)}"
        now = time.monotonic()
        for (table, span), hole in self.holes():
            yield (
                f"learnt: {self._name(table, span.address)} is refused with {exception_name(hole.code)}; "
                f"asked again in {max(0, hole.retry_at - now):.0f} s"
            )

    def _name(self, table: Table, address: int) -> str:
        return f"{table.prefix}:{address + self._options.address_offset}"

    # -- assembling

    def assemble(self, parts: Sequence[tuple[Value, ...]], read_ns: int, mono_ns: int) -> Batch:
        """The batch of a read in which every request was answered; `parts` are their decoded values in order."""
        values: tuple[Value, ...] = parts[0] if len(parts) == 1 else tuple(chain.from_iterable(parts))
        if self._gather is not None:
            values = self._gather((*values, None, *self._object_values))
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

    def base(self, column: int) -> tuple[Value, int]:
        """What a column is whatever its request is answered: value and quality, or None and 0 if that depends."""
        if column in self.objects:
            return self._identity.value(self.objects[column])
        place = self._located.get(column)
        if place is None:
            return None, int(Quality.BAD_CONFIGURATION_ERROR)
        hole = self._memory.holes.get((place.table, place.span))
        return None, 0 if hole is None else int(EXCEPTION_QUALITIES.get(hole.code, Quality.BAD))

    # -- learning

    def places(self, request: Request[P]) -> dict[Place, list[int]]:
        """The places a request reads, by ascending address, and their columns."""
        places: dict[Place, list[int]] = {}
        for column in request.members:
            place = self._located[column]
            places.setdefault((place.table, place.span), []).append(column)
        return places

    def halve(self, request: Request[P]) -> tuple[Request[P], Request[P]] | None:
        """Two requests for the same members, or None if they all share one place and stand or fall together."""
        columns = list(self.places(request).values())
        if len(columns) < 2:
            return None
        middle = len(columns) // 2
        return (
            self.request_for(tuple(chain.from_iterable(columns[:middle]))),
            self.request_for(tuple(chain.from_iterable(columns[middle:]))),
        )

    def holes(self) -> Iterator[tuple[Place, Hole]]:
        """What the group wants and the device refuses."""
        return ((place, hole) for place, hole in self._memory.holes.items() if place in self._places)

    def due_hole(self) -> Request[P] | None:
        """A request for one refused value whose time has come, or None."""
        due = [(hole.retry_at, place) for place, hole in self.holes() if hole.retry_at <= time.monotonic()]
        if not due:
            return None
        _, place = min(due, key=operator.itemgetter(0))
        return self.request_for(tuple(self._places[place]))

    def schedule(self) -> None:
        """Take into account when holes are to be tried again, and cuts and limits to be forgotten."""
        self.review_at = min((hole.retry_at for _, hole in self.holes()), default=math.inf)
        if self._located:
            self.review_at = min(self.review_at, self._memory.forget_at)

    def keep_up(self) -> None:
        """Take in what was learnt since the requests were made, by this plan or another of the device."""
        if self._versions != (self._memory.version, self._identity.version):
            self.rebuild()

    # -- building

    def request_for(self, columns: tuple[int, ...]) -> Request[P]:
        """One read of these columns, which are of one table and in ascending order of address."""
        places = [self._located[column] for column in columns]
        table = places[0].table
        start = 0 if self._options.read_from_zero else places[0].span.address
        count = max(place.span.end for place in places) - start
        codec: BlockCodec | BitCodec
        if table.holds_bits:
            codec = BitCodec([(place.span.address - start, place.count) for place in places], count)
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

    def rebuild(self) -> None:
        """Make the requests anew, with what the memory has."""
        self._versions = self._memory.version, self._identity.version
        tables: dict[Table, list[int]] = {}
        for place, columns in self._places.items():
            if place not in self._memory.holes:
                tables.setdefault(place[0], []).extend(columns)
        self.requests = tuple(
            self.request_for(tuple(columns[index] for index in block.members))
            for table, columns in tables.items()
            for block in self._blocks(table, [self._located[column].span for column in columns])
        )
        self.first = 0
        self.schedule()
        width = len(self.group.points)
        order = list(chain.from_iterable(request.columns for request in self.requests))
        self._gather: Callable[[Sequence[Any]], tuple[Any, ...]] | None = None
        if order != list(range(width)):
            position = {column: index for index, column in enumerate(order)}
            # A column that no request serves takes the None that follows what was decoded.
            position |= {column: len(order) + 1 + index for index, column in enumerate(self.objects)}
            self._gather = picker([position.get(column, len(order)) for column in range(width)])
        self._fallible = any(place.encoding is not None and place.encoding.fallible for place in self._located.values())
        bases = [self.base(column) for column in range(width)]
        self._object_values = tuple(bases[column][0] for column in self.objects)
        qualities = tuple(quality for _, quality in bases)
        self._base_qualities: tuple[int, ...] | None = qualities if any(qualities) else None

    def _blocks(self, table: Table, spans: list[Span]) -> list[Block]:
        options = self._options
        size, gap = (
            (options.max_bits, options.max_gap_bits) if table.holds_bits else (options.max_registers, options.max_gap)
        )
        holes = [span for (of, span) in self._memory.holes if of is table]
        return merge(
            [Span(0, span.end) if options.read_from_zero else span for span in spans],
            max_size=min(size, self._memory.limits.get(table, size)),
            max_gap=gap,
            separate=options.one_request_per_tag,
            cuts={*self._memory.cuts[table], *chain.from_iterable((span.address, span.end) for span in holes)},
        )


def _count(number: int, plural: str) -> str:
    return f"{number} {plural if number != 1 else plural.removesuffix('s')}"


def _checked(group: PollGroup, column: int, options: DeviceOptions, bus: ModbusBus[Any]) -> Located:
    place = locate(group.points[column], options)
    if bus.broadcasts and options.unit == 0:
        raise ValueError(BROADCAST)
    if group.layout.tags[column].writable and not place.table.writable:
        raise ValueError(
            f"'{group.points[column].options.address}' can't be writable: {place.table.title} are read-only, "
            "drop 'writable'"
        )
    return place
