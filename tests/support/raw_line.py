"""A Modbus slave on a line without transaction ids, RTU or ASCII, that misbehaves on order.

Shares no code with the drivers or with pymodbus, but its registers and its orders with :mod:`tests.support.raw_modbus`.
It hears a line through `hear`; lines are a pseudo-terminal, TCP (`start`), or a :class:`NullModem` in the process.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

from tests.support.pty_port import PtyPort
from tests.support.raw_modbus import Behaviour, HungUp, RawSlave, Request, Send, mute

__all__ = ["LineSlave", "NullModem", "mute"]


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ 0xA001 if byte & 1 else byte >> 1
        table.append(byte)
    return table


_CRC = _crc_table()


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS, low byte first."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return struct.pack("<H", value)


def rtu(unit: int, pdu: bytes) -> bytes:
    body = bytes((unit,)) + pdu
    return body + crc(body)


def ascii_(unit: int, pdu: bytes) -> bytes:
    body = bytes((unit,)) + pdu
    return b":%s%02X\r\n" % (body.hex().upper().encode(), -sum(body) & 0xFF)


def _rtu_request(data: bytearray) -> bytes | None:
    """Take one request, checksum and all, off the beginning of `data`, or None if it isn't whole."""
    if len(data) < 4:
        return None
    match data[1]:
        case 15 | 16:
            size = 9 + data[6] if len(data) > 6 else 9
        case 22:
            size = 10
        case 23:
            size = 13 + data[10] if len(data) > 10 else 13
        case 17:
            size = 4
        case 43:
            size = 7
        case _:
            size = 8
    if len(data) < size:
        return None
    frame = bytes(data[:size])
    del data[:size]
    assert crc(frame[:-2]) == frame[-2:], f"a request with a wrong CRC: {frame.hex(' ')}"
    return frame[:-2]


def _ascii_request(data: bytearray) -> bytes | None:
    end = data.find(b"\r\n")
    if end < 0:
        return None
    text = bytes(data[:end])
    del data[: end + 2]
    assert text[:1] == b":", f"a request without a colon: {text!r}"
    frame = bytes.fromhex(text[1:].decode())
    assert sum(frame) & 0xFF == 0, f"a request with a wrong LRC: {text!r}"
    return frame[:-1]


@dataclass(frozen=True)
class HeardRequest(Request):
    """A request without a transaction id, and when it was heard (monotonic seconds)."""

    heard_at: float = 0.0


class LineSlave(RawSlave):
    """Units on a line. A behaviour sends frames through ``slave.frame``."""

    def __init__(self, framing: str = "rtu", units: Collection[int] = range(256)) -> None:
        super().__init__()
        self.framing = framing
        self.units = units
        """Those that are there; requests to others stay unanswered."""
        self.echo = False
        """The adapter hears itself: what is sent comes back first."""
        self.frame: Callable[[int, bytes], bytes] = rtu if framing == "rtu" else ascii_
        self._take = _rtu_request if framing == "rtu" else _ascii_request
        self._heard = bytearray()
        self.always(answer)

    def hear(self, data: bytes, send: Send, heard_at: float | None = None) -> None:
        """Bytes came in; `send` sends on the same line."""
        if self.echo:
            send(data)
        self._heard += data
        while (frame := self._take(self._heard)) is not None:
            request = HeardRequest(0, frame[0], frame[1:], time.monotonic() if heard_at is None else heard_at)
            self.requests.append(request)
            self._spawn(self._behave(request, send))

    async def _behave(self, request: Request, send: Send) -> None:
        async with self._arrived:
            self._arrived.notify_all()
        if request.unit in self.units:
            behaviour = self._queue.popleft() if self._queue else self._always
            await behaviour(self, request, send)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def on(self, port: PtyPort) -> None:
        """Hear what comes in on a pseudo-terminal."""
        port.answer = lambda data: self.hear(data, port.send)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        try:
            while data := await reader.read(4096):
                self.hear(data, writer.write)
        except (ConnectionError, HungUp, asyncio.CancelledError):
            pass
        finally:
            self._heard.clear()
            writer.transport.abort()
            self._writers.discard(writer)

    async def stop(self) -> None:
        await super().stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class NullModem(asyncio.Transport):
    """A line within the process. Implements :class:`drivers.modbus.transport.wire.Dial` as well."""

    def __init__(self, slave: LineSlave) -> None:
        super().__init__()
        self.peer = "null modem"
        self._slave = slave
        self._loop = asyncio.get_running_loop()
        self._near: Any = None

    async def open(self, converse: Callable[[], Any]) -> Any:
        self._near = converse()
        self._near.connection_made(self)
        return self._near

    def write(self, data: bytes | bytearray | memoryview) -> None:
        # A busy machine may stop the process between any two lines; who is late must be so by the client's own clock.
        sent_at = self._near._timer.when() - self._near._timeout_s
        self._slave.hear(bytes(data), self._send, sent_at)

    def _send(self, data: bytes) -> None:
        self._loop.call_soon(self._deliver, self._near, data)

    def _deliver(self, near: Any, data: bytes) -> None:
        if near is not None and near is self._near:
            near.data_received(data)

    def abort(self) -> None:
        near, self._near = self._near, None
        if near is not None:
            self._loop.call_soon(near.connection_lost, None)


