"""What changed, as it changes and of late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pydantic import Field

from gateway.actors import Role
from gateway.control.answers import as_json
from gateway.control.operation import Answer, Call, Event, NoQuery, Operation, Query, events
from gateway.ops.events import KEPT, Change, Events, Happened


class Newest(Query):
    limit: int = Field(default=200, ge=1, le=KEPT, description="So many at most: the newest.")


def operations(source: Events) -> list[Operation[Any, Any]]:
    async def follow_events(_: Call[NoQuery, None]) -> AsyncIterator[Event]:
        return _told(source.follow())

    async def list_events(call: Call[Newest, None]) -> list[Happened]:
        return list(source.recent()[-call.query.limit :])

    return [
        Operation(
            "GET",
            "/v1/events",
            "follow_events",
            Role.VIEWER,
            "Stream changes of state: devices, links, sinks, alarms, configuration, repairs, the machine.",
            follow_events,
            events(
                Change,
                "Events `device`, `link`, `sink`, `alarm`, `config`, `repairs` and `machine`, from now on. What "
                "changes again before it was told is told once; after a reconnect, ask for the status anew.",
            ),
        ),
        Operation(
            "GET",
            "/v1/events/recent",
            "list_events",
            Role.VIEWER,
            "List the last changes of state since the gateway's start, oldest first.",
            list_events,
            Answer(list[Happened]),
            Newest,
        ),
    ]


async def _told(source: AsyncIterator[Change]) -> AsyncIterator[Event]:
    async for change in source:
        yield Event(as_json(change), change.event)
