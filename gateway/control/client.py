"""The control API's client: plain HTTP/1.1 over the Unix socket, for the command line and the demo."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson


class NotRunning(Exception):
    """No gateway answers on the socket."""


class NotPermitted(Exception):
    """The socket is there, but not for this user."""


class ControlClient:
    """Calls one gateway. Every call is a connection of its own; nothing is kept open between calls."""

    def __init__(self, path: Path, timeout_s: float = 5.0) -> None:
        self._path = path
        self._timeout_s = timeout_s

    def status(self) -> dict[str, Any]:
        """Raises NotRunning or NotPermitted."""
        with _UnixConnection(self._path, self._timeout_s) as connection:
            body = orjson.loads(connection.get("/v1/status").read())
        assert isinstance(body, dict)
        return body

    def values(self, match: str = "*") -> Iterator[dict[str, Any]]:
        """Values as the gateway takes them, until the gateway stops. Raises NotRunning or NotPermitted."""
        with _UnixConnection(self._path, self._timeout_s) as connection:
            reply = connection.get("/v1/values?" + urlencode({"match": match}))
            assert connection.sock is not None
            connection.sock.settimeout(None)
            while line := reply.readline():
                if line.strip():
                    yield orjson.loads(line)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def __enter__(self) -> _UnixConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def get(self, target: str) -> http.client.HTTPResponse:
        try:
            self.request("GET", target)
            reply = self.getresponse()
        except PermissionError:
            raise NotPermitted(f"no permission to use {self._path}") from None
        except FileNotFoundError:
            raise NotRunning(f"no gateway runs: there is no socket {self._path}") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or error
            raise NotRunning(f"no gateway answers on {self._path}: {reason}") from None
        if reply.status != http.HTTPStatus.OK:
            raise NotRunning(f"the gateway answered {reply.status} {reply.reason} to {target}")
        return reply
