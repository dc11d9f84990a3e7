"""What this room needs of others, and how a change is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.actors import Actor
from gateway.changes.pending import ConfirmBy
from gateway.delta import Applied, Delta
from gateway.settings import GatewaySettings

CONFIRM_WITHIN_S = 60.0
LONGEST_CONFIRM_S = 86_400.0


class Audit(Protocol):
    """`gateway.audit.AuditLog`, as far as this room needs it."""

    async def record(self, actor: Actor, action: str, subject: str, outcome: str, **details: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Plant:
    """The running gateway, as far as this room needs it."""

    apply: Callable[[GatewaySettings], Awaitable[Applied]]
    """So that it can be taken back without a loss. Raises ApplyFailed, and then what ran before still runs."""
    settle: Callable[[], Awaitable[None]]
    """What was applied won't be taken back any more."""
    compare: Callable[[GatewaySettings, GatewaySettings], Delta]
    try_out: Callable[[GatewaySettings], Awaitable[Sequence[Any]]]
    """Reads what would be new or changed once, and applies nothing."""
    well: Callable[[], frozenset[str]]
    """What is well now, see `gateway.ops.wellness`."""


@dataclass(frozen=True, slots=True)
class How:
    """How a change is to be made."""

    reason: str = ""
    confirm_within_s: float = CONFIRM_WITHIN_S
    """0: it is confirmed at once."""
    confirm_by: ConfirmBy = "hand"
    acting_as: str | None = None
    """The owner in whose name it is made; None: the caller's own."""
