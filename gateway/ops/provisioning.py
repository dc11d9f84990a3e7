"""What becomes of a setting in a provisioning file, and who applies those that aren't the gateway's own.

An appliance publishes the latter (`gateway.ops.published`). Elsewhere a file has nothing to say of the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

Outcome: TypeAlias = Literal["applied", "unchanged", "refused"]
MOST_RECORDED: Final = 200
"""Settings of a file that the audit log takes at once: thousands must not push everything else out of it."""
LONGEST_RECORDED: Final = 500
"""Characters of each of their texts there."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing in the file, and what became of it."""

    name: str
    outcome: Outcome
    said: str = ""
    mend: str | None = None


@runtime_checkable
class Provisions(Protocol):
    """What applies tables that are about the machine."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Their names, in the order in which they are applied."""
        ...

    def provision(self, wanted: Mapping[str, Any]) -> Iterator[Setting]:
        """Each setting of its tables by itself; whatever else `wanted` holds is left alone. Never raises."""
        ...
