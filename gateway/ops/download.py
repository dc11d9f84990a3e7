"""Downloads over HTTPS that go on where they stopped: by a range, as long as the file over there is still the same.

What is downloaded stands in ``NAME.part`` until it is whole, with what is known of it in ``NAME.part.json``; so it goes
on after a restart, too. Whether the content can be trusted isn't asked here.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

import h11
import orjson

from gateway import __version__
from gateway.ops.files import sync_directory, write_atomically
from gateway.ops.slots import UpdateRefused

PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 60.0)
"""Before each new attempt after one that brought nothing; after as many it is given up."""
_SILENCE_S: Final = 30.0
"""A server that says nothing for so long is taken for gone."""
_ATTEMPTS: Final = 1000
_REDIRECTS: Final = 5
_CHUNK: Final = 256 << 10
_FOUND: Final = frozenset({301, 302, 303, 307, 308})
_LATER: Final = frozenset({408, 425, 429})


class _Broken(Exception):
    """This attempt failed, and the next may not."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a bundle is."""

    url: str
    ca: Path | None = None
    """Whom to trust instead of the machine's own authorities: certificates in PEM."""

    def __post_init__(self) -> None:
        """Raises UpdateRefused."""
        if leads_to_a_folder(_checked(self.url)):
            raise UpdateRefused(f"{self} leads to a folder, not to a bundle: write the address of the .raucb in it")

    def __str__(self) -> str:
        """What stands behind the ``?`` may be a secret."""
        return self.url.partition("?")[0]


async def download(
    source: Source,
    into: Path,
    *,
    limit: int,
    room: Callable[[int], None],
    step: Callable[[int, str], None],
    pauses_s: Sequence[float] = PAUSES_S,
) -> None:
    """Download to `into`, at most `limit` bytes.

    `room` is asked for so many more bytes, and refuses by raising; `step` is told percent and what is being done.
    Raises UpdateRefused where trying again is of no use, or was of none.
    """
    context = _context(source)
    part = _Part(into, source.url)
    failures = 0
    for _ in range(_ATTEMPTS):
        before = part.size
        try:
            await _attempt(source, context, part, limit, room, step)
        except ssl.SSLCertVerificationError as error:
            raise UpdateRefused(
                f"the server of {source} isn't trusted: {error.verify_message}; if its authority is your own, name its "
                "certificate, and look whether the clock is right"
            ) from None
        except (_Broken, OSError, TimeoutError, h11.RemoteProtocolError) as error:
            failures = 0 if part.size > before else failures + 1
            why = _why(error)
            if failures > len(pauses_s):
                break
            step(part.percent, f"trying again: {why}")
            await asyncio.sleep(pauses_s[max(0, failures - 1)])
        else:
            await asyncio.to_thread(part.finish)
            return
    raise UpdateRefused(f"{source} can't be downloaded: {why}; asked for again, it goes on where it stopped")


