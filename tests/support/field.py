"""Field devices whose every answer is known: the truth that end-to-end tests compare the broker's side with.

Each device is a Modbus TCP slave on a port of its own. Holding registers 0 to 3 are a 64-bit count of the reads it has
answered, so a value at the broker says which read it came from. Shares no code with the drivers.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
import time
from types import TracebackType

_MBAP = struct.Struct(">HHHB")
_READ = struct.Struct(">BHH")


class Slave:
    """One device. Written by its own loop's thread, read by the test's."""

    def __init__(self) -> None:
        self.port = 0
        self.answered: list[float] = []
        """time.monotonic() of every answered read; read number n (from 1) is at index n - 1."""
        self.silent = False
        """While set, requests are swallowed: the connection stands, nothing comes back."""
        self.written: dict[int, int] = {}
        """Registers that somebody wrote, which read as written from then on."""
        self.deaf: set[int] = set()
        """Registers that take a write for done and stay as they are."""

    def reply(self, request: bytes) -> bytes:
        """The PDU of the answer to a read or a write of holding registers; anything else is an illegal function."""
        if request[0] not in (3, 6, 16):
            return bytes((request[0] | 0x80, 1))
        function, start, count = _READ.unpack_from(request)
        if function == 6:
            return self._write(start, [count], request)
        if function == 16:
            return self._write(start, list(struct.unpack_from(f">{count}H", request, 6)), request[:5])
        self.answered.append(time.monotonic())
        number = len(self.answered)
        registers = [*struct.unpack(">4H", struct.pack(">Q", number)), *((number + i) & 0xFFFF for i in range(4, 2000))]
        for address, value in self.written.items():
            registers[address] = value
        return struct.pack(f">BB{count}H", 3, 2 * count, *registers[start : start + count])

    def _write(self, start: int, values: list[int], answer: bytes) -> bytes:
        self.written.update({start + i: value for i, value in enumerate(values) if start + i not in self.deaf})
        return answer


class Field:
    """`count` slaves, served by a thread of their own for as long as the context lasts."""

    def __init__(self, count: int = 1, host: str = "127.0.0.1") -> None:
        self.slaves = [Slave() for _ in range(count)]
        self._host = host
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="field", daemon=True)

    def __enter__(self) -> Field:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        async def serve(slave: Slave, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                with contextlib.suppress(asyncio.CancelledError):  # it is cancelled by the end of the field alone
                    await _talk(slave, reader, writer)
            finally:
                connections.discard(task)
                writer.close()

        async with contextlib.AsyncExitStack() as stack:
            for slave in self.slaves:
                server = await asyncio.start_server(
                    lambda reader, writer, slave=slave: serve(slave, reader, writer), self._host, 0
                )
                slave.port = server.sockets[0].getsockname()[1]
                stack.callback(server.close)
            self._ready.set()
            await self._stop.wait()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _talk(slave: Slave, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            transaction, protocol, length, unit = _MBAP.unpack(await reader.readexactly(_MBAP.size))
            request = await reader.readexactly(length - 1)
            if slave.silent:
                continue
            pdu = slave.reply(request)
            writer.write(_MBAP.pack(transaction, protocol, len(pdu) + 1, unit) + pdu)
