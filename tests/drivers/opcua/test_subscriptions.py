"""Subscriptions against a real server: what arrives, in which order, and what is done when nothing does."""

from __future__ import annotations

import asyncio

import pytest

from drivers.opcua import items
from drivers.opcua.profiles import Limits
from gateway.model import DataType, Quality
from tests.drivers.opcua.rig import KIND, connected, point
from tests.support.opcua_server import OpcUaServer

pytestmark = pytest.mark.integration


async def test_values_of_one_interval_come_in_order_each_in_its_own_batch(server: OpcUaServer) -> None:
    async with connected(server.url, {"publishing_ms": 300}) as rig:
        ear = await rig.listen(rig.plan(point("Mode", DataType.INT16), point("Name", DataType.STRING)))
        await ear.until(lambda: ear.of(0) and ear.of(1))
        before = len(ear.batches)
        times = server.ask("write_many", node="Mode", values=list(range(50)))
        await ear.until(lambda: ear.values()[-1] == 49)
        assert ear.values()[-50:] == list(range(50))
        assert [time_ns for _, _, time_ns in ear.of(0)[-50:]] == [1000 * time_us for time_us in times]
        assert all(len(batch.values) == 1 for batch in ear.batches[before:])
        assert ear.losses == []


async def test_queues_hold_the_tolerated_outage() -> None:
    limits = Limits()
    options = KIND.tag_options(node="i=1")
    assert items.queue_size(options, 0.1, 60.0, limits) == 601
    assert items.queue_size(options, 1.0, 0.0, limits) == 1
    assert items.queue_size(options, 0.0, 3600.0, limits) == items.MAX_QUEUE
    assert items.queue_size(options, 0.1, 60.0, Limits(queue_size=100)) == 100
    assert items.queue_size(KIND.tag_options(node="i=1", queue_size=7), 0.1, 60.0, limits) == 7


async def test_the_servers_status_and_time_are_kept(server: OpcUaServer) -> None:
    async with connected(server.url) as rig:
        ear = await rig.listen(rig.plan(point("Double", DataType.FLOAT64)))
        await ear.until(lambda: ear.of(0))
        time_us = server.ask("write", node="Double", value=1.5, status=0x40920000, age_s=5)
        await ear.until(lambda: len(ear.of(0)) > 1)
        assert ear.of(0)[-1] == (1.5, 0x40920000, 1000 * time_us)
        server.ask("write", node="Double", value=1.5, status=0x808C0000)
        await ear.until(lambda: len(ear.of(0)) > 2)
        assert ear.of(0)[-1][:2] == (None, 0x808C0000)
        server.ask("write", node="Double", value=0.5)


async def test_the_overflow_bit_counts_as_loss(server: OpcUaServer) -> None:
    async with connected(server.url, {"history": "off"}) as rig:
        ear = await rig.listen(rig.plan(point("Mode", DataType.INT16)))
        await ear.until(lambda: ear.of(0))
        server.ask("write", node="Mode", value=77, status=0x480)
        await ear.until(lambda: ear.losses)
        assert ear.losses == [(1, "a queue of the server ran over")]
        assert ear.of(0)[-1][:2] == (77, 0x480)
        assert rig.bus.counters["overflows"] == 1
        server.ask("write", node="Mode", value=78)


async def test_what_overflowed_is_fetched_from_history(server: OpcUaServer) -> None:
    async with connected(server.url, {"publishing_ms": 500}) as rig:
        plan = rig.plan(point("Double", DataType.FLOAT64, queue_size=1))
        ear = await rig.listen(plan)
        await ear.until(lambda: ear.of(0))
        server.ask("write_many", node="Double", values=[1.25, 2.25, 3.25])
        server.ask("write", node="Double", value=4.25, status=0x480)
        await ear.until(lambda: len(ear.values(history=True)) >= 3)
        assert ear.values(history=True)[-3:] == [1.25, 2.25, 3.25]
        assert ear.values(history=False)[-1] == 4.25
        assert ear.losses == []


async def test_a_deadband_is_the_servers_work(server: OpcUaServer) -> None:
    async with connected(server.url) as rig:
        ear = await rig.listen(rig.plan(point("Level", DataType.FLOAT32, server_deadband=5.0)))
        await ear.until(lambda: ear.of(0))
        start = ear.values()[-1]
        assert isinstance(start, float)
        for step in (1.0, 2.0, 20.0):
            server.ask("write", node="Level", value=start + step)
            await asyncio.sleep(0.15)
        await ear.until(lambda: ear.values()[-1] == start + 20)
        assert ear.values() == [start, start + 20]


