"""What a Modbus frame means, field by field (Modbus Application Protocol 1.1b3, §6 and §7).

For people who look at a trace: whatever the bytes are, what can be told is told. Values are named after the request
that they answer, as addresses of a tag are written, with the address on the wire.
"""

from __future__ import annotations

from binascii import a2b_hex
from collections.abc import Iterator
from dataclasses import dataclass

from fastcrc import crc16

from drivers.modbus.address import OBJECTS, Table
from drivers.modbus.errors import exception_name
from drivers.modbus.identity import text_of
from drivers.modbus.transport.mbap import HEADER_SIZE
from gateway.wire import Direction, Dissection, Frame, Part

_FUNCTIONS = {
    1: "read coils",
    2: "read discrete inputs",
    3: "read holding registers",
    4: "read input registers",
    5: "write single coil",
    6: "write single register",
    7: "read exception status",
    8: "diagnostics",
    11: "get comm event counter",
    12: "get comm event log",
    15: "write multiple coils",
    16: "write multiple registers",
    17: "report server id",
    20: "read file record",
    21: "write file record",
    22: "mask write register",
    23: "read and write multiple registers",
    24: "read FIFO queue",
    43: "encapsulated interface",
}
_TABLES = {
    1: Table.COILS,
    2: Table.DISCRETE_INPUTS,
    3: Table.HOLDING_REGISTERS,
    4: Table.INPUT_REGISTERS,
    5: Table.COILS,
    6: Table.HOLDING_REGISTERS,
    15: Table.COILS,
    16: Table.HOLDING_REGISTERS,
    22: Table.HOLDING_REGISTERS,
    23: Table.HOLDING_REGISTERS,
}
_ERROR = 0x80
_FEW = 2
"""Values that a summary has room for."""


class _CutShort(Exception):
    """The frame ends before its meaning does."""


@dataclass(slots=True)
class _Body:
    """A PDU with the place where each of its bytes stands in the frame."""

    pdu: bytes
    at: int
    """Offset of its first byte in the frame."""
    step: int
    """Characters a byte takes in the frame."""

    def number(self, index: int, size: int = 2) -> int:
        data = self.pdu[index : index + size]
        if len(data) < size:
            raise _CutShort
        return int.from_bytes(data, "big")

    def part(self, name: str, index: int, size: int, text: object) -> Part:
        if index + size > len(self.pdu):
            raise _CutShort
        return Part(name, self.at + index * self.step, size * self.step, str(text))

    def word(self, name: str, index: int) -> Part:
        return self.part(name, index, 2, self.number(index))


def dissect(frame: Frame, asked: Frame | None) -> Dissection:
    """See :attr:`gateway.driver.DriverKind.dissect`."""
    head, body, problem = _unframed(frame)
    if body is None:
        return Dissection(problem or "not a Modbus frame", (*head,), fault=True)
    request = None
    if frame.direction is Direction.RECEIVED and asked is not None:
        _, request, _ = _unframed(asked)
    parts = [*head]
    summary, fault = _meaning(body, request, parts, frame.direction)
    if problem:
        summary, fault = f"{problem}; {summary}", True
    unit = f"unit {frame.unit}: " if frame.unit else ""
    return Dissection(unit + summary, tuple(sorted(parts, key=lambda part: part.offset)), fault)


def _unframed(frame: Frame) -> tuple[list[Part], _Body | None, str]:
    """(parts of the framing, what is framed, what is wrong)."""
    data = frame.data
    match frame.form:
        case "mbap":
            return _mbap(data)
        case "rtu":
            return _rtu(data)
    return _ascii(data)


def _mbap(data: bytes) -> tuple[list[Part], _Body | None, str]:
    if len(data) <= HEADER_SIZE:
        return [], None, f"{len(data)} bytes are too few for Modbus TCP"
    protocol, length = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:6], "big")
    parts = [
        Part("transaction", 0, 2, str(int.from_bytes(data[:2], "big"))),
        Part("protocol", 2, 2, "0, Modbus" if not protocol else f"{protocol}, not Modbus"),
        Part("length", 4, 2, str(length)),
        Part("unit", 6, 1, str(data[6])),
    ]
    body = _Body(data[HEADER_SIZE:], HEADER_SIZE, 1)
    if protocol:
        return parts, None, f"protocol id {protocol} where Modbus has 0"
    return parts, body, f"length {length} for {len(data) - 6} bytes" if length != len(data) - 6 else ""


