"""The control API's client: plain HTTP/1.1 over the Unix socket, for the command line and the demo.

The page's process speaks it asynchronously (`gateway.web.control`), in the same words.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson


class NotRunning(Exception):
    """No gateway answers on the socket."""


class NotPermitted(Exception):
    """The socket is there, but not for this user."""


class Refused(Exception):
    """The gateway answered that it won't, and why."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(body.get("detail") or f"the gateway answered {status}")
        self.status = status
        self.body = body
        """The problem document (RFC 9457)."""

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))

    @property
    def mend(self) -> str | None:
        return self.body.get("mend")

    @property
    def problems(self) -> Sequence[Mapping[str, Any]]:
        return self.body.get("problems") or ()


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event, its data parsed."""

    event: str
    data: Any
    id: str | None


class ControlClient:
    """Calls one gateway. Every call is a connection of its own; nothing is kept open between calls.

    Every method raises NotRunning or NotPermitted, and Refused where the gateway refuses.
    """

    def __init__(self, path: Path, timeout_s: float = 5.0) -> None:
        self._path = path
        self._timeout_s = timeout_s

    def get(self, target: str, **query: Any) -> Any:
        """A document. `target`: the path, names in it quoted by :func:`segment`; None in `query` is left out."""
        return self.call("GET", target, query)

    def post(self, target: str, body: Any = None, *, timeout_s: float | None = None, **query: Any) -> Any:
        return self.call("POST", target, query, body, timeout_s)

    def call(
        self,
        method: str,
        target: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        timeout_s: float | None = None,
    ) -> Any:
        """`body`: bytes as they are, or what becomes JSON. Returns the parsed document, bytes of a file, or None."""
        with _UnixConnection(self._path, timeout_s or self._timeout_s) as connection:
            reply = connection.send_request(method, with_query(target, query), body)
            raw = connection.read_all(reply)
            if reply.getheader("content-type", "").startswith("application/json"):
                return orjson.loads(raw)
            return raw or None

    def status(self) -> dict[str, Any]:
        body = self.get("/v1/status")
        assert isinstance(body, dict)
        return body

    def values(self, match: str = "*") -> Iterator[dict[str, Any]]:
        """Values as the gateway takes them, until the gateway stops."""
        return self.lines("/v1/tap", match=match)

    def lines(self, target: str, **query: Any) -> Iterator[Any]:
        """The documents of a newline-delimited stream, until it ends."""
        with self._stream(target, query) as reply:
            while line := reply.readline():
                if line.strip():
                    yield orjson.loads(line)

    def events(self, target: str, method: str = "GET", body: Any = None, **query: Any) -> Iterator[ServerEvent]:
        """The events of a stream, until it ends."""
        with self._stream(target, query, method, body) as reply:
            fields: dict[str, str] = {}
            while line := reply.readline():
                text = line.decode().rstrip("\r\n")
                if not text:
                    if "data" in fields:
                        yield ServerEvent(
                            fields.get("event", "message"), orjson.loads(fields["data"]), fields.get("id")
                        )
                    fields = {}
                elif not text.startswith(":"):
                    key, _, value = text.partition(":")
                    fields[key] = value.removeprefix(" ")

    @contextlib.contextmanager
    def _stream(
        self, target: str, query: Mapping[str, Any], method: str = "GET", body: Any = None
    ) -> Iterator[http.client.HTTPResponse]:
        with _UnixConnection(self._path, self._timeout_s) as connection:
            reply = connection.send_request(method, with_query(target, query), body)
            assert connection.sock is not None
            connection.sock.settimeout(None)
            yield reply


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def with_query(target: str, query: Mapping[str, Any] | None) -> str:
    """A path with what stands after the ``?``; None in `query` is left out."""
    given = {key: _text(value) for key, value in (query or {}).items() if value is not None}
    return f"{target}?{urlencode(given, doseq=True)}" if given else target


def problem_of(body: bytes) -> dict[str, Any]:
    """The problem document of a refusal; empty if it isn't one."""
    try:
        problem = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


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

    def send_request(self, method: str, target: str, body: Any) -> http.client.HTTPResponse:
        headers = {}
        if isinstance(body, bytes):
            headers["Content-Type"] = "application/octet-stream"
        elif body is not None:
            body = orjson.dumps(body)
            headers["Content-Type"] = "application/json"
        try:
            self.request(method, target, body, headers)
            reply = self.getresponse()
        except PermissionError:
            raise NotPermitted(f"no permission to use {self._path}") from None
        except FileNotFoundError:
            raise NotRunning(f"no gateway runs: there is no socket {self._path}") from None
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(error) from None
        if reply.status >= http.HTTPStatus.BAD_REQUEST:
            raise Refused(reply.status, problem_of(self.read_all(reply)))
        return reply

    def read_all(self, reply: http.client.HTTPResponse) -> bytes:
        try:
            return reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(error) from None

    def _no_answer(self, error: Exception) -> NotRunning:
        return NotRunning(f"no gateway answers on {self._path}: {getattr(error, 'strerror', None) or error}")
