"""Tests of the way to devices and brokers, why a tag doesn't arrive, and what stands at an address."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from gateway.actors import Role
from gateway.control.operation import Answer, Body, Call, Event, NoQuery, Operation, Refusal, events
from gateway.control.refusing import diagnostics_errors
from gateway.diagnostics.plausible import is_plausible
from gateway.diagnostics.room import Diagnostics
from gateway.diagnostics.rungs import Rung
from gateway.diagnostics.why import Step
from gateway.driver import DeviceSilent, Item, LinkDown, ScanFailed
from gateway.live.plain import whole
from gateway.sentences import with_mend

Table = dict[str, Any]


class WhichDevice(Body):
    """One that is configured, by its name; or one that isn't, by the tables that would configure it."""

    device: str | None = Field(default=None, max_length=255, description="Name of a configured device.")
    link: Table = Field(default_factory=dict, description="The keys of a `[[link]]`.")
    table: Table = Field(default_factory=dict, description="The keys of a `[[device]]`.")


class DeviceTest(WhichDevice):
    tags: list[Table] = Field(default_factory=list, max_length=2000, description="Tags to read, as their tables.")


class SinkTest(Body):
    """A sink that is configured, by its name; or one that isn't, by its table."""

    sink: str | None = Field(default=None, max_length=255)
    table: Table = Field(default_factory=dict, description="The keys of a `[[sink]]`.")


class Place(WhichDevice):
    address: str = Field(min_length=1, max_length=1000, description="As a tag's, such as `hr:100`.")


class Browse(WhichDevice):
    start: str | None = Field(default=None, max_length=1000, description="Begin there instead of at the beginning.")
    depth: int | None = Field(default=None, ge=1, le=1000, description="Go down so many levels at most.")


class RungEvent(TypedDict):
    rung: str
    title: str
    state: str
    """`running`, `passed`, `failed` or `skipped`."""
    sentence: str
    mend: str | None
    duration_ms: float
    details: dict[str, Any]


class Why(TypedDict):
    tag: str
    arrives: bool
    stage: str | None
    """Where it stops."""
    sentence: str
    mend: str | None
    steps: Sequence[Step]


class DecodedValue(TypedDict):
    address: str
    type: str
    order: str
    raw: str
    """Hexadecimal."""
    value: Any
    """An integer beyond ±2^53 is text."""
    plausible: bool
    options: dict[str, Any]
    """The keys of a tag, besides those above, that read it so. An `address` here stands for the one above."""


class BrowsedItem(TypedDict, total=False):
    """An `item` has all but the last two, a `failed` those."""

    kind: str
    path: str
    address: str
    type: str | None
    count: int | None
    writable: bool
    name: str
    unit: str | None
    description: str
    value: Any
    options: dict[str, Any]
    sentence: str
    mend: str | None


