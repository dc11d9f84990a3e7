"""Showing what a device has: its readable ranges, and every way to understand what stands at an address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from drivers.common.blocks import Span
from drivers.modbus import matrix, pdu
from drivers.modbus.address import OBJECTS, Table, parse
from drivers.modbus.bus import ModbusBus
from drivers.modbus.errors import UNREACHED, Refused, ReplyTimeout
from drivers.modbus.identity import read_objects, text_of
from drivers.modbus.options import DeviceOptions
from drivers.modbus.pdu import Exchange
from drivers.modbus.survey import Survey
from gateway.driver import Decoding, DeviceSilent, Item, ScanFailed
from gateway.model import DataType

P = TypeVar("P")

_REQUESTS = 4000
"""Most requests of one browse."""
_REGULAR = 2
"""The level of identification that has all objects with names."""
_IDENTITY = {"vendor": "maker", "revision": "version"}
"""Our names of the objects, in the words that all drivers share."""


class Explorer(Generic[P]):
    """Implements :class:`gateway.driver.Browses` and :class:`gateway.driver.Decodes` for one device."""

    def __init__(self, bus: ModbusBus[P], options: DeviceOptions) -> None:
        self._bus = bus
        self._options = options

    async def browse(self, start: str | None, depth: int | None) -> AsyncIterator[Item]:
        """See :meth:`gateway.driver.Browses.browse`. Folders are the tables and the identification."""
        titles = {table.prefix: table.title for table in Table}
        if start is not None and start not in titles:
            raise ScanFailed(f"there is nothing at '{start}': start at {', '.join(titles)} or leave it out")
        await self._registers(Table.HOLDING_REGISTERS, range(1))
        survey = Survey(self._ask, _REQUESTS, self._options.max_registers, self._options.max_bits)
        for table in Table if start is None else [table for table in Table if table.prefix == start]:
            if start is None:
                yield Item("", table.prefix, "folder", name=table.title)
            if depth is not None and depth < (2 if start is None else 1):
                continue
            if table is Table.IDENTIFICATION:
                for item in await self._browse_identity():
                    yield item
                continue
            async for span in survey.ranges(table):
                for item in self._items(table, span):
                    yield item

    def _items(self, table: Table, span: Span) -> Iterator[Item]:
        """A range as arrays that one read can hold."""
        most = self._options.max_bits if table.holds_bits else self._options.max_registers
        for address in range(span.address, span.end, most):
            count = min(most, span.end - address)
            first = address + self._options.address_offset
            yield Item(
                address=f"{table.prefix}:{first}",
                path=f"{table.prefix}/{first}" + (f"-{first + count - 1}" if count > 1 else ""),
                kind="value",
                type=DataType.BOOL if table.holds_bits else DataType.UINT16,
                count=None if count == 1 else count,
                writable=table.writable,
                name=f"{table.title} {first}" + (f" to {first + count - 1}" if count > 1 else ""),
            )

    async def _browse_identity(self) -> list[Item]:
        try:
            objects = await read_objects(self._ask, _REGULAR)
        except (Refused, ReplyTimeout):
            return []
        return [
            Item(f"id:{name}", f"id/{name}", "value", DataType.STRING, name=name, value=text_of(objects[number]))
            for name, number in OBJECTS.items()
            if number in objects
        ]

    async def identify(self) -> Mapping[str, str]:
        """See :meth:`gateway.driver.Identifies.identify`. By function 43/14, or 17, whatever it knows."""
        said = await self._said()
        if said is not None:
            return said
        try:
            return _server_id(await self._ask(pdu.report_server_id()))
        except (Refused, ReplyTimeout):
            pass
        # Whoever refuses both is still there if it says anything at all.
        await self._registers(Table.HOLDING_REGISTERS, range(1))
        return {}

    async def _said(self) -> Mapping[str, str] | None:
        try:
            objects = await read_objects(self._ask, _REGULAR)
        except (Refused, ReplyTimeout):
            return None
        names = {number: _IDENTITY.get(name, name) for name, number in OBJECTS.items()}
        texts = {names[number]: text_of(data) for number, data in objects.items() if number in names}
        return {name: text for name, text in texts.items() if text}

    async def decode(self, address: str) -> Sequence[Decoding]:
        """See :meth:`gateway.driver.Decodes.decode`."""
        try:
            parsed = parse(address)
            at = parsed.resolve(self._options.address_offset)
        except ValueError as error:
            raise ScanFailed(str(error)) from None
        table = parsed.table
        if table is Table.IDENTIFICATION:
            raise ScanFailed(f"'{address}' is a text of the device's identification: there is only one way to read it")
        if table.holds_bits:
            raise ScanFailed(f"'{address}' is a single bit: there is only one way to read it")
        registers = await self._registers(table, matrix.window(at))
        if at not in registers:
            raise ScanFailed(f"the device refuses to read '{address}': there is nothing to decode")
        return list(matrix.decodings(table, at, self._options.address_offset, registers))

    async def _registers(self, table: Table, window: range) -> dict[int, bytes]:
        """Those that can be read, at once or else one by one. Raises DeviceSilent if nothing is answered."""
        whole = Span(window.start, len(window))
        found: dict[int, bytes] = {}
        answered = False
        for span in (whole, *(Span(address, 1) for address in window)):
            try:
                data = await self._ask(pdu.read(table, span.address, span.count))
            except ReplyTimeout as fault:
                if not answered:
                    raise DeviceSilent(f"unit {self._options.unit} at {self._bus.peer}: {fault}") from None
                continue
            except Refused as fault:
                if fault.code in UNREACHED and not answered:
                    raise DeviceSilent(f"unit {self._options.unit} behind {self._bus.peer}: {fault}") from None
            else:
                found |= {span.address + index: data[2 * index : 2 * index + 2] for index in range(span.count)}
            answered = True
            if span is whole and found:
                break
        return found

    async def _ask(self, exchange: Exchange) -> bytes:
        return await self._bus.transact(self._bus.prepare(self._options.unit, exchange))


def _server_id(data: bytes) -> dict[str, str]:
    """What follows the head of a reply to function 17: the size and, in the device's own words, what it is."""
    text = "".join(chr(byte) for byte in data[1:] if 0x20 <= byte < 0x7F).strip()
    return {"server id": text or data[1:].hex(" ")}
