"""What known servers can't take. What a server says of itself (its OperationLimits) may lower this further."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is asked of a server. 0: none."""

    nodes_per_read: int = 500
    nodes_per_history_read: int = 20
    items_per_call: int = 500
    items: int = 0
    """Monitored items in all."""
    queue_size: int = 0
    publishing_s: float = 0.05
    """Shortest publishing interval."""
    filters: bool = True
    """Whether it knows DataChangeFilter (deadband, trigger)."""


PROFILES: Mapping[str, Limits] = {
    "default": Limits(),
    # Siemens, "SIMATIC S7-1200: OPC UA server", system limits.
    "s7-1200": Limits(nodes_per_read=100, items_per_call=100, items=1000, publishing_s=0.2, filters=False),
    # Siemens, "SIMATIC S7-1500 communication", system limits of OPC UA: those of the largest, the CPU 1518.
    "s7-1500": Limits(nodes_per_read=1000, items_per_call=1000, items=10_000, publishing_s=0.1),
}
