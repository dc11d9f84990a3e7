"""The test ladder: each way to fail has its own rung, its own sentence and its own mend."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.candidate import Flawed, candidate_link
from gateway.diagnostics.ladder import climb_device
from gateway.diagnostics.rungs import State
from gateway.driver import Driver
from tests.diagnostics.climbing import climbed, gateway, modbus, states
from tests.support import raw_modbus
from tests.support.mosquitto import free_port
from tests.support.raw_modbus import RawSlave

SPEED = {"name": "speed", "address": "hr:10", "type": "uint16", "scale": 0.1}
ABSENT = {"name": "absent", "address": "hr:12", "type": "uint16"}


@pytest.fixture
async def slave() -> AsyncIterator[RawSlave]:
    running = RawSlave()
    running.holes = {12}
    running.holding[10] = 1450
    await running.start()
    yield running
    await running.stop()


async def test_a_device_that_is_well_passes_every_rung_on_one_connection(tmp_path: Path, slave: RawSlave) -> None:
    ends = await climbed(climb_device(modbus(tmp_path, slave.port, SPEED), "device"))
    assert states(ends) == ["name skipped", "link passed", "session skipped", "identity passed", "read passed"]
    (row,) = ends["read"].details["tags"]
    assert (row["wire"], row["value"], row["quality_name"]) == (1450, 145.0, "Good")
    assert ends["identity"].sentence == "it answers, but doesn't say who it is"
    assert ends["link"].duration_s > 0


async def test_some_tags_that_cannot_be_read_are_named(tmp_path: Path, slave: RawSlave) -> None:
    ends = await climbed(climb_device(modbus(tmp_path, slave.port, SPEED, ABSENT), "device"))
    assert ends["read"].state is State.PASSED
    assert ends["read"].sentence == "1 of 2 tags were read; absent: BadNodeIdInvalid"
    ends = await climbed(climb_device(modbus(tmp_path, slave.port, ABSENT), "device"))
    assert ends["read"].state is State.FAILED
    assert "no tag can be read; absent: BadNodeIdInvalid" in ends["read"].sentence


async def test_without_tags_nothing_is_read(tmp_path: Path, slave: RawSlave) -> None:
    ends = await climbed(climb_device(modbus(tmp_path, slave.port), "device"))
    assert states(ends)[-2:] == ["identity passed", "read skipped"]


async def test_a_name_that_nobody_knows_is_the_first_rung(tmp_path: Path) -> None:
    ends = await climbed(climb_device(modbus(tmp_path, 502, SPEED, host="no-such-plc.invalid"), "device"))
    assert states(ends) == ["name failed", "link skipped", "session skipped", "identity skipped", "read skipped"]
    assert "no-such-plc.invalid" in ends["name"].sentence
    assert "address instead of the name" in (ends["name"].mend or "")
    assert "this failed: name" in ends["read"].sentence


async def test_a_closed_port_is_told_from_a_dead_address(tmp_path: Path) -> None:
    port = free_port()
    ends = await climbed(climb_device(modbus(tmp_path, port, SPEED), "device"))
    assert ends["link"].state is State.FAILED
    assert ends["link"].sentence == f"127.0.0.1 is there, but nothing listens at its port {port}"
    assert "(502 is usual)" in (ends["link"].mend or "")


async def test_an_address_that_swallows_connections_says_so(tmp_path: Path) -> None:
    """A full backlog is the nearest to a firewall that drops: the kernel leaves the connection unanswered."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", port))
        link = modbus(tmp_path, port, SPEED, connect_timeout_ms=100)
        ends = await climbed(climb_device(link, "device"))
    assert ends["link"].state is State.FAILED
    assert "not even a refusal" in ends["link"].sentence


async def test_a_silent_unit_fails_at_its_identity(tmp_path: Path, slave: RawSlave) -> None:
    slave.always(raw_modbus.mute)
    ends = await climbed(climb_device(modbus(tmp_path, slave.port, SPEED), "device"))
    assert states(ends)[1:] == ["link passed", "session skipped", "identity failed", "read skipped"]
    assert "unanswered" in ends["identity"].sentence or "no answer" in ends["identity"].sentence