def _rtu(data: bytes) -> tuple[list[Part], _Body | None, str]:
    if len(data) < 4:
        return [], None, f"{len(data)} bytes are too few for Modbus RTU"
    right = crc16.modbus(data[:-2]).to_bytes(2, "little")
    wrong = data[-2:] != right
    parts = [
        Part("unit", 0, 1, str(data[0])),
        Part("CRC", len(data) - 2, 2, f"wrong, {right.hex(' ')} would be right" if wrong else "right"),
    ]
    return parts, _Body(data[1:-2], 1, 1), "wrong checksum" if wrong else ""


def _ascii(data: bytes) -> tuple[list[Part], _Body | None, str]:
    start = data.rfind(b":")
    try:
        raw = a2b_hex(data[start + 1 :].rstrip(b"\r\n"))
    except ValueError:
        raw = b""
    if start < 0 or len(raw) < 3:
        return [], None, "not a frame of Modbus ASCII"
    right = -sum(raw[:-1]) & 0xFF
    wrong = raw[-1] != right
    parts = [
        Part("unit", start + 1, 2, str(raw[0])),
        Part("LRC", start + 2 * len(raw) - 1, 2, f"wrong, {right:02X} would be right" if wrong else "right"),
    ]
    return parts, _Body(raw[1:-1], start + 3, 2), "wrong checksum" if wrong else ""


def _meaning(body: _Body, request: _Body | None, parts: list[Part], direction: Direction) -> tuple[str, bool]:
    """(summary, whether it is a fault) of a PDU; what is found is added to `parts`."""
    if not body.pdu:
        return "nothing", True
    code = body.pdu[0]
    function = code & ~_ERROR
    name = _FUNCTIONS.get(function, f"function {function}")
    parts.append(body.part("function", 0, 1, f"{code}, {name}" + (" refused" if code & _ERROR else "")))
    sent = direction is Direction.SENT
    try:
        if code & _ERROR and not sent:
            text = exception_name(body.number(1, 1))
            parts.append(body.part("exception", 1, 1, text))
            return f"{name} refused: {text}", True
        answers = request if request is not None and request.pdu[:1] == body.pdu[:1] else None
        found = _requests(body, function) if sent else _replies(body, function, answers)
        summary = ""
        for each in found:
            if isinstance(each, Part):
                parts.append(each)
            else:
                summary = each
    except _CutShort:
        return f"{name}, cut short", True
    verb = "" if sent else "answer to "
    return f"{verb}{name}{summary and ' '}{summary}", False


def _requests(body: _Body, function: int) -> Iterator[Part | str]:
    """The parts of a request, and the rest of its summary."""
    table = _TABLES.get(function)
    if function in (1, 2, 3, 4):
        assert table is not None
        yield body.part("address", 1, 2, f"{table.prefix}:{body.number(1)}")
        yield body.word("count", 3)
        yield _range(table, body.number(1), body.number(3))
    elif function in (5, 6):
        yield from _single(body, function)
    elif function in (15, 16):
        assert table is not None
        yield from _span(body)
        yield body.part("bytes", 5, 1, body.number(5, 1))
        yield from _values(body, 6, body.number(5, 1), table, body.number(1), body.number(3))
        yield _range(table, body.number(1), body.number(3))
    elif function == 22:
        yield from _masks(body)
    elif function == 23:
        assert table is not None
        yield body.part("read address", 1, 2, f"hr:{body.number(1)}")
        yield body.word("read count", 3)
        yield body.part("write address", 5, 2, f"hr:{body.number(5)}")
        yield body.word("write count", 7)
        yield body.part("bytes", 9, 1, body.number(9, 1))
        yield from _values(body, 10, body.number(9, 1), table, body.number(5), body.number(7))
        yield f"write {_range(table, body.number(5), body.number(7))}, " + _range(table, body.number(1), body.number(3))
    elif function == 43:
        yield from _identification_request(body)
    else:
        yield from _rest(body)


