"""How everything is doing."""

from __future__ import annotations

from typing import Any, Protocol

from gateway.actors import Role
from gateway.control.operation import Answer, Call, NoQuery, Operation
from gateway.status import Status


class HasStatus(Protocol):
    """`gateway.runtime.Runtime`, as far as this door needs it."""

    def status(self) -> Status: ...


def operations(runtime: HasStatus) -> list[Operation[Any, Any]]:
    async def get_status(_: Call[NoQuery, None]) -> Status:
        return runtime.status()

    return [
        Operation(
            "GET",
            "/v1/status",
            "get_status",
            Role.VIEWER,
            "Say how the gateway, its links and devices, its journal and its sinks are doing.",
            get_status,
            Answer(Status),
        )
    ]
