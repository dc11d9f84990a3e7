"""One who asks for much: strangers cost the gateway next to nothing, and people leave each other room."""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
import secrets
import shlex
import time
from collections.abc import AsyncIterator
from urllib.parse import urlencode, urlsplit

import psutil
import pytest

from gateway.web.passwords import MOST_WAITING
from gateway.web.serve import NICE
from gateway.web.services import STREAMS_OF_ONE
from gateway.web.sessions import COOKIE, csrf_token
from gateway.web.throttle import FREE_OF_ADDRESS
from tests.support.https import Https, unchecked
from tests.support.people import PASSWORD, TOKENS
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

CLAIM = {"code": "AAAA-AAAA-AAAA-AAAA", "name": "mallory", "password": "nine vexing quokkas", "again": ""}


def made_up() -> dict[str, str]:
    return {"authorization": f"Bearer tidegate_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"}


def test_tokens_that_arent_known_are_soon_not_asked_about(plant: Plant) -> None:
    good = {"authorization": f"Bearer {TOKENS['reporting']}"}
    with Https(plant.page.url) as program:
        assert program.call("GET", "/api/v1/status", headers=good).status == 200
        tried = [program.call("GET", "/api/v1/status", headers=made_up()) for _ in range(3 * FREE_OF_ADDRESS)]
        statuses = [answer.status for answer in tried]
        assert set(statuses) == {401, 429}
        assert statuses.count(401) <= FREE_OF_ADDRESS + 5
        assert int(next(each for each in tried if each.status == 429).headers["retry-after"]) >= 1
        assert program.call("GET", "/api/v1/values", headers=good).status == 200, "a program that was in comes in"
        assert program.call("GET", "/api/v1/status", headers={"authorization": "Bearer x"}).status == 401


async def test_nobody_claims_what_is_claimed_and_none_is_kept_waiting_by_trying(plant: Plant) -> None:
    def claim() -> int:
        with Https(plant.page.url) as stranger:
            return stranger.post("/claim", {**CLAIM, "again": CLAIM["password"]}, csrf=False).status

    def sign_in() -> int:
        with Https(plant.page.url) as owner:
            return owner.sign_in("ada", PASSWORD).status

    several = [asyncio.to_thread(claim) for _ in range(3 * MOST_WAITING)]
    *claims, owner = await asyncio.gather(*several, asyncio.to_thread(sign_in))
    assert set(claims) == {303}
    assert owner == 303, "no password of a stranger was hashed before the owner's"


def test_a_body_is_taken_as_far_as_its_operation_wants_it(plant: Plant) -> None:
    with Https(plant.page.url, plant.admin) as admin:
        csrf = {"x-csrf-token": csrf_token(plant.admin[COOKIE])}
        kind = {**csrf, "content-type": "application/json"}
        large = b'{"tag": "' + b"x" * (2 << 20) + b'"}'
        assert admin.call("POST", "/api/v1/reads", large, kind).status == 413
        assert admin.call("POST", "/api/v1/reads", b'{"tag": "no/such"}', kind).status == 404
        assert admin.call("GET", "/api/v1/status", large).status == 200, "what has no body isn't sent one"
        form = {"content-type": "application/x-www-form-urlencoded"}
        body = f"csrf={csrf_token(plant.admin[COOKIE])}".encode()
        assert admin.call("POST", "/api/v1/reads", body, form).status == 403, "no form of a page calls the API"
        assert admin.call("GET", "/api/v1/status", headers={"last-event-id": "\xe9"}).status == 400


async def test_workbooks_are_made_one_at_a_time(plant: Plant) -> None:
    def children() -> int:
        found = psutil.Process(plant.page.pid).children()
        return sum("gateway.grids" in " ".join(each.cmdline()) for each in found if each.is_running())

    def fetch(number: int) -> int:
        with Https(plant.page.url, plant.viewer) as viewer:
            return viewer.get("/devices/tags.xlsx").status

    fetching = [asyncio.create_task(asyncio.to_thread(fetch, number)) for number in range(10)]
    most = 0
    while not all(task.done() for task in fetching):
        with contextlib.suppress(psutil.NoSuchProcess):
            most = max(most, await asyncio.to_thread(children))
        await asyncio.sleep(0.02)
    assert most == 1
    assert {task.result() for task in fetching} == {200, 429}


