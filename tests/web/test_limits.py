"""Many, slow and large: the page answers, an attacker waits, the owner gets in, and collection doesn't notice."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from gateway.control.http import HEAD_LIMIT_S
from gateway.web import door
from gateway.web.throttle import DEVICE_COOKIE, FREE_OF_ADDRESS
from tests.support.https import Https, unchecked
from tests.support.people import PASSWORD
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(300)]

SLOW = 300
ATTEMPTS = 10_000
ANSWER_S = 1.0
MORE_WORK = 3.0
"""Caches are shared with whoever attacks."""


@contextlib.asynccontextmanager
async def connections(plant: Plant, count: int, say: bytes | None) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """So many that say something and then nothing; None: not even a TLS greeting."""
    parts = urlsplit(plant.page.url)
    writers: list[asyncio.StreamWriter] = []

    async def one() -> None:
        with contextlib.suppress(OSError):
            tls = None if say is None else unchecked()
            _, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=tls)
            writers.append(writer)
            writer.write(say or b"")

    try:
        for _ in range(0, count, 50):
            await asyncio.gather(*(one() for _ in range(50)))
        yield writers
    finally:
        for writer in writers:
            writer.transport.abort()


def timed_get(plant: Plant, path: str = "/") -> float:
    begun = time.monotonic()
    with Https(plant.page.url, plant.admin) as admin:
        assert admin.get(path, accept="text/html").status == 200
    return time.monotonic() - begun


def polls_of(status: dict[str, Any]) -> int:
    polls = status["southbound"]["totals"]["polls"]
    assert isinstance(polls, int)
    return polls


def work(plant: Plant) -> tuple[int, float]:
    """(reads the gateway has made, seconds of a core it has spent)"""
    times = psutil.Process(plant.gateway.pid).cpu_times()
    return polls_of(plant.gateway.status()), times.user + times.system


def spent(start: tuple[int, float], end: tuple[int, float]) -> float:
    """Seconds of a core for one read and all that follows from it."""
    return (end[1] - start[1]) / (end[0] - start[0])


@pytest.mark.parametrize(
    "say",
    [
        None,
        b"",
        b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ",
        b"POST /login HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n"
        b"content-length: 5000\r\n\r\nname=a",
    ],
    ids=["no greeting", "no request", "half a head", "half a body"],
)
async def test_three_hundred_slow_connections_keep_nobody_out(plant: Plant, say: bytes | None) -> None:
    async with connections(plant, SLOW, say):
        times = [await asyncio.to_thread(timed_get, plant) for _ in range(5)]
        assert max(times) < ANSWER_S, times


async def test_half_a_head_is_waited_for_so_long_and_no_longer(plant: Plant) -> None:
    parts = urlsplit(plant.page.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=unchecked())
    begun = time.monotonic()
    writer.write(b"GET / HTTP/1.1\r\n")
    assert await reader.read() == b""
    assert HEAD_LIMIT_S - 0.5 < time.monotonic() - begun < HEAD_LIMIT_S + 3
    writer.close()


async def test_a_body_or_a_head_that_is_too_large_is_refused(plant: Plant) -> None:
    with Https(plant.page.url) as stranger:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        assert stranger.call("POST", "/login", b"name=" + b"a" * 100_000, kind).status == 413
    # More than comes in one piece: what is whole at once costs no waiting and may be a little longer.
    head = {"x": "a" * (64 * door.LONGEST_HEAD)}
    with Https(plant.page.url) as stranger, contextlib.suppress(OSError):  # or it is cut off while it is being sent
        assert stranger.get("/", **head).status == 400


@pytest.mark.timeout(600)
async def test_ten_thousand_wrong_passwords_open_nothing_and_shut_nobody_out(plant: Plant) -> None:
    """From the owner's own address, even: a browser that has signed in before is known."""

    def owner() -> Https:
        with Https(plant.page.url) as first:
            assert first.sign_in("ada", PASSWORD).status == 303
            return Https(plant.page.url, {DEVICE_COOKIE: first.cookies[DEVICE_COOKIE]})

    known = await asyncio.to_thread(owner)
    earlier = work(plant)
    await plant.gateway.until(lambda status: polls_of(status) >= earlier[0] + 60, "reads without an attack")
    before = work(plant)
    quiet = spent(earlier, before)
    statuses: dict[int, int] = {}
    answers: list[float] = []

    def attack(number: int, count: int) -> None:
        with Https(plant.page.url) as attacker:
            for n in range(count):
                begun = time.monotonic()
                status = attacker.post("/login", {"name": "ada", "password": f"guess {number} {n}"}).status
                answers.append(time.monotonic() - begun)
                statuses[status] = statuses.get(status, 0) + 1

    attacks = [asyncio.create_task(asyncio.to_thread(attack, number, ATTEMPTS // 8)) for number in range(8)]
    await asyncio.sleep(1)
    with Https(plant.page.url) as unknown:
        refused = await asyncio.to_thread(unknown.sign_in, "ada", PASSWORD)
    with known:
        welcome = await asyncio.to_thread(known.sign_in, "ada", PASSWORD)
    await asyncio.gather(*attacks)
    after = work(plant)
    looked_at = statuses.get(401, 0)
    assert sum(statuses.values()) == ATTEMPTS
    assert set(statuses) <= {401, 429, 503}, statuses
    assert looked_at <= FREE_OF_ADDRESS + 8, f"{looked_at} passwords were looked at"
    assert refused.status == 429, "guessing and the right password look the same while they wait"
    assert welcome.status == 303, welcome.text
    assert await asyncio.to_thread(timed_get, plant) < ANSWER_S
    assert sorted(answers)[int(0.99 * len(answers))] < ANSWER_S
    # Whatever else this machine does: the gateway's own work for a read stays what it was.
    assert spent(before, after) < MORE_WORK * quiet