# -- behaviours


async def answer(slave: RawSlave, request: Request, send: Send) -> None:
    """As it should be."""
    assert isinstance(slave, LineSlave)
    send(slave.frame(request.unit, slave.reply(request)))


def _sending(change: Callable[[LineSlave, Request, bytes], bytes]) -> Behaviour:
    """Send what `change` makes of the right reply PDU."""

    async def behave(slave: RawSlave, request: Request, send: Send) -> None:
        assert isinstance(slave, LineSlave)
        send(change(slave, request, slave.reply(request)))

    return behave


wrong_unit = _sending(lambda slave, request, pdu: slave.frame(request.unit ^ 1, pdu))
wrong_function = _sending(lambda slave, request, pdu: slave.frame(request.unit, bytes((pdu[0] ^ 7,)) + pdu[1:]))
wrong_byte_count = _sending(
    lambda slave, request, pdu: slave.frame(request.unit, bytes((pdu[0], pdu[1] - 2)) + pdu[2:-2])
)
lying_byte_count = _sending(
    lambda slave, request, pdu: slave.frame(request.unit, bytes((pdu[0], pdu[1] - 2)) + pdu[2:])
)
wrong_echo = _sending(lambda slave, request, pdu: slave.frame(request.unit, pdu[:-1] + bytes((pdu[-1] ^ 1,))))
garbage = _sending(lambda slave, request, pdu: b"\xde\xad\xbe\xef" * 16)
garbage_before = _sending(lambda slave, request, pdu: b"\x00\xff\xa5\x5a\x00" + slave.frame(request.unit, pdu))
noise_after = _sending(lambda slave, request, pdu: slave.frame(request.unit, pdu) + b"\xff\x00")
garbage_after = _sending(lambda slave, request, pdu: slave.frame(request.unit, pdu) + b"\xff\x00" * 8)
twice = _sending(lambda slave, request, pdu: slave.frame(request.unit, pdu) * 2)
short = _sending(lambda slave, request, pdu: slave.frame(request.unit, pdu)[:-3])


async def bad_checksum(slave: RawSlave, request: Request, send: Send) -> None:
    """One bit of the data turned over on the way."""
    assert isinstance(slave, LineSlave)
    frame = bytearray(slave.frame(request.unit, slave.reply(request)))
    frame[-5] ^= 1
    send(bytes(frame))


def exception(code: int) -> Behaviour:
    """Refuse with a Modbus exception."""
    return _sending(lambda slave, request, pdu: slave.frame(request.unit, bytes((request.function | 0x80, code))))


def late(seconds: float) -> Behaviour:
    """The right reply, with the data of now, but only after a while."""

    async def wait(slave: RawSlave, request: Request, send: Send) -> None:
        assert isinstance(slave, LineSlave)
        assert isinstance(request, HeardRequest)
        reply = slave.frame(request.unit, slave.reply(request))
        asyncio.get_running_loop().call_later(request.heard_at + seconds - time.monotonic(), send, reply)

    return wait


def dribble(seconds: float) -> Behaviour:
    """The right reply one byte at a time."""

    async def behave(slave: RawSlave, request: Request, send: Send) -> None:
        assert isinstance(slave, LineSlave)
        for byte in slave.frame(request.unit, slave.reply(request)):
            send(bytes((byte,)))
            await asyncio.sleep(seconds)

    return behave
