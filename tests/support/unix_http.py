"""requests over a Unix socket, for tools that speak requests. Streams are read for a moment and cut."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from pathlib import Path
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPHeaderDict, HTTPResponse

ORIGIN = "http://gateway"

_LIMIT_S = 20.0
_STREAM_S = 0.1
_STREAMS = ("text/event-stream", "application/x-ndjson")


class UnixAdapter(BaseAdapter):
    """A connection of its own for every request."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        connection = http.client.HTTPConnection("gateway", timeout=_LIMIT_S)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(_LIMIT_S)
        with contextlib.closing(connection):
            connection.sock.connect(str(self._path))
            with contextlib.suppress(BrokenPipeError):  # refused before all was sent: the answer says why
                assert request.method is not None
                connection.request(request.method, request.path_url, request.body, dict(request.headers))
            reply = connection.getresponse()
            if reply.headers.get_content_type() in _STREAMS and reply.status == 200:
                content = _beginning(connection.sock, reply)
            else:
                content = reply.read()
        response = requests.Response()
        response.status_code, response.reason = reply.status, reply.reason
        response.headers = CaseInsensitiveDict(reply.getheaders())
        response.raw = HTTPResponse(
            io.BytesIO(content), HTTPHeaderDict(reply.getheaders()), reply.status, preload_content=False
        )
        response.request, response.url = request, request.url or ""
        response._content, response._content_consumed = content, True
        return response

    def close(self) -> None:
        """Nothing is kept open."""


def session(path: Path) -> requests.Session:
    """Every request to ORIGIN goes to the socket at `path`."""
    made = requests.Session()
    made.trust_env = False
    made.mount(ORIGIN, UnixAdapter(path))
    return made


def _beginning(connection: socket.socket, reply: http.client.HTTPResponse) -> bytes:
    """The whole lines that come within a moment."""
    content = b""
    deadline = time.monotonic() + _STREAM_S
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            line = reply.readline()
        except TimeoutError:
            break
        if not line:
            break
        content += line
    return content
