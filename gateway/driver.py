"""The southbound contract: what a protocol driver is, and who owns what.

A driver knows a protocol. It doesn't know time grids, retries, back-off, reports or brokers: the runtime owns those.

- A **bus** is one physical connection (a TCP socket, a serial line, a radio). The runtime opens and closes it.
- A **driver** is one device on a bus. The runtime never overlaps calls to drivers that share a bus.

What goes beyond reading is an optional power, a runtime-checkable protocol that a driver has or hasn't and never stubs:
:class:`Subscribes` (the device speaks by itself), :class:`Releases`, :class:`Writes`, :class:`Previews`,
:class:`Browses`, :class:`Decodes`, :class:`Identifies`; of a bus: :class:`Traces`.

Errors have three homes:

- one point failed → its quality in the batch;
- the whole device or the connection failed → :class:`DeviceSilent` or :class:`LinkDown`;
- the configuration is wrong → :class:`PointError` per point from ``plan``, reported before start.

Anything else a driver raises is a bug: the runtime isolates the device, marks its tags bad, logs it once and keeps the
rest running. A third party's driver is an instance of :class:`DriverKind` published under the entry-point group
``tidegate.drivers``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gateway.model import Batch, DataType, Layout, Value
from gateway.wire import Capture, Dissection, Endpoint, Frame, Take


class LinkDown(Exception):
    """The connection is lost or can't be made. The message is one sentence for a user. The runtime reconnects."""


class DeviceSilent(Exception):
    """The connection stands, but this device gave no answer in time. The runtime counts it towards the breaker."""


class WriteFailed(Exception):
    """A write went wrong, and unless it is one of the two below, whether it took effect isn't known. Never repeated."""


class NotWritten(WriteFailed):
    """It is certain that nothing was changed: the write couldn't be made, or the device refused it."""


class NotAsExpected(NotWritten):
    """The device didn't read what whoever wrote it expected, so nothing was sent."""


class WriteDiffers(WriteFailed):
    """It was sent and accepted, but reads back as something else, or can't be read back."""


class ScanFailed(Exception):
    """A search can't be made or went wrong as a whole. The message is one sentence for a user."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a driver works: all it may know of the gateway around it."""

    gateway: str
    """The gateway's id, for names and certificates that the far end shows to people."""
    state: Path
    """A directory of the driver's own below the gateway's data directory. It need not exist yet."""


@dataclass(frozen=True, slots=True)
class Point:
    """One tag as the driver sees it: where it is and how it is encoded. Position *i* fills column *i* of the layout."""

    path: str
    type: DataType
    """The type on the wire, before scaling."""
    options: Any
    """An instance of the driver's `tag_options` model."""
    count: int | None = None
    """None: a single value. Otherwise an array of that many elements of `type`; 0: as many as the device has."""


@dataclass(frozen=True, slots=True)
class PollGroup:
    """Points of one device that are read, or subscribed to, together."""

    name: str
    layout: Layout
    points: tuple[Point, ...]
    interval_s: float
    """Of a polled group: 0 means again as soon as the last read is done. Of a subscribed one: how often the device is
    asked to look, where it can be asked that."""
    subscribed: bool = False
    """True if the device is to speak by itself. Only ever set for a driver that is :class:`Subscribes`."""
    stale_s: float | None = None
    """Of a subscribed group: a tag of which nothing came for so long is no longer believed. None: never."""


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
        """Open it; a connection that is still open is closed first. Bounded in time. Raises LinkDown."""
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


class Receiver(Protocol):
    """What the runtime gives a subscribed group to speak to. Every method returns at once; call on the loop only.

    After :meth:`Bus.close`, or once `silent` or `down` was called, calls are ignored.
    """

    def take(self, batch: Batch) -> None:
        """Values as they come: any columns of the group, each at most once a batch. What the device sent first must be
        handed over first. A value that is confirmed to hold unchanged may be handed over again: that keeps it from
        going stale."""
        ...

    def confirm(self, columns: Sequence[int] | None = None) -> None:
        """The device lives and these columns (None: all) are still as last handed over. Publishes nothing."""
        ...

    def lost(self, count: int, reason: str) -> None:
        """`count` values were lost on the way here (a queue of the device overflowed, say), or may have been and
        nothing can tell: `reason` says which."""
        ...

    def silent(self, reason: str) -> None:
        """The device went silent, as by DeviceSilent. The runtime ends the subscription and makes it anew."""
        ...

    def down(self, reason: str) -> None:
        """The connection is lost, as by LinkDown. The runtime closes the bus and reconnects."""
        ...


