"""Live values: what every tag is now, what it was of late, what changed."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from gateway.actors import Role
from gateway.control.operation import Answer, Call, Event, File, Flag, NoQuery, Operation, Query, Refusal, events, file
from gateway.live import Directory, Entry, Live, Selection, Watch, trend
from gateway.live.describe import current, describe, payloads
from gateway.live.directory import topic_of
from gateway.live.matching import PATTERN
from gateway.model import is_good, quality_name

Match = Annotated[str, Field(max_length=1000, pattern=PATTERN, description="Shell pattern over `device/tag`.")]
Device = Annotated[str | None, Field(max_length=255, description="Tags of this device only.")]
_NO_TAG = "no-such-tag"


class HasLive(Protocol):
    """`gateway.runtime.Runtime`, as far as this door needs it."""

    @property
    def live(self) -> Live: ...


class Chosen(Query):
    match: Match = "*"
    device: Device = None
    errors: Flag = Field(default=False, description="Only tags whose quality isn't good.")

    def selection(self) -> Selection:
        return Selection(self.match, self.device, self.errors)


class Watching(Chosen):
    interval_ms: int = Field(default=1000, ge=250, le=60_000, description="Time between two ticks.")


class Recent(Query):
    tag: list[Annotated[str, Field(max_length=1000)]] = Field(
        min_length=1, max_length=200, description="Tags, `device/path`."
    )
    from_ms: int | None = Field(
        default=None, alias="from", description="Since then: ms since 1970, or if negative ms before now. Default: all."
    )
    points: int = Field(default=300, ge=2, le=5000, description="Points of each tag at most.")


class LiveGroup(TypedDict):
    device: str
    group: str
    link: str
    driver: str
    location: list[str]
    interval_ms: int | None
    """None: the device speaks by itself."""


class LiveTags(TypedDict):
    """Columns of equal length, one entry a tag."""

    path: list[str]
    unit: list[str | None]
    type: list[str]
    group: list[int]
    """Place in `groups`."""
    topic: list[str | None]
    """Where the first sink publishes it."""
    writable: list[int]


class LiveEvent(TypedDict, total=False):
    """A `snapshot` has `generation`, `groups` and `tags`, and then as every `tick` what is, or what changed."""

    t: int
    """The gateway's clock, ms since 1970."""
    generation: int
    """Of the configuration."""
    interval_ms: int
    """Time between two ticks, as the gateway grants it."""
    groups: list[LiveGroup]
    tags: LiveTags
    i: list[int]
    """Places in the table of tags."""
    v: list[Any]
    """Their values. An integer beyond ±2^53 is text; what is too long for a table is `{"cut": length, "head": …}`."""
    q: list[int]
    """Their qualities, OPC UA status codes. Left out if all are good."""
    a: list[int | None]
    """How long ago each was heard of, ms; −1: never; null: with its group. Left out if all were heard with theirs."""
    g: list[int]
    """Groups that were heard of as a whole."""
    ga: list[int]
    """How long ago, ms."""
    names: dict[str, str]
    """Names of quality codes that weren't told before."""


class CurrentValue(TypedDict):
    tag: str
    device: str
    path: str
    value: Any
    unit: str | None
    type: str
    quality: int
    quality_name: str
    timestamp_ms: int | None
    """When it was last heard of; null: never."""
    topic: str | None


class Recents(TypedDict):
    """Columns of equal length, one entry a point, which stands for everything since the one before."""

    t: list[int]
    last: list[Any]
    """Null is a gap: the value was bad."""
    low: list[Any]
    high: list[Any]
    quality: list[int]
    broken: list[int]
    """1: some value was bad, so no line may be drawn to the point before."""


class Trends(TypedDict):
    t: int
    tags: dict[str, Recents]


class Destination(TypedDict):
    sink: str
    topic: str
    granularity: str
    profile: str
    retain: bool


class Published(TypedDict, total=False):
    sink: str
    topic: str
    payload: str
    """Of a long one the beginning."""
    bytes: int
    retain: bool
    error: str


class TagDetails(TypedDict):
    tag: str
    device: str
    path: str
    group: str
    link: str
    driver: str
    far_end: str
    address: Any
    options: dict[str, Any]
    mode: str
    interval_ms: int
    stale_ms: int | None
    wire_type: str
    type: str
    count: int | None
    scale: float
    offset: float
    unit: str | None
    low: float | None
    high: float | None
    clamp: bool
    report: dict[str, Any] | None
    description: str | None
    original_name: str | None
    writable: bool
    location: list[str]
    destinations: list[Destination]
    current: CurrentValue
    published: list[Published]
    """The last message of each sink that had it; empty if the last report of its group was without it."""


