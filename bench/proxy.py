"""A TCP proxy that can be cut: then connections are refused and those that stand are dropped."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping
from typing import Any, cast

import uvloop

from bench.control import Message, serve


class Side(asyncio.Protocol):
    """One end of a relayed connection. What arrives before the other end stands is kept."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._early: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._proxy.sides.add(self)

    def join(self, other: Side) -> None:
        self.other = other
        if self._early and other.transport is not None:
            other.transport.writelines(self._early)
            self._early.clear()

    def drop(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        elif self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._proxy.sides.discard(self)
        if self.other is not None:
            self.other.drop()


class Proxy:
    """Relays a loopback port to another one."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._joining: set[asyncio.Task[None]] = set()
        self._port = 0
        self.sides: set[Side] = set()

    async def open(self) -> int:
        """Listen again on the same port, and return it."""
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", self._port)
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self._port

    def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for side in tuple(self.sides):
            side.drop()

    def _accept(self) -> Side:
        near = Side(self)
        task = asyncio.get_running_loop().create_task(self._join(near))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)
        return near

    async def _join(self, near: Side) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, far = await loop.create_connection(lambda: Side(self), "127.0.0.1", self._target)
        except OSError:
            near.drop()
            return
        far.join(near)
        near.join(far)
        if near not in self.sides:
            far.drop()


async def _main(target: int) -> None:
    proxy = Proxy(target)
    port = await proxy.open()
    reopening: set[asyncio.Task[int]] = set()

    def cut(_: Message) -> Mapping[str, Any]:
        proxy.cut()
        return {"now_us": time.monotonic_ns() // 1000}

    def reopen(_: Message) -> Mapping[str, Any]:
        reopening.add(asyncio.get_running_loop().create_task(proxy.open()))
        return {"now_us": time.monotonic_ns() // 1000}

    await serve({"cut": cut, "open": reopen}, {"port": port})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=int, required=True)
    uvloop.run(_main(parser.parse_args().target))
