"""The whole control API: the rooms it is the door to, and every room's operations in one list."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.accounts import Accounts
from gateway.audit import AuditLog
from gateway.commands import WriteDesk
from gateway.control.operation import Operation
from gateway.control.routes import (
    accounts,
    audit,
    certificates,
    diagnosis,
    diagnostics,
    drivers,
    events,
    live,
    logs,
    repairs,
    scan,
    signin,
    status,
    tap,
    templates,
    trace,
    update,
    writes,
)
from gateway.diagnostics.room import Diagnostics
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
    desk: WriteDesk
    diagnostics: Diagnostics
    updates: Updates


@contextlib.asynccontextmanager
async def opened(config: Path, runtime: Runtime, logs: LogRing) -> AsyncIterator[Services]:
    """The rooms beside the data plane, opened and closed in order. Raises AuditError or OSError."""
    data_dir, clock = runtime.settings.data_dir, runtime.clock

    def trusted() -> bool:
        return clock.trusted

    async with (
        contextlib.AsyncExitStack() as stack,
        AuditLog(data_dir / "audit", now_ns=clock.now_ns, trusted=trusted) as log,
        WriteDesk(
            data_dir / "writes", lambda: runtime.settings, runtime, log, now_ns=clock.now_ns, trusted=trusted
        ) as desk,
    ):
        users = Accounts(data_dir, log.record, now_ns=clock.now_ns)
        await users.open()
        room = stack.enter_context(Diagnostics(runtime, config))
        updates = Updates()
        stack.push_async_callback(updates.close)
        yield Services(config, runtime, logs, log, users, desk, room, updates)


def operations(services: Services) -> list[Operation[Any, Any]]:
    """All of them, in the order of the OpenAPI document."""
    return [
        *status.operations(services.runtime),
        *live.operations(services.runtime),
        *tap.operations(services.runtime),
        *events.operations(services.runtime.events),
        *logs.operations(services.logs),
        *writes.operations(services.desk, services.runtime),
        *audit.operations(services.audit),
        *accounts.operations(services.accounts),
        *signin.operations(services.accounts, services.audit.record),
        *update.operations(services.updates, services.audit),
        *certificates.operations(services.runtime, services.audit),
        *diagnosis.operations(services.runtime, services.logs, services.config),
        *diagnostics.operations(services.diagnostics),
        *scan.operations(services.diagnostics),
        *trace.operations(services.diagnostics),
        *repairs.operations(services.diagnostics),
        *drivers.operations(),
        *templates.operations(),
    ]
