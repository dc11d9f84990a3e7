"""What needs repair, and how backlogs will end."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from gateway.actors import Role
from gateway.control.operation import Answer, Call, NoQuery, Operation
from gateway.diagnostics.room import Diagnostics


class RepairAnswer(TypedDict):
    id: str
    """Stable as long as the cause lasts."""
    severity: str
    """`error`, `warning` or `notice`."""
    sentence: str
    cause: str
    mend: str
    page: str
    """A path of the local page."""
    command: str


class ForecastAnswer(TypedDict):
    phase: str
    """`delivering`, `buffering`, `draining` or `full`."""
    sentence: str
    pending: int
    held_s: float | None
    """Age of the oldest value on disk."""
    rate_per_s: float | None
    """Values by which the backlog grows a second; negative: shrinks; null: not known yet."""
    drained_in_s: float | None
    full_in_s: float | None


def operations(room: Diagnostics) -> list[Operation[Any, Any]]:
    async def list_repairs(_: Call[NoQuery, None]) -> list[dict[str, Any]]:
        return [repair.to_json() for repair in await room.repairs()]

    async def get_forecasts(_: Call[NoQuery, None]) -> dict[str, Any]:
        return {sink: forecast.to_json() for sink, forecast in room.forecasts().items()}

    return [
        Operation(
            "GET",
            "/v1/repairs",
            "list_repairs",
            Role.VIEWER,
            "List what needs repair, the worst first.",
            list_repairs,
            Answer(list[RepairAnswer]),
        ),
        Operation(
            "GET",
            "/v1/forecasts",
            "get_forecasts",
            Role.VIEWER,
            "Say of each sink's backlog when it is delivered, or full.",
            get_forecasts,
            Answer(dict[str, ForecastAnswer]),
        ),
    ]
