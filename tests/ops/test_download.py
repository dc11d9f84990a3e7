"""Downloads against a TLS server of the test's own, which breaks off, changes its mind and leads astray."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from gateway.ops.download import Source, download
from gateway.ops.slots import UpdateRefused
from tests.support.pki import issue

pytestmark = pytest.mark.integration

FILE = bytes(range(256)) * 4000
LIMIT = 2 << 20


@dataclass
class Server:
    """What it answers, and what it was asked."""

    port: int
    ca: Path
    body: bytes = FILE
    tag: str = '"one"'
    cuts: list[int] = field(default_factory=list)
    """Bytes after which each of the next answers breaks off."""
    statuses: list[int] = field(default_factory=list)
    """Of the next answers."""
    location: str = ""
    ranges: list[str | None] = field(default_factory=list)
    """Asked for."""

    def source(self, path: str = "/bundle?key=secret") -> Source:
        return Source(f"https://127.0.0.1:{self.port}{path}", self.ca)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: Server

    def do_GET(self) -> None:
        files = self.files
        files.ranges.append(self.headers["range"])
        if files.statuses:
            status = files.statuses.pop(0)
            self.send_response(status)
            self.send_header("content-length", "0")
            if files.location:
                self.send_header("location", files.location)
            self.end_headers()
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["range"] or "")
        begin = int(asked[1]) if asked and self.headers["if-range"] == files.tag else 0
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("content-range", f"bytes {begin}-{len(files.body) - 1}/{len(files.body)}")
        self.send_header("etag", files.tag)
        self.send_header("content-length", str(len(files.body) - begin))
        self.end_headers()
        end = begin + files.cuts.pop(0) if files.cuts else len(files.body)
        self.wfile.write(files.body[begin:end])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    ca = issue(tmp_path / "pki", "authority", authority=True)
    own = issue(tmp_path / "pki", "server", issuer=ca, number=1)
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.pem_file, own.key_file)
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        handler.files = Server(listening.server_address[1], ca.pem_file)  # type: ignore[attr-defined]
        thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield handler.files  # type: ignore[attr-defined]
        listening.shutdown()
        thread.join()


async def fetched(
    source: Source, into: Path, room: Callable[[int], None] = lambda _: None, pauses: int = 3
) -> list[tuple[int, str]]:
    seen: list[tuple[int, str]] = []
    await download(
        source, into, limit=LIMIT, room=room, step=lambda *step: seen.append(step), pauses_s=[0.001] * pauses
    )
    return seen


async def test_it_goes_on_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    server.cuts = [300_000, 300_000]
    seen = await fetched(server.source(), tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == FILE
    assert server.ranges == [None, "bytes=300000-", "bytes=600000-"]
    assert [percent for percent, _ in seen] == sorted(percent for percent, _ in seen)
    assert seen[-1][0] == 100
    assert any("trying again" in doing for _, doing in seen)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["b"]


async def test_it_goes_on_after_a_restart(server: Server, tmp_path: Path) -> None:
    server.cuts = [500_000, 0, 0, 0]
    with pytest.raises(UpdateRefused, match="goes on where it stopped") as refused:
        await fetched(server.source(), tmp_path / "b", pauses=2)
    assert "secret" not in str(refused.value)
    assert not (tmp_path / "b").exists()
    server.cuts = []
    await fetched(server.source(), tmp_path / "b")
    assert server.ranges[-1] == "bytes=500000-"
    assert (tmp_path / "b").read_bytes() == FILE


async def test_a_file_that_changed_meanwhile_is_taken_from_its_start(server: Server, tmp_path: Path) -> None:
    server.cuts = [400_000, 0, 0]
    with pytest.raises(UpdateRefused):
        await fetched(server.source(), tmp_path / "b", pauses=1)
    server.body, server.tag = FILE[::-1], '"two"'
    await fetched(server.source(), tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == FILE[::-1]


async def test_another_address_doesnt_go_on_with_what_came_from_the_first(server: Server, tmp_path: Path) -> None:
    server.cuts = [400_000, 0, 0]
    with pytest.raises(UpdateRefused):
        await fetched(server.source(), tmp_path / "b", pauses=1)
    await fetched(server.source("/other"), tmp_path / "b")
    assert server.ranges[-1] is None


async def test_a_busy_server_is_asked_again_and_a_missing_file_isnt(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    await fetched(server.source(), tmp_path / "b")
    server.statuses = [404]
    with pytest.raises(UpdateRefused, match="the server answers 404"):
        await fetched(server.source(), tmp_path / "c")
    assert len(server.ranges) == 4


async def test_a_redirect_is_followed_over_https_alone_and_not_for_ever(server: Server, tmp_path: Path) -> None:
    server.statuses, server.location = [302], "/elsewhere"
    await fetched(server.source(), tmp_path / "b")
    server.statuses, server.location = [302], "http://127.0.0.1/plain"
    with pytest.raises(UpdateRefused, match="it must be https"):
        await fetched(server.source(), tmp_path / "c")
    server.statuses, server.location = [302] * 9, "/round"
    with pytest.raises(UpdateRefused, match="from one address to the next"):
        await fetched(server.source(), tmp_path / "c")


async def test_a_server_that_isnt_trusted_is_refused_at_once(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UpdateRefused, match=r"isn't trusted.*the clock is right"):
        await fetched(Source(server.source().url), tmp_path / "b")
    assert server.ranges == []
    (tmp_path / "no.pem").write_text("nothing")
    with pytest.raises(UpdateRefused, match="no certificates that can be used"):
        await fetched(Source(server.source().url, tmp_path / "no.pem"), tmp_path / "b")


async def test_what_is_too_large_or_has_no_room_isnt_begun(server: Server, tmp_path: Path) -> None:
    server.body = bytes(LIMIT + 1)
    with pytest.raises(UpdateRefused, match="is the most that is taken"):
        await fetched(server.source(), tmp_path / "b")

    def room(size: int) -> None:
        raise UpdateRefused(f"no room for {size}")

    server.body = FILE
    with pytest.raises(UpdateRefused, match=f"no room for {len(FILE)}"):
        await fetched(server.source(), tmp_path / "c", room)


@pytest.mark.parametrize(
    "url",
    ["http://host/b", "https:///b", "https://me:pw@host/b", "https://host:99999/b", "https://ho st/b", "file:///b"],
)
def test_what_is_no_address_to_download_from(url: str) -> None:
    with pytest.raises(UpdateRefused, match="it must be https"):
        Source(url)


@pytest.mark.parametrize("url", ["https://host", "https://host/", "https://host/tidegate/", "https://host/tidegate/#b"])
def test_a_folders_address_is_refused_before_a_page_is_taken_for_a_bundle(url: str) -> None:
    with pytest.raises(UpdateRefused, match=r"leads to a folder, not to a bundle: write the address of the \.raucb"):
        Source(url)
    assert str(Source("https://host/latest/?variant=rpi")) == "https://host/latest/"
