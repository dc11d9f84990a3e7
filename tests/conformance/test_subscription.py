"""The driver contract (gateway/driver.py) for drivers whose device speaks by itself."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref

import pytest

from gateway.driver import DeviceSilent, LinkDown, Releases, Subscribes, Writes
from gateway.model import Quality, is_bad
from tests.conformance.adapters import Changing, Written
from tests.conformance.rig import Listener, Rig
from tests.support.descriptors import descriptors


@pytest.fixture
def rig(rig: Rig) -> Rig:
    return that_listens(rig)


@pytest.fixture
def patient_rig(patient_rig: Rig) -> Rig:
    return that_listens(patient_rig)


def that_listens(rig: Rig) -> Rig:
    if not isinstance(rig.driver, Subscribes):
        pytest.skip("this driver polls: its device doesn't speak by itself")
    return rig


async def change(rig: Rig, *listeners: Listener) -> None:
    """Change a value at the peer and see it arrive."""
    assert isinstance(rig.adapter, Changing)
    index, value = await rig.adapter.change()
    for listener in listeners:
        await listener.until(lambda each=listener: each.latest.get(index) == (value, 0), rig.bound_s)


async def test_every_point_is_reported_once_set_up(rig: Rig) -> None:
    await rig.bus.connect()
    listener = await rig.listen(*rig.adapter.points)
    await rig.until_right(listener)
    assert [type(value) for value in listener.values] == [type(value) for value in rig.adapter.values]
    assert listener.ends == []


async def test_an_impossible_point_is_bad_at_once_and_fails_only_itself(rig: Rig) -> None:
    await rig.bus.connect()
    first, *rest = rig.adapter.points
    listener = await rig.listen(first, rig.adapter.impossible, *rest)
    assert listener.latest[1] == (None, Quality.BAD_CONFIGURATION_ERROR)
    expected = [*rig.adapter.values]
    expected.insert(1, None)
    await listener.until(lambda: listener.values == tuple(expected), rig.bound_s)
    assert [code for _, (_, code) in sorted(listener.latest.items()) if code] == [Quality.BAD_CONFIGURATION_ERROR]


async def test_a_missing_point_is_never_good_and_fails_only_itself(rig: Rig) -> None:
    await rig.bus.connect()
    listener = await rig.listen(*rig.adapter.points, rig.adapter.missing)
    last = len(rig.adapter.points)
    await listener.until(lambda: listener.values == (*rig.adapter.values, None), rig.bound_s)
    await change(rig, listener)
    assert last not in listener.latest or is_bad(listener.latest[last][1])


async def test_points_may_come_in_any_order_and_more_than_once(rig: Rig) -> None:
    await rig.bus.connect()
    order = [*reversed(range(len(rig.adapter.points))), 0, 0]
    listener = await rig.listen(*(rig.adapter.points[index] for index in order))
    await listener.until(lambda: listener.values == tuple(rig.adapter.values[i] for i in order), rig.bound_s)


async def test_an_empty_subscription_is_one_too(rig: Rig) -> None:
    await rig.bus.connect()
    listener = await rig.listen()
    await rig.read_right(rig.plan(*rig.adapter.points))
    assert (sum(map(len, listener.batches)), listener.flaws, listener.ends) == (0, [], [])


async def test_changes_arrive(rig: Rig) -> None:
    await rig.bus.connect()
    listener = await rig.listen(*rig.adapter.points)
    await rig.until_right(listener)
    for _ in range(5):
        await change(rig, listener)
    await rig.until_right(listener)


async def test_two_subscriptions_stand_side_by_side(rig: Rig) -> None:
    await rig.bus.connect()
    first = await rig.listen(*rig.adapter.points, name="fast")
    second = await rig.listen(*rig.adapter.points, name="slow")
    for listener in (first, second):
        await rig.until_right(listener)
    await change(rig, first, second)


async def test_reads_go_on_beside_a_subscription(rig: Rig) -> None:
    plan = rig.plan(*rig.adapter.points)
    await rig.bus.connect()
    await rig.read_right(plan)
    listener = await rig.listen(*rig.adapter.points, name="slow")
    for _ in range(3):
        await rig.read_right(plan)
        await change(rig, listener)
    await rig.read_right(plan)
    assert listener.ends == []


async def test_a_write_is_reported(rig: Rig) -> None:
    if not isinstance(rig.driver, Writes):
        pytest.skip("this driver doesn't write")
    assert isinstance(rig.adapter, Written)
    await rig.bus.connect()
    listener = await rig.listen(rig.adapter.writable)
    await rig.driver.write(rig.adapter.writable, rig.adapter.written)
    await listener.until(lambda: listener.values == (rig.adapter.written,), rig.bound_s)


# -- how it ends


async def test_subscribing_again_replaces(rig: Rig) -> None:
    await rig.bus.connect()
    first = await rig.listen(*rig.adapter.points)
    await rig.until_right(first)
    second = await rig.listen(*reversed(rig.adapter.points))
    heard = len(first.batches)
    await second.until(lambda: second.values == tuple(reversed(rig.adapter.values)), rig.bound_s)
    third = await rig.listen(*rig.adapter.points)
    await rig.until_right(third)
    await change(rig, third)
    assert len(first.batches) == heard, "one that was replaced is still spoken to"


async def test_closing_ends_it(rig: Rig) -> None:
    await rig.bus.connect()
    first = await rig.listen(*rig.adapter.points)
    await rig.until_right(first)
    await rig.bus.close()
    heard = len(first.batches)
    await rig.bus.connect()
    second = await rig.listen(*rig.adapter.points, name="slow")
    await rig.until_right(second)
    await change(rig, second)
    assert len(first.batches) == heard, "one of a closed bus is still spoken to"


async def test_a_group_can_leave_and_come_back_while_others_listen(rig: Rig) -> None:
    if not isinstance(rig.driver, Releases):
        pytest.skip("this driver's bus has to be closed to end a subscription")
    await rig.bus.connect()
    stays = await rig.listen(*rig.adapter.points, name="slow")
    for _ in range(3):
        goes = await rig.listen(*rig.adapter.points)
        await rig.until_right(goes)
        await rig.driver.release("fast")
        await rig.driver.release("fast")
        heard = len(goes.batches)
        await change(rig, stays)
        assert (len(goes.batches), goes.ends) == (heard, []), "one that was released is still spoken to"
    assert stays.ends == []
    await rig.read_right(rig.plan(*rig.adapter.points))


async def test_a_device_can_leave_and_another_take_its_name(rig: Rig) -> None:
    """Whichever of the two comes first: the one that leaves takes nothing of the other with it."""
    if not isinstance(rig.driver, Releases):
        pytest.skip("this driver's bus has to be closed to end a subscription")
    await rig.bus.connect()
    for _ in range(3):
        leaves, former = await rig.listen(*rig.adapter.points), rig.driver
        await rig.until_right(leaves)
        rig.driver = rig.adapter.kind.open_device(rig.bus, "device1", rig.adapter.device_options())
        assert isinstance(former, Releases)
        await former.release(None)
        heard = len(leaves.batches)
        stays = await rig.listen(*rig.adapter.points)
        await former.release(None)
        await rig.until_right(stays)
        await change(rig, stays)
        assert (len(leaves.batches), leaves.ends) == (heard, [])
    await rig.bus.close()
    await former.release(None)


async def test_subscribing_without_a_connection_is_link_down(rig: Rig) -> None:
    with pytest.raises(LinkDown):
        await rig.listen(*rig.adapter.points)
    await rig.bus.connect()
    await rig.bus.close()
    with pytest.raises(LinkDown):
        await rig.listen(*rig.adapter.points)


async def test_a_lost_connection_is_told_and_heals_by_subscribing_anew(rig: Rig) -> None:
    """Nobody need read for it to be noticed: a device that is subscribed to may have no polled group."""
    for _ in range(3):
        await rig.bus.connect()
        listener = await rig.listen(*rig.adapter.points)
        await rig.until_right(listener)
        await rig.adapter.disconnect()
        await listener.until(lambda heard=listener: heard.ends, rig.bound_s)
        assert listener.ends[0][0] == "down"
        await rig.bus.close()
    await rig.bus.connect()
    listener = await rig.listen(*rig.adapter.points)
    await rig.until_right(listener)
    await change(rig, listener)


async def test_the_peer_may_restart(rig: Rig) -> None:
    await rig.bus.connect()
    for _ in range(3):
        listener = await rig.listen(*rig.adapter.points)
        await rig.until_right(listener)
        await rig.adapter.stop()
        await listener.until(lambda heard=listener: heard.ends, rig.bound_s)
        await rig.bus.close()
        with pytest.raises(LinkDown):
            await rig.bus.connect()
        await rig.bus.close()
        await rig.adapter.start()
        await rig.bus.connect()


async def test_a_silent_peer_makes_nothing_good(rig: Rig) -> None:
    """Whether subscribing fails, or only nothing comes, is the protocol's own; bounded it is, and it heals."""
    await rig.bus.connect()
    await rig.silence(rig.plan(*rig.adapter.points))
    with contextlib.suppress(DeviceSilent, LinkDown):
        listener = await rig.listen(*rig.adapter.points)
        assert not [code for _, code in listener.latest.values() if not is_bad(code)]
    rig.adapter.speak()
    await rig.bus.close()
    await rig.bus.connect()
    await rig.until_right(await rig.listen(*rig.adapter.points))


