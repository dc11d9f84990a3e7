"""What a sink says about itself: the shape of an entry of ``sinks`` in the gateway's status."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class Refusing(TypedDict):
    topics: int
    reason: str


class MqttStatus(TypedDict):
    type: Literal["mqtt"]
    connected: bool
    since_ms: int | None
    """When it connected, ms since 1970 UTC; None while it isn't."""
    broker: str
    protocol: str
    refusals_visible: bool
    """Whether the broker says what it refuses: MQTT 5 does."""
    tls: bool
    granularity: str
    profile: str
    connections: int
    reconnects: int
    in_flight: int
    window: int
    messages: int
    values: int
    bytes: int
    refused: int
    refusing: dict[str, Refusing]
    """By device."""
    refused_documents: dict[str, str]
    """Topic → reason."""
    last_error: str | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None
