"""A reply is taken only if it answers the request: against a slave that misbehaves on order."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import psutil
import pytest

from drivers.modbus import pdu
from drivers.modbus.address import Table
from drivers.modbus.device import ModbusDevice
from gateway.driver import DeviceSilent, LinkDown
from gateway.model import Quality
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.points import group, point
from tests.support import raw_modbus as raw
from tests.support.raw_modbus import RawSlave
from tests.support.stopwatch import loop_clock

POINTS = group(point("a", "hr:100"), point("b", "hr:101"))
GOOD = (1100, 1101)


async def read(device: ModbusDevice[Any]) -> tuple[object, ...]:
    batch = await device.read(device.plan(POINTS))
    assert batch.qualities is None
    return tuple(batch.values)


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        (raw.garbage, "sent something that isn't Modbus TCP (de ad be ef"),
        (raw.wrong_protocol, "sent something that isn't Modbus TCP"),
        (raw.wrong_unit, "sent a reply of unit 0 to a request to unit 1"),
        (raw.wrong_function, "sent a reply of function 4 to a request of function 3"),
        (raw.wrong_byte_count, "sent a reply of 11 bytes where 13 were due"),
        (raw.lying_byte_count, "sent a reply of 13 bytes where 13 were due"),
        (raw.future_transaction, "sent a reply to a request that was never made"),
        (raw.hang_up, "closed the connection"),
    ],
)
async def test_a_wrong_reply_ends_the_connection(
    plant: Plant, slave: RawSlave, behaviour: raw.Behaviour, sentence: str
) -> None:
    device = await plant.device(slave.port)
    assert await read(device) == GOOD
    slave.then(behaviour)
    with pytest.raises(LinkDown) as caught:
        await read(device)
    assert sentence in str(caught.value)
    assert str(slave.port) in str(caught.value)
    # The reason stands until the runtime reconnects; then all is well.
    with pytest.raises(LinkDown):
        await read(device)
    await plant.buses[-1].connect()
    assert await read(device) == GOOD


@pytest.mark.parametrize(
    "behaviour",
    [
        raw.dribble,
        raw.stale_first(),
        raw.stale_first(pdu=lambda pdu: pdu[:2] + bytes(len(pdu) - 2)),
        raw.stale_first(pdu=lambda pdu: bytes((4, 8)) + bytes(8)),
        raw.stale_first(pdu=lambda pdu: bytes((0x83, 2))),
    ],
    ids=["byte by byte", "stale, same data", "stale, other data", "stale, other function", "stale exception"],
)
async def test_the_right_reply_is_found(plant: Plant, slave: RawSlave, behaviour: raw.Behaviour) -> None:
    device = await plant.device(slave.port)
    assert await read(device) == GOOD
    for _ in range(5):
        slave.then(behaviour)
        assert await read(device) == GOOD


async def test_a_repeated_reply_is_thrown_away(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port)
    slave.then(raw.twice, raw.twice, raw.twice)
    for value in range(3):
        slave.holding[100] = value
        assert (await read(device))[0] == value
    assert plant.counters["late_replies"] >= 2


async def test_silence_is_the_device_first_and_the_link_when_it_lasts(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port, link={"timeouts_before_reconnect": 3})
    slave.always(raw.mute)
    for _ in range(2):
        with pytest.raises(DeviceSilent, match=f"unit 1 at 127.0.0.1:{slave.port}: no answer within 100 ms"):
            await read(device)
    with pytest.raises(LinkDown, match="left 3 requests in a row unanswered"):
        await read(device)
    assert plant.counters["timeouts"] == 3
    slave.always(raw.answer)
    await plant.buses[-1].connect()
    assert await read(device) == GOOD


async def test_silent_units_behind_a_gateway_do_not_cost_the_others_their_connection(
    plant: Plant, slave: RawSlave
) -> None:
    device = await plant.device(slave.port, link={"timeout_ms": 60})

    async def only_unit_1(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        if request.unit == 1:
            await raw.answer(slave, request, send)

    slave.always(only_unit_1)
    dead = [ModbusDevice(plant.buses[0], f"dead{unit}", type(device._options)(unit=unit)) for unit in range(2, 7)]
    for _ in range(2):
        assert await read(device) == GOOD
        for other in dead:
            with pytest.raises(DeviceSilent):
                await read(other)
    assert await read(device) == GOOD
    assert slave.connections == 1


async def test_a_frame_cut_short_never_becomes_a_value(plant: Plant, slave: RawSlave) -> None:
    """Its missing half is filled from the next reply: that is noticed, whatever it looks like."""
    device = await plant.device(slave.port, link={"timeout_ms": 60})
    for _ in range(8):
        slave.then(raw.cut_short)
        with pytest.raises(DeviceSilent):
            await read(device)
        try:
            assert await read(device) == GOOD
        except (LinkDown, DeviceSilent):
            await plant.buses[-1].connect()
        assert await read(device) == GOOD


async def test_a_cancelled_read_leaves_nothing_behind(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port, link={"timeout_ms": 1000})
    assert await read(device) == GOOD
    for value in range(20):
        slave.holding[100] = 5000 + value
        slave.then(raw.late(0.002))
        asked = len(slave.requests)
        task = asyncio.create_task(read(device))
        await slave.asked(asked + 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        slave.holding[100] = 6000 + value
        slave.then(raw.late(0.004))
        assert (await read(device))[0] == 6000 + value
    assert plant.counters["late_replies"] == 20
    assert slave.connections == 1


async def test_a_slow_device_is_not_reconnected(plant: Plant, slave: RawSlave) -> None:
    """Late replies show that the far end lives."""
    device = await plant.device(slave.port, link={"timeout_ms": 20, "timeouts_before_reconnect": 2})
    held: list[tuple[raw.Request, raw.Send]] = []

    async def hold(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        held.append((request, send))

    slave.always(hold)
    for late in range(1, 7):
        with pytest.raises(DeviceSilent):
            await read(device)
        await slave.asked(late)
        await raw.answer(slave, *held.pop())
        async with asyncio.timeout(5):
            while plant.counters.get("late_replies", 0) < late:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.001)
    assert slave.connections == 1


async def test_two_requests_at_once_are_a_bug_and_said_to_be(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port)
    slave.then(raw.late(0.01))
    first = asyncio.create_task(read(device))
    await slave.asked(1)
    with pytest.raises(RuntimeError, match="two requests at once"):
        await read(device)
    assert await first == GOOD


async def test_pauses_are_kept(plant: Plant, slave: RawSlave) -> None:
    before = time.monotonic()
    device = await plant.device(slave.port, link={"pause_after_connect_ms": 20, "pause_between_requests_ms": 10})
    for _ in range(3):
        assert await read(device) == GOOD
    assert time.monotonic() - before >= 0.02 + 2 * 0.01


async def test_a_batch_is_stamped_when_its_last_reply_came(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port, max_registers=1)
    slave.then(raw.answer, raw.late(0.02))
    before_ns, before_mono_ns = time.time_ns(), time.monotonic_ns()
    batch = await device.read(device.plan(POINTS))
    assert before_ns + 20_000_000 <= batch.read_ns <= time.time_ns()
    assert before_mono_ns + 20_000_000 <= batch.mono_ns <= time.monotonic_ns()


async def test_refused_and_unresolvable_hosts_are_one_sentence(plant: Plant, slave: RawSlave) -> None:
    await slave.stop()
    with pytest.raises(LinkDown, match=f"127.0.0.1:{slave.port} refused the connection: check the port"):
        await plant.device(slave.port)
    with pytest.raises(LinkDown, match=r"the host name 'two\.\.dots' can't be resolved"):
        await plant.device(502, link={"host": "two..dots"})
    with pytest.raises(LinkDown, match="there is no connection to"):
        await plant.buses[0].transact(plant.buses[0].prepare(1, pdu.read(Table.HOLDING_REGISTERS, 0, 1)))


async def test_exceptions_become_qualities_of_their_block_only(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port, max_registers=1)
    plan = device.plan(group(point("a", "hr:100"), point("b", "hr:101"), point("c", "hr:102")))
    for code, quality in (
        (1, Quality.BAD_NOT_SUPPORTED),
        (4, Quality.BAD_DEVICE_FAILURE),
        (8, Quality.BAD_DEVICE_FAILURE),
        (10, Quality.BAD_NO_COMMUNICATION),
        (11, Quality.BAD_NO_COMMUNICATION),
        (99, Quality.BAD),
    ):
        slave.then(raw.answer, raw.exception(code), raw.answer)
        batch = await device.read(plan)
        assert (batch.values, batch.qualities) == ((1100, None, 1102), (0, quality, 0))


async def test_a_busy_device_keeps_its_last_values(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port)
    plan = device.plan(POINTS)
    slave.then(raw.exception(6))
    batch = await device.read(plan)
    assert (batch.values, batch.qualities) == ((None, None), (Quality.BAD_WAITING_FOR_INITIAL_DATA,) * 2)
    assert (await device.read(plan)).values == GOOD
    slave.then(raw.exception(6), raw.exception(5))
    for _ in range(2):
        batch = await device.read(plan)
        assert (batch.values, batch.qualities) == (GOOD, (Quality.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE,) * 2)


@pytest.mark.parametrize("code", [10, 11])
async def test_a_gateway_without_an_answer_is_a_silent_device(plant: Plant, slave: RawSlave, code: int) -> None:
    device = await plant.device(slave.port)
    slave.then(raw.exception(code))
    with pytest.raises(DeviceSilent, match=f"unit 1 behind .*: exception {code} \\(gateway"):
        await read(device)


async def test_some_answers_are_better_than_none(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port, max_registers=1, link={"timeout_ms": 60})
    plan = device.plan(group(*(point(f"t{index}", f"hr:{index}") for index in range(4))))
    slave.then(raw.answer, raw.mute, raw.answer)
    batch = await device.read(plan)
    assert batch.values == (1000, None, 1002, 1003)
    assert batch.qualities == (0, Quality.BAD_TIMEOUT, 0, 0)
    assert (await device.read(plan)).values == (1000, 1001, 1002, 1003)


async def test_a_block_that_is_never_answered_does_not_make_the_device_silent(plant: Plant, slave: RawSlave) -> None:
    """Some devices just ignore a request for what they don't have. It is asked last from then on."""
    device = await plant.device(slave.port, max_registers=1, link={"timeout_ms": 60})
    plan = device.plan(group(*(point(f"t{index}", f"hr:{index}") for index in range(3))))

    async def ignore_0(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        if request.address != 0:
            await raw.answer(slave, request, send)

    slave.always(ignore_0)
    with pytest.raises(DeviceSilent):
        await device.read(plan)
    for _ in range(3):
        batch = await device.read(plan)
        assert (batch.values, batch.qualities) == ((None, 1001, 1002), (Quality.BAD_TIMEOUT, 0, 0))
    slave.always(raw.answer)
    assert (await device.read(plan)).values == (1000, 1001, 1002)
    assert (await device.read(plan)).qualities is None


async def test_a_half_dead_device_delays_others_by_a_bounded_time(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port, max_registers=1, link={"timeout_ms": 60, "timeouts_before_reconnect": 0})
    plan = device.plan(group(*(point(f"t{index}", f"hr:{index}") for index in range(50))))
    slave.then(raw.answer)
    slave.always(raw.mute)
    async with loop_clock() as passed_s:
        batch = await device.read(plan)
        assert passed_s() < 0.5
    assert batch.values[0] == 1000
    assert batch.qualities == (0, *[Quality.BAD_TIMEOUT] * 49)


async def test_a_half_open_connection_is_noticed_by_the_kernel_within_10_s(plant: Plant, slave: RawSlave) -> None:
    """A peer whose machine is gone: idle, by keepalive; with a request under way, by unacknowledged data."""
    await plant.device(slave.port)
    connection = plant.buses[0]._connection
    assert connection is not None
    assert connection._transport is not None
    sock: socket.socket = connection._transport.get_extra_info("socket")

    def option(name: str) -> int:
        return sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))

    assert option("TCP_NODELAY")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert option("TCP_KEEPIDLE") + option("TCP_KEEPINTVL") * option("TCP_KEEPCNT") < 10
    assert option("TCP_USER_TIMEOUT") < 10_000


