"""The whole control API: the rooms it is the door to, and every room's operations in one list."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.accounts import Accounts
from gateway.audit import AuditLog
from gateway.control.operation import Operation
from gateway.control.routes import certificates, diagnosis, events, live, logs, signin, status, tap, update
from gateway.ops.logs import LogRing
from gateway.ops.slots import Updates
from gateway.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Services:
    """What the API is the door to."""

    config: Path
    """The configuration's main file."""
    runtime: Runtime
    logs: LogRing
    audit: AuditLog
    accounts: Accounts
    updates: Updates


@contextlib.asynccontextmanager
async def opened(config: Path, runtime: Runtime, logs: LogRing) -> AsyncIterator[Services]:
    """The rooms beside the data plane, opened and closed in order. Raises AuditError or OSError."""
    settings, clock = runtime.settings, runtime.clock
    async with AuditLog(settings.data_dir / "audit", now_ns=clock.now_ns, trusted=lambda: clock.trusted) as audit:
        accounts = Accounts(settings.data_dir, audit.record, now_ns=clock.now_ns)
        await accounts.open()
        updates = Updates()
        try:
            yield Services(config, runtime, logs, audit, accounts, updates)
        finally:
            await updates.close()


def operations(services: Services) -> list[Operation[Any, Any]]:
    """All of them, in the order of the OpenAPI document."""
    return [
        *status.operations(services.runtime),
        *live.operations(services.runtime),
        *tap.operations(services.runtime),
        *events.operations(services.runtime.events),
        *logs.operations(services.logs),
        *signin.operations(services.accounts, services.audit.record),
        *update.operations(services.updates, services.audit),
        *certificates.operations(services.runtime, services.audit),
        *diagnosis.operations(services.runtime, services.logs, services.config),
    ]
