"""The whole control API: every room's operations in one list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.audit import AuditLog
from gateway.control.operation import Operation
from gateway.control.routes import certificates, diagnosis, events, live, logs, status, tap, update
from gateway.ops.logs import LogRing
from gateway.ops.slots import Updates
from gateway.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Services:
    """What the API is the door to."""

    runtime: Runtime
    logs: LogRing
    updates: Updates
    audit: AuditLog
    config: Path
    """The configuration's main file."""


def operations(services: Services) -> list[Operation[Any, Any]]:
    """All of them, in the order of the OpenAPI document."""
    return [
        *status.operations(services.runtime),
        *live.operations(services.runtime),
        *tap.operations(services.runtime),
        *events.operations(services.runtime.events),
        *logs.operations(services.logs),
        *update.operations(services.updates, services.audit),
        *certificates.operations(services.runtime, services.audit),
        *diagnosis.operations(services.runtime, services.logs, services.config),
    ]
