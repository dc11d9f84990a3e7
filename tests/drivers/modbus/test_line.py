"""RTU and ASCII: a reply without an id is taken only if it can be nothing else than the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from drivers.modbus.device import ModbusDevice
from drivers.modbus.scan import search
from drivers.modbus.scan_options import ScanOptions
from drivers.modbus.transport.wire import WireBus
from gateway.driver import DeviceSilent, Finding, LinkDown, WriteFailed
from gateway.model import DataType, Quality
from tests.drivers.modbus.lines import device_on, null_modem
from tests.drivers.modbus.points import group, point
from tests.support import raw_line as raw
from tests.support.raw_line import LineSlave
from tests.support.raw_modbus import Behaviour, RawSlave, Request, Send
from tests.support.stopwatch import loop_clock

TIMEOUT_S = 0.05
POINTS = group(point("a", "hr:100"), point("b", "hr:101"))
GOOD = (1100, 1101)


@dataclass
class Line:
    slave: LineSlave
    bus: WireBus[Any]
    device: ModbusDevice[Any]

    async def read(self, device: ModbusDevice[Any] | None = None) -> tuple[object, ...]:
        device = device or self.device
        batch = await device.read(device.plan(POINTS))
        assert batch.qualities is None
        return tuple(batch.values)


@pytest.fixture(params=["rtu", "ascii"])
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    async for each in lines(request.param):
        yield each


async def lines(framing: str, **link: Any) -> AsyncIterator[Line]:
    slave = LineSlave(framing)
    slave.holding[:200] = range(1000, 1200)
    bus = null_modem(slave, **link)
    line = Line(slave, bus, device_on(bus))
    slave.echo = bool(link.get("local_echo"))
    await bus.connect()
    await line.read()  # hears the line out for the first time
    bus.counters.clear()
    slave.requests.clear()
    yield line
    await bus.close()
    await slave.stop()


@pytest.mark.parametrize("behaviour", [raw.answer, raw.garbage_before, raw.dribble(0), raw.noise_after])
async def test_the_right_reply_is_found(line: Line, behaviour: Behaviour) -> None:
    for value in range(5):
        line.slave.holding[100] = value
        line.slave.then(behaviour)
        assert await line.read() == (value, 1101)
    assert line.bus.counters["drains"] == 0


@pytest.mark.parametrize(
    "behaviour",
    [
        raw.mute,
        raw.wrong_unit,
        raw.wrong_function,
        raw.wrong_byte_count,
        raw.lying_byte_count,
        raw.garbage,
        raw.short,
        raw.bad_checksum,
        raw.dribble(0.007),
    ],
)
async def test_a_wrong_reply_is_no_answer_and_the_line_is_drained(line: Line, behaviour: Behaviour) -> None:
    assert await line.read() == GOOD
    line.slave.then(behaviour)
    with pytest.raises(DeviceSilent):
        await line.read()
    line.slave.holding[100] = 7
    before = time.monotonic()
    assert await line.read() == (7, 1101)
    assert time.monotonic() - before >= TIMEOUT_S * 0.9
    assert line.bus.counters["drains"] == 1


@pytest.mark.parametrize("delay_s", [0.055, 0.07, 0.095])
async def test_a_late_reply_is_never_the_next_ones(line: Line, delay_s: float) -> None:
    for value in range(3):
        line.slave.holding[100] = value
        line.slave.then(raw.late(delay_s))
        with pytest.raises(DeviceSilent):
            await line.read()
        line.slave.holding[100] = 500 + value
        assert await line.read() == (500 + value, 1101)
    assert line.bus.counters["late_replies"] == 3


@pytest.mark.parametrize("framing", ["rtu", "ascii"])
async def test_a_reply_to_whoever_had_the_line_before_is_no_answer(framing: str) -> None:
    """A configuration is applied while a request is under way: another bus opens the port at once."""
    async for line in lines(framing):
        line.slave.then(raw.late(0.03))
        reading = asyncio.create_task(line.read())
        await line.slave.asked(1)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        modem = line.bus._dial
        await line.bus.close()
        line.slave.holding[100] = 7
        successor = null_modem(line.slave)
        successor._dial = modem
        await successor.connect()
        assert await line.read(device_on(successor)) == (7, 1101)
        assert successor.counters["stray_bytes"] > 0 or successor.counters["late_replies"] > 0
        await successor.close()


async def test_what_came_while_the_process_was_held_up_is_no_answer(line: Line) -> None:
    """The time of a drain has passed on the clock, but what came meanwhile hasn't been read yet."""
    for value in range(3):
        line.slave.holding[100] = value
        line.slave.then(raw.late(1.3 * TIMEOUT_S))
        with pytest.raises(DeviceSilent):
            await line.read()
        time.sleep(1.2 * TIMEOUT_S)  # noqa: ASYNC251 - this is the point
        line.slave.holding[100] = 500 + value
        assert await line.read() == (500 + value, 1101)
    assert line.bus.counters["late_replies"] == 3