async def test_a_closed_connection_has_given_back_its_descriptor(plant: Plant, slave: RawSlave) -> None:
    """When `close` returns, not some time later: some devices allow no second connection beside the first."""
    await plant.device(slave.port)
    (bus,) = plant.buses

    def ours() -> list[object]:
        every = psutil.Process().net_connections("tcp")
        return [one for one in every if one.fd >= 0 and one.raddr and one.raddr.port == slave.port]

    assert len(ours()) == 1
    await bus.close()
    assert ours() == []


async def test_a_device_that_floods_the_line_is_cut_off_and_one_that_repeats_itself_is_not(
    plant: Plant, slave: RawSlave
) -> None:
    """Sorting out endless replies, each well-formed, took all the time of every other device."""

    async def twice(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        for _ in range(2):
            await raw.answer(slave, request, send)

    async def flood(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        for _ in range(1000):
            await raw.answer(slave, request, send)

    device = await plant.device(slave.port)
    slave.always(twice)
    for _ in range(50):
        assert await read(device) == GOOD
    slave.then(flood)

    async def read_on() -> None:
        for _ in range(200):
            await read(device)

    with pytest.raises(LinkDown, match=r"sent \d+ replies to \d+ requests"):
        await read_on()
    assert plant.buses[-1].counters["late_replies"] < 200