async def test_a_cancelled_subscribe_spoils_nothing(rig: Rig) -> None:
    await rig.bus.connect()
    for turns in range(8):
        subscribing = asyncio.create_task(rig.listen(*rig.adapter.points))
        for _ in range(turns):
            await asyncio.sleep(0)
        subscribing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await subscribing
        try:
            listener = await rig.listen(*rig.adapter.points)
        except LinkDown:
            await rig.bus.close()
            await rig.bus.connect()
            listener = await rig.listen(*rig.adapter.points)
        await rig.until_right(listener)


async def test_nothing_is_left_behind(patient_rig: Rig) -> None:
    """No descriptor, task or receiver over many lives of a subscription, whether it ends well or badly."""
    rig = patient_rig
    receivers: list[weakref.ref[Listener]] = []

    async def live(ending: int) -> None:
        await rig.bus.connect()
        listener = await rig.listen(*rig.adapter.points)
        receivers.append(weakref.ref(listener))
        if ending == 1:
            await rig.until_right(listener)
            await rig.adapter.disconnect()
            await listener.until(lambda: listener.ends, rig.bound_s)
        if ending == 2:
            await rig.until_right(await rig.listen(*rig.adapter.points))
        await rig.bus.close()

    for ending in range(3):
        await live(ending)
    await rig.adapter.disconnect()
    tasks, open_files = asyncio.all_tasks(), descriptors()
    for cycle in range(rig.lives):
        await live(cycle % 3)
    await rig.adapter.disconnect()
    gc.collect()
    assert asyncio.all_tasks() == tasks
    # The peer's ends may take a loop's turn more or less to go; a leak would show as dozens.
    assert descriptors() <= open_files + 3
    assert sum(receiver() is not None for receiver in receivers) <= 3
