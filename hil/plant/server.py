"""A Modbus TCP server (Modbus Messaging on TCP/IP 1.0b; Modbus Application Protocol 1.1b3) over register banks.

It answers every request of a segment, in order, with the exception code the standard names. pymodbus's own server
(3.16.1) was tried first: of three requests in one segment it answered one, an unknown unit got exception 04, and a
quantity of 126 got exception 01 under function code 0x80.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping

from hil.plant.registers import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Bank, Refused

ILLEGAL_FUNCTION = 1
TARGET_FAILED = 11
"""Gateway target device failed to respond: the unit behind a gateway doesn't exist."""

_HEADER = struct.Struct(">HHH")
_MAX_LENGTH = 254
"""Unit identifier and PDU."""


def respond(bank: Bank | None, pdu: bytes) -> bytes:
    """The answer to one request PDU (1 to 253 bytes); `bank` is None where there is no such unit."""
    function = pdu[0]
    try:
        if bank is None:
            raise Refused(TARGET_FAILED)
        handler = _HANDLERS.get(function)
        if handler is None:
            raise Refused(ILLEGAL_FUNCTION)
        return bytes([function]) + handler(bank, pdu[1:])
    except Refused as refusal:
        return bytes([function | 0x80, refusal.code])


def _unpack(form: str, body: bytes) -> tuple[int, ...]:
    if len(body) != struct.calcsize(form):
        raise Refused(ILLEGAL_VALUE)
    return struct.unpack(form, body)


def _span(body: bytes, most: int) -> tuple[int, int]:
    address, count = _unpack(">HH", body)
    if not 1 <= count <= most:
        raise Refused(ILLEGAL_VALUE)
    if address + count > 0x10000:
        raise Refused(ILLEGAL_ADDRESS)
    return address, count


def _read_bits(table: str) -> Callable[[Bank, bytes], bytes]:
    def handle(bank: Bank, body: bytes) -> bytes:
        bits = bank.read_bits(table, *_span(body, 2000))
        packed = sum(1 << at for at, bit in enumerate(bits) if bit).to_bytes((len(bits) + 7) // 8, "little")
        return bytes([len(packed)]) + packed

    return handle


def _read_registers(table: str) -> Callable[[Bank, bytes], bytes]:
    def handle(bank: Bank, body: bytes) -> bytes:
        raw = bank.read_registers(table, *_span(body, 125))
        return bytes([len(raw)]) + raw

    return handle


def _write_coil(bank: Bank, body: bytes) -> bytes:
    address, value = _unpack(">HH", body)
    if value not in (0x0000, 0xFF00):
        raise Refused(ILLEGAL_VALUE)
    bank.write_bits(address, [value == 0xFF00])
    return body


def _write_register(bank: Bank, body: bytes) -> bytes:
    (address, _) = _unpack(">HH", body)
    bank.write_registers(address, body[2:4])
    return body


def _write_coils(bank: Bank, body: bytes) -> bytes:
    address, count = _span(body[:4], 1968)
    if len(body) < 5 or body[4] != (count + 7) // 8 or len(body) != 5 + body[4]:
        raise Refused(ILLEGAL_VALUE)
    packed = int.from_bytes(body[5:], "little")
    bank.write_bits(address, [bool(packed >> at & 1) for at in range(count)])
    return body[:4]


def _write_registers(bank: Bank, body: bytes) -> bytes:
    address, count = _span(body[:4], 123)
    if len(body) < 5 or body[4] != 2 * count or len(body) != 5 + 2 * count:
        raise Refused(ILLEGAL_VALUE)
    bank.write_registers(address, body[5:])
    return body[:4]


def _mask_write(bank: Bank, body: bytes) -> bytes:
    address, keep, put = _unpack(">HHH", body)
    (word,) = struct.unpack(">H", bank.read_registers("hr", address, 1))
    bank.write_registers(address, struct.pack(">H", (word & keep) | (put & ~keep & 0xFFFF)))
    return body


_HANDLERS: dict[int, Callable[[Bank, bytes], bytes]] = {
    1: _read_bits("co"),
    2: _read_bits("di"),
    3: _read_registers("hr"),
    4: _read_registers("ir"),
    5: _write_coil,
    6: _write_register,
    15: _write_coils,
    16: _write_registers,
    22: _mask_write,
}


class ModbusServer:
    """One listening port and the units behind it. ``async with`` starts and stops it."""

    def __init__(self, banks: Mapping[int, Bank], host: str = "127.0.0.1", port: int = 0) -> None:
        self._banks = banks
        self._host = host
        self.port = port
        """0 until started, if any free port will do."""
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def __aenter__(self) -> ModbusServer:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self._banks, self._connections), self._host, self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        await self._server.wait_closed()


class _Connection(asyncio.Protocol):
    """One client. Reading pauses while it doesn't take its answers."""

    def __init__(self, banks: Mapping[int, Bank], connections: set[_Connection]) -> None:
        self._banks = banks
        self._connections = connections
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        answers = bytearray()
        while len(buffer) >= _HEADER.size:
            transaction, protocol, length = _HEADER.unpack_from(buffer)
            if protocol != 0 or not 2 <= length <= _MAX_LENGTH:
                self._transport.close()  # not Modbus: there is no way back into step
                return
            end = _HEADER.size + length
            if len(buffer) < end:
                break
            unit = buffer[_HEADER.size]
            pdu = respond(self._banks.get(unit), bytes(buffer[_HEADER.size + 1 : end]))
            answers += _HEADER.pack(transaction, 0, len(pdu) + 1) + bytes([unit]) + pdu
            del buffer[:end]
        if answers:
            self._transport.write(bytes(answers))
