"""Two ways to a device: the backup is taken when the primary is gone, and left without a bad value when it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from drivers.modbus import KIND
from drivers.modbus.device import ModbusDevice
from drivers.modbus.transport.backup import BackedUpBus
from gateway.driver import DeviceSilent, LinkDown
from tests.drivers.modbus.lines import device_on
from tests.drivers.modbus.points import group, point
from tests.support import raw_modbus as raw
from tests.support.raw_modbus import RawSlave
from tests.support.site import SITE

POINTS = group(point("which", "hr:0"))
PRIMARY, BACKUP = (1,), (2,)


class Pair:
    """A bus with two ways, and what is at their ends."""

    def __init__(self) -> None:
        self.primary, self.backup = RawSlave(), RawSlave()
        self.primary.holding[0], self.backup.holding[0] = 1, 2
        self.bus: BackedUpBus[Any]
        self.device: ModbusDevice[Any]

    def open(self, **link: Any) -> None:
        options = {"host": "127.0.0.1", "port": self.primary.port, "backup_host": "127.0.0.1", "timeout_ms": 60}
        options |= {"backup_port": self.backup.port, "failback_s": 0.1, **link}
        bus = KIND.open_bus("link1", KIND.link_options(**options), SITE)
        assert isinstance(bus, BackedUpBus)
        self.bus, self.device = bus, device_on(bus)

    async def read(self) -> tuple[object, ...]:
        batch = await self.device.read(self.device.plan(POINTS))
        assert batch.qualities is None
        return tuple(batch.values)

    async def fall_back(self) -> None:
        """Have the bus on the backup, the primary being down."""
        await self.primary.stop()
        await self.bus.connect()
        assert await self.read() == BACKUP

    async def read_until(self, values: tuple[object, ...]) -> int:
        """Read all the time, without a bad value, until it comes from there. Returns how many reads the backup did."""
        reads = 0
        async with asyncio.timeout(10):
            while (got := await self.read()) != values:
                assert got == BACKUP
                reads += 1
                await asyncio.sleep(0.005)
        return reads

    @property
    def counters(self) -> dict[str, int]:
        return dict(KIND.counters(self.bus))


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    opened = Pair()
    await opened.primary.start()
    await opened.backup.start()
    opened.open()
    yield opened
    await opened.bus.close()
    await opened.primary.stop()
    await opened.backup.stop()


async def test_the_primary_is_used_while_it_can_be(pair: Pair) -> None:
    await pair.bus.connect()
    assert await pair.read() == PRIMARY
    assert pair.bus.peer == f"127.0.0.1:{pair.primary.port}"
    assert pair.counters.get("backup_connects", 0) == 0
    assert not pair.backup.connections
    assert KIND.describe_link(pair.bus.options) == (
        f"127.0.0.1:{pair.primary.port}, backup 127.0.0.1:{pair.backup.port}"
    )


async def test_the_backup_is_taken_and_left_again_without_a_bad_value(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await pair.bus.connect()
    assert await pair.read() == PRIMARY
    await pair.primary.stop()
    with pytest.raises(LinkDown):
        await pair.read()
    await pair.bus.connect()
    assert await pair.read() == BACKUP
    assert pair.bus.peer == f"127.0.0.1:{pair.backup.port}"
    assert pair.counters["on_backup"] == 1
    await pair.primary.start()
    assert await pair.read_until(PRIMARY) > 0
    assert pair.bus.peer == f"127.0.0.1:{pair.primary.port}"
    assert (pair.counters["on_backup"], pair.counters["backup_connects"], pair.counters["failbacks"]) == (0, 1, 1)
    assert await pair.read() == PRIMARY
    messages = [record.message for record in caplog.records]
    assert f"link link1: the backup 127.0.0.1:{pair.backup.port} is in use" in messages
    assert any("answers again and is used instead of the backup" in message for message in messages)
    # The backup's connection is closed.
    assert not pair.backup._writers


async def test_both_gone_is_one_sentence(pair: Pair) -> None:
    await pair.primary.stop()
    await pair.backup.stop()
    with pytest.raises(LinkDown) as caught:
        await pair.bus.connect()
    assert f"127.0.0.1:{pair.primary.port} refused" in str(caught.value)
    assert f"127.0.0.1:{pair.backup.port} refused" in str(caught.value)


async def test_a_primary_that_accepts_and_says_nothing_is_not_moved_to(pair: Pair) -> None:
    await pair.fall_back()
    pair.primary.always(raw.mute)
    await pair.primary.start()
    connections = pair.primary.connections
    async with asyncio.timeout(10):
        while not pair.primary.requests:
            assert await pair.read() == BACKUP
            await asyncio.sleep(0.005)
    assert await pair.read() == BACKUP
    assert pair.primary.connections == connections + 1
    assert pair.counters.get("failbacks", 0) == 0
    pair.primary.always(raw.answer)
    await pair.read_until(PRIMARY)


async def test_a_gateway_that_has_lost_its_device_is_not_moved_to(pair: Pair) -> None:
    await pair.fall_back()
    pair.primary.always(raw.exception(11))
    await pair.primary.start()
    async with asyncio.timeout(10):
        while not pair.primary.requests:
            assert await pair.read() == BACKUP
            await asyncio.sleep(0.005)
    pair.primary.always(raw.answer)
    await pair.read_until(PRIMARY)


async def test_a_primary_that_falls_silent_is_the_second_choice(pair: Pair) -> None:
    """It accepts connections for ever: without this the link would go on trying it, with the backup at hand."""
    pair.primary.always(raw.mute)
    await pair.bus.connect()
    for _ in range(2):
        with pytest.raises(DeviceSilent):
            await pair.read()
    with pytest.raises(LinkDown):
        await pair.read()
    await pair.bus.connect()
    assert await pair.read() == BACKUP


async def test_a_write_never_goes_to_an_unproved_primary(pair: Pair) -> None:
    await pair.fall_back()
    await pair.primary.start()
    async with asyncio.timeout(10):
        while pair.bus._candidate is None:  # noqa: ASYNC110 - what is waited for is in the code under test
            await asyncio.sleep(0.005)
    asked = len(pair.primary.requests)
    pair.backup.then(raw.mute)
    with pytest.raises(DeviceSilent, match="unknown"):
        await pair.device.write(point("x", "hr:5"), 7)
    assert [request.function for request in pair.backup.requests if request.function != 3] == [6]
    assert len(pair.primary.requests) == asked
    await pair.read_until(PRIMARY)


async def test_a_device_with_one_connection_is_never_given_two(pair: Pair) -> None:
    """Both ways lead to one device: the backup's connection is closed before the primary is tried."""
    pair.open(single_connection=True)
    most = 0

    async def watch(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        nonlocal most
        most = max(most, len(pair.primary._writers) + len(pair.backup._writers))
        await raw.answer(slave, request, send)

    pair.primary.always(watch)
    pair.backup.always(watch)
    await pair.fall_back()
    # Tried in vain, which costs nothing but a moment.
    asked, connects = len(pair.backup.requests), pair.counters["connects"]
    async with asyncio.timeout(10):
        while pair.counters["connects"] == connects:
            assert await pair.read() == BACKUP
            await asyncio.sleep(0.005)
    assert len(pair.backup.requests) > asked
    await pair.primary.start()
    await pair.read_until(PRIMARY)
    assert most == 1


async def test_single_connection_and_silence(pair: Pair) -> None:
    pair.open(single_connection=True)
    await pair.fall_back()
    pair.primary.always(raw.mute)
    await pair.primary.start()
    async with asyncio.timeout(10):
        while not pair.primary.requests:
            assert await pair.read() == BACKUP
            await asyncio.sleep(0.005)
    assert await pair.read() == BACKUP


async def test_closing_ends_the_search_for_the_primary(pair: Pair) -> None:
    tasks = asyncio.all_tasks()
    await pair.fall_back()
    await pair.bus.close()
    await pair.backup.stop()
    assert asyncio.all_tasks() == tasks
