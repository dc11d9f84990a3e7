"""What needs repair, and how backlogs will end."""

from __future__ import annotations

from typing import Any

from gateway.actors import Role
from gateway.control.operation import Answer, Call, NoQuery, Operation
from gateway.diagnostics.backlog import Forecast
from gateway.diagnostics.repairs import Repair
from gateway.diagnostics.room import Diagnostics


def operations(room: Diagnostics) -> list[Operation[Any, Any]]:
    async def list_repairs(_: Call[NoQuery, None]) -> list[Repair]:
        return await room.repairs()

    async def get_forecasts(_: Call[NoQuery, None]) -> dict[str, Forecast]:
        return room.forecasts()

    return [
        Operation(
            "GET",
            "/v1/repairs",
            "list_repairs",
            Role.VIEWER,
            "List what needs repair, the worst first.",
            list_repairs,
            Answer(list[Repair]),
        ),
        Operation(
            "GET",
            "/v1/forecasts",
            "get_forecasts",
            Role.VIEWER,
            "Say of each sink's backlog when it is delivered, or full.",
            get_forecasts,
            Answer(dict[str, Forecast]),
        ),
    ]