async def test_a_cancelled_read_leaves_nothing_behind(line: Line) -> None:
    for value in range(3):
        line.slave.holding[100] = value
        line.slave.then(raw.late(0.03))
        asked = len(line.slave.requests)
        reading = asyncio.create_task(line.read())
        await line.slave.asked(asked + 1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        line.slave.holding[100] = 500 + value
        assert await line.read() == (500 + value, 1101)
    assert line.bus.counters["late_replies"] == 3


async def test_a_drain_may_be_cancelled(line: Line) -> None:
    line.slave.then(raw.late(0.08))
    with pytest.raises(DeviceSilent):
        await line.read()
    asked = len(line.slave.requests)
    reading = asyncio.create_task(line.read())
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert len(line.slave.requests) == asked
    line.slave.holding[100] = 9
    assert await line.read() == (9, 1101)


async def test_a_repeated_reply_is_drained(line: Line) -> None:
    line.slave.always(raw.twice)
    for value in range(3):
        line.slave.holding[100] = value
        assert await line.read() == (value, 1101)
    assert line.bus.counters["late_replies"] >= 2
    assert line.bus.counters["drains"] >= 2


async def test_a_line_that_is_never_silent_is_given_up(line: Line) -> None:
    async def babble(slave: RawSlave, request: Request, send: Send) -> None:
        while True:
            send(b"\x55" * 5)
            await asyncio.sleep(0.01)

    line.slave.then(babble)
    with pytest.raises(DeviceSilent):
        await line.read()
    async with loop_clock() as passed_s:
        with pytest.raises(LinkDown, match="is there another master on the line"):
            await line.read()
        assert passed_s() < 8 * TIMEOUT_S


async def test_a_flood_is_cut_off(line: Line) -> None:
    async def flood(slave: RawSlave, request: Request, send: Send) -> None:
        for _ in range(20):
            send(bytes(65536))

    line.slave.then(flood)
    with pytest.raises(LinkDown, match="bytes that answer nothing"):
        await line.read()


async def test_a_dead_unit_holds_up_the_others_once_not_ever(line: Line) -> None:
    """The line must be heard out after a timeout; but nothing is gained by that for a unit that never says anything."""
    dead = device_on(line.bus, unit=9)
    line.slave.units = {1}
    for _ in range(4):
        with pytest.raises(DeviceSilent):
            await line.read(dead)
        assert await line.read() == GOOD
        assert line.bus.counters["drains"] == 1
    # Its own next request waits, all the same.
    with pytest.raises(DeviceSilent):
        await line.read(dead)
    before = time.monotonic()
    line.slave.units = range(256)
    assert await line.read(dead) == GOOD
    assert time.monotonic() - before >= TIMEOUT_S * 0.9


async def test_a_dead_unit_that_comes_back_slow_is_listened_for_again(line: Line) -> None:
    dead = device_on(line.bus, unit=9)
    line.slave.units = {1}
    for _ in range(2):
        with pytest.raises(DeviceSilent):
            await line.read(dead)
        assert await line.read() == GOOD
    line.slave.units = range(256)
    line.slave.then(raw.late(0.055))
    with pytest.raises(DeviceSilent):
        await line.read(dead)
    await asyncio.sleep(0.01)
    drains = line.bus.counters["drains"]
    assert await line.read() == GOOD
    assert line.bus.counters["drains"] == drains + 1


async def test_lasting_silence_is_the_link(line: Line) -> None:
    line.slave.always(raw.mute)
    for _ in range(2):
        with pytest.raises(DeviceSilent):
            await line.read()
    with pytest.raises(LinkDown, match="left 3 requests in a row unanswered"):
        await line.read()


async def test_an_exception_is_a_quality(line: Line) -> None:
    line.slave.holes = {101}
    batch = await line.device.read(line.device.plan(POINTS))
    assert (batch.values, batch.qualities) == ((1100, None), (0, Quality.BAD_NODE_ID_INVALID))


async def test_writes_are_echoed_and_read_back(line: Line) -> None:
    assert await line.device.write(point("a", "hr:100"), 5) == 5
    assert await line.device.write(point("c", "co:3", DataType.BOOL), True) is True
    line.slave.then(raw.wrong_echo)
    with pytest.raises(WriteFailed, match="confirmed another write"):
        await line.device.write(point("a", "hr:100"), 6)


async def test_a_lost_write_reply_is_not_asked_for_again(line: Line) -> None:
    line.slave.then(raw.mute)
    with pytest.raises(DeviceSilent, match="unknown"):
        await line.device.write(point("a", "hr:100"), 5)
    assert [request.function for request in line.slave.requests] == [6]


# -- echo


@pytest.fixture(params=["rtu", "ascii"])
async def echoing(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    async for each in lines(request.param, local_echo=True):
        yield each


async def test_the_own_echo_is_taken_off(echoing: Line) -> None:
    assert await echoing.read() == GOOD
    assert await echoing.device.write(point("a", "hr:100"), 5) == 5
    echoing.slave.then(raw.dribble(0))
    assert await echoing.read() == (5, 1101)


async def test_a_write_to_a_dead_device_is_not_confirmed_by_its_echo(echoing: Line) -> None:
    echoing.slave.then(raw.mute)
    with pytest.raises(DeviceSilent):
        await echoing.device.write(point("a", "hr:100"), 5)


async def test_an_echo_that_differs_is_the_lines_fault(echoing: Line) -> None:
    echoing.slave.echo = False
    with pytest.raises(LinkDown, match="another echo"):
        await echoing.read()


async def test_an_echo_that_does_not_come_is_the_lines_fault(echoing: Line) -> None:
    echoing.slave.echo = False
    echoing.slave.then(raw.mute)
    with pytest.raises(LinkDown, match="not all of the echo"):
        await echoing.read()


async def test_an_echo_nobody_told_of_is_noticed_before_it_can_confirm_a_write(line: Line) -> None:
    line.slave.echo = True
    with pytest.raises(LinkDown, match="set local_echo = true"):
        await line.read()


@pytest.mark.parametrize("behaviour", [raw.answer, raw.garbage_before, raw.dribble(0), raw.noise_after])
async def test_a_reply_that_tells_its_size_itself_is_found(line: Line, behaviour: Behaviour) -> None:
    """Identification: in pages of any length, between everyday reads, whatever else is on the line."""
    line.slave.unsupported = set()
    line.slave.objects = {0: b"ACME", 1: b"M1", 2: b"V2.11", 3: b"u" * 200, 4: b"n"}
    plan = line.device.plan(
        group(
            point("id/vendor", "id:vendor", DataType.STRING),
            point("a", "hr:100"),
            point("id/url", "id:url", DataType.STRING),
        )
    )
    line.slave.always(behaviour)
    batch = await line.device.read(plan)
    assert (batch.values, batch.qualities) == (("ACME", 1100, "u" * 200), None)
    assert await line.read() == GOOD
    assert line.bus.counters["drains"] == 0


async def test_one_that_is_cut_short_or_garbled_is_no_answer(line: Line) -> None:
    line.slave.unsupported = set()
    line.slave.objects = {0: b"ACME"}
    plan = line.device.plan(group(point("a", "hr:100"), point("id/vendor", "id:vendor", DataType.STRING)))
    for behaviour in (raw.short, raw.bad_checksum):
        device = device_on(line.bus)
        plan = device.plan(plan.group)
        line.slave.then(raw.answer, behaviour)
        batch = await device.read(plan)
        assert (batch.values, batch.qualities) == ((1100, None), (0, Quality.BAD_TIMEOUT))
        assert await line.read() == GOOD


@pytest.mark.parametrize("framing", ["rtu", "ascii"])
async def test_units_of_a_line_are_searched_for(framing: str) -> None:
    async for line in lines(framing, timeout_ms=150):
        line.slave.unsupported = {1, 2, 4, 43}
        line.slave.server_id = b"pump"
        line.slave.holes = set(range(200, 65536))

        async def unit_2(slave: RawSlave, request: Request, send: Send) -> None:
            if request.unit == 2:
                await raw.answer(slave, request, send)

        line.slave.always(unit_2)
        options = ScanOptions(host="127.0.0.1", units="1-3")
        found = [each async for each in search(line.bus, options) if isinstance(each, Finding)]
        assert [(each.row["unit"], each.row["server id"], each.row["holding registers"]) for each in found] == [
            (2, "pump", "0-199")
        ]


async def test_unit_0_of_a_line_is_nobody(line: Line) -> None:
    device = device_on(line.bus, unit=0)
    (error, _) = device.plan(POINTS).errors
    assert error.message.endswith("give the device's own unit, 1 to 247")
    with pytest.raises(WriteFailed, match="unit 0 is every device on a serial line"):
        await device.write(POINTS.points[0], 7)
