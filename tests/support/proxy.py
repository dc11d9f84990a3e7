"""A TCP proxy that misbehaves on demand: the faults of a network, one hop from the code under test.

::

    async with Proxy(broker.host, broker.port) as proxy:
        ...connect to ("127.0.0.1", proxy.port)...
        proxy.freeze()          # nothing passes, nobody is told: a half-open connection
        await proxy.resume()
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from types import TracebackType

HOST = "127.0.0.1"
_CHUNK = 1 << 16
_HELD_CHUNKS = 64

_Held = asyncio.Queue[tuple[float, bytes]]


class Proxy:
    """Forwards every connection to (`host`, `port`) until told otherwise. Use it as an asynchronous context manager."""

    def __init__(self, host: str, port: int, tap: Callable[[], Callable[[bytes], None]] | None = None) -> None:
        """`tap` is called for every connection; what it gives is called with all that the client sends, as it comes."""
        self.port = 0
        self.accepted = 0
        """Connections accepted so far."""
        self.connections = 0
        """Connections open now."""
        self.forwarded = 0
        """Bytes passed on so far, both ways."""
        self._target = (host, port)
        self._tap = tap
        self._delay_s = 0.0
        self._dropping = False
        self._lossy = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._socket: socket.socket | None = None
        self._acceptor: asyncio.Task[None] | None = None
        self._served: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._bind()
        self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_listening()
        await self.reset()

    async def cut(self) -> None:
        """Reset what is open and refuse what comes; the port stays ours."""
        await self._stop_listening()
        await self.reset()
        self._bind()

    def freeze(self) -> None:
        """Hold every byte, both ways, silently; new connections are accepted and held as well."""
        self._flowing.clear()

    def thaw(self) -> None:
        """End a freeze; held bytes pass."""
        self._flowing.set()

    def drop(self) -> None:
        """Swallow every byte, both ways, silently. If any was, `resume` resets: the streams can't be continued."""
        self._dropping = True

    async def reset(self) -> None:
        """Send RST on every open connection. New ones are served."""
        served = list(self._served)
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)

    def delay(self, seconds: float) -> None:
        """Every byte arrives this much later; order and throughput stay."""
        self._delay_s = seconds

    async def resume(self) -> None:
        """Forward again, whatever was wrong before; held bytes pass."""
        self._dropping = False
        self._delay_s = 0.0
        if self._lossy:
            self._lossy = False
            await self.reset()
        self._flowing.set()
        if self._acceptor is None:
            self._listen()

    def _bind(self) -> None:
        # Bound but not listening, the kernel refuses connections and nobody else can take the port.
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, self.port))
        self.port = self._socket.getsockname()[1]

    def _listen(self) -> None:
        assert self._socket is not None
        self._socket.listen(128)
        self._acceptor = asyncio.create_task(self._accept(self._socket))

    async def _stop_listening(self) -> None:
        if self._acceptor is not None:
            self._acceptor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._acceptor
            self._acceptor = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listening)
            # asyncio does this for sockets it makes itself; without it every small packet waits 40 ms for an ACK.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            task = asyncio.create_task(self._serve(client))
            self._served.add(task)
            task.add_done_callback(self._served.discard)

    async def _serve(self, client: socket.socket) -> None:
        """One connection, from accept to close. Cancelling it resets both ends."""
        near_reader, near_writer = await asyncio.open_connection(sock=client)
        try:
            await self._flowing.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except (OSError, asyncio.CancelledError):
            _reset_on_close(client)
            near_writer.transport.abort()
            return
        up: _Held = asyncio.Queue(_HELD_CHUNKS)
        down: _Held = asyncio.Queue(_HELD_CHUNKS)
        writers = [
            asyncio.create_task(self._write(up, far_writer)),
            asyncio.create_task(self._write(down, near_writer)),
        ]
        readers = [
            asyncio.create_task(self._read(near_reader, up, self._tap and self._tap())),
            asyncio.create_task(self._read(far_reader, down)),
        ]
        self.connections += 1
        try:
            await asyncio.wait(writers, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            for end in (near_writer, far_writer):
                if (raw := end.get_extra_info("socket")) is not None:
                    _reset_on_close(raw)
                end.transport.abort()
        finally:
            self.connections -= 1
            for end in (near_writer, far_writer):
                end.close()
            for task in (*writers, *readers):
                task.cancel()
            await asyncio.gather(*writers, *readers, return_exceptions=True)

    async def _read(
        self, reader: asyncio.StreamReader, held: _Held, tap: Callable[[bytes], None] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        data = b"-"
        while data:
            try:
                data = await reader.read(_CHUNK)
            except OSError:
                data = b""
            if tap is not None:
                tap(data)
            await held.put((loop.time() + self._delay_s, data))

    async def _write(self, held: _Held, writer: asyncio.StreamWriter) -> None:
        """Pass on what was read, when it is due, until the end of the stream."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while True:
                due, data = await held.get()
                if (wait_s := due - loop.time()) > 0:
                    await asyncio.sleep(wait_s)
                await self._flowing.wait()
                if self._dropping:
                    self._lossy = True
                    continue
                if not data:
                    return
                self.forwarded += len(data)
                writer.write(data)
                await writer.drain()


def _reset_on_close(raw: socket.socket) -> None:
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
