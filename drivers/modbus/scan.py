"""``tidegate scan modbus``: the units at one endpoint, who they say they are, and what they let one read.

Read-only: functions 1 to 4, 17 and 43/14. Gentle: one request at a time, at a bounded rate, within a budget.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from drivers.common.blocks import Span
from drivers.common.proposal import name_from, proposal
from drivers.modbus import identity, pdu
from drivers.modbus.address import DATA_TABLES, LAST_ADDRESS, OBJECTS, Table
from drivers.modbus.bus import ModbusBus
from drivers.modbus.errors import UNREACHED, Refused, ReplyTimeout
from drivers.modbus.pdu import Exchange
from drivers.modbus.scan_options import ScanOptions
from drivers.modbus.survey import Survey
from gateway.driver import Finding, LinkDown, Progress

_REGULAR = 2
"""The level of identification asked for: what is beyond is the maker's own."""
_SHOWN = 40
"""Ranges of one table that a row has room for."""


@dataclass(slots=True)
class _Unit:
    """What is found out about one unit."""

    number: int
    answer: str
    """What it said to the first read."""
    objects: dict[int, str] = field(default_factory=dict)
    server_id: str = ""
    ranges: dict[Table, list[Span]] = field(default_factory=dict)
    cut_short: set[Table] = field(default_factory=set)
    """Tables that the budget or the connection didn't last for."""


async def search(bus: ModbusBus[Any], options: ScanOptions) -> AsyncIterator[Finding | Progress]:
    """Look for units on a bus that isn't connected yet; it is closed in the end. Raises LinkDown."""
    try:
        await bus.connect()
        units = options.numbers
        for done, number in enumerate(units):
            yield Progress(done, len(units), f"unit {number}")
            unit = await _meet(bus, number)
            if unit is None:
                continue
            ask = partial(_ask, bus, number)
            await _identify(ask, unit)
            if options.ranges:
                survey = Survey(ask, options.requests)
                for table in DATA_TABLES:
                    yield Progress(done, len(units), f"unit {number}: {table.title}")
                    found = unit.ranges[table] = []
                    try:
                        async for span in survey.ranges(table):
                            found.append(span)  # noqa: PERF401 - what was found stands if the connection ends
                    except LinkDown:
                        # Some close the connection on what they don't know.
                        unit.cut_short.add(table)
                        await bus.connect()
                    if survey.budget <= 0:
                        unit.cut_short.add(table)
            yield Finding(_row(unit), _config(unit, options))
        yield Progress(len(units), len(units), "done")
    finally:
        await bus.close()


async def _ask(bus: ModbusBus[Any], unit: int, exchange: Exchange) -> bytes:
    return await bus.transact(bus.prepare(unit, exchange))


async def _meet(bus: ModbusBus[Any], number: int) -> _Unit | None:
    """A unit, if there is one: whatever it answers, even an exception, shows that."""
    try:
        await _ask(bus, number, pdu.read(Table.HOLDING_REGISTERS, 0, 1))
    except ReplyTimeout:
        return None
    except LinkDown:
        # Some gateways hang up on a unit they don't have.
        await bus.connect()
        return None
    except Refused as fault:
        return None if fault.code in UNREACHED else _Unit(number, str(fault))
    return _Unit(number, "data")


async def _identify(ask: identity.Ask, unit: _Unit) -> None:
    try:
        objects = await identity.read_objects(ask, _REGULAR)
    except (Refused, ReplyTimeout):
        objects = {}
    unit.objects = {number: text for number, data in objects.items() if (text := identity.text_of(data))}
    if not unit.objects:
        try:
            data = (await ask(pdu.report_server_id()))[1:]
        except (Refused, ReplyTimeout):
            return
        printable = data.rstrip(b"\0\xff")
        plain = printable.isascii() and printable.decode().isprintable()
        unit.server_id = printable.decode() if plain else data.hex(" ")


def _row(unit: _Unit) -> dict[str, Any]:
    names = {number: name for name, number in OBJECTS.items()}
    return {
        "unit": unit.number,
        "answer": unit.answer,
        **{name: unit.objects.get(number, "") for number, name in names.items()},
        "server id": unit.server_id,
        **{table.title: _listed(unit.ranges.get(table, []), table in unit.cut_short) for table in DATA_TABLES},
    }


def _listed(ranges: list[Span], cut_short: bool) -> str:
    """The ranges; an ellipsis where there may be more."""
    more = len(ranges) > _SHOWN or (cut_short and not (ranges and ranges[-1].end > LAST_ADDRESS))
    shown = [str(span.address) if span.count == 1 else f"{span.address}-{span.end - 1}" for span in ranges[:_SHOWN]]
    return ", ".join([*shown, *(["…"] if more else [])])


def _config(unit: _Unit, options: ScanOptions) -> str:
    """TOML ready to paste: the link, the device, and the first value of each range to begin with."""
    return proposal(
        "modbus",
        {"name": name_from(f"modbus-{options.host or options.device}"), **options.link_table},
        {"name": f"unit{unit.number}", "unit": unit.number},
        ({"name": name, "address": address, "type": type_} for name, address, type_ in _tags(unit)),
        remark="It serves all units at this endpoint.",
    )


def _tags(unit: _Unit) -> Iterator[tuple[str, str, str]]:
    found = [(table, span) for table, spans in unit.ranges.items() for span in spans[:_SHOWN]]
    for table, span in found:
        type_ = "bool" if table.holds_bits else "uint16"
        yield f"{table.prefix}/{span.address}", f"{table.prefix}:{span.address}", type_
    for name, number in OBJECTS.items():
        if number in unit.objects:
            yield f"id/{name}", f"id:{name}", "string"
    if not found and not unit.objects:
        yield "hr/0", "hr:0", "uint16"
