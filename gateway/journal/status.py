"""What the journal says about itself: the shapes of ``journal`` and ``ledger`` in the gateway's status."""

from __future__ import annotations

from typing_extensions import TypedDict


class DroppedRange(TypedDict):
    """Sequence numbers first to last, both included."""

    first: int
    last: int
    reason: str


class AccountStatus(TypedDict):
    """One source in one boot: ``last - first + 1 = delivered + refused + pending + dropped``, in values."""

    first: int
    last: int
    delivered: int
    refused: int
    pending: int
    dropped: list[DroppedRange]


class SourceLedger(TypedDict):
    boots: dict[str, AccountStatus]


class LedgerStatus(TypedDict):
    timestamp_ms: int
    boot: int
    sources: dict[str, SourceLedger]
    """By device."""


class FeedTotals(TypedDict):
    """Values, over all sources and boots."""

    pending: int
    stored: int
    refused: int
    dropped: int


class FeedRecords(TypedDict):
    live_records: int
    on_loan: int
    refused_records: int


class FeedStatus(FeedTotals, FeedRecords):
    """What one sink still has to take."""


class JournalStatus(TypedDict):
    boot: int
    path: str
    deadline_ms: float
    used_bytes: int
    max_bytes: int
    disk_free_bytes: int
    oldest_ms: int | None
    """Time of the oldest record on disk, ms since 1970 UTC."""
    commits: int
    commit_ms: float
    """The slowest commit of late."""
    unwritten_values: int
    salvaging: bool
    salvaged_records: int
    alarms: dict[str, str]
    """Conditions that hold, each in one sentence."""
    sinks: dict[str, FeedStatus]