class _Part:
    """What is there of a file already."""

    def __init__(self, into: Path, url: str) -> None:
        self._into = into
        self.path = into.with_name(f"{into.name}.part")
        self._note = into.with_name(f"{into.name}.part.json")
        self._url = hashlib.sha256(url.encode()).hexdigest()
        self.validator: str | None = None
        self.total: int | None = None
        try:
            note = orjson.loads(self._note.read_bytes())
            if note["url"] == self._url:
                self.validator, self.total = note["validator"], note["total"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        if self.validator is None:
            self.path.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def percent(self) -> int:
        return 0 if not self.total else min(100, self.size * 100 // self.total)

    def begin(self, validator: str | None, total: int | None) -> None:
        """Another file, or the first time. Blocking."""
        self.path.unlink(missing_ok=True)
        self.validator, self.total = validator, total
        write_atomically(self._note, orjson.dumps({"url": self._url, "validator": validator, "total": total}), 0o600)

    def finish(self) -> None:
        """It is whole. Blocking."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self.path, self._into)
        self._note.unlink(missing_ok=True)
        sync_directory(self._into.parent)


async def _attempt(
    source: Source,
    context: ssl.SSLContext,
    part: _Part,
    limit: int,
    room: Callable[[int], None],
    step: Callable[[int, str], None],
) -> None:
    url, size = source.url, part.size
    headers = [("user-agent", f"tidegate/{__version__}"), ("accept-encoding", "identity"), ("connection", "close")]
    if size and part.validator:
        headers += [("range", f"bytes={size}-"), ("if-range", part.validator)]
    for _ in range(_REDIRECTS + 1):
        address = _checked(url)
        step(part.percent, f"downloading from {address.hostname}")
        async with _asked(address, context, headers) as answer:
            if answer.status in _FOUND and "location" in answer.headers:
                url = urljoin(url, answer.headers["location"])
                continue
            await _taken(source, answer, part, limit, room, step)
            return
    raise UpdateRefused(f"{source} leads from one address to the next, more than {_REDIRECTS} times")


async def _taken(
    source: Source,
    answer: _Answer,
    part: _Part,
    limit: int,
    room: Callable[[int], None],
    step: Callable[[int, str], None],
) -> None:
    """Write what is answered. Raises _Broken or UpdateRefused."""
    length = int(given) if (given := answer.headers.get("content-length", "")).isdigit() else None
    match answer.status:
        case 206 if answer.headers.get("content-range", "").startswith(f"bytes {part.size}-"):
            pass
        case 200:
            tag = answer.headers.get("etag", "")
            validator = answer.headers.get("last-modified") if not tag or tag.startswith("W/") else tag
            await asyncio.to_thread(part.begin, validator, length)
        case 206 | 416:  # of another range than was asked for: from the start, then
            await asyncio.to_thread(part.begin, None, None)
            raise _Broken("the server gave another part than was asked for")
        case status if status >= 500 or status in _LATER:
            raise _Broken(f"the server answers {status}")
        case status:
            raise UpdateRefused(f"{source} can't be downloaded: the server answers {status}")
    size = part.size
    if (part.total or 0) > limit:
        raise UpdateRefused(f"{source} has {part.total:,} bytes, and {limit:,} is the most that is taken")
    room(length or 0)
    host = _checked(source.url).hostname
    with part.path.open("ab") as file:
        async for chunk in answer.chunks:
            size += len(chunk)
            if size > limit:
                raise UpdateRefused(f"{source} has over {limit:,} bytes, the most that is taken")
            await asyncio.to_thread(file.write, chunk)
            step(part.percent, f"downloading from {host}")
    if part.total is not None and part.size != part.total:
        raise _Broken(f"{part.size:,} of {part.total:,} bytes came")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    chunks: AsyncIterator[bytes]


@asynccontextmanager
async def _asked(
    address: SplitResult, context: ssl.SSLContext, headers: list[tuple[str, str]]
) -> AsyncIterator[_Answer]:
    async with asyncio.timeout(_SILENCE_S):
        reader, writer = await asyncio.open_connection(
            address.hostname, address.port or 443, ssl=context, server_hostname=address.hostname, limit=4 * _CHUNK
        )
    try:
        connection = h11.Connection(h11.CLIENT)
        target = (address.path or "/") + (f"?{address.query}" if address.query else "")
        host = address.netloc
        request = h11.Request(method="GET", target=target, headers=[("host", host), *headers])
        writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        head = await _next(connection, reader)
        while isinstance(head, h11.InformationalResponse):
            head = await _next(connection, reader)
        if not isinstance(head, h11.Response):
            raise _Broken("the server closed the connection")
        told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
        yield _Answer(head.status_code, told, _chunks(connection, reader))
    finally:
        writer.transport.abort()


async def _chunks(connection: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while isinstance(event := await _next(connection, reader), h11.Data):
        yield bytes(event.data)


async def _next(connection: h11.Connection, reader: asyncio.StreamReader) -> Any:
    while (event := connection.next_event()) is h11.NEED_DATA:
        async with asyncio.timeout(_SILENCE_S):
            connection.receive_data(await reader.read(_CHUNK))
    return event


def _checked(url: str) -> SplitResult:
    """The parts of an address that may be used. Raises UpdateRefused."""
    try:
        address = urlsplit(url)
        sound = address.scheme == "https" and bool(address.hostname) and address.username is None
        sound = sound and (address.port or 443) > 0 and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        sound = False
    if not sound:
        raise UpdateRefused(
            f"{url.partition('?')[0]} is no address to download from: it must be https://HOST/…, without a user and a "
            "password"
        )
    return address


def leads_to_a_folder(address: SplitResult) -> bool:
    """Nothing there can be a bundle, whatever the server answers: a list of files, or a page."""
    return not address.query and not address.path.rpartition("/")[2]


def _context(source: Source) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=source.ca)
    except (OSError, ssl.SSLError) as error:
        raise UpdateRefused(f"{source.ca} holds no certificates that can be used: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"the server said nothing for {_SILENCE_S:g} s"
    if isinstance(error, h11.RemoteProtocolError):
        return "the connection broke off"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