def _replies(body: _Body, function: int, request: _Body | None) -> Iterator[Part | str]:
    table = _TABLES.get(function)
    if function in (1, 2, 3, 4, 23):
        assert table is not None
        size = body.number(1, 1)
        yield body.part("bytes", 1, 1, size)
        first, count = (None, None) if request is None else (request.number(1), request.number(3))
        values = list(_values(body, 2, size, table, first, count))
        yield from values
        told = count if count is not None else (8 * size if table.holds_bits else size // 2)
        few = f" = {', '.join(value.text for value in values)}" if 0 < len(values) <= _FEW else ""
        yield _range(table, first, told) + few
    elif function in (5, 6):
        yield from _single(body, function)
    elif function in (15, 16):
        assert table is not None
        yield from _span(body)
        yield _range(table, body.number(1), body.number(3))
    elif function == 22:
        yield from _masks(body)
    elif function == 43:
        yield from _identification_reply(body)
    else:
        yield from _rest(body)


def _single(body: _Body, function: int) -> Iterator[Part | str]:
    table = _TABLES[function]
    value = body.number(3)
    if table.holds_bits:
        text = {0xFF00: "on", 0: "off"}.get(value, f"0x{value:04X}, neither on nor off")
    else:
        text = _register(value)
    yield body.part("address", 1, 2, f"{table.prefix}:{body.number(1)}")
    yield body.part("value", 3, 2, text)
    yield f"{table.prefix}:{body.number(1)} = {text}"


def _span(body: _Body) -> Iterator[Part]:
    yield body.part("address", 1, 2, f"{_TABLES[body.pdu[0]].prefix}:{body.number(1)}")
    yield body.word("count", 3)


def _masks(body: _Body) -> Iterator[Part | str]:
    yield body.part("address", 1, 2, f"hr:{body.number(1)}")
    yield body.part("and", 3, 2, f"0x{body.number(3):04X}")
    yield body.part("or", 5, 2, f"0x{body.number(5):04X}")
    yield f"hr:{body.number(1)}"


def _values(body: _Body, at: int, size: int, table: Table, first: int | None, count: int | None) -> Iterator[Part]:
    """Registers one by one, bits by eight; `first` is None where the request isn't known."""
    if at + size > len(body.pdu):
        raise _CutShort
    if not table.holds_bits:
        for index in range(size // 2):
            name = f"register {index + 1}" if first is None else f"{table.prefix}:{first + index}"
            yield body.part(name, at + 2 * index, 2, _register(body.number(at + 2 * index)))
        return
    for index in range(size):
        used = 8 if count is None else max(0, min(8, count - 8 * index))
        bits = " ".join(str(body.pdu[at + index] >> bit & 1) for bit in range(used))
        begin = 8 * index + (0 if first is None else first)
        label = "bits" if first is None else f"{table.prefix}:"
        name = f"{label} {begin}" if first is None else f"{label}{begin}"
        yield body.part(name if used == 1 else f"{name} to {begin + max(used, 1) - 1}", at + index, 1, bits)


def _register(value: int) -> str:
    signed = value - 0x10000 if value & 0x8000 else value
    return f"{value} (0x{value:04X})" if signed == value else f"{value} or {signed} (0x{value:04X})"


def _range(table: Table, first: int | None, count: int) -> str:
    if first is None:
        return f"{count} {table.plural}"
    return f"{table.prefix}:{first}" + (f" to {first + count - 1}" if count > 1 else "")


_LEVELS = {1: "basic", 2: "regular", 3: "extended", 4: "one object"}
_IDENTIFICATION = 14


def _identification_request(body: _Body) -> Iterator[Part | str]:
    yield body.part("MEI type", 1, 1, _mei(body.number(1, 1)))
    if body.number(1, 1) != _IDENTIFICATION:
        yield from _rest(body, 2)
        return
    yield body.part("level", 2, 1, _LEVELS.get(body.number(2, 1), str(body.number(2, 1))))
    yield body.part("object", 3, 1, _object(body.number(3, 1)))
    yield f"read device identification, {_LEVELS.get(body.number(2, 1), '?')}"


def _identification_reply(body: _Body) -> Iterator[Part | str]:
    yield body.part("MEI type", 1, 1, _mei(body.number(1, 1)))
    if body.number(1, 1) != _IDENTIFICATION:
        yield from _rest(body, 2)
        return
    yield body.part("level", 2, 1, _LEVELS.get(body.number(2, 1), str(body.number(2, 1))))
    yield body.part("conformity", 3, 1, f"0x{body.number(3, 1):02X}")
    yield body.part("more follows", 4, 1, "yes" if body.number(4, 1) else "no")
    yield body.part("next object", 5, 1, _object(body.number(5, 1)))
    yield body.part("objects", 6, 1, body.number(6, 1))
    at, said = 7, []
    for _ in range(body.number(6, 1)):
        number, size = body.number(at, 1), body.number(at + 1, 1)
        part = body.part(_object(number), at, 2 + size, "")
        raw = body.pdu[at + 2 : at + 2 + size]
        text = text_of(raw)
        said.append(shown := raw.hex(" ") if text is None else text)
        yield Part(part.name, part.offset, part.length, shown)
        at += 2 + size
    yield ", ".join(said)


def _mei(number: int) -> str:
    return {13: "13, CANopen", _IDENTIFICATION: "14, read device identification"}.get(number, str(number))


def _object(number: int) -> str:
    names = {number: name for name, number in OBJECTS.items()}
    return names.get(number, f"object {number}")


def _rest(body: _Body, at: int = 1) -> Iterator[Part | str]:
    if len(body.pdu) > at:
        yield body.part("data", at, len(body.pdu) - at, body.pdu[at:].hex(" "))
