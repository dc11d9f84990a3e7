"""A change that runs and isn't confirmed yet."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Literal

from gateway.changes.bodies import PendingBody
from gateway.changes.commit import Prepared
from gateway.changes.draft import Draft
from gateway.changes.history import Revision
from gateway.config.tree import Tree
from gateway.settings import GatewaySettings

ConfirmBy = Literal["hand", "health"]
"""``hand``: somebody must say so; ``health``: the gateway does once all is well again that was well before."""


@dataclass(slots=True)
class Pending:
    """The change that runs, and everything that taking it back needs."""

    revision: Revision
    tree: Tree
    settings: GatewaySettings
    before: Tree
    """What ran before."""
    before_settings: GatewaySettings
    in_place: Tree
    """What stood in place when it was applied, and must still when it is confirmed."""
    prepared: Prepared
    draft: Draft | None
    """The draft it was made from."""
    confirm_by: ConfirmBy
    within_s: float
    awaited: frozenset[str]
    """What was well before and still is configured, such as ``sink plant``."""
    deadline: float = field(init=False)
    decided: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.within_s

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def body(self, well: frozenset[str]) -> PendingBody:
        return {
            "revision": self.revision.number,
            "author": self.revision.author,
            "reason": self.revision.reason,
            "changes": list(self.revision.changes),
            "confirm_by": self.confirm_by,
            "confirm_within_s": self.within_s,
            "seconds_left": round(self.seconds_left, 1),
            "not_well_yet": sorted(self.awaited - well),
        }