async def test_a_bad_node_is_bad_and_the_rest_is_subscribed(
    server: OpcUaServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(server.url, max_items_per_call=2) as rig:
        plan = rig.plan(
            point("Mode", DataType.INT16),
            point("Absent", DataType.INT16),
            point("nsu=http://no.example;s=a", DataType.INT16),
            point("Run", DataType.BOOL),
            point("Level", DataType.FLOAT16),
        )
        ear = await rig.listen(plan)
        await ear.until(lambda: all(ear.of(column) for column in range(5)))
        qualities = [ear.of(column)[0][1] for column in range(5)]
        assert qualities == [0, 0x80340000, 0x80340000, 0, Quality.BAD_CONFIGURATION_ERROR]
    assert caplog.text.count("can't subscribe to Absent (BadNodeIdUnknown)") == 1


async def test_items_beyond_the_servers_room_are_bad_and_said_once(
    server: OpcUaServer, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("Mode", "Int32", "SByte", "Int64")
    async with connected(server.url, max_items=2) as rig:
        ear = await rig.listen(rig.plan(*(point(name, DataType.INT64) for name in names)))
        await ear.until(lambda: all(ear.of(column) for column in range(4)))
        assert [ear.of(column)[0][1] for column in range(4)] == [0, 0, 0x80DB0000, 0x80DB0000]
    assert caplog.text.count("2 tags are more than the 2") == 1


async def test_a_quiet_tag_is_confirmed(server: OpcUaServer) -> None:
    async with connected(server.url, {"verify_s": 0.5}) as rig:
        ear = await rig.listen(rig.plan(point("Run", DataType.BOOL), point("Texts", DataType.STRING, 0)))
        await ear.until(lambda: ear.confirmations(0) > 2 and ear.confirmations(1) > 2)
        assert len(ear.batches) <= 2
        assert rig.bus.counters["revived_items"] == 0


async def test_a_quiet_tag_is_believed_unread_if_so_wanted(server: OpcUaServer) -> None:
    async with connected(server.url, {"verify_s": 0}) as rig:
        ear = await rig.listen(rig.plan(point("Run", DataType.BOOL), stale_s=0.9))
        await ear.until(lambda: ear.of(0))
        before = rig.bus.counters["requests"]
        await ear.until(lambda: ear.confirmations(0) > 2)
        assert rig.bus.counters["requests"] == before


async def test_an_item_that_died_silently_is_noticed_and_made_anew(
    fresh_server: OpcUaServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(fresh_server.url, {"verify_s": 0.5}) as rig:
        ear = await rig.listen(rig.plan(point("Mode", DataType.INT16), point("Run", DataType.BOOL)))
        await ear.until(lambda: ear.of(0) and ear.of(1))
        assert fresh_server.ask("drop_items") >= 2
        fresh_server.ask("write", node="Mode", value=5)
        await ear.until(lambda: ear.values()[-1] == 5)
        await ear.until(lambda: rig.bus.counters["revived_items"])
        await asyncio.sleep(0.3)
        fresh_server.ask("write", node="Mode", value=6)
        await ear.until(lambda: ear.values()[-1] == 6)
    assert caplog.text.count("nothing comes of Mode any more") == 1


async def test_a_dead_subscription_is_noticed_and_made_anew(fresh_server: OpcUaServer) -> None:
    async with connected(fresh_server.url, keepalive_s=0.5) as rig:
        ear = await rig.listen(rig.plan(point("Mode", DataType.INT16), point("i=2253", DataType.JSON, events=True)))
        await ear.until(lambda: ear.of(0))
        assert fresh_server.ask("stall_subscriptions") == 1
        fresh_server.ask("write", node="Mode", value=11)
        async with asyncio.timeout(15):
            await ear.until(lambda: ear.values()[-1] == 11)
        assert rig.bus.counters["recreated_subscriptions"] == 1
        fresh_server.ask("write", node="Mode", value=12)
        await ear.until(lambda: ear.values()[-1] == 12)
        fresh_server.ask("event", message="still here")
        await ear.until(lambda: len(ear.values(1)) > 1)
        await asyncio.sleep(2.5)  # until what hadn't been reported by then was read
        assert ear.ends == []
        assert [value is not None for value in ear.values(1)] == [False, True]


async def test_structures_are_subscribed_to_as_json(server: OpcUaServer) -> None:
    async with connected(server.url) as rig:
        ear = await rig.listen(rig.plan(point("Structure", DataType.JSON), point("Matrix", DataType.JSON)))
        await ear.until(lambda: ear.of(0) and ear.of(1))
        assert '"UnitId":4408652' in str(ear.values()[0])
        assert ear.values(1) == ["[[1,2,3],[4,5,6]]"]


async def test_a_thousand_notifications_make_no_task(fresh_server: OpcUaServer) -> None:
    async with connected(fresh_server.url, {"publishing_ms": 50}) as rig:
        plan = rig.plan(*(point(f"Item{number}", DataType.FLOAT64) for number in range(20)))
        ear = await rig.listen(plan)
        await ear.until(lambda: ear.of(19))
        before = len(asyncio.all_tasks())
        fresh_server.ask("change", interval_s=0.01)
        most = 0
        while sum(len(batch.values) for batch in ear.batches) < 1000:
            await asyncio.sleep(0.01)
            most = max(most, len(asyncio.all_tasks()))
        assert most <= before
        assert ear.values(19) == sorted(ear.values(19))  # type: ignore[type-var]
