"""The southbound contract: what a protocol driver is, and who owns what.

A driver knows a protocol. It doesn't know time grids, retries, back-off, reports or brokers: the runtime owns those.

- A **bus** is one physical connection (a TCP socket, a serial line, a radio). The runtime opens and closes it.
- A **driver** is one device on a bus. The runtime never overlaps calls to drivers that share a bus.

Errors have three homes:

- one point failed → its quality in the batch;
- the whole device or the connection failed → :class:`DeviceSilent` or :class:`LinkDown`;
- the configuration is wrong → :class:`PointError` per point from ``plan``, reported before start.

Anything else a driver raises is a bug: the runtime isolates the device, marks its tags bad, logs it once and keeps the
rest running. A third party's driver is an instance of :class:`DriverKind` published under the entry-point group
``tidegate.drivers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from gateway.model import Batch, DataType, Layout, Value


class LinkDown(Exception):
    """The connection is lost or can't be made. The message is one sentence for a user. The runtime reconnects."""


class DeviceSilent(Exception):
    """The connection stands, but this device gave no answer in time. The runtime counts it towards the breaker."""


class WriteFailed(Exception):
    """A write was refused or its read-back differs. It is never repeated."""


@dataclass(frozen=True, slots=True)
class Point:
    """One tag as the driver sees it: where it is and how it is encoded. Position *i* fills column *i* of the layout."""

    path: str
    type: DataType
    """The type on the wire, before scaling."""
    options: Any
    """An instance of the driver's `tag_options` model."""


@dataclass(frozen=True, slots=True)
class PollGroup:
    """Points of one device that are read together."""

    name: str
    layout: Layout
    points: tuple[Point, ...]
    interval_s: float
    """0 means again as soon as the last read is done."""


@dataclass(frozen=True, slots=True)
class PointError:
    """Why one point can't be read, in one sentence with its mend. A bad point never fails its neighbours."""

    path: str
    message: str


class Plan(Protocol):
    """A prepared read: validated and optimised once. Opaque to the runtime but for these."""

    @property
    def group(self) -> PollGroup: ...
    @property
    def errors(self) -> Sequence[PointError]: ...
    @property
    def asks(self) -> bool:
        """Whether a read puts a request on the wire now. One that doesn't says nothing about the device."""
        ...

    def describe(self) -> Sequence[str]:
        """One line per request on the wire, for ``tidegate probe``."""
        ...


class Bus(Protocol):
    """One physical connection, shared by the drivers of its devices."""

    async def connect(self) -> None:
        """Open it. Bounded in time. Raises LinkDown."""
        ...

    async def close(self) -> None:
        """Idempotent, and safe after a failed connect."""
        ...


class Driver(Protocol):
    """One device on a bus. Stateless towards reconnects: the bus may have been reopened between any two calls."""

    def plan(self, group: PollGroup) -> Plan:
        """Pure. Reports what is wrong with single points in ``Plan.errors`` and plans the rest."""
        ...

    async def read(self, plan: Plan) -> Batch:
        """One entry per point, good or bad; points in error are bad with BadConfigurationError.

        Raises LinkDown or DeviceSilent; the latter as soon as the first request stays unanswered and none was answered.
        A batch in which some requests were answered is returned, the rest of its values bad.
        """
        ...


@runtime_checkable
class Writes(Protocol):
    """A driver that can write. Detected with isinstance, never stubbed."""

    async def write(self, point: Point, value: Value) -> Value:
        """Write `value` (wire type, unscaled) once, read it back, and return what was read.

        Raises WriteFailed, DeviceSilent or LinkDown. It is never repeated, by driver or runtime: after DeviceSilent the
        outcome is unknown and said to be.
        """
        ...


@dataclass(frozen=True, slots=True)
class DriverKind:
    """A driver package's front door. `*_options` are pydantic models: configuration is checked against them."""

    name: str
    summary: str
    link_options: type[Any]
    device_options: type[Any]
    tag_options: type[Any]
    open_bus: Callable[[str, Any], Bus]
    """(link name, link options) → a bus, not yet connected."""
    open_device: Callable[[Bus, str, Any], Driver]
    """(bus, device name, device options) → a driver."""
    describe_link: Callable[[Any], str] = field(default=lambda options: "")
    """Link options → the far end as a user would write it: ``192.168.1.20:502``."""
    counters: Callable[[Bus], Mapping[str, int]] = field(default=lambda bus: {})
    """A bus's own counters, for status."""
