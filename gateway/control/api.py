"""The whole control API: every room's operations in one list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.accounts import Accounts
from gateway.audit import AuditLog
from gateway.control.operation import Operation
from gateway.control.routes import diagnostics, events, live, logs, repairs, scan, signin, status, tap, trace
from gateway.diagnostics.room import Diagnostics
from gateway.ops.logs import LogRing
from gateway.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Services:
    """What the API is the door to."""

    runtime: Runtime
    logs: LogRing
    audit: AuditLog
    accounts: Accounts
    diagnostics: Diagnostics


def operations(services: Services) -> list[Operation[Any, Any]]:
    """All of them, in the order of the OpenAPI document."""
    return [
        *status.operations(services.runtime),
        *live.operations(services.runtime),
        *tap.operations(services.runtime),
        *events.operations(services.runtime.events),
        *logs.operations(services.logs),
        *signin.operations(services.accounts, services.audit.record),
        *diagnostics.operations(services.diagnostics),
        *scan.operations(services.diagnostics),
        *trace.operations(services.diagnostics),
        *repairs.operations(services.diagnostics),
    ]