def test_the_page_comes_after_what_collects(plant: Plant) -> None:
    assert psutil.Process(plant.page.pid).nice() == NICE > psutil.Process(plant.gateway.pid).nice()


def test_what_is_copied_runs_nothing_else_in_a_shell(plant: Plant) -> None:
    evil = "x'; touch /tmp/owned; echo '"
    with Https(plant.page.url, plant.admin) as admin:
        for path, key in (
            ("/tags", "device"), ("/diagnostics/logs", "match"), ("/diagnostics/why", "tag"),
            ("/diagnostics/trace", "device"), ("/diagnostics/test", "device"), ("/devices/templates", "search"),
        ):  # fmt: skip
            shown = admin.get(f"{path}?{urlencode({key: evil})}", accept="text/html")
            copies = [html.unescape(each) for each in re.findall(r'data-copy="([^"]*)"', shown.text)]
            commands = [each for each in copies if each.startswith(("tidegate", "curl"))]
            assert commands, path
            for command in commands:
                words = shlex.shlex(command, posix=True, punctuation_chars=True)
                words.whitespace_split = True
                assert not {";", "&", "|", "touch"} & set(words), command


def test_an_error_leads_nowhere_else(plant: Plant) -> None:
    with Https(plant.page.url, plant.admin) as admin:
        shown = admin.get("//evil.example/x", accept="text/html")
        assert shown.status == 404
        assert 'href="/evil.example/x"' in shown.text
        assert 'href="//' not in shown.text


FLOOD_S = 4.0
MOST_OF_A_CORE = 0.6


@pytest.mark.parametrize("path", ["/api/v1/config/schema", "/api/v1/values", "/tags"])
async def test_one_person_doesnt_keep_the_gateway_busy(plant: Plant, path: str) -> None:
    """Their browser may ask without end; the gateway spends a part of a core on it, and others are answered."""
    gateway, end = psutil.Process(plant.gateway.pid), time.monotonic() + FLOOD_S

    def spent() -> float:
        times = gateway.cpu_times()
        return times.user + times.system

    def flood() -> None:
        with Https(plant.page.url, plant.viewer) as viewer:
            while time.monotonic() < end:
                assert viewer.get(path, accept="text/html").status in (200, 429)

    def ask() -> float:
        begun = time.monotonic()
        with Https(plant.page.url, plant.admin) as admin:
            assert admin.get("/api/v1/status").status == 200
        return time.monotonic() - begun

    before, begun = spent(), time.monotonic()
    floods = [asyncio.create_task(asyncio.to_thread(flood)) for _ in range(8)]
    answers = [await asyncio.to_thread(ask) for _ in range(5)]
    await asyncio.gather(*floods)
    assert (spent() - before) / (time.monotonic() - begun) < MOST_OF_A_CORE
    assert min(answers) < 1.0, answers


@contextlib.asynccontextmanager
async def stream(plant: Plant, cookies: dict[str, str]) -> AsyncIterator[bytes]:
    """The status line of a stream that is left open."""
    parts = urlsplit(plant.page.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=unchecked())
    try:
        writer.write(
            f"GET /api/v1/events HTTP/1.1\r\nhost: {parts.netloc}\r\n"
            f"cookie: {COOKIE}={cookies[COOKIE]}\r\n\r\n".encode()
        )
        yield await asyncio.wait_for(reader.readline(), 10)
    finally:
        writer.transport.abort()


async def test_one_person_doesnt_take_every_live_view(plant: Plant) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(STREAMS_OF_ONE):
            assert b" 200 " in await stack.enter_async_context(stream(plant, plant.viewer))
        assert b" 503 " in await stack.enter_async_context(stream(plant, plant.viewer))
        assert b" 200 " in await stack.enter_async_context(stream(plant, plant.admin))
