"""The whole control API: every room's operations in one list."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from gateway.accounts import Accounts
from gateway.audit import AuditLog
from gateway.commands import WriteDesk
from gateway.control.operation import Operation
from gateway.control.routes import accounts, audit, events, live, logs, reads, signin, status, tap, writes
from gateway.ops.logs import LogRing
from gateway.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Services:
    """What the API is the door to."""

    runtime: Runtime
    logs: LogRing
    audit: AuditLog
    accounts: Accounts
    desk: WriteDesk


@contextlib.asynccontextmanager
async def opened(runtime: Runtime, logs: LogRing) -> AsyncIterator[Services]:
    """The rooms beside the data plane, opened and closed in order. What can't be opened says so when it is asked."""
    settings, clock = runtime.settings, runtime.clock
    async with AuditLog(settings.data_dir / "audit", now_ns=clock.now_ns, trusted=lambda: clock.trusted) as log:
        users = Accounts(settings.data_dir, log.record, now_ns=clock.now_ns)
        await users.open()
        async with WriteDesk(
            settings.data_dir / "writes",
            lambda: runtime.settings,
            runtime,
            log,
            now_ns=clock.now_ns,
            trusted=lambda: clock.trusted,
        ) as desk:
            yield Services(runtime, logs, log, users, desk)


def operations(services: Services) -> list[Operation[Any, Any]]:
    """All of them, in the order of the OpenAPI document."""
    return [
        *status.operations(services.runtime),
        *live.operations(services.runtime),
        *tap.operations(services.runtime),
        *events.operations(services.runtime.events),
        *logs.operations(services.logs),
        *reads.operations(services.runtime),
        *writes.operations(services.desk, services.runtime),
        *audit.operations(services.audit),
        *accounts.operations(services.accounts),
        *signin.operations(services.accounts, services.audit.record),
    ]
