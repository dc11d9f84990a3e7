"""A device's health in the words of NAMUR NE 107 (OPC UA DI's DeviceHealth)."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class HealthState(enum.StrEnum):
    CONNECTING = "connecting"
    """Not one of NE 107's: nothing is known yet."""
    NORMAL = "normal"
    FAILURE = "failure"
    """Its values can't be trusted or can't be had."""


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """Reported on every change of state or detail, and only then."""

    device: str
    state: HealthState
    detail: str
    """One sentence for a user; empty when there is nothing to say."""
    since_ns: int
    """Wall clock of the last change of `state`, ns since 1970 UTC."""
