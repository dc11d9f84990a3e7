"""The control socket: whose it is, and how a watcher's connection ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.control import http
from gateway.control.client import ControlClient, NotRunning
from gateway.control.operation import Operation
from gateway.control.routes import status, tap
from gateway.control.server import ControlServer
from gateway.runtime import Tap


class FakeRuntime:
    """As much of a runtime as the server asks for."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.watched = asyncio.Event()

    def status(self) -> dict[str, Any]:
        return {"name": self.name}

    @contextlib.contextmanager
    def tap(self) -> Iterator[Tap]:
        self.watched.set()
        try:
            yield Tap()
        finally:
            self.watched.clear()


def operations(runtime: FakeRuntime) -> list[Operation[Any, Any]]:
    return [*status.operations(runtime), *tap.operations(runtime)]


@contextlib.asynccontextmanager
async def serving(runtime: FakeRuntime, path: Path) -> AsyncIterator[None]:
    task = asyncio.create_task(ControlServer(operations(runtime), path).run())
    try:
        async with asyncio.timeout(10):
            while not task.done():
                with contextlib.suppress(NotRunning):
                    await asyncio.to_thread(ControlClient(path).status)
                    break
                await asyncio.sleep(0.01)
        if task.done():
            task.result()
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await task


async def test_a_file_in_the_sockets_place_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("precious")
    with pytest.raises(OSError, match="something else is there") as caught:
        await ControlServer(operations(FakeRuntime()), path).run()
    assert caught.value.errno == errno.EEXIST
    assert path.read_text() == "precious"


async def test_another_gateways_socket_stays_its_own(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(FakeRuntime("first"), path):
        with pytest.raises(OSError, match="another process answers there"):
            await ControlServer(operations(FakeRuntime("second")), path).run()
        assert (await asyncio.to_thread(ControlClient(path).status))["name"] == "first"
    assert not path.exists()


async def test_the_socket_of_a_killed_gateway_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as killed:
        killed.bind(str(path))
    assert path.is_socket()
    async with serving(FakeRuntime("new"), path):
        assert (await asyncio.to_thread(ControlClient(path).status))["name"] == "new"


async def test_a_watcher_is_let_go_at_a_stop_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, runtime = tmp_path / "control.sock", FakeRuntime()
    async with serving(runtime, path):
        watching = asyncio.create_task(asyncio.to_thread(list, ControlClient(path).values()))
        await asyncio.wait_for(runtime.watched.wait(), 10)
        started = time.monotonic()
    assert await watching == []
    assert time.monotonic() - started < 0.9  # uvicorn gives up on a connection after a whole second
    assert not runtime.watched.is_set()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_half_sent_requests_dont_hold_the_door_shut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_LIMIT_S", 0.2)
    path = tmp_path / "control.sock"
    async with serving(FakeRuntime("mine"), path):
        halves = []
        for _ in range(70):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET /v1/sta")
            halves.append((reader, writer))
        async with asyncio.timeout(5):
            for reader, _ in halves:
                await reader.read()
        assert (await asyncio.to_thread(ControlClient(path).status))["name"] == "mine"
        for _, writer in halves:
            writer.close()


async def test_a_watcher_outlives_the_limit_for_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_LIMIT_S", 0.1)
    path = tmp_path / "control.sock"
    async with serving(FakeRuntime(), path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /v1/tap HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n1\r\n\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.4)
        writer.close()


@pytest.mark.parametrize(
    "request_", [b"hello\r\n\r\n", b"GET /v1/status?" + b"x" * 100_000], ids=["no HTTP", "endless"]
)
async def test_what_isnt_http_is_refused_as_everything_is(tmp_path: Path, request_: bytes) -> None:
    path = tmp_path / "control.sock"
    async with serving(FakeRuntime(), path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(request_)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head.lower()
    assert orjson.loads(body)["code"] == "bad-request"
