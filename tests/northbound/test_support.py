"""The broker and the proxy that the other tests rely on do what they say."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.mosquitto import Mosquitto
from tests.support.proxy import Proxy


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_proxy_forwards_holds_and_delays(echo: int) -> None:
    async with Proxy("127.0.0.1", echo) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        proxy.freeze()
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(3), 0.05)
        await proxy.resume()
        assert await asyncio.wait_for(reader.readexactly(3), 1) == b"two"
        proxy.delay(0.05)
        started = time.monotonic()
        writer.write(b"three")
        assert await reader.readexactly(5) == b"three"
        assert time.monotonic() - started > 0.095  # uvloop's timers move in whole milliseconds
        writer.close()


async def test_proxy_cuts_refuses_and_comes_back_on_its_port(echo: int) -> None:
    async with Proxy("127.0.0.1", echo) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"one")
        await reader.readexactly(3)
        assert proxy.connections == 1
        await proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        await proxy.resume()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"two")
        assert await reader.readexactly(3) == b"two"
        writer.close()


async def test_a_connection_that_lost_bytes_is_reset_on_resume(echo: int) -> None:
    async with Proxy("127.0.0.1", echo) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.drop()
        writer.write(b"lost")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(4), 0.05)
        await proxy.resume()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()


@pytest.mark.integration
def test_broker_starts_again_on_its_port_after_a_kill(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, persistence=True, users={"gw": "pw"}, acl="user gw\ntopic readwrite #\n") as broker:
        port = broker.port
        broker.kill()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((broker.host, port), timeout=1)
        broker.start()
        assert broker.port == port
        broker.reload(acl="user gw\ntopic read #\n")
        socket.create_connection((broker.host, port), timeout=1).close()