def operations(runtime: HasLive) -> list[Operation[Any, Any]]:
    async def watch_live(call: Call[Watching, None]) -> AsyncIterator[Event]:
        return _watch(runtime.live, call.query)

    async def get_values(call: Call[Chosen, None]) -> list[CurrentValue]:
        return list(_values(runtime.live, call.query.selection()))

    async def get_values_csv(call: Call[Chosen, None]) -> File:
        return File(_csv(_values(runtime.live, call.query.selection())), "text/csv; charset=utf-8", "values.csv")

    async def get_trend(call: Call[Recent, None]) -> Trends:
        live, query = runtime.live, call.query
        found = {name: _find(live.directory, name) for name in query.tag}
        return {
            "t": live.wall_ns() // 1_000_000,
            "tags": {name: _recent(live, at, query) for name, at in found.items()},
        }

    async def get_tag(call: Call[NoQuery, None]) -> dict[str, Any]:
        live = runtime.live
        entry = _find(live.directory, call.path["tag"])
        return {
            **describe(live.directory, entry),
            "current": _value(live, entry),
            "published": payloads(live.directory, entry),
        }

    return [
        Operation(
            "GET",
            "/v1/live",
            "watch_live",
            Role.VIEWER,
            "Stream values as they change: an event `snapshot` with the table of tags, then one `tick` each interval.",
            watch_live,
            events(LiveEvent),
            query=Watching,
        ),
        Operation(
            "GET",
            "/v1/values",
            "get_values",
            Role.VIEWER,
            "Say what every tag is now.",
            get_values,
            Answer(list[CurrentValue]),
            query=Chosen,
        ),
        Operation(
            "GET",
            "/v1/values.csv",
            "get_values_csv",
            Role.VIEWER,
            "Say what every tag is now, as a table.",
            get_values_csv,
            file("text/csv"),
            query=Chosen,
        ),
        Operation(
            "GET",
            "/v1/trend",
            "get_trend",
            Role.VIEWER,
            "Say what tags were of late, peaks and gaps kept.",
            get_trend,
            Answer(Trends),
            query=Recent,
        ),
        Operation(
            "GET",
            "/v1/tags/{tag:path}",
            "get_tag",
            Role.VIEWER,
            "Say how a tag is configured, what it is now and how it is published.",
            get_tag,
            Answer(TagDetails),
        ),
    ]


async def _watch(live: Live, query: Watching) -> AsyncIterator[Event]:
    """A caller that comes back after a lost connection gets a new snapshot: what it missed is in it."""
    watch = Watch(live, query.selection())
    number = 0
    while True:
        snapshot = not number or watch.outdated
        data = watch.snapshot(interval_ms=query.interval_ms) if snapshot else watch.tick()
        number += 1
        yield Event(data, "snapshot" if snapshot else "tick", f"{watch.generation}-{number}")
        await asyncio.sleep(query.interval_ms / 1000)


def _find(directory: Directory, name: str) -> Entry:
    try:
        return directory.find(name)
    except KeyError:
        raise Refusal(404, _NO_TAG, f"there is no tag {name}", "see /v1/values for those there are") from None


def _values(live: Live, selection: Selection) -> Iterator[CurrentValue]:
    for group, columns in live.directory.chosen(selection):
        for column in columns:
            value = _value(live, Entry(group, column))
            if not selection.errors or not is_good(value["quality"]):
                yield value


def _value(live: Live, entry: Entry) -> CurrentValue:
    value, quality, at_ms = current(entry, wall_ns=live.wall_ns(), mono_ns=live.mono_ns())
    tag, sinks = entry.tag, live.directory.sinks
    return {
        "tag": entry.name,
        "device": entry.group.device.name,
        "path": tag.path,
        "value": value,
        "unit": tag.unit,
        "type": tag.type.value,
        "quality": quality,
        "quality_name": quality_name(quality),
        "timestamp_ms": at_ms,
        "topic": topic_of(entry.group.layout, tag, sinks[0]) if sinks else None,
    }


def _csv(values: Iterator[CurrentValue]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["tag", "value", "unit", "quality", "time"])
    for value in values:
        at_ms = value["timestamp_ms"]
        time = "" if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        row = [value["tag"], _cell(value["value"]), value["unit"] or "", value["quality_name"], time]
        writer.writerow([_no_formula(text) for text in row])
    return text.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _no_formula(cell: str) -> str:
    """Texts come from devices: a spreadsheet must not take one for a formula. A number may begin with a sign."""
    if cell[:1] in ("=", "@", "\t", "\r") or (cell[:1] in ("+", "-") and not _is_number(cell)):
        return "'" + cell
    return cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _recent(live: Live, entry: Entry, query: Recent) -> Recents:
    offset_ms = (live.wall_ns() - live.mono_ns()) // 1_000_000
    since_ms = query.from_ms
    if since_ms is None:
        start_ms = 0
    elif since_ms < 0:
        start_ms = live.mono_ns() // 1_000_000 + since_ms
    else:
        start_ms = since_ms - offset_ms
    found = trend(entry.group.current.samples(entry.column, start_ms), offset_ms, query.points)
    return {
        "t": found.t,
        "last": found.last,
        "low": found.low,
        "high": found.high,
        "quality": found.quality,
        "broken": found.broken,
    }
