"""How everything is doing: the shape of ``GET /v1/status``."""

from __future__ import annotations

from typing_extensions import TypedDict

from gateway.journal.status import JournalStatus, LedgerStatus
from gateway.northbound.status import MqttStatus
from gateway.southbound.status import SouthboundStatus


class GatewayStatus(TypedDict):
    id: str
    location: list[str]
    version: str
    boot: int
    pid: int
    uptime_s: float
    clock_trusted: bool


class Status(TypedDict):
    gateway: GatewayStatus
    southbound: SouthboundStatus
    journal: JournalStatus
    sinks: dict[str, MqttStatus]
    ledger: dict[str, LedgerStatus]
    """By sink."""
