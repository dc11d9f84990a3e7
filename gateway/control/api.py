"""The whole control API: every room's operations in one list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.control.operation import Operation
from gateway.control.routes import events, live, logs, status, tap
from gateway.ops.logs import LogRing
from gateway.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Services:
    """What the API is the door to."""

    runtime: Runtime
    logs: LogRing


def operations(services: Services) -> list[Operation[Any, Any]]:
    """All of them, in the order of the OpenAPI document."""
    return [
        *status.operations(services.runtime),
        *live.operations(services.runtime),
        *tap.operations(services.runtime),
        *events.operations(services.runtime.events),
        *logs.operations(services.logs),
    ]
