"""The control API's server: Starlette under uvicorn, on a Unix socket, in the data plane's own loop.

It turns operations (`gateway.control.operation`) into routes: it knows who calls, checks what they send, calls the
handler and writes what comes back. A refusal is a problem document (RFC 9457); so is a flaw, its details in the log.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn import Config

from gateway.actors import Role
from gateway.control import openapi
from gateway.control.answers import answered, problem
from gateway.control.http import BoundedHead, QuietServer
from gateway.control.operation import Answer, Call, NoQuery, Operation, Refusal
from gateway.control.requests import ActorNames, body_of, query_of

log = logging.getLogger(__name__)

_MAX_CONNECTIONS = 64
_SHUTDOWN_S = 1


class ControlServer:
    """Serves operations on one socket. The socket's directory decides who may come in; its mode is 0660."""

    def __init__(self, operations: Sequence[Operation[Any, Any]], path: Path) -> None:
        self.operations = [*operations, self._own_description()]
        """All that is served: those given and the API's own description."""
        self._path = path
        self._stopping = asyncio.Event()
        self._document: dict[str, Any] | None = None
        self._actors = ActorNames()
        app = Starlette(
            routes=_routes(self.operations, self._endpoint),
            exception_handlers={HTTPException: _no_such_route, Exception: _flaw},
        )
        self._server = QuietServer(
            Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                ws="none",
                http=BoundedHead,
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

    def _own_description(self) -> Operation[NoQuery, None]:
        return Operation(
            "GET",
            "/v1/openapi.json",
            "get_openapi",
            Role.VIEWER,
            "Describe this API as an OpenAPI 3.1 document.",
            self._describe,
            Answer(dict[str, Any]),
        )

    async def _describe(self, _: Call[NoQuery, None]) -> dict[str, Any]:
        if self._document is None:
            self._document = openapi.document(self.operations)
        return self._document

    async def _endpoint(self, operation: Operation[Any, Any], request: Request) -> Response:
        try:
            actor = self._actors.of(request)
            if not actor.role.covers(operation.role):
                raise Refusal(
                    403,
                    "role-too-low",
                    f"{actor.name} is {actor.role}, but this needs the role {operation.role}",
                    "ask somebody who has that role",
                )
            call = Call(
                actor,
                dict(request.path_params),
                query_of(operation, request),
                await body_of(operation, request),
                request.headers,
            )
            result = await operation.handle(call)
        except Refusal as refusal:
            return problem(refusal)
        return answered(operation.answer, result, self._stopping)


def _routes(operations: Sequence[Operation[Any, Any]], endpoint: Any) -> list[Route]:
    """A route a path: its methods together, so that another method is answered 405 with what is allowed."""
    by_path: dict[str, dict[str, Operation[Any, Any]]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation

    def route(path: str, methods: dict[str, Operation[Any, Any]]) -> Route:
        async def serve(request: Request) -> Response:
            response = await endpoint(methods["GET" if request.method == "HEAD" else request.method], request)
            assert isinstance(response, Response)
            return response

        return Route(path, serve, methods=list(methods))

    return [route(path, methods) for path, methods in by_path.items()]


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 405:
        refusal = Refusal(405, "no-such-method", f"{path} can't be called by {request.method}", "see /v1/openapi.json")
    elif error.status_code == 404:
        refusal = Refusal(404, "no-such-path", f"there is no {path}", "see /v1/openapi.json")
    else:
        refusal = Refusal(error.status_code, "bad-request", str(error.detail))
    response = problem(refusal)
    response.headers.update(error.headers or {})
    return response


async def _flaw(request: Request, error: Exception) -> Response:
    """The log has the traceback already: Starlette raises the error again once this is sent."""
    return problem(Refusal(500, "flaw", "this went wrong inside the gateway", "see its log; it is a flaw to report"))


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
