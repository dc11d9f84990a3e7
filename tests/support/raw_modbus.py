"""A Modbus TCP slave on raw sockets that misbehaves on order. Shares no code with the drivers or with pymodbus.

``slave.then(fault)`` queues a behaviour for the next request, ``slave.always(fault)`` sets one for all. Each behaviour
is a coroutine function ``(slave, request, send)``; this module has the usual ones.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    transaction: int
    unit: int
    pdu: bytes

    @property
    def function(self) -> int:
        return self.pdu[0]

    @property
    def address(self) -> int:
        return int.from_bytes(self.pdu[1:3], "big")

    @property
    def count(self) -> int:
        return int.from_bytes(self.pdu[3:5], "big")


Send = Callable[[bytes], None]
Behaviour = Callable[["RawSlave", Request, Send], Awaitable[None]]


def frame(transaction: int, unit: int, pdu: bytes, *, protocol: int = 0, length: int | None = None) -> bytes:
    """An MBAP frame; `length` may lie."""
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1 if length is None else length, unit) + pdu


class RawSlave:
    """Answers functions 1–6, 15, 16, 17, 22, 23 and 43/14 from four address spaces of 65,536 entries each, for every
    unit alike."""

    def __init__(self) -> None:
        self.holding = [0] * 65536
        self.inputs = [0] * 65536
        self.coils = [False] * 65536
        self.discrete = [False] * 65536
        self.holes: set[int] = set()
        """Addresses that don't exist: any request that touches one gets exception 2."""
        self.max_count = 2000
        """A longer read gets exception 3."""
        self.unsupported: set[int] = {17, 43}
        """Functions that get exception 1."""
        self.borders: set[int] = set()
        """Addresses that no read may reach into from below: it gets exception 2."""
        self.objects: dict[int, bytes] = {}
        """Its identification, sent `objects_per_page` at a time."""
        self.objects_per_page = 2
        self.server_id = b""
        self.requests: list[Request] = []
        self.connections = 0
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        """Speak TLS from the next start on."""
        self._queue: deque[Behaviour] = deque()
        self._always: Behaviour = answer
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Condition()

    async def __aenter__(self) -> RawSlave:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, port: int = 0) -> int:
        """Listen on 127.0.0.1. Returns the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port or self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def stop(self) -> None:
        """Close the listener and all connections. `start` listens on the same port again."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.hang_up()

    async def hang_up(self) -> None:
        """Reset all connections; go on listening."""
        for writer in list(self._writers):
            writer.transport.abort()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def open(self) -> int:
        """Connections there are now."""
        return len(self._writers)

    def then(self, *behaviours: Behaviour) -> None:
        """Behave so for the next requests, one each, and then as always."""
        self._queue.extend(behaviours)

    def always(self, behaviour: Behaviour) -> None:
        self._always = behaviour

    async def asked(self, count: int) -> None:
        """Wait until `count` requests have arrived in all."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    def reply(self, request: Request) -> bytes:
        """The right reply PDU."""
        function, address, count = request.function, request.address, request.count
        if function in self.unsupported:
            return bytes((function | 0x80, 1))
        if function == 43:
            return self._identification(request.pdu[2], request.pdu[3])
        if function == 17:
            return bytes((17, len(self.server_id))) + self.server_id
        size = count if function in (1, 2, 3, 4, 15, 16, 23) else 1
        if function in (1, 2, 3, 4) and size > self.max_count:
            return bytes((function | 0x80, 3))
        span = range(address, address + size)
        if span.stop > 65536 or any(hole in span for hole in self.holes):
            return bytes((function | 0x80, 2))
        if any(border in span[1:] for border in self.borders):
            return bytes((function | 0x80, 2))
        if function in (1, 2):
            bits = (self.coils if function == 1 else self.discrete)[address : address + count]
            data = bytearray((count + 7) // 8)
            for index, bit in enumerate(bits):
                data[index // 8] |= bit << index % 8
            return bytes((function, len(data))) + data
        if function in (3, 4):
            words = (self.holding if function == 3 else self.inputs)[address : address + count]
            return bytes((function, 2 * count)) + struct.pack(f">{count}H", *words)
        if function == 5:
            self.coils[address] = request.pdu[3:5] == b"\xff\x00"
            return request.pdu
        if function == 6:
            self.holding[address] = count
            return request.pdu
        if function == 15:
            for index in range(count):
                self.coils[address + index] = bool(request.pdu[6 + index // 8] >> index % 8 & 1)
            return request.pdu[:5]
        if function == 16:
            self.holding[address : address + count] = struct.unpack(f">{count}H", request.pdu[6:])
            return request.pdu[:5]
        if function == 22:
            ones, sets = struct.unpack(">HH", request.pdu[3:7])
            self.holding[address] = (self.holding[address] & ones) | (sets & ~ones & 0xFFFF)
            return request.pdu
        if function == 23:
            write_address, write_count = struct.unpack(">HH", request.pdu[5:9])
            self.holding[write_address : write_address + write_count] = struct.unpack(
                f">{write_count}H", request.pdu[10:]
            )
            return bytes((23, 2 * count)) + struct.pack(f">{count}H", *self.holding[address : address + count])
        return bytes((function | 0x80, 1))

    def _identification(self, level: int, first: int) -> bytes:
        last = {1: 2, 2: 0x7F, 3: 0xFF}[level]
        wanted = [number for number in sorted(self.objects) if first <= number <= last]
        page, rest = wanted[: self.objects_per_page], wanted[self.objects_per_page :]
        body = b"".join(bytes((number, len(self.objects[number]))) + self.objects[number] for number in page)
        more, following = (0xFF, rest[0]) if rest else (0, 0)
        return bytes((43, 14, level, 0x83, more, following, len(page))) + body

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            while True:
                header = await reader.readexactly(7)
                transaction, _, length, unit = struct.unpack(">HHHB", header)
                request = Request(transaction, unit, await reader.readexactly(length - 1))
                self.requests.append(request)
                async with self._arrived:
                    self._arrived.notify_all()
                behaviour = self._queue.popleft() if self._queue else self._always
                await behaviour(self, request, writer.write)
        except (asyncio.IncompleteReadError, ConnectionError, HungUp, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)


class HungUp(Exception):
    """Raised by a behaviour to end the connection."""


async def answer(slave: RawSlave, request: Request, send: Send) -> None:
    """As it should be."""
    send(frame(request.transaction, request.unit, slave.reply(request)))


async def mute(slave: RawSlave, request: Request, send: Send) -> None:
    """No answer; the connection stays open."""


async def hang_up(slave: RawSlave, request: Request, send: Send) -> None:
    """Close the connection instead of answering."""
    raise HungUp


async def garbage(slave: RawSlave, request: Request, send: Send) -> None:
    send(b"\xde\xad\xbe\xef" * 16)


async def wrong_unit(slave: RawSlave, request: Request, send: Send) -> None:
    send(frame(request.transaction, request.unit ^ 1, slave.reply(request)))


async def wrong_function(slave: RawSlave, request: Request, send: Send) -> None:
    """The data of a right reply under another function."""
    pdu = slave.reply(request)
    send(frame(request.transaction, request.unit, bytes((pdu[0] ^ 7,)) + pdu[1:]))


async def wrong_byte_count(slave: RawSlave, request: Request, send: Send) -> None:
    """A whole frame with one register less than asked for."""
    pdu = slave.reply(request)
    send(frame(request.transaction, request.unit, bytes((pdu[0], pdu[1] - 2)) + pdu[2:-2]))


async def lying_byte_count(slave: RawSlave, request: Request, send: Send) -> None:
    """All the data, but the byte count says less."""
    pdu = slave.reply(request)
    send(frame(request.transaction, request.unit, bytes((pdu[0], pdu[1] - 2)) + pdu[2:]))


async def wrong_protocol(slave: RawSlave, request: Request, send: Send) -> None:
    send(frame(request.transaction, request.unit, slave.reply(request), protocol=1))


async def wrong_echo(slave: RawSlave, request: Request, send: Send) -> None:
    """The right reply with its last byte changed: for a write, another echo."""
    pdu = slave.reply(request)
    send(frame(request.transaction, request.unit, pdu[:-1] + bytes((pdu[-1] ^ 1,))))


async def future_transaction(slave: RawSlave, request: Request, send: Send) -> None:
    """A reply to a request that was never made."""
    send(frame(request.transaction + 1 & 0xFFFF, request.unit, slave.reply(request)))


async def cut_short(slave: RawSlave, request: Request, send: Send) -> None:
    """Half of the right frame, and nothing more."""
    whole = frame(request.transaction, request.unit, slave.reply(request))
    send(whole[: len(whole) // 2])


async def twice(slave: RawSlave, request: Request, send: Send) -> None:
    whole = frame(request.transaction, request.unit, slave.reply(request))
    send(whole + whole)


async def dribble(slave: RawSlave, request: Request, send: Send) -> None:
    """The right frame one byte at a time."""
    for byte in frame(request.transaction, request.unit, slave.reply(request)):
        send(bytes((byte,)))
        await asyncio.sleep(0)


def exception(code: int) -> Behaviour:
    """Refuse with a Modbus exception."""

    async def refuse(slave: RawSlave, request: Request, send: Send) -> None:
        send(frame(request.transaction, request.unit, bytes((request.function | 0x80, code))))

    return refuse


def late(seconds: float) -> Behaviour:
    """The right reply, with the data of now, but only after a while. Requests that come meanwhile are not held up."""

    async def wait(slave: RawSlave, request: Request, send: Send) -> None:
        reply = frame(request.transaction, request.unit, slave.reply(request))
        asyncio.get_running_loop().call_later(seconds, send, reply)

    return wait


def stale_first(*, transaction_offset: int = -1, pdu: Callable[[bytes], bytes] = lambda pdu: pdu) -> Behaviour:
    """A reply to an earlier transaction, `pdu` made from the right one, and then the right reply."""

    async def stale(slave: RawSlave, request: Request, send: Send) -> None:
        right = slave.reply(request)
        earlier = request.transaction + transaction_offset & 0xFFFF
        send(frame(earlier, request.unit, pdu(right)) + frame(request.transaction, request.unit, right))

    return stale
