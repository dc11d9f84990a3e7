"""Values, writes, methods, events and history of node-opcua, which shares no code with this driver or with asyncua."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.driver import Point, WriteFailed
from gateway.model import DataType, Quality, Value
from tests.drivers.opcua.rig import connected, point
from tests.support.node import NodePeer

pytestmark = pytest.mark.integration

PEER = "nsu=urn:tidegate:peer;s="
BAD_DEVICE_FAILURE = int(Quality.BAD_DEVICE_FAILURE)


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodePeer]:
    with NodePeer("opcua", pki=str(tmp_path_factory.mktemp("pki")), policies=["None"], modes=["None"]) as peer:
        yield peer


def _tag(node: str, kind: DataType, count: int | None = None, **options: Any) -> Point:
    return point(f"{PEER}{node}", kind, count, **options)


READ: list[tuple[str, DataType, int | None, Value]] = [
    ("Running", DataType.BOOL, None, True),
    ("SByte", DataType.INT8, None, -8),
    ("Byte", DataType.UINT8, None, 8),
    ("Int16", DataType.INT16, None, -1600),
    ("UInt16", DataType.UINT16, None, 1600),
    ("Int32", DataType.INT32, None, -320000),
    ("UInt32", DataType.UINT32, None, 320000),
    ("Int64", DataType.INT64, None, -10),
    ("UInt64", DataType.UINT64, None, 2**53 + 1),
    ("Float", DataType.FLOAT32, None, 1.5),
    ("Double", DataType.FLOAT64, None, 2.5),
    ("String", DataType.STRING, None, "filler"),
    ("DateTime", DataType.DATETIME, None, "2026-01-02T03:04:05.6780000Z"),
    ("ByteString", DataType.BYTES, None, "0102fe"),
    ("Guid", DataType.STRING, None, "72962b91-fa75-4ae6-8d28-b404dc7daf63"),
    ("Label", DataType.STRING, None, "Füller"),
    ("Profile", DataType.FLOAT64, 3, (1.0, 2.0, 3.0)),
    ("State", DataType.INT32, None, 2),
    ("Matrix", DataType.JSON, None, "[[1.0,2.0],[3.0,4.0]]"),
]


async def test_every_type_is_read(peer: NodePeer) -> None:
    tags = [_tag(node, kind, count) for node, kind, count, _ in READ]
    async with connected(peer.ready["url"]) as rig:
        batch = await rig.device.read(rig.plan(*tags, subscribed=False))
    assert batch.qualities is None
    assert list(batch.values) == [value for *_, value in READ]


async def test_a_structure_is_told_by_its_names(peer: NodePeer) -> None:
    async with connected(peer.ready["url"]) as rig:
        batch = await rig.device.read(rig.plan(_tag("Batch", DataType.JSON), subscribed=False))
    (text,) = batch.values
    assert json.loads(str(text)) == {"Number": 7, "Product": "Ale", "Weights": [1.5, 2.5]}


async def test_a_node_that_fails_or_is_missing_fails_alone(peer: NodePeer) -> None:
    tags = [_tag(node, DataType.FLOAT64) for node in ("Failing", "Nowhere", "Double")]
    async with connected(peer.ready["url"]) as rig:
        batch = await rig.device.read(rig.plan(*tags, subscribed=False))
    assert batch.qualities is not None
    assert list(batch.qualities) == [BAD_DEVICE_FAILURE, int(Quality.BAD_NODE_ID_UNKNOWN), 0]
    assert batch.values[2] == 2.5


async def test_changes_arrive_in_order(peer: NodePeer) -> None:
    async with connected(peer.ready["url"]) as rig:
        ear = await rig.listen(rig.plan(_tag("Float", DataType.FLOAT32), interval_s=0.05))
        await ear.until(lambda: ear.values())
        before = len(ear.values())
        for value in (30.0, 31.0, 32.0):
            peer.ask(set="Float", value=value)
            await ear.until(lambda value=value: ear.values()[-1] == value)
        assert ear.values()[before:] == [30.0, 31.0, 32.0]
        peer.ask(status="Float", code="BadDeviceFailure")
        await ear.until(lambda: ear.of(0)[-1][1] == BAD_DEVICE_FAILURE)
        assert ear.ends == []
    peer.ask(set="Float", value=1.5)


async def test_writes_and_calls(peer: NodePeer) -> None:
    async with connected(peer.ready["url"]) as rig:
        assert await rig.device.write(_tag("UInt32", DataType.UINT32), 4_000_000_000) == 4_000_000_000
        with pytest.raises(WriteFailed, match="BadNotWritable"):
            await rig.device.write(_tag("ReadOnly", DataType.FLOAT64), 1.0)
        add = _tag("Line1", DataType.JSON, method=f"{PEER}Add")
        assert json.loads(str(await rig.device.write(add, "[2, 3.5]"))) == [5.5]
        with pytest.raises(WriteFailed, match="BadInvalidState"):
            await rig.device.write(_tag("Line1", DataType.JSON, method=f"{PEER}Refuse"), "[]")
        peer.ask(set="UInt32", value=320000)


async def test_events_arrive(peer: NodePeer) -> None:
    async with connected(peer.ready["url"]) as rig:
        ear = await rig.listen(rig.plan(_tag("Line1", DataType.JSON, events=True, min_severity=400)))
        for severity, message in ((300, "quiet"), (700, "Tank leer")):
            peer.ask(fire=severity, message=message)
        await ear.until(lambda: any(ear.values()))
        (event,) = [json.loads(str(text)) for text in ear.values() if text]
    assert (event["Severity"], event["Message"], event["SourceName"]) == (700, "Tank leer", "Line 1")
