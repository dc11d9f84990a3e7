"""Device maps as data, and how the values of the Modbus ones become registers and come back.

The encoding here is plain `struct`, written apart from the drivers' codec, so that it is an independent check of it.
Word orders are named after where the bytes of 0xAABBCCDD end up: ABCD, CDAB, BADC, DCBA.
"""

from __future__ import annotations

import functools
import operator
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_FORMATS = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "int64": ">q",
    "uint64": ">Q",
    "float32": ">f",
    "float64": ">d",
}

ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3


class Refused(Exception):
    """A request that a device answers with a Modbus exception."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a device's table."""

    path: str
    """The tag's path in the namespace."""
    address: str
    """Modbus: ``ir:8``, ``hr:8``, ``hr:8.3`` (bit 3), ``co:1`` or ``di:1``; OPC UA: the node; scale: the field."""
    type: str
    """The type on the wire."""
    source: str
    """Attribute of the machine, dotted; an element of a list by its number: ``volts.0``."""
    scale: float = 1.0
    """Value in `unit` = wire value × `scale`."""
    unit: str | None = None
    """UCUM code."""
    low: float | None = None
    high: float | None = None
    """The range in `unit`; a set point outside it is refused."""
    writable: bool = False
    group: str = "fast"
    length: int | None = None
    """Registers of a string."""
    order: str | None = None
    """Word order, where it isn't the device's."""
    description: str | None = None
    count: int | None = None
    """Elements of an array."""

    @property
    def table(self) -> str:
        return self.address.partition(":")[0]

    @property
    def number(self) -> int:
        return int(self.address.partition(":")[2].partition(".")[0])

    @property
    def bit(self) -> int | None:
        bit = self.address.partition(".")[2]
        return int(bit) if bit else None

    @property
    def width(self) -> int:
        """Addresses it takes: registers, or one bit."""
        if self.type == "string":
            assert self.length is not None, f"{self.path} has no length"
            return self.length
        return 1 if self.type == "bool" else struct.calcsize(_FORMATS[self.type]) // 2


@dataclass(frozen=True, slots=True)
class DeviceMap:
    """One device: what it is, where it hangs, and its table."""

    name: str
    kind: str
    """Devices of one kind share their rows."""
    machine: str
    """Path of the machine in the process: ``tanks.0``."""
    endpoint: str
    """What it is reached through; several units may share one."""
    rows: tuple[Row, ...]
    protocol: str = "modbus"
    """``modbus`` (TCP), ``rtu`` (Modbus on a serial line), ``opcua`` or ``sics`` (a scale on a serial line)."""
    unit: int = 1
    order: str = "ABCD"
    area: str = ""
    line: str = ""
    refuses_gaps: bool = False
    """True: a read across an undefined address is refused, as many instruments do; False: it gives zeros."""


def shuffle(raw: bytes, order: str) -> bytes:
    """Big-endian bytes into a word order; its own inverse. `raw` has an even length."""
    if order in ("CDAB", "DCBA"):
        raw = b"".join(raw[at : at + 2] for at in range(len(raw) - 2, -1, -2))
    if order in ("BADC", "DCBA"):
        raw = b"".join(raw[at + 1 : at - 1 if at else None : -1] for at in range(0, len(raw), 2))
    return raw


def encode(row: Row, value: Any, order: str) -> bytes:
    """A value in the row's unit as the registers' bytes; integers saturate at their type's limits, as in a PLC."""
    if row.type == "string":
        return str(value).encode("ascii", "replace")[: 2 * row.width].ljust(2 * row.width, b"\0")
    form = _FORMATS[row.type]
    wire = value if row.scale == 1.0 else value / row.scale
    if form[1] not in "fd":
        bits = 8 * struct.calcsize(form)
        signed = form[1].islower()
        least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        wire = min(max(round(wire), least), most)
    return shuffle(struct.pack(form, wire), order)


def decode(row: Row, raw: bytes, order: str) -> Any:
    """The inverse of :func:`encode`."""
    if row.type == "string":
        return raw.rstrip(b"\0").decode("ascii", "replace")
    (wire,) = struct.unpack(_FORMATS[row.type], shuffle(raw, order))
    return wire if row.scale == 1.0 else wire * row.scale


def resolve(root: Any, path: str) -> Any:
    """Follow a dotted path of attributes and list positions."""
    return functools.reduce(
        lambda at, step: at[int(step)] if step.isdigit() else getattr(at, step), path.split("."), root
    )