async def test_one_that_hangs_up_on_the_question_is_read_all_the_same(tmp_path: Path) -> None:
    """Some devices close the connection on a function they don't know."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(8)
                await reader.readexactly(int.from_bytes(head[4:6], "big") - 2)
                if head[7] != 3:
                    return
                writer.write(head[:4] + b"\x00\x05" + head[6:8] + b"\x02\x05\xaa")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        ends = await climbed(climb_device(modbus(tmp_path, port, SPEED), "device"))
    assert states(ends)[-2:] == ["identity passed", "read passed"]
    assert ends["identity"].sentence == "it answers reads, but not the question who it is"
    assert ends["read"].details["tags"][0]["wire"] == 1450


async def test_a_port_that_is_missing_or_taken_is_the_link(tmp_path: Path) -> None:
    def serial(device: str) -> dict[str, object]:
        return {"driver": "modbus", "transport": "rtu", "device": device}

    link = candidate_link(serial("/dev/ttyNONE7"), {}, [], gateway(tmp_path), tmp_path)
    ends = await climbed(climb_device(link, "device"))
    assert states(ends)[:2] == ["name skipped", "link failed"]
    assert ends["link"].sentence == "there is no port /dev/ttyNONE7"

    master, other = os.openpty()
    path = os.ttyname(other)
    # TIOCEXCL doesn't bind root: the advisory lock that any serial program takes is what counts.
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    holder = await asyncio.create_subprocess_exec("sleep", "60", pass_fds=(other,))
    try:
        os.close(other)
        link = candidate_link(serial(path), {}, [], gateway(tmp_path), tmp_path)
        ends = await climbed(climb_device(link, "device"))
    finally:
        holder.kill()
        await holder.wait()
        os.close(master)
    assert ends["link"].state is State.FAILED
    assert f"{path} is in use by sleep ({holder.pid})" in ends["link"].sentence


async def test_a_ladder_that_is_left_lets_the_device_go(tmp_path: Path, slave: RawSlave) -> None:
    slave.always(raw_modbus.mute)
    ladder = climb_device(modbus(tmp_path, slave.port, SPEED), "device")
    async for rung in ladder:
        if rung.id == "identity":
            break
    assert slave.open == 1
    await ladder.aclose()
    async with asyncio.timeout(5):
        while slave.open:  # noqa: ASYNC110 - the far end tells nobody
            await asyncio.sleep(0.001)


class _Running:
    """A link that runs, as far as the ladder knows it."""

    def __init__(self, state: str, why: str = "", driver: Driver | None = None) -> None:
        self._state = state, why
        self._driver = driver
        self.asked = 0

    def link_state(self) -> tuple[str, str]:
        return self._state

    async def ask(self, call):  # type: ignore[no-untyped-def]
        self.asked += 1
        return await call(self._driver)


async def test_a_running_device_is_asked_through_its_link_and_nowhere_else(tmp_path: Path, slave: RawSlave) -> None:
    link = modbus(tmp_path, slave.port, SPEED)
    bus = link.kind.open_bus("link", link.options, link.site)
    await bus.connect()
    running = _Running("up", driver=link.kind.open_device(bus, "device", link.devices[0].options))
    connections = slave.connections
    ends = await climbed(climb_device(link, "device", running))
    await bus.close()
    assert states(ends) == ["name skipped", "link passed", "session skipped", "identity passed", "read passed"]
    assert running.asked == 2
    assert slave.connections == connections


async def test_a_running_link_that_is_down_says_why_itself(tmp_path: Path, slave: RawSlave) -> None:
    link = modbus(tmp_path, slave.port, SPEED)
    running = _Running("down", "the meter left 3 requests in a row unanswered: check its address")
    ends = await climbed(climb_device(link, "device", running))
    assert ends["link"].sentence == "the meter left 3 requests in a row unanswered"
    assert ends["link"].mend == "check its address"


def test_everything_wrong_with_the_tables_is_said_at_once(tmp_path: Path) -> None:
    link = {"driver": "modbus", "hots": "127.0.0.1", "port": "502"}
    tags = [
        {"name": "speed", "address": "hr:99999999", "type": "uint16"},
        {"name": "x", "address": "hr:1", "typ": "int8"},
    ]
    with pytest.raises(Flawed) as caught:
        candidate_link(link, {"unit": 999}, tags, gateway(tmp_path), tmp_path)
    fields = {flaw.field for flaw in caught.value.flaws}
    assert {"link.hots", "link.port", "device.unit", "tag.1.typ"} <= fields
    assert all(flaw.message for flaw in caught.value.flaws)
