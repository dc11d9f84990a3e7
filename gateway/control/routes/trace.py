"""Wire traces: what goes over a link, decoded, for a while."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from gateway.actors import Role
from gateway.control.operation import Answer, Body, Call, Event, File, NoQuery, Operation, Query, Refusal, events, file
from gateway.control.refusing import diagnostics_errors
from gateway.control.routes.diagnostics import event
from gateway.diagnostics import pcap
from gateway.diagnostics.room import Diagnostics
from gateway.diagnostics.trace import DEFAULT_S, MAX_S, Entry, Trace, Untraceable
from gateway.sentences import with_mend


class NewTrace(Body):
    device: str = Field(min_length=1, max_length=255, description="Name of a configured device.")
    seconds: float = Field(default=DEFAULT_S, gt=0, le=MAX_S, description="The trace ends by itself after so long.")


class After(Query):
    after: int = Field(default=0, ge=0, description="Frames numbered beyond this.")


class TraceStatus(TypedDict):
    id: str
    link: str
    device: str
    driver: str
    began_ns: int
    seconds: float
    left_s: float
    ended: str | None
    """Why it ended; null while it runs."""
    frames: int
    bytes: int
    dropped: int
    """Frames that made room for newer ones."""
    pcap: bool
    """Whether it can be had as a capture file."""


class FramePart(TypedDict):
    name: str
    offset: int
    length: int
    text: str


class TracedFrame(TypedDict):
    """A `frame`."""

    number: int
    """From 1; a gap: some were dropped."""
    timestamp_ns: int
    since_start_ms: float
    direction: str
    """`sent` or `received`."""
    device: str
    unit: str
    form: str
    note: str
    size: int
    hex: str
    summary: str
    fault: bool
    parts: list[FramePart]


_NAME = "no-such-trace"


def operations(room: Diagnostics) -> list[Operation[Any, Any]]:
    def trace_of(call: Call[Any, Any]) -> Trace:
        try:
            return room.tracing[call.path["id"]]
        except KeyError:
            raise Refusal(404, _NAME, f"there is no trace {call.path['id']!r}", "it may have made room") from None

    async def start_trace(call: Call[NoQuery, NewTrace]) -> dict[str, Any]:
        try:
            with diagnostics_errors():
                return room.trace(call.body.device, call.body.seconds).status()
        except Untraceable as error:
            raise Refusal(409, "untraceable", *with_mend(str(error))) from None

    async def list_traces(_: Call[NoQuery, None]) -> list[dict[str, Any]]:
        return [trace.status() for trace in room.tracing.all()]

    async def get_trace(call: Call[NoQuery, None]) -> dict[str, Any]:
        return trace_of(call).status()

    async def follow_trace(call: Call[After, None]) -> AsyncIterator[Event]:
        trace = trace_of(call)
        return _frames(trace, trace.follow(call.query.after))

    async def get_frames(call: Call[After, None]) -> list[dict[str, Any]]:
        trace = trace_of(call)
        return [trace.describe(entry) for entry in trace.entries() if entry.number > call.query.after]

    async def get_capture(call: Call[NoQuery, None]) -> File:
        trace = trace_of(call)
        try:
            return File(trace.pcap(), pcap.MEDIA_TYPE, f"{trace.device}.pcap")
        except Untraceable as error:
            raise Refusal(409, "no-capture", *with_mend(str(error))) from None

    async def stop_trace(call: Call[NoQuery, None]) -> dict[str, Any]:
        trace = trace_of(call)
        trace.end("it was stopped")
        return trace.status()

    async def forget_trace(call: Call[NoQuery, None]) -> None:
        room.tracing.forget(trace_of(call).id)

    status = Answer(TraceStatus)
    return [
        Operation(
            "POST",
            "/v1/traces",
            "start_trace",
            Role.ENGINEER,
            "Record what goes over the link of a device, for a while.",
            start_trace,
            Answer(TraceStatus, status=201),
            body=NewTrace,
            refusals=(409,),
        ),
        Operation(
            "GET",
            "/v1/traces",
            "list_traces",
            Role.ENGINEER,
            "List the traces.",
            list_traces,
            Answer(list[TraceStatus]),
        ),
        Operation("GET", "/v1/traces/{id}", "get_trace", Role.ENGINEER, "Say how a trace is doing.", get_trace, status),
        Operation(
            "GET",
            "/v1/traces/{id}/frames",
            "get_frames",
            Role.ENGINEER,
            "The frames that a trace keeps, decoded.",
            get_frames,
            Answer(list[TracedFrame]),
            query=After,
        ),
        Operation(
            "GET",
            "/v1/traces/{id}/stream",
            "follow_trace",
            Role.ENGINEER,
            "Stream the frames of a trace as they come, decoded.",
            follow_trace,
            events(TracedFrame | TraceStatus, "A `frame` each, then `ended`, the trace's status."),
            query=After,
        ),
        Operation(
            "GET",
            "/v1/traces/{id}/capture",
            "get_capture",
            Role.ENGINEER,
            "The frames that a trace keeps as a capture file for Wireshark.",
            get_capture,
            file(pcap.MEDIA_TYPE),
            refusals=(409,),
        ),
        Operation(
            "POST", "/v1/traces/{id}/stop", "stop_trace", Role.ENGINEER, "End a trace and keep it.", stop_trace, status
        ),
        Operation(
            "DELETE", "/v1/traces/{id}", "forget_trace", Role.ENGINEER, "End a trace and let go of it.", forget_trace
        ),
    ]


async def _frames(trace: Trace, entries: AsyncGenerator[Entry, None]) -> AsyncGenerator[Event, None]:
    try:
        async for entry in entries:
            yield Event(orjson.dumps(trace.describe(entry)), event="frame", id=str(entry.number))
        yield event("ended", trace.status())
    finally:
        await entries.aclose()
