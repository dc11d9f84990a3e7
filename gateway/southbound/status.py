"""What the southbound room says about itself: the shapes of ``southbound`` in the gateway's status."""

from __future__ import annotations

from typing_extensions import TypedDict


class Durations(TypedDict):
    """Milliseconds since start; 0 as long as there are none."""

    p50: float
    p99: float
    max: float


class TagError(TypedDict):
    path: str
    message: str


class SubscriptionStatus(TypedDict):
    setups: int
    standing: bool
    last_heard_age_s: float | None
    stale_after_s: float | None
    stale: int
    """Tags that are no longer believed."""
    lost: int
    lost_reason: str
    history: int
    events: int


class GroupStatus(TypedDict):
    """Counters count since start; :meth:`gateway.southbound.Supervisor.status` says what each counts."""

    interval_ms: float
    tags: int
    polls: int
    failed: int
    good: int
    bad: int
    late: int
    missed: int
    lateness_ms: Durations
    read_ms: Durations
    bad_tags: dict[str, str]
    """Path → name of its quality, of the first few."""
    last_read_age_s: float | None
    errors: list[TagError]
    subscription: SubscriptionStatus | None
    """None: polled."""


class DeviceStatus(TypedDict):
    state: str
    """``connecting``, ``normal`` or ``failure``."""
    detail: str
    since_ns: int
    """Wall clock, ns since 1970 UTC."""
    breaker: str
    """``closed``, ``open`` or ``crashed``."""
    breaker_opened: int
    crashes: int
    groups: dict[str, GroupStatus]


class LinkStatus(TypedDict):
    state: str
    """``connecting``, ``up``, ``down`` or ``crashed``."""
    detail: str
    since_ns: int
    driver: str
    far_end: str
    connects: int
    losses: int
    crashes: int
    counters: dict[str, int]
    """The driver's own."""
    devices: dict[str, DeviceStatus]


class SouthboundTotals(TypedDict):
    devices: int
    polls: int
    failed: int
    good: int
    bad: int
    late: int
    missed: int
    lost: int
    lateness_ms: Durations
    read_ms: Durations
    refused_batches: int
    refused_values: int


class SouthboundStatus(TypedDict):
    totals: SouthboundTotals
    links: dict[str, LinkStatus]
