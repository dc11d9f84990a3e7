"""The control API's server: Starlette under uvicorn, on a Unix socket, in the data plane's own loop.

| route | answer |
|---|---|
| ``GET /v1/status`` | everything ``Runtime.status`` says, as JSON |
| ``GET /v1/values?match=GLOB`` | values as the journal takes them, newline-delimited JSON, until the client leaves |
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fnmatch
import logging
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.model import Batch, quality_name
from gateway.runtime import Runtime, Tap

log = logging.getLogger(__name__)

logging.getLogger("uvicorn").setLevel(logging.WARNING)

_MAX_CONNECTIONS = 64
_SHUTDOWN_S = 1
HEAD_LIMIT_S = 5.0
"""Within this a request's head must be here: half-sent ones would hold all connections for ever."""


class _QuietServer(Server):
    """uvicorn, but signals stay the process's own business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _BoundedHead(H11Protocol):
    """uvicorn's HTTP, which waits for the rest of a head without end, with an end to that."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_LIMIT_S, self.transport.close)


class ControlServer:
    """Serves one runtime on one socket. The socket's directory decides who may come in; its mode is 0660."""

    def __init__(self, runtime: Runtime, path: Path) -> None:
        self._runtime = runtime
        self._path = path
        self._stopping = asyncio.Event()
        routes = [Route("/v1/status", self._status), Route("/v1/values", self._values)]
        self._server = _QuietServer(
            Config(
                Starlette(routes=routes),
                lifespan="off",
                log_config=None,
                access_log=False,
                ws="none",
                http=_BoundedHead,
                limit_concurrency=_MAX_CONNECTIONS,
                timeout_graceful_shutdown=_SHUTDOWN_S,
                server_header=False,
            )
        )

    async def run(self) -> None:
        """Serve until cancelled. Raises OSError if the socket can't be made, or is another process's."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _make_way(self._path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(self._path))
            self._path.chmod(0o660)
            serving = asyncio.create_task(self._server.serve(sockets=[listener]))
            try:
                await asyncio.shield(serving)
            finally:
                self._server.should_exit = True
                self._stopping.set()
                await serving
                self._path.unlink(missing_ok=True)

    async def _status(self, _: Request) -> Response:
        return Response(orjson.dumps(self._runtime.status()), media_type="application/json")

    async def _values(self, request: Request) -> Response:
        return StreamingResponse(
            self._stream(request.query_params.get("match", "*")), media_type="application/x-ndjson"
        )

    async def _stream(self, pattern: str) -> AsyncIterator[bytes]:
        chosen: dict[str, frozenset[int]] = {}
        with self._runtime.tap() as tap:
            yield b"\n"  # the head goes out at once, so that a client knows it is connected
            async for batch in self._until_stopping(tap):
                layout = batch.layout
                columns = chosen.get(layout.digest)
                if columns is None:
                    columns = chosen[layout.digest] = frozenset(
                        i
                        for i, tag in enumerate(layout.tags)
                        if fnmatch.fnmatchcase(f"{layout.source}/{tag.path}", pattern)
                    )
                lines = b"".join(_lines(batch, columns))
                if lines:
                    yield lines

    async def _until_stopping(self, tap: Tap) -> AsyncIterator[Batch]:
        """A watcher's batches, ended in order when the server stops: uvicorn would cancel it and log a traceback."""
        batches = aiter(tap)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while True:
                batch = asyncio.ensure_future(anext(batches))
                try:
                    await asyncio.wait({batch, stopping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not batch.done():
                        batch.cancel()
                if stopping.done():
                    return
                yield batch.result()
        finally:
            stopping.cancel()


def _make_way(path: Path) -> None:
    """Remove the socket of a gateway that was killed. Anything else at `path` stays: raises OSError."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "something else is there already: give another socket", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "another process answers there: give each gateway its own socket", str(path))


def _lines(batch: Batch, wanted: frozenset[int]) -> Iterator[bytes]:
    tags = batch.layout.tags
    for position, value in enumerate(batch.values):
        column = position if batch.columns is None else batch.columns[position]
        if column not in wanted:
            continue
        quality = 0 if batch.qualities is None else batch.qualities[position]
        yield orjson.dumps(
            {
                "timestamp_ms": batch.read_ns // 1_000_000,
                "tag": f"{batch.layout.source}/{tags[column].path}",
                "value": value,
                "unit": tags[column].unit,
                "quality": quality,
                "quality_name": quality_name(quality),
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
