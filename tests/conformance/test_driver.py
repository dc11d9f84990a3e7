"""The driver contract (gateway/driver.py), the same for every driver."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from gateway.driver import (
    DeviceSilent,
    DriverKind,
    LinkDown,
    Subscribes,
    WriteFailed,
    Writes,
)
from gateway.model import Batch, Quality, is_bad
from tests.conformance.adapters import TIMEOUT_S, Adapter, Asked, Changing, Written
from tests.conformance.rig import Rig
from tests.support.descriptors import descriptors
from tests.support.groups import group_of
from tests.support.stopwatch import loop_clock


def test_the_kind_says_what_it_is(adapter: Adapter) -> None:
    kind = adapter.kind
    assert isinstance(kind, DriverKind)
    assert kind.summary.endswith(".")
    assert kind.describe_link(adapter.link_options())
    assert kind.address_key in kind.tag_options.model_fields
    assert all(isinstance(claim, str) and claim for claim in kind.claims(adapter.link_options()))
    for model in (kind.link_options, kind.device_options, kind.tag_options):
        schema = model.model_json_schema()
        assert schema["additionalProperties"] is False
        assert all(option.get("description") for option in schema["properties"].values())


async def test_driver_and_adapter_have_the_same_powers(rig: Rig) -> None:
    """Otherwise the tests of one would be skipped unnoticed."""
    assert isinstance(rig.adapter, Written) == isinstance(rig.driver, Writes)
    assert isinstance(rig.adapter, Changing) == isinstance(rig.driver, Subscribes)
    assert isinstance(rig.driver, Subscribes) or not rig.adapter.kind.subscribes


# -- planning


async def test_planning_touches_nothing(rig: Rig) -> None:
    tasks, open_files = asyncio.all_tasks(), descriptors()
    group = group_of(*rig.adapter.points)
    first, second = rig.driver.plan(group), rig.driver.plan(group)
    assert first.group is group
    assert list(first.errors) == list(second.errors) == []
    assert list(first.describe()) == list(second.describe())
    assert first.describe()
    assert first.asks
    assert (asyncio.all_tasks(), descriptors()) == (tasks, open_files)
    assert rig.asked() == 0


async def test_an_impossible_point_is_reported_and_fails_only_itself(rig: Rig) -> None:
    points = [*rig.adapter.points]
    points.insert(1, rig.adapter.impossible)
    plan = rig.plan(*points)
    (error,) = plan.errors
    assert error.path == rig.adapter.impossible.path
    assert error.message
    await rig.bus.connect()
    batch = await rig.driver.read(plan)
    values = [*rig.adapter.values]
    values.insert(1, None)
    assert list(batch.values) == values
    assert batch.qualities is not None
    assert list(batch.qualities) == [Quality.BAD_CONFIGURATION_ERROR if i == 1 else 0 for i in range(len(points))]


# -- reading


async def test_a_read_gives_one_entry_per_point(rig: Rig) -> None:
    await rig.bus.connect()
    plan = rig.plan(*rig.adapter.points)
    before_ns, before_mono_ns = time.time_ns(), time.monotonic_ns()
    batch = await rig.driver.read(plan)
    assert isinstance(batch, Batch)
    assert batch.layout is plan.group.layout
    assert tuple(batch.values) == tuple(rig.adapter.values)
    assert [type(value) for value in batch.values] == [type(value) for value in rig.adapter.values]
    assert (batch.qualities, batch.columns) == (None, None)
    assert before_ns <= batch.read_ns <= time.time_ns()
    assert before_mono_ns <= batch.mono_ns <= time.monotonic_ns()


async def test_points_may_come_in_any_order_and_more_than_once(rig: Rig) -> None:
    await rig.bus.connect()
    order = [*reversed(range(len(rig.adapter.points))), 0, 0]
    batch = await rig.driver.read(rig.plan(*(rig.adapter.points[index] for index in order)))
    assert list(batch.values) == [rig.adapter.values[index] for index in order]


async def test_a_missing_point_fails_only_itself(rig: Rig) -> None:
    await rig.bus.connect()
    plan = rig.plan(*rig.adapter.points, rig.adapter.missing)
    for _ in range(3):
        batch = await rig.driver.read(plan)
        assert tuple(batch.values) == (*rig.adapter.values, None)
        assert batch.qualities is not None
        assert not any(batch.qualities[:-1])
        assert is_bad(batch.qualities[-1])


async def test_an_empty_group_is_an_empty_batch(rig: Rig) -> None:
    await rig.bus.connect()
    batch = await rig.driver.read(rig.plan())
    assert len(batch) == 0


async def test_two_groups_take_turns(rig: Rig) -> None:
    await rig.bus.connect()
    whole, first = rig.plan(*rig.adapter.points), rig.plan(rig.adapter.points[0])
    for _ in range(5):
        await rig.read_right(whole)
        assert list((await rig.driver.read(first)).values) == [rig.adapter.values[0]]


# -- what goes wrong


async def test_a_refused_connection_is_link_down(rig: Rig) -> None:
    await rig.adapter.stop()
    async with asyncio.timeout(rig.bound_s):
        for _ in range(3):
            with pytest.raises(LinkDown) as caught:
                await rig.bus.connect()
            await rig.bus.close()
    sentence = str(caught.value)
    assert rig.adapter.kind.describe_link(rig.adapter.link_options()) in sentence
    assert "\n" not in sentence


async def test_reading_without_a_connection_is_link_down(rig: Rig) -> None:
    plan = rig.plan(*rig.adapter.points)
    with pytest.raises(LinkDown):
        await rig.driver.read(plan)
    await rig.bus.connect()
    await rig.bus.close()
    with pytest.raises(LinkDown):
        await rig.driver.read(plan)


async def test_a_lost_connection_is_link_down_and_heals_by_connecting(rig: Rig) -> None:
    plan = rig.plan(*rig.adapter.points)
    await rig.bus.connect()
    for _ in range(3):
        await rig.read_right(plan)
        await rig.adapter.disconnect()
        async with asyncio.timeout(rig.bound_s):
            with pytest.raises(LinkDown):
                await rig.driver.read(plan)
        await rig.bus.connect()
    await rig.read_right(plan)


async def test_a_connection_lost_while_waiting_is_link_down_at_once(patient_rig: Rig) -> None:
    rig = patient_rig
    plan = rig.plan(*rig.adapter.points)
    await rig.bus.connect()
    await rig.silence(plan)
    reading = asyncio.create_task(rig.driver.read(plan))
    await rig.until_waiting()
    async with loop_clock() as passed_s:
        await rig.adapter.disconnect()
        with pytest.raises(LinkDown):
            await reading
        assert passed_s() < rig.adapter.timeout_s / 2


async def test_silence_is_the_device_and_costs_one_timeout(rig: Rig) -> None:
    plan = rig.plan(*rig.adapter.points)
    await rig.bus.connect()
    await rig.read_right(plan)
    await rig.silence(plan)
    before = time.monotonic()
    async with loop_clock() as passed_s:
        with pytest.raises(DeviceSilent) as caught:
            await rig.driver.read(plan)
        assert passed_s() < rig.adapter.timeout_s * 2
    assert time.monotonic() - before >= rig.adapter.timeout_s * 0.9
    assert "\n" not in str(caught.value)
    rig.adapter.speak()
    batch = await rig.driver.read(plan)
    assert tuple(batch.values) == tuple(rig.adapter.values)


async def test_lasting_silence_ends_in_link_down_and_heals(rig: Rig) -> None:
    """A half-open connection must not be believed in for ever."""
    if not rig.adapter.silence_is_loss:
        pytest.skip("a connection of this driver can't be half-open, or silence says nothing about it")
    plan = rig.plan(*rig.adapter.points)
    await rig.bus.connect()
    rig.adapter.silence()
    async with asyncio.timeout(5 * rig.bound_s):
        with pytest.raises(LinkDown):  # noqa: PT012 - how often a device may be silent before is the driver's own
            while True:
                with contextlib.suppress(DeviceSilent):
                    await rig.driver.read(plan)
    rig.adapter.speak()
    await rig.bus.connect()
    await rig.read_right(plan)


async def test_the_peer_may_restart(rig: Rig) -> None:
    plan = rig.plan(*rig.adapter.points)
    await rig.bus.connect()
    for _ in range(3):
        await rig.read_right(plan)
        await rig.adapter.stop()
        with pytest.raises(LinkDown):
            await rig.driver.read(plan)
        with pytest.raises(LinkDown):
            await rig.bus.connect()
        await rig.adapter.start()
        await rig.bus.connect()
    await rig.read_right(plan)


# -- cancelling and closing


async def test_a_cancelled_read_spoils_nothing(patient_rig: Rig) -> None:
    """Cancelled at whatever request; what was on its way must not be taken for an answer to the next read."""
    rig = patient_rig
    plan = rig.plan(*rig.adapter.points)
    await rig.bus.connect()
    last = rig.adapter.requests_per_read if isinstance(rig.adapter, Asked) else 1
    for requests in (1, last, 1):
        if isinstance(rig.adapter, Asked):
            rig.adapter.slow_down(TIMEOUT_S / 2)
        else:
            await rig.silence(plan)
        asked = rig.asked()
        reading = asyncio.create_task(rig.driver.read(plan))
        await rig.until_waiting(asked + requests)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        rig.adapter.speak()
        try:
            await rig.read_right(plan)
        except LinkDown:
            await rig.bus.connect()
            await rig.read_right(plan)


async def test_a_cancelled_connect_can_be_repeated(rig: Rig) -> None:
    for turns in range(6):
        connecting = asyncio.create_task(rig.bus.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await connecting
        await rig.bus.close()
    await rig.bus.connect()
    await rig.read_right(rig.plan(*rig.adapter.points))


async def test_close_may_come_at_any_time_and_again(rig: Rig) -> None:
    await rig.bus.close()
    await rig.adapter.stop()
    with pytest.raises(LinkDown):
        await rig.bus.connect()
    await rig.bus.close()
    await rig.bus.close()
    await rig.adapter.start()
    await rig.bus.connect()
    await rig.bus.close()
    await rig.bus.close()


async def test_close_ends_a_read_that_waits(patient_rig: Rig) -> None:
    rig = patient_rig
    plan = rig.plan(*rig.adapter.points)
    await rig.bus.connect()
    await rig.silence(plan)
    reading = asyncio.create_task(rig.driver.read(plan))
    await rig.until_waiting()
    await rig.bus.close()
    async with asyncio.timeout(rig.bound_s):
        with pytest.raises((LinkDown, DeviceSilent)):
            await reading


async def test_nothing_is_left_behind(patient_rig: Rig) -> None:
    """No descriptor and no task over many lives of a connection, whether it ends well or badly."""
    rig = patient_rig
    plan = rig.plan(*rig.adapter.points)

    async def live(ending: int) -> None:
        rig.adapter.speak()
        await rig.bus.connect()
        await rig.read_right(plan)
        if ending == 1:
            await rig.adapter.disconnect()
            with pytest.raises(LinkDown):
                await rig.driver.read(plan)
        if ending == 2:
            await rig.bus.connect()
            await rig.read_right(plan)
        await rig.bus.close()

    for ending in range(3):
        await live(ending)
    await rig.adapter.disconnect()
    tasks, open_files = asyncio.all_tasks(), descriptors()
    for cycle in range(rig.lives):
        await live(cycle % 3)
    await rig.adapter.disconnect()
    assert asyncio.all_tasks() == tasks
    # The peer's ends may take a loop's turn more or less to go; a leak would show as dozens.
    assert descriptors() <= open_files + 3


# -- writing


async def test_a_write_is_made_once_and_read_back(rig: Rig) -> None:
    if not isinstance(rig.driver, Writes):
        pytest.skip("this driver doesn't write")
    assert isinstance(rig.adapter, Written)
    await rig.bus.connect()
    assert await rig.driver.write(rig.adapter.writable, rig.adapter.written) == rig.adapter.written
    assert list((await rig.driver.read(rig.plan(rig.adapter.writable))).values) == [rig.adapter.written]


async def test_an_unanswered_write_is_not_repeated(rig: Rig) -> None:
    if not isinstance(rig.driver, Writes):
        pytest.skip("this driver doesn't write")
    assert isinstance(rig.adapter, Written)
    assert isinstance(rig.adapter, Asked)
    await rig.bus.connect()
    rig.adapter.silence()
    with pytest.raises(DeviceSilent, match="unknown"):
        await rig.driver.write(rig.adapter.writable, rig.adapter.written)
    assert rig.adapter.requests() == 1


async def test_a_write_that_does_not_fit_is_refused(rig: Rig) -> None:
    if not isinstance(rig.driver, Writes):
        pytest.skip("this driver doesn't write")
    assert isinstance(rig.adapter, Written)
    await rig.bus.connect()
    with pytest.raises(WriteFailed):
        await rig.driver.write(rig.adapter.writable, None)
    with pytest.raises(WriteFailed):
        await rig.driver.write(rig.adapter.missing, rig.adapter.written)
