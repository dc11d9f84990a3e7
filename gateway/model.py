"""The vocabulary everything else speaks: values, qualities, tags, layouts and batches.

Standard library only. One poll of one group makes one :class:`Batch`: a layout (which tags, fixed for the life
of a configuration), one timestamp pair and columns of values and qualities. Between wire and broker no object is
made per value; what describes a tag lives once, in its :class:`Layout`.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.status_codes import INFO_BITS, NAMES

Scalar: TypeAlias = bool | int | float | str
Value: TypeAlias = Scalar | tuple[Scalar | None, ...] | None
"""One decoded value; a tuple is an array. ``None`` only ever travels with a bad quality, or as an element of an array
that has no value there."""


class DataType(enum.StrEnum):
    """The type a tag is decoded from or published as; the names are those of IEC 61131-3 in modern spelling."""

    BOOL = "bool"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    BYTES = "bytes"
    """Raw bytes, carried and published as lower-case hexadecimal digits."""
    DATETIME = "datetime"
    """A moment, carried and published as RFC 3339 text in UTC with as many digits as the source gave."""
    JSON = "json"
    """A structure (an event, an OPC UA structure, a method's results), carried as JSON text, published as JSON."""

    @property
    def is_text(self) -> bool:
        """True if values are carried as ``str``."""
        return self in (DataType.STRING, DataType.BYTES, DataType.DATETIME, DataType.JSON)

    @property
    def is_integer(self) -> bool:
        return self in _INTEGER_BITS

    @property
    def is_float(self) -> bool:
        return self in (DataType.FLOAT16, DataType.FLOAT32, DataType.FLOAT64)

    @property
    def is_numeric(self) -> bool:
        return self.is_integer or self.is_float

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest integer of this type. Raises KeyError for a type that isn't an integer."""
        bits, signed = _INTEGER_BITS[self]
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    @property
    def exceeds_json(self) -> bool:
        """True if a value of this type may lie beyond ±2^53, where JSON readers lose integers."""
        return self in (DataType.INT64, DataType.UINT64)


_INTEGER_BITS: dict[DataType, tuple[int, bool]] = {
    DataType.INT8: (8, True),
    DataType.UINT8: (8, False),
    DataType.INT16: (16, True),
    DataType.UINT16: (16, False),
    DataType.INT32: (32, True),
    DataType.UINT32: (32, False),
    DataType.INT64: (64, True),
    DataType.UINT64: (64, False),
}


class Quality(enum.IntEnum):
    """OPC UA status codes (OPC 10000-4 §7.39, OPC 10000-6 annex A.2) that the gateway itself assigns.

    Columns hold plain integers, so that a device's own code passes through verbatim even if it isn't named here.
    """

    GOOD = 0x00000000
    GOOD_LOCAL_OVERRIDE = 0x00960000
    UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE = 0x408F0000
    UNCERTAIN_SENSOR_NOT_ACCURATE = 0x40930000
    UNCERTAIN_ENGINEERING_UNITS_EXCEEDED = 0x40940000
    UNCERTAIN_SUB_NORMAL = 0x40950000
    BAD = 0x80000000
    BAD_INTERNAL_ERROR = 0x80020000
    BAD_DECODING_ERROR = 0x80070000
    BAD_TIMEOUT = 0x800A0000
    BAD_NO_COMMUNICATION = 0x80310000
    BAD_WAITING_FOR_INITIAL_DATA = 0x80320000
    BAD_NODE_ID_INVALID = 0x80330000
    BAD_NODE_ID_UNKNOWN = 0x80340000
    BAD_OUT_OF_RANGE = 0x803C0000
    BAD_NOT_SUPPORTED = 0x803D0000
    BAD_CONFIGURATION_ERROR = 0x80890000
    BAD_DEVICE_FAILURE = 0x808B0000
    BAD_SENSOR_FAILURE = 0x808C0000
    BAD_OUT_OF_SERVICE = 0x808D0000


def is_good(code: int) -> bool:
    """True for the good severity (the two top bits are 00)."""
    return code < 0x40000000


def is_bad(code: int) -> bool:
    """True for the bad severity (the top bit is set)."""
    return code >= 0x80000000


def quality_name(code: int) -> str:
    """The standard's name of a status code, its info bits left aside, or the hex form of one that has none."""
    return NAMES.get(code & ~INFO_BITS, f"0x{code:08X}")


@dataclass(frozen=True, slots=True)
class Tag:
    """One published value: what it is called, what it is, and what is known about it. Never on the hot path."""

    path: str
    """Path below the asset, segments joined by ``/``: ``motor/speed``."""
    type: DataType
    """The published type, after scaling."""
    unit: str | None = None
    """UCUM code, case-sensitive."""
    low: float | None = None
    high: float | None = None
    """Engineering range, in `unit`."""
    description: str | None = None
    writable: bool = False
    original_name: str | None = None
    """The name at the source where it differs from the path."""
    count: int | None = None
    """None: a single value. Otherwise an array of that many elements of `type`; 0: as many as the source has."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one poll group, fixed for the life of a configuration."""

    source: str
    """The device's name: the unit of ordering and of the ledger."""
    group: str
    location: tuple[str, ...]
    """ISA-95 levels and the asset, in topic order: enterprise, site[, area[, line[, cell]]], asset."""
    tags: tuple[Tag, ...]
    digest: str = field(init=False, compare=False)
    """SHA-256 over the canonical JSON of everything above: what a stored record names its columns by."""
    bulky: frozenset[int] = field(init=False, compare=False, repr=False)
    """Columns whose values aren't single numbers or booleans, and so may be of any size: texts and arrays."""

    def __post_init__(self) -> None:
        body = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        object.__setattr__(self, "digest", hashlib.sha256(body.encode()).hexdigest())
        bulky = frozenset(i for i, tag in enumerate(self.tags) if tag.type.is_text or tag.count is not None)
        object.__setattr__(self, "bulky", bulky)

    def __hash__(self) -> int:
        return hash(self.digest)

    def to_json(self) -> dict[str, object]:
        """A JSON-ready form; :meth:`from_json` is its inverse."""
        return {
            "source": self.source,
            "group": self.group,
            "location": list(self.location),
            "tags": [
                {
                    name: value
                    for name, value in (
                        ("path", tag.path),
                        ("type", tag.type.value),
                        ("unit", tag.unit),
                        ("low", tag.low),
                        ("high", tag.high),
                        ("description", tag.description),
                        ("writable", tag.writable or None),
                        ("original_name", tag.original_name),
                        ("count", tag.count),
                    )
                    if value is not None
                }
                for tag in self.tags
            ],
        }

    @classmethod
    def from_json(cls, body: dict[str, object]) -> Layout:
        """Raises KeyError, TypeError or ValueError if `body` isn't what :meth:`to_json` wrote."""
        tags = body["tags"]
        location = body["location"]
        if not isinstance(tags, list) or not isinstance(location, list):
            raise TypeError("a layout's tags and location are lists")
        return cls(
            source=str(body["source"]),
            group=str(body["group"]),
            location=tuple(str(level) for level in location),
            tags=tuple(Tag(**{**tag, "type": DataType(tag["type"])}) for tag in tags),
        )


@dataclass(slots=True)
class Batch:
    """What one poll of one group gave: a layout, one timestamp pair, columns. Treat as read-only once handed on.

    `values`, and where present `qualities`, `columns` and `source_ns`, have the same length and order. A column stands
    in a batch at most once.
    """

    layout: Layout
    read_ns: int
    """Gateway's wall clock when the reply was complete, ns since 1970 UTC."""
    mono_ns: int
    """CLOCK_MONOTONIC at the same moment: right even when the wall clock is not."""
    values: Sequence[Value]
    qualities: Sequence[int] | None = None
    """OPC UA status codes; ``None`` means every value is good, the usual case."""
    columns: Sequence[int] | None = None
    """Positions in `layout.tags`; ``None`` means all of them in order."""
    source_ns: Sequence[int | None] | None = None
    """Times the source stamped on its values, where it does; ns since 1970 UTC."""
    trusted: bool = True
    """False while the gateway's wall clock isn't known to be right."""
    history: bool = False
    """True for values of the past, fetched from the source's own memory to fill a gap. Each has its time in
    `source_ns`; none of them is the current value, so none is retained and none moves a report filter."""
    event: bool = False
    """True for what happened (a scanned code, an alarm), not what is: handed on once and whole, never retained, never
    repeated, never held back by a report filter."""

    def __len__(self) -> int:
        return len(self.values)


@dataclass(slots=True)
class Record:
    """A batch the journal took: the unit of delivery.

    Value *i* of the batch carries the sequence number ``seq + i``, so an outsider can prove from the published
    numbers alone that nothing of a source is missing, at either granularity.
    """

    id: int
    """The journal's own order over all sources and boots, strictly increasing."""
    boot: int
    """Counts starts of the gateway; with `seq` and the source it identifies a value for ever."""
    seq: int
    """Sequence number of the first value, per source and boot, starting at 1."""
    batch: Batch
    backfill: bool = False
    """True when it was stored first and is delivered late."""
    only: Sequence[int] | None = None
    """Positions in the batch still to be delivered; ``None`` means all. Set for a partly refused record."""
