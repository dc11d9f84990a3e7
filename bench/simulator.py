"""Modbus TCP devices that cost next to nothing: one port per device, one process, function 03 only.

Every answer differs from the last: registers come from a random table whose reading point moves with each request.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import struct
import time
from collections.abc import Mapping
from typing import Any, cast

import uvloop

from bench.control import Message, serve
from bench.workloads import CLOCK_REGISTERS

_TABLE_WORDS = 1 << 15
_REQUEST = struct.Struct(">HHHBBHH")
_REPLY = struct.Struct(">HHHBBB")
_FAILURE = struct.Struct(">HHHBBB")
_CLOCK = struct.Struct(">Q")
_READ_HOLDING = 3
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS = 1, 2


class Counts:
    __slots__ = ("polls", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.polls = 0
        """Requests that start at register 0: one per poll."""


class Device(asyncio.Protocol):
    """One connection to one device. Requests are answered in order, also when they come in one segment."""

    def __init__(self, registers: int, table: bytes, counts: Counts) -> None:
        self._registers = registers
        self._table = table
        self._counts = counts
        self._cursor = random.randrange(_TABLE_WORDS) * 2
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if len(data) == _REQUEST.size:
            self._rest = b""
            self._transport.write(self._answer(*_REQUEST.unpack(data)))
            return
        whole = len(data) - len(data) % _REQUEST.size
        self._rest = data[whole:]
        self._transport.write(b"".join(self._answer(*fields) for fields in _REQUEST.iter_unpack(data[:whole])))

    def _answer(
        self, transaction: int, protocol: int, length: int, unit: int, function: int, address: int, count: int
    ) -> bytes:
        if function != _READ_HOLDING:
            return _FAILURE.pack(transaction, protocol, 3, unit, function | 0x80, _ILLEGAL_FUNCTION)
        if address + count > self._registers or not 0 < count <= 125:
            return _FAILURE.pack(transaction, protocol, 3, unit, function | 0x80, _ILLEGAL_ADDRESS)
        size = 2 * count
        counts = self._counts
        counts.requests += 1
        self._cursor = cursor = (self._cursor + 2) % (2 * _TABLE_WORDS)
        body = self._table[cursor : cursor + size]
        if address < CLOCK_REGISTERS:
            counts.polls += address == 0
            clock = _CLOCK.pack(time.monotonic_ns() // 1000)[2 * address : 2 * (address + count)]
            body = clock + body[len(clock) :]
        return _REPLY.pack(transaction, 0, 3 + size, unit, function, size) + body


async def _main(devices: int, registers: int) -> None:
    loop = asyncio.get_running_loop()
    counts = Counts()
    source = random.Random(1)
    table = source.randbytes(2 * _TABLE_WORDS)
    table += table[:250]
    servers = [
        await loop.create_server(lambda: Device(registers, table, counts), "127.0.0.1", 0) for _ in range(devices)
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]

    def report(_: Message) -> Mapping[str, Any]:
        return {"requests": counts.requests, "polls": counts.polls}

    await serve({"counts": report}, {"ports": ports})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--registers", type=int, required=True)
    arguments = parser.parse_args()
    uvloop.run(_main(arguments.devices, arguments.registers))
