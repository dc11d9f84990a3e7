"""What has become of one record, for one sink: worked out when somebody asks."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.journal.feed import JournalFeed
from gateway.journal.ledger import Account
from gateway.model import Record


class Where(enum.StrEnum):
    WAITING = "waiting"
    """In memory; written to the disk if it isn't acknowledged within the deadline."""
    IN_FLIGHT = "in flight"
    """Handed to the sink; no acknowledgement yet."""
    STORED = "stored"
    """On the disk, to be delivered later."""
    DROPPED = "dropped"
    SETTLED = "settled"
    """Delivered, or refused by the far end: the sink knows which."""


@dataclass(frozen=True, slots=True)
class Fate:
    where: Where
    reason: str = ""
    """Why it was dropped."""
    ahead: int = 0
    """Values of all devices that the sink still has to take."""


def fate_of(feed: JournalFeed, account: Account, record: Record, position: int, *, assigned: int, ahead: int) -> Fate:
    """Of the value at `position` of a record of the running boot. `assigned`: the highest id given to the disk."""
    seq = record.seq + position
    reason = next((reason for first, last, reason in account.dropped if first <= seq <= last), None)
    if reason is not None:
        return Fate(Where.DROPPED, reason)
    if feed.lent(record.id):
        return Fate(Where.IN_FLIGHT, ahead=ahead)
    if any(waiting.id == record.id for waiting in feed.in_memory()):
        return Fate(Where.WAITING, ahead=ahead)
    if record.id <= assigned and record.id not in feed.progress:
        return Fate(Where.STORED, ahead=ahead)
    return Fate(Where.SETTLED)
