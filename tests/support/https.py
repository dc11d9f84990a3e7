"""A plain HTTPS client for one page, certificates unchecked, which sends what it is told and nothing of its own."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlencode, urlsplit

from gateway.web.sessions import COOKIE, csrf_token


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def cookie(self, name: str) -> str | None:
        """What it sets a cookie to."""
        for line in self.headers.get_all("set-cookie") or ():
            if line.startswith(f"{name}="):
                return line.partition("=")[2].partition(";")[0]
        return None


def unchecked() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Https:
    """One connection, kept; a context manager."""

    def __init__(self, url: str, cookies: Mapping[str, str] | None = None, timeout_s: float = 20.0) -> None:
        self.cookies = dict(cookies or {})
        self.origin = url
        self._connection = http.client.HTTPSConnection(urlsplit(url).netloc, timeout=timeout_s, context=unchecked())

    def __enter__(self) -> Https:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        given = dict(headers or {})
        if self.cookies:
            given["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            self._connection.request(method, path, body, given)
            reply = self._connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            # The server closed a connection that was idle; a new one is made for this.
            self._connection.close()
            self._connection.request(method, path, body, given)
            reply = self._connection.getresponse()
        return Answer(reply.status, reply.headers, reply.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, headers=headers)

    def post(self, path: str, fields: Mapping[str, str], *, csrf: bool = True, **headers: str) -> Answer:
        """A form, as a page of ours would send it."""
        whole = {**fields, **({"csrf": csrf_token(self.cookies[COOKIE])} if csrf and COOKIE in self.cookies else {})}
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return self.call("POST", path, urlencode(whole).encode(), {**kind, **headers})

    def sign_in(self, name: str, password: str) -> Answer:
        """Keeps the cookies it gets."""
        answer = self.post("/login", {"name": name, "password": password}, csrf=False)
        for line in answer.headers.get_all("set-cookie") or ():
            cookie, _, value = line.partition(";")[0].partition("=")
            self.cookies[cookie] = value
        return answer