def operations(room: Diagnostics) -> list[Operation[Any, Any]]:
    async def test_device(call: Call[NoQuery, DeviceTest]) -> AsyncIterator[Event]:
        wanted = call.body
        _either(wanted.device, {**wanted.link, **wanted.table})
        with diagnostics_errors():
            if wanted.device is not None:
                return _rungs(room.test_device(wanted.device))
            return _rungs(room.test_tables(wanted.link, wanted.table, wanted.tags))

    async def test_sink(call: Call[NoQuery, SinkTest]) -> AsyncIterator[Event]:
        _either(call.body.sink, call.body.table)
        with diagnostics_errors():
            if call.body.sink is not None:
                return _rungs(room.test_sink(call.body.sink))
            return _rungs(room.test_sink_table(call.body.table))

    async def decode_address(call: Call[NoQuery, Place]) -> list[DecodedValue]:
        wanted = call.body
        _either(wanted.device, {**wanted.link, **wanted.table})
        with diagnostics_errors():
            found = await room.decode(room.line_to(wanted.device, wanted.link, wanted.table), wanted.address)
        return [
            {
                "address": each.address,
                "type": each.type,
                "order": each.order,
                "raw": each.raw.hex(),
                "value": whole(each.value),
                "plausible": is_plausible(each),
                "options": dict(each.options),
            }
            for each in found
        ]

    async def browse_device(call: Call[NoQuery, Browse]) -> AsyncIterator[Event]:
        wanted = call.body
        _either(wanted.device, {**wanted.link, **wanted.table})
        with diagnostics_errors():
            line = room.line_to(wanted.device, wanted.link, wanted.table)
        return _items(room.browse(line, wanted.start, wanted.depth))

    async def explain_tag(call: Call[NoQuery, None]) -> Why:
        found = room.why(call.path["tag"])
        return {
            "tag": found.tag,
            "arrives": found.arrives,
            "stage": found.stage,
            "sentence": found.sentence,
            "mend": found.mend,
            "steps": found.steps,
        }

    return [
        Operation(
            "POST",
            "/v1/tests/device",
            "test_device",
            Role.ENGINEER,
            "Test the way to a device rung by rung: name, link, session, identity, test read.",
            test_device,
            events(RungEvent, "Each rung when it begins and when it ends. Leaving ends the test."),
            body=DeviceTest,
            refusals=(409,),
        ),
        Operation(
            "POST",
            "/v1/tests/sink",
            "test_sink",
            Role.ENGINEER,
            "Test the way to a broker rung by rung: name, link, TLS, CONNECT, publish, the message coming back.",
            test_sink,
            events(RungEvent, "Each rung when it begins and when it ends. Leaving ends the test."),
            body=SinkTest,
            refusals=(409,),
        ),
        Operation(
            "POST",
            "/v1/decode",
            "decode_address",
            Role.ENGINEER,
            "Read an address of a device and its neighbours, and say what the bytes are in every type and order.",
            decode_address,
            Answer(list[DecodedValue]),
            body=Place,
            refusals=(409, 502),
        ),
        Operation(
            "POST",
            "/v1/browse",
            "browse_device",
            Role.ENGINEER,
            "Stream what a device has to offer.",
            browse_device,
            events(BrowsedItem, "An `item` each, then `done` or `failed`. Leaving ends it."),
            body=Browse,
            refusals=(409, 502),
        ),
        Operation(
            "GET",
            "/v1/why/{tag:path}",
            "explain_tag",
            Role.VIEWER,
            "Say where on its way to MQTT a tag stops, with what was last seen at each stage.",
            explain_tag,
            Answer(Why),
        ),
    ]


def _either(name: str | None, tables: Table) -> None:
    if name is not None and tables:
        raise Refusal(409, "ambiguous", f"both {name!r} and tables of another are given", "give one of both")


def event(name: str, body: Mapping[str, Any]) -> Event:
    return Event(orjson.dumps(body, default=str), event=name)


def failed(error: Exception) -> Event:
    """The last event of a stream that can't go on."""
    sentence, mend = with_mend(str(error))
    return event("failed", {"sentence": sentence, "mend": mend})


async def _rungs(ladder: AsyncGenerator[Rung, None]) -> AsyncGenerator[Event, None]:
    try:
        async for rung in ladder:
            yield event("rung", rung.to_json())
    finally:
        await ladder.aclose()


async def _items(items: AsyncGenerator[Item, None]) -> AsyncGenerator[Event, None]:
    try:
        async for item in items:
            yield event("item", _item(item))
        yield event("done", {})
    except (LinkDown, DeviceSilent, ScanFailed) as error:
        yield failed(error)
    finally:
        await items.aclose()


def _item(item: Item) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "path": item.path,
        "address": item.address,
        "type": item.type,
        "count": item.count,
        "writable": item.writable,
        "name": item.name,
        "unit": item.unit,
        "description": item.description,
        "value": whole(item.value),
        "options": dict(item.options),
    }