def getter(machine: Any, source: str) -> Callable[[], Any]:
    """A function that gives an attribute's present value."""
    path, _, last = source.rpartition(".")
    holder = resolve(machine, path) if path else machine
    get: Callable[[Any], Any] = operator.itemgetter(int(last)) if last.isdigit() else operator.attrgetter(last)
    return functools.partial(get, holder)


def assign(machine: Any, source: str, value: Any) -> None:
    """Set an attribute of a machine."""
    path, _, last = source.rpartition(".")
    setattr(resolve(machine, path) if path else machine, last, value)


class Bank:
    """One unit's address spaces, filled from a machine. Numbers are protocol addresses, counted from 0."""

    def __init__(self, device: DeviceMap, process: Any) -> None:
        self._device = device
        self._machine = resolve(process, device.machine)
        size = dict.fromkeys(("hr", "ir", "co", "di"), 0)
        for row in device.rows:
            size[row.table] = max(size[row.table], row.number + row.width)
        self._registers = {table: bytearray(2 * size[table]) for table in ("hr", "ir")}
        self._bits = {table: bytearray(size[table]) for table in ("co", "di")}
        self._defined = {table: bytearray(size[table]) for table in size}
        self._at: dict[tuple[str, int], Row] = {}
        for row in device.rows:
            for number in range(row.number, row.number + row.width):
                self._defined[row.table][number] = 1
                if row.bit is None:
                    self._at[row.table, number] = row
        self._feeds = [(row, row.order or device.order, getter(self._machine, row.source)) for row in device.rows]
        self.refresh()

    def refresh(self) -> None:
        """Take over the machine's present state."""
        for row, order, get in self._feeds:
            value = get()
            if row.bit is not None:
                self._set_bit(row, bool(value))
            elif row.type == "bool":
                self._bits[row.table][row.number] = bool(value)
            else:
                start = 2 * row.number
                self._registers[row.table][start : start + 2 * row.width] = encode(row, value, order)

    def read_registers(self, table: str, address: int, count: int) -> bytes:
        """Raises Refused."""
        self._check(table, address, count)
        return bytes(self._registers[table][2 * address : 2 * (address + count)])

    def read_bits(self, table: str, address: int, count: int) -> list[bool]:
        """Raises Refused."""
        self._check(table, address, count)
        return [bool(bit) for bit in self._bits[table][address : address + count]]

    def write_registers(self, address: int, raw: bytes) -> None:
        """Write whole registers, all or nothing. Raises Refused for what isn't a set point or is out of its range."""
        rows = dict.fromkeys(self._writable("hr", address, len(raw) // 2))
        image = bytearray(self._registers["hr"])
        image[2 * address : 2 * address + len(raw)] = raw
        values: list[tuple[Row, Any]] = []
        for row in rows:
            span = bytes(image[2 * row.number : 2 * (row.number + row.width)])
            value = decode(row, span, row.order or self._device.order)
            tolerance = abs(row.scale) / 2
            if (row.low is not None and value < row.low - tolerance) or (
                row.high is not None and value > row.high + tolerance
            ):
                raise Refused(ILLEGAL_VALUE)
            values.append((row, value))
        for row, value in values:
            assign(self._machine, row.source, value)
        self.refresh()

    def write_bits(self, address: int, bits: list[bool]) -> None:
        """Raises Refused."""
        for row, bit in zip(list(self._writable("co", address, len(bits))), bits, strict=True):
            assign(self._machine, row.source, bit)
        self.refresh()

    def _writable(self, table: str, address: int, count: int) -> Iterator[Row]:
        for number in range(address, address + count):
            row = self._at.get((table, number))
            if row is None or not row.writable:
                raise Refused(ILLEGAL_ADDRESS)
            yield row

    def _check(self, table: str, address: int, count: int) -> None:
        defined = self._defined[table][address : address + count]
        if len(defined) < count or (self._device.refuses_gaps and not all(defined)):
            raise Refused(ILLEGAL_ADDRESS)

    def _set_bit(self, row: Row, value: bool) -> None:
        registers = self._registers[row.table]
        (word,) = struct.unpack_from(">H", registers, 2 * row.number)
        mask = 1 << (row.bit or 0)
        struct.pack_into(">H", registers, 2 * row.number, word | mask if value else word & ~mask)
