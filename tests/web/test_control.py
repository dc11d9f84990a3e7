"""The page's client of the control API, against a server that answers what it is told to, however bad."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.actors import Actor, Role
from gateway.control.client import NotRunning, Refused
from gateway.web import control
from gateway.web.control import ControlGateway

ADA = Actor("ada l", Role.ADMIN, "page")
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@contextlib.asynccontextmanager
async def answering(path: Path, answer: bytes, *, stay: bool = False) -> AsyncIterator[list[bytes]]:
    """A socket that gives every request the same bytes; `stay`: and then says nothing more. Yields what was asked."""
    asked: list[bytes] = []
    leave = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if stay:
            await leave.wait()
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    async with await asyncio.start_unix_server(serve, path):
        try:
            yield asked
        finally:
            leave.set()


async def test_a_call_is_made_for_somebody_and_its_document_comes_back(tmp_path: Path) -> None:
    async with answering(tmp_path / "s", JSON + b"content-length: 9\r\n\r\n" + b'{"a":[1]}') as asked:
        assert await ControlGateway(tmp_path / "s").get(ADA, "/v1/x", match="a b", off=None, yes=True) == {"a": [1]}
    assert asked[0].startswith(b"GET /v1/x?match=a+b&yes=true HTTP/1.1\r\n")
    assert b"tidegate-actor: name=ada+l&role=admin&via=page\r\n" in asked[0].lower()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        JSON + b"content-length: 100\r\n\r\n{",
        JSON + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_an_answer_that_isnt_whole_is_a_gateway_that_isnt_there(tmp_path: Path, answer: bytes) -> None:
    async with answering(tmp_path / "s", answer):
        with pytest.raises(NotRunning):
            await ControlGateway(tmp_path / "s").get(ADA, "/v1/x")


async def test_a_gateway_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "CALL_TIMEOUT_S", 0.2)
    async with answering(tmp_path / "s", b"", stay=True):
        with pytest.raises(NotRunning, match=r"didn't answer within 0\.2 s"):
            await ControlGateway(tmp_path / "s").get(ADA, "/v1/x")


async def test_a_refusal_says_why(tmp_path: Path) -> None:
    body = b'{"code":"no-such-tag","detail":"there is no tag x","mend":"see /v1/values"}'
    head = b"HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with answering(tmp_path / "s", head + body):
        with pytest.raises(Refused, match="there is no tag x") as caught:
            await ControlGateway(tmp_path / "s").get(ADA, "/v1/x")
    assert (caught.value.status, caught.value.code, caught.value.mend) == (404, "no-such-tag", "see /v1/values")


async def test_a_stream_comes_as_it_is_sent_and_leaving_ends_it(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    async with answering(tmp_path / "s", head + b"9\r\ndata: 1\n\n\r\n", stay=True):
        async with asyncio.timeout(5), ControlGateway(tmp_path / "s").stream(ADA, "GET", "/v1/live") as answer:
            assert answer.open_ended
            assert await anext(answer.chunks) == b"data: 1\n\n"


async def test_no_socket_is_no_gateway(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="there is no socket"):
        await ControlGateway(tmp_path / "none").get(ADA, "/v1/x")
