"""Against node-opcua, which shares no code with asyncua: values, structures, queues, sessions, history, alarms."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from drivers.opcua import KIND
from gateway.driver import Point, WriteFailed
from gateway.model import DataType
from tests.drivers.opcua.rig import connected
from tests.support.node import NodePeer
from tests.support.proxy import HOST, Proxy

pytestmark = pytest.mark.integration

NAMESPACE = "urn:tidegate:peer"


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodePeer]:
    pki: Path = tmp_path_factory.mktemp("pki")
    with NodePeer("opcua", pki=str(pki), policies=["None"], modes=["None"], acceptAnyClient=True) as running:
        yield running


def node(name: str, kind: DataType, count: int | None = None, **options: Any) -> Point:
    return Point(name, kind, KIND.tag_options(node=f"nsu={NAMESPACE};s={name}", **options), count)


EVERY_TYPE = {
    "Running": (DataType.BOOL, True),
    "SByte": (DataType.INT8, -8),
    "Byte": (DataType.UINT8, 8),
    "Int16": (DataType.INT16, -1600),
    "UInt16": (DataType.UINT16, 1600),
    "UInt32": (DataType.UINT32, 320000),
    "Int64": (DataType.INT64, -10),
    "UInt64": (DataType.UINT64, 2**53 + 1),
    "Float": (DataType.FLOAT32, 1.5),
    "String": (DataType.STRING, "filler"),
    "DateTime": (DataType.DATETIME, "2026-01-02T03:04:05.6780000Z"),
    "ByteString": (DataType.BYTES, "0102fe"),
    "Guid": (DataType.STRING, "72962b91-fa75-4ae6-8d28-b404dc7daf63"),
    "Label": (DataType.STRING, "Füller"),
    "State": (DataType.INT32, 2),
    "Matrix": (DataType.JSON, "[[1.0,2.0],[3.0,4.0]]"),
    "Batch": (DataType.JSON, '{"Number":7,"Product":"Ale","Weights":[1.5,2.5]}'),
    "Failing": (DataType.FLOAT64, None),
}


async def test_every_type_is_read_and_subscribed_to_alike(peer: NodePeer) -> None:
    points = [node(name, kind) for name, (kind, _) in EVERY_TYPE.items()]
    points.append(node("Profile", DataType.FLOAT64, 3))
    expected = [*(value for _, value in EVERY_TYPE.values()), (1.0, 2.0, 3.0)]
    async with connected(peer.ready["url"]) as rig:
        batch = await rig.device.read(rig.plan(*points, subscribed=False))
        assert list(batch.values) == expected
        assert batch.qualities is not None
        assert batch.qualities[17] == 0x808B0000
        ear = await rig.listen(rig.plan(*points))
        await ear.until(lambda: all(ear.of(column) for column in range(len(points))))
        assert [ear.values(column)[0] for column in range(len(points))] == expected
        assert ear.of(17)[0][1] == 0x808B0000


async def test_writes_and_methods(peer: NodePeer) -> None:
    line = f"nsu={NAMESPACE};s=Line1"
    add = Point("add", DataType.JSON, KIND.tag_options(node=line, method=f"nsu={NAMESPACE};s=Add"))
    refuse = Point("refuse", DataType.JSON, KIND.tag_options(node=line, method=f"nsu={NAMESPACE};s=Refuse"))
    async with connected(peer.ready["url"]) as rig:
        assert await rig.device.write(node("Double", DataType.FLOAT64), 7.25) == 7.25
        assert await rig.device.write(node("Int32", DataType.INT64), 5) == 5
        with pytest.raises(WriteFailed, match="BadNotWritable"):
            await rig.device.write(node("ReadOnly", DataType.FLOAT64), 1.0)
        assert orjson.loads(str(await rig.device.write(add, "[1, 2.5]"))) == [3.5]
        with pytest.raises(WriteFailed, match="BadInvalidState"):
            await rig.device.write(refuse, "[]")


async def test_a_queue_that_ran_over_is_filled_from_history_or_counted(peer: NodePeer) -> None:
    async with connected(peer.ready["url"], {"publishing_ms": 1000}) as rig:
        options = {"queue_size": 3, "sampling_ms": 10}
        ear = await rig.listen(
            rig.plan(node("Level", DataType.FLOAT64, **options), node("UInt32", DataType.UINT32, **options))
        )
        await ear.until(lambda: ear.of(0) and ear.of(1))
        before = peer.ask(history=0)["level"]
        for number in range(10):
            peer.ask(history=1)
            peer.ask(set="UInt32", value=number)
            await asyncio.sleep(0.03)
        await ear.until(lambda: before + 10 in ear.values(0) and len(ear.values(0)) >= 11 and ear.losses)
        assert sorted(ear.values(0)[1:]) == [before + number for number in range(1, 11)]  # type: ignore[type-var]
        assert ear.values(0, history=True)
        assert [reason for _, reason in ear.losses] == ["a queue of the server ran over"]  # UInt32 has no history
        peer.ask(set="UInt32", value=320000)


async def test_a_broken_connection_takes_its_session_up_again(peer: NodePeer) -> None:
    async with Proxy(HOST, peer.ready["port"]) as proxy:
        async with connected(f"opc.tcp://{HOST}:{proxy.port}") as rig:
            plan = rig.plan(node("Int16", DataType.INT16, sampling_ms=10), node("Running", DataType.BOOL))
            first = await rig.listen(plan)
            await first.until(lambda: first.of(0) and first.of(1))
            sessions = peer.ask(sessions=True)["sessions"]
            await proxy.cut()
            await first.until(lambda: first.ends)
            for number in range(10):
                peer.ask(set="Int16", value=number)
                await asyncio.sleep(0.05)
            await proxy.resume()
            await rig.bus.close()
            await rig.bus.connect()
            second = await rig.listen(plan)
            await second.until(lambda: 9 in second.values() and second.of(1))
            assert len(second.values()) > 5  # as many as the server's own sampling saw
            assert second.values() == sorted(second.values())  # type: ignore[type-var]
            assert rig.bus.counters["resumed_subscriptions"] == 1
            assert peer.ask(sessions=True)["sessions"] == sessions
        assert peer.ask(sessions=True)["sessions"] == sessions - 1
    peer.ask(set="Int16", value=-1600)


async def test_sessions_and_subscriptions_do_not_leak(peer: NodePeer) -> None:
    async with connected(peer.ready["url"]) as rig:
        plan = rig.plan(node("Running", DataType.BOOL))
        for _ in range(20):
            await rig.bus.close()
            await rig.bus.connect()
            await rig.listen(plan)
    counted = peer.ask(sessions=True)
    assert (counted["sessions"], counted["subscriptions"]) == (0, 0)


async def test_events_and_alarms_in_force(peer: NodePeer) -> None:
    events = Point("alarms", DataType.JSON, KIND.tag_options(node="i=2253", events=True))
    async with connected(peer.ready["url"]) as rig:
        ear = await rig.listen(rig.plan(events))
        peer.ask(fire=700, message="door open")
        peer.ask(set="Temperature", value=130)
        await ear.until(lambda: len(ear.values()) >= 3)
        door, hot = (orjson.loads(str(value)) for value in ear.values()[1:3])
        assert (door["Message"], door["Severity"], door["SourceName"]) == ("door open", 700, "Line 1")
        assert hot["ConditionId"] == f"nsu={NAMESPACE};s=Line1-Hot"
        assert (hot["ActiveState/Id"], hot["AckedState/Id"], hot["Retain"]) == (True, False, True)
    async with connected(peer.ready["url"]) as rig:
        again = await rig.listen(rig.plan(events))
        await again.until(lambda: len(again.values()) >= 2)
        repeated = orjson.loads(str(again.values()[1]))
        assert repeated["ConditionId"] == hot["ConditionId"]  # nothing happened since: it is still in force
        peer.ask(set="Temperature", value=20.5)
