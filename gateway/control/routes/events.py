"""What changed, as it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from gateway.actors import Role
from gateway.control.answers import as_json
from gateway.control.operation import Call, Event, NoQuery, Operation, events
from gateway.ops.events import Change, Events


def operations(source: Events) -> list[Operation[Any, Any]]:
    async def follow_events(_: Call[NoQuery, None]) -> AsyncIterator[Event]:
        return _told(source.follow())

    return [
        Operation(
            "GET",
            "/v1/events",
            "follow_events",
            Role.VIEWER,
            "Stream changes of state: devices, links, sinks, alarms, configuration, repairs.",
            follow_events,
            events(
                Change,
                "Events `device`, `link`, `sink`, `alarm`, `config` and `repairs`, from now on. What changes again "
                "before it was told is told once; after a reconnect, ask for the status anew.",
            ),
        )
    ]


async def _told(source: AsyncIterator[Change]) -> AsyncIterator[Event]:
    async for change in source:
        yield Event(as_json(change), change.event)
