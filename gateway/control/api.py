"""The whole control API: the rooms it is the door to, and every room's operations in one list."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.accounts import Accounts
from gateway.actors import Actor
from gateway.audit import AuditError, AuditLog
from gateway.changes.changes import Changes
from gateway.changes.ports import Plant
from gateway.changes.start import Start
from gateway.commands import WriteDesk
from gateway.config.tree import Tree
from gateway.control.operation import Operation
from gateway.control.restoring import RunningAccounts, RunningConfiguration, places_of
from gateway.control.routes import (
    accounts,
    audit,
    backup,
    bundle,
    certificates,
    config,
    diagnostics,
    drivers,
    events,
    live,
    logs,
    machine,
    reads,
    repairs,
    scan,
    secrets,
    sheets,
    signin,
    status,
    tables,
    tap,
    templates,
    trace,
    update,
    writes,
)
from gateway.control.routes.backup import Uploads
from gateway.delta import changes_between
from gateway.diagnostics.room import Diagnostics
from gateway.ops.backup.restore import Restorer
from gateway.ops.events import MachineChanged
from gateway.ops.keeper import Keeper
from gateway.ops.logs import LogRing
from gateway.ops.machine import Machines, Turn
from gateway.ops.updates import Updates
from gateway.ops.wellness import well
from gateway.runtime import Runtime

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """What the API is the door to."""

    runtime: Runtime
    logs: LogRing
    audit: AuditLog
    accounts: Accounts
    desk: WriteDesk
    changes: Changes
    diagnostics: Diagnostics
    updates: Updates
    machines: Machines
    restorer: Restorer
    uploads: Uploads
    keeper: Keeper


@contextlib.asynccontextmanager
async def opened(start: Start, runtime: Runtime, logs: LogRing) -> AsyncIterator[Services]:
    """The rooms beside the data plane, opened and closed in order. Raises AuditError or OSError."""
    data_dir, clock = runtime.settings.data_dir, runtime.clock

    def trusted() -> bool:
        return clock.trusted

    async with (
        AuditLog(data_dir / "audit", now_ns=clock.now_ns, trusted=trusted) as log,
        WriteDesk(
            data_dir / "writes", lambda: runtime.settings, runtime, log, now_ns=clock.now_ns, trusted=trusted
        ) as desk,
        contextlib.AsyncExitStack() as stack,
    ):
        users = Accounts(data_dir, log.record, now_ns=clock.now_ns)
        await users.open()
        plant = Plant(
            partial(runtime.apply, provisional=True),
            runtime.settle,
            changes_between,
            runtime.try_out,
            lambda: well(runtime.status()),
        )
        changes = Changes(start, plant, log, runtime.events.tell)
        await changes.open()
        stack.push_async_callback(changes.close)
        updates = Updates(well=lambda: well(runtime.status()))
        stack.push_async_callback(updates.close)
        room = stack.enter_context(
            Diagnostics(runtime, start.main, unconfirmed_s=lambda: changes.seconds_left, update=updates.trial)
        )
        machines = Machines(partial(_tell, runtime, log))
        stack.push_async_callback(machines.close)
        machines.start()
        restorer = Restorer(
            places_of(start.main, data_dir), RunningConfiguration(start.main, changes), RunningAccounts(users)
        )
        uploads = Uploads(data_dir / "restore-upload")
        yield Services(
            runtime, logs, log, users, desk, changes, room, updates, machines, restorer, uploads,
            Keeper(data_dir / "secrets"),
        )  # fmt: skip


async def _tell(runtime: Runtime, log: AuditLog, turn: Turn) -> None:
    """How it stands with a change of the machine. What somebody does is recorded by the operation that does it."""
    what = "machine's time" if turn.change.what == "time" else f"network of {turn.change.subject}"
    match turn.state:
        case "pending":
            runtime.events.tell(MachineChanged("pending", f"the {what} has changed and waits to be confirmed"))
        case "confirmed":
            runtime.events.tell(MachineChanged("confirmed", f"the change of the {what} is confirmed"))
        case "taken back":
            runtime.events.tell(MachineChanged("taken-back", f"the change of the {what} was taken back"))
    if not turn.by_itself:
        return
    _log.warning("machine: the change of the %s was taken back, since nobody confirmed it", what)
    try:
        await log.record(Actor.gateway(), f"machine.{turn.change.what}", turn.change.subject, "taken back")
    except AuditError as error:
        _log.error("machine: that can't be recorded: %s", error)


def operations(services: Services) -> list[Operation[Any, Any]]:
    """All of them, in the order of the OpenAPI document."""

    async def tree() -> Tree:
        return await services.changes.tree_of("files" if services.changes.drafting.draft is None else "draft")

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
        *config.operations(services.changes),
        *signin.operations(services.accounts, services.audit.record),
        *update.operations(services.updates, services.audit),
        *machine.operations(services.machines, services.audit),
        *certificates.operations(services.runtime, services.audit),
        *backup.operations(
            services.runtime, services.audit, services.changes.main, services.restorer, services.uploads
        ),
        *bundle.operations(services.runtime, services.logs, services.changes.main),
        *diagnostics.operations(services.diagnostics),
        *scan.operations(services.diagnostics),
        *trace.operations(services.diagnostics),
        *repairs.operations(services.diagnostics),
        *drivers.operations(),
        *secrets.operations(services.keeper, services.audit),
        *templates.operations(),
        *sheets.operations(services.changes.main, tree),
        *tables.operations(services.changes.main, tree),
    ]
