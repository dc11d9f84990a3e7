"""What the gateway's log said of late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from gateway.actors import Role
from gateway.control.answers import as_json
from gateway.control.operation import EXACT, Answer, Call, Event, Operation, Query, events
from gateway.ops.logs import KEPT, LogEntry, LogFilter, LogRing, LogsMissed


class Wanted(Query):
    level: Literal["debug", "info", "warning", "error"] = Field(default="debug", description="The least that counts.")
    since: int = Field(default=0, ge=0, le=EXACT, description="Only from then on, ms since 1970 UTC.")
    after: int = Field(default=0, ge=0, le=EXACT, description="Only entries with a higher id.")
    match: str = Field(
        default="",
        max_length=200,
        description="Stands somewhere in the message, the traceback or the logger's name, in whatever case.",
    )

    @property
    def filter(self) -> LogFilter:
        return LogFilter(self.level, self.since, self.after, self.match)


class WantedLatest(Wanted):
    limit: int = Field(default=200, ge=1, le=KEPT, description="So many at most: the newest.")


@dataclass(frozen=True, slots=True)
class Logs:
    entries: list[LogEntry]
    """Oldest first."""
    first_id: int
    """Of the oldest entry that is still kept, wanted or not; those before it are gone."""
    last_id: int


def operations(ring: LogRing) -> list[Operation[Any, Any]]:
    async def list_logs(call: Call[WantedLatest, None]) -> Logs:
        return Logs(list(ring.latest(call.query.filter, call.query.limit)), ring.first_id, ring.last_id)

    async def follow_logs(call: Call[Wanted, None]) -> AsyncIterator[Event]:
        wanted = call.query.filter
        again = call.headers.get("last-event-id", "")
        if again.isascii() and again.isdigit():
            wanted = LogFilter(wanted.level, wanted.since_ms, max(wanted.after, int(again[:16])), wanted.match)
        return _told(ring.follow(wanted))

    return [
        Operation(
            "GET",
            "/v1/logs",
            "list_logs",
            Role.VIEWER,
            "List the last log entries that are kept in memory, secrets crossed out.",
            list_logs,
            Answer(Logs),
            WantedLatest,
        ),
        Operation(
            "GET",
            "/v1/logs/stream",
            "follow_logs",
            Role.VIEWER,
            "Stream log entries: those kept, then each as it is made.",
            follow_logs,
            events(LogEntry | LogsMissed, "Events `log`, and `missed` where a reader was too slow."),
            Wanted,
        ),
    ]


async def _told(source: AsyncIterator[LogEntry | LogsMissed]) -> AsyncIterator[Event]:
    async for item in source:
        if isinstance(item, LogEntry):
            yield Event(as_json(item), "log", str(item.id))
        else:
            yield Event(as_json(item), "missed")
