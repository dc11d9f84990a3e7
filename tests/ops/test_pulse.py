"""The sign of life: only while the loop, the journal's thread and the links go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.journal import Journal
from gateway.ops.clock import Clock
from gateway.ops.pulse import Pulse
from gateway.ops.service import ServiceManager
from gateway.settings import JournalSettings
from tests.support.gateway import GatewayProcess
from tests.support.service_manager import Manager

CONFIGURATION = """\
[gateway]
id = "gw1"
enterprise = "acme"
site = "plant1"
data_dir = "data"
"""


class Told(ServiceManager):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(watchdog_s=0.04)
        self.beats = 0
        self.statuses: list[str] = []
        self.hangs = asyncio.Event()

        self._beaten = asyncio.Event()

    def alive(self) -> None:
        self.beats += 1
        self._beaten.set()

    async def until(self, beats: int) -> None:
        while self.beats < beats:
            self._beaten.clear()
            await self._beaten.wait()

    def status(self, status: str) -> None:
        self.statuses.append(status)
        if status.startswith("hangs"):
            self.hangs.set()


class Body:
    """Lives as a test says."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.answers.set()
        self.hangs: str | None = None

    async def answered(self) -> None:
        await self.answers.wait()

    def stuck(self) -> str | None:
        return self.hangs

    def summary(self) -> str:
        return "collects"


class Steps:
    """A sleep that ends when the test says: each `turn` is one round of the pulse."""

    def __init__(self) -> None:
        self._begun: asyncio.Queue[asyncio.Event] = asyncio.Queue()
        self._over: asyncio.Event | None = None

    async def sleep(self, _: float) -> None:
        over = asyncio.Event()
        self._begun.put_nowait(over)
        await over.wait()

    async def turn(self) -> None:
        if self._over is not None:
            self._over.set()
        self._over = await self._begun.get()


@contextlib.asynccontextmanager
async def beating(told: Told, body: Any, steps: Steps, thread_limit_s: float = 0.1) -> AsyncIterator[None]:
    task = asyncio.create_task(Pulse(told, body, thread_limit_s=thread_limit_s, sleep=steps.sleep).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_beats_while_all_goes_on() -> None:
    told, steps = Told(), Steps()
    async with beating(told, Body(), steps):
        for beats in range(1, 4):
            await steps.turn()
            assert told.beats == beats
    assert set(told.statuses) == {"collects"}


async def test_a_link_that_hangs_ends_it_and_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    told, steps, body = Told(), Steps(), Body()
    async with beating(told, body, steps):
        await steps.turn()
        body.hangs = "link plc1 doesn't do what is due"
        for _ in range(3):
            await steps.turn()
        assert told.beats == 1
        assert told.statuses[-1] == "hangs: link plc1 doesn't do what is due"
        assert caplog.text.count("something hangs: link plc1") == 1
        body.hangs = None
        await steps.turn()
        assert told.beats == 2


async def test_a_journal_thread_that_hangs_ends_it(tmp_path: Path) -> None:
    """A real journal, whose thread is held."""
    settings = JournalSettings(path=tmp_path / "journal.db")
    journal = Journal(settings, Clock(directory=tmp_path), [])
    await journal.start()
    held, released = threading.Event(), threading.Event()
    told, steps = Told(), Steps()
    living = Body()
    living.answered = journal.answered  # type: ignore[method-assign]
    try:
        async with beating(told, living, steps):
            await steps.turn()
            assert told.beats == 1

            def hold(_: object) -> None:
                held.set()
                released.wait(20)

            journal.submit(hold, lambda _: None)
            await asyncio.to_thread(held.wait)
            turn = asyncio.create_task(steps.turn())
            await told.hangs.wait()
            assert told.statuses[-1] == "hangs: the journal's thread hasn't answered for 0.1 s"
            beats = told.beats
            released.set()
            await turn
            assert told.beats == beats + 1
    finally:
        released.set()
        await journal.close()


async def test_a_disk_that_stands_still_for_a_moment_ends_nothing() -> None:
    told, steps, body = Told(), Steps(), Body()
    async with beating(told, body, steps, thread_limit_s=60):
        await steps.turn()
        body.answers.clear()
        turn = asyncio.create_task(steps.turn())
        await told.until(4)
        assert not told.hangs.is_set()
        body.answers.set()
        await turn


@pytest.mark.integration
async def test_the_gateway_says_when_it_collects_and_falls_silent_when_it_is_stopped(tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager:
        gateway = GatewayProcess(tmp_path, CONFIGURATION, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="400000")
        with gateway:
            ready = await asyncio.to_thread(manager.until, "READY")
            assert ready["STATUS"] == "runs; no device and no broker is configured"
            assert "EXTEND_TIMEOUT_USEC" in manager.heard[0]
            for _ in range(3):
                await asyncio.to_thread(manager.until, "WATCHDOG")
            os.kill(gateway.pid, signal.SIGSTOP)
            try:
                await asyncio.to_thread(_stopped, gateway.pid)
                manager.drain()
                assert manager.next(1.0) is None, "a process that hangs gave a sign of life"
            finally:
                os.kill(gateway.pid, signal.SIGCONT)
            await asyncio.to_thread(manager.until, "WATCHDOG")
        manager.until("STOPPING", 1.0)
        manager.drain()
        assert not any("WATCHDOG" in each for each in manager.heard[-1:])


@pytest.mark.integration
async def test_a_gateway_that_its_manager_aborts_says_where_it_hung(tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager:
        gateway = GatewayProcess(tmp_path, CONFIGURATION, NOTIFY_SOCKET=manager.address)
        gateway.start()
        await asyncio.to_thread(manager.until, "READY")
        await gateway.until(lambda _: True, "an answer")  # the interpreter looks at threads as they are: let them rest
        assert gateway._end(signal.SIGABRT) < 0
        assert "Current thread" in gateway.log


def _stopped(pid: int) -> None:
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        pass