@runtime_checkable
class Subscribes(Protocol):
    """A driver whose device speaks by itself. Detected with isinstance, never stubbed.

    It can still `read`: once, for ``tidegate probe``, and groups that are polled.
    """

    async def subscribe(self, plan: Plan, receiver: Receiver) -> None:
        """Have the device report the plan's points to `receiver` from now on, and return when that is set up.

        Every point is reported at least once, good or bad, as soon as its state is known; points in error at once, one
        whose values are events as BadWaitingForInitialData: nothing is current about it. A second call for the same
        group ends the first. Closing the bus ends all. Raises LinkDown or DeviceSilent.
        """
        ...


@runtime_checkable
class Releases(Protocol):
    """A driver on whose behalf something is kept beyond a call: subscriptions, a connection of its own, a place among
    those who hear a bus. Detected with isinstance, never stubbed.

    It lets a group or a device leave a bus that stays open. To end a subscription of a driver that is none, the runtime
    has to close the bus.
    """

    async def release(self, group: str | None) -> None:
        """Let go of what belongs to the group of this name, if there is anything; its plan isn't used any more. None:
        of everything; this driver isn't called again, and another of the same name may be there already.

        Works, as far as there is something to do, on a bus that isn't connected, too. Raises LinkDown or DeviceSilent.
        """
        ...


@runtime_checkable
class Writes(Protocol):
    """A driver that can write. Detected with isinstance, never stubbed."""

    async def write(self, point: Point, value: Value) -> Value:
        """Write `value` (wire type, unscaled) once, read it back, and return what was read.

        Raises WriteFailed (NotWritten and WriteDiffers where it is one of these), DeviceSilent or LinkDown. It is never
        repeated, by driver or runtime: after DeviceSilent the outcome is unknown and said to be.
        """
        ...


@runtime_checkable
class Previews(Protocol):
    """A driver that can say what a write would put on the wire. Detected with isinstance, never stubbed."""

    def preview(self, point: Point, value: Value) -> Sequence[str]:
        """One line for each request that :meth:`Writes.write` would send for `value` (wire type), its bytes in
        hexadecimal last. Pure: needs no connection and sends nothing. Raises NotWritten if it can't be written."""
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """One thing a device has to offer, found by browsing."""

    address: str
    """As :attr:`DriverKind.address_key` would be written; empty for what is only a folder."""
    path: str
    """Where it is, levels joined by ``/``; every level fit for a tag's path."""
    kind: str
    """``folder``, ``value``, ``method`` or ``event``."""
    type: DataType | None = None
    """None if no type of ours can hold it."""
    count: int | None = None
    """As :attr:`Point.count`."""
    writable: bool = False
    name: str = ""
    """What the device calls it."""
    unit: str | None = None
    """UCUM code, where the device says it and it is known."""
    description: str = ""
    value: Value = None
    """What it reads now, if it was read."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further tag options it needs."""


@runtime_checkable
class Browses(Protocol):
    """A driver that can say what its device has. Detected with isinstance, never stubbed."""

    def browse(self, start: str | None, depth: int | None) -> AsyncIterator[Item]:
        """Everything below `start` (None: the device's own beginning), at most `depth` levels deep (None: all).

        Read-only and bounded in what it asks of the device at a time. Raises LinkDown, DeviceSilent, or ScanFailed if
        there is no `start`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Decoding:
    """One way to understand the bytes at an address."""

    address: str
    type: DataType
    order: str
    """Byte or word order, in the driver's own words; empty if it makes no difference."""
    raw: bytes
    value: Value
    """None if these bytes aren't a value of this type."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The keys of a tag, besides those above, that read it so. An `address` here stands for the one above."""


@runtime_checkable
class Decodes(Protocol):
    """A driver that can show every way to understand what stands at an address. Never stubbed."""

    async def decode(self, address: str) -> Sequence[Decoding]:
        """Every type and order at `address` and at its neighbours. Raises LinkDown, DeviceSilent, or ScanFailed."""
        ...


@runtime_checkable
class Identifies(Protocol):
    """A driver whose device can say who it is. Never stubbed."""

    async def identify(self) -> Mapping[str, str]:
        """What the device says of itself, by name: ``maker``, ``product``, ``version``, ``serial``, ``name`` where they
        fit. Empty: it answers, but says nothing of itself. Read-only. Raises LinkDown or DeviceSilent."""
        ...


