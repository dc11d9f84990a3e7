"""A browser's and a program's way in: the box's local page over TLS, as a stranger, a user or with a token."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any
from urllib.parse import urlencode, urlsplit

_CSRF = re.compile(r'<meta name="csrf-token" content="([^"]+)"')
_PAUSE_S = 0.5


class Unanswered(Exception):
    """The page didn't answer in time."""


class Declined(Exception):
    """The page answered that it won't."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}")
        self.status = status
        self.said = said


class Page:
    """One visitor. Certificates are looked at, not checked: the box made its own."""

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        self.url = url
        self._place = urlsplit(url).netloc
        self._timeout_s = timeout_s
        self._cookies: dict[str, str] = {}
        self._token: str | None = None
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def with_token(self, token: str) -> Page:
        """Somebody else: a program that has a token."""
        page = Page(self.url, self._timeout_s)
        page._token = token
        return page

    def within(self, timeout_s: float) -> Page:
        """The same visitor, with another patience."""
        page = copy(self)
        page._timeout_s = timeout_s
        return page

    # -- plain requests

    def fetch(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and text. Raises OSError or http.client.HTTPException."""
        with self._asked(method, path, body, {"connection": "close", **(headers or {})}) as reply:
            text = reply.read().decode("utf-8", "replace")
        for line in reply.headers.get_all("set-cookie") or ():
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        return reply.status, text

    @contextmanager
    def following(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """A stream of events that stays open meanwhile, as a browser's does. Raises as :meth:`fetch` does."""
        with self._asked("GET", path, None, {"accept": "text/event-stream"}) as reply:
            assert reply.status == 200, f"{path}: {reply.status}"
            yield reply

    @contextmanager
    def _asked(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        given = dict(headers)
        if self._cookies:
            given["cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        if self._token is not None:
            given["authorization"] = f"Bearer {self._token}"
        connection = http.client.HTTPSConnection(self._place, timeout=self._timeout_s, context=self._tls)
        try:
            connection.request(method, path, body, given)
            yield connection.getresponse()
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether somebody is in."""
        try:
            return self.fetch("GET", "/login")[0] < 500
        except (OSError, http.client.HTTPException):
            return False

    def wait(self, timeout_s: float) -> None:
        """Raises Unanswered."""
        end = time.monotonic() + timeout_s
        while not self.answers():
            if time.monotonic() > end:
                raise Unanswered(f"{self.url} doesn't answer within {timeout_s:.0f} s")
            time.sleep(_PAUSE_S)

    def certificate(self) -> bytes:
        """Its certificate, DER."""
        pem = ssl.get_server_certificate((urlsplit(self.url).hostname or "", urlsplit(self.url).port or 443))
        return ssl.PEM_cert_to_DER_cert(pem)

    # -- as people do

    def form(self, path: str, **fields: str) -> tuple[int, str]:
        """Send a form, as a page of it would."""
        token = {"csrf": self._csrf()} if self._cookies else {}
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return self.fetch("POST", path, urlencode({**fields, **token}).encode(), kind)

    def claim(self, code: str, name: str, password: str) -> tuple[int, str]:
        """Become the first admin."""
        return self.form("/claim", code=code, name=name, password=password, again=password)

    def sign_in(self, name: str, password: str) -> int:
        """The status: 303 if it was right."""
        return self.form("/login", name=name, password=password)[0]

    # -- as programs do

    def get(self, path: str) -> Any:
        """Raises Declined, OSError or http.client.HTTPException, as do the others."""
        return self.call("GET", path)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """An operation of the control API, as documented below ``/v1``."""
        return self.send(method, path, b"" if body is None else json.dumps(body).encode(), "application/json")

    def send(self, method: str, path: str, body: bytes, kind: str = "application/octet-stream") -> Any:
        """An operation with a body of any kind."""
        headers = {"content-type": kind} if body else {}
        if self._token is None and method != "GET":
            headers["x-csrf-token"] = self._csrf()
        status, text = self.fetch(method, f"/api{path}", body, headers)
        if status >= 400:
            raise Declined(status, text)
        return json.loads(text) if text else None

    def _csrf(self) -> str:
        _, text = self.fetch("GET", "/account")
        found = _CSRF.search(text)
        assert found is not None, f"nobody is signed in at {self.url}"
        return found[1]
