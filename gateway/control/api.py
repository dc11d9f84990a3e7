"""The whole control API: every room's operations in one list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.document import in_place
from gateway.control.operation import Operation
from gateway.control.routes import drivers, events, live, logs, sheets, status, tables, tap, templates
from gateway.ops.logs import LogRing
from gateway.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Services:
    """What the API is the door to."""

    runtime: Runtime
    logs: LogRing
    configuration: Path
    """Its main file."""


def operations(services: Services) -> list[Operation[Any, Any]]:
    """All of them, in the order of the OpenAPI document."""
    return [
        *status.operations(services.runtime),
        *live.operations(services.runtime),
        *tap.operations(services.runtime),
        *events.operations(services.runtime.events),
        *logs.operations(services.logs),
        *drivers.operations(),
        *templates.operations(),
        *sheets.operations(services.configuration, lambda: in_place(services.configuration)),
        *tables.operations(services.configuration, lambda: in_place(services.configuration)),
    ]