@runtime_checkable
class Traces(Protocol):
    """A bus that can show what goes over its wire. Never stubbed."""

    def trace(self, take: Take | None) -> None:
        """Hand every frame from now on to `take`, over reconnects too; None: no longer, which costs nothing.

        Secrets are blanked. May be called whether the bus is connected or not.
        """
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a scan: a row for a table, and what to write to have it."""

    row: Mapping[str, Any]
    """Column name → value; every finding of a scan has the same columns."""
    config: str = ""
    """TOML ready to paste ([[link]], [[device]], tags), where the finding is something to configure."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is."""

    done: int
    total: int
    """0 if it isn't known."""
    doing: str


@dataclass(frozen=True, slots=True)
class Scan:
    """A search for devices that needs no configuration: ``tidegate scan NAME``. Read-only and gentle."""

    summary: str
    options: type[Any]
    """A pydantic model. Each field becomes an option of the command line and of the page."""
    run: Callable[[Any, Site], AsyncIterator[Finding | Progress]]
    """(options, site) → findings as they are made. Raises ScanFailed or LinkDown. Closing the iterator ends it."""
    claims: Callable[[Any], Sequence[str]] = field(default=lambda options: ())
    """Options → what of this machine the search needs for itself, as :attr:`DriverKind.claims`."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate a driver knows."""

    fingerprint: str
    """SHA-256, lower-case hexadecimal."""
    state: str
    """``own``, ``trusted``, ``issuer`` or ``quarantined``."""
    subject: str
    uris: Sequence[str]
    not_before_s: float
    not_after_s: float
    """Seconds since 1970 UTC."""
    file: Path


class Certificates(Protocol):
    """A driver's trust list: ``tidegate cert``. Works on files, with or without a running gateway."""

    def list(self) -> Sequence[Certificate]: ...

    def accept(self, fingerprint: str) -> Certificate:
        """Trust a quarantined one, named by its fingerprint or an unambiguous beginning of it. Raises KeyError."""
        ...

    def reject(self, fingerprint: str) -> Certificate:
        """No longer trust, or throw out of quarantine. Raises KeyError."""
        ...

    def add(self, file: Path) -> Certificate:
        """Trust the certificate in a file (PEM or DER). Raises ValueError or OSError."""
        ...

    def renew(self) -> Certificate:
        """Make the own certificate anew. The far ends must be told to trust it."""
        ...


@dataclass(frozen=True, slots=True)
class DriverKind:
    """A driver package's front door. `*_options` are pydantic models: configuration is checked against them."""

    name: str
    summary: str
    link_options: type[Any]
    device_options: type[Any]
    tag_options: type[Any]
    open_bus: Callable[[str, Any, Site], Bus]
    """(link name, link options, site) → a bus, not yet connected."""
    open_device: Callable[[Bus, str, Any], Driver]
    """(bus, device name, device options) → a driver."""
    describe_link: Callable[[Any], str] = field(default=lambda options: "")
    """Link options → the far end as a user would write it: ``192.168.1.20:502``."""
    counters: Callable[[Bus], Mapping[str, int]] = field(default=lambda bus: {})
    """A bus's own counters, for status."""
    claims: Callable[[Any], Sequence[str]] = field(default=lambda options: ())
    """Link options → what of this machine only one link can have, as a user would write it: a serial port's path, an
    address to listen on. Two links, of whatever drivers, that claim the same are a mistake."""
    address_key: str = "address"
    """The tag option that an :attr:`Item.address` belongs in."""
    subscribes: bool = False
    """Whether groups are subscribed to unless the configuration says otherwise; its drivers are then Subscribes."""
    stale_s: float | None = None
    """Default of :attr:`PollGroup.stale_s`."""
    scan: Scan | None = None
    certificates: Callable[[Site], Certificates] | None = None
    templates: Path | None = None
    """A folder of templates for well-known devices: TOML files as :mod:`gateway.config.library` has them."""
    endpoints: Callable[[Any], Sequence[Endpoint]] = field(default=lambda options: ())
    """Link options → where the link leads, the first choice first: what a test of the way there looks at."""
    handshake: Callable[[Any], str] = field(default=lambda options: "")
    """Link options → what opening takes beyond the bare connection, in words; empty: nothing that could fail."""
    unit_of: Callable[[Any], str] = field(default=lambda options: "")
    """Device options → :attr:`Frame.unit` of its frames. Empty: all frames of the link are its own."""
    dissect: Callable[[Frame, Frame | None], Dissection] | None = None
    """(frame, the one sent to that unit before it, if any) → what it means, whatever its bytes. For buses that are
    Traces."""
    capture: Callable[[Any], Capture | None] = field(default=lambda options: None)
    """Link options → how a packet analyser is to take its frames; None: it can't."""
