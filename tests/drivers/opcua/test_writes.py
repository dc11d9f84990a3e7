from __future__ import annotations

import orjson
import pytest

from gateway.driver import WriteFailed
from gateway.model import DataType, Value
from tests.drivers.opcua.rig import connected, point
from tests.support.opcua_server import NAMESPACE, OpcUaServer

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("node", "kind", "value", "count"),
    [
        ("Run", DataType.BOOL, False, None),
        ("Mode", DataType.INT16, 900, None),
        ("UInt64", DataType.UINT64, 2**64 - 2, None),
        ("Level", DataType.FLOAT32, 0.5, None),
        ("Double", DataType.FLOAT64, 0.1, None),
        ("Name", DataType.STRING, "Füller", None),
        ("ByteString", DataType.BYTES, "00ff", None),
        ("DateTime", DataType.DATETIME, "2026-02-01T00:00:00.1230000Z", None),
        ("Int32", DataType.INT64, 77, None),
        ("Int32", DataType.JSON, "78", None),
        ("Level", DataType.FLOAT64, 0.25, None),
        ("LocalizedText", DataType.STRING, "Abfüller", None),
        ("Array", DataType.INT32, (4, 5, 6), 3),
        ("Texts", DataType.STRING, ("c",), 0),
    ],
)
async def test_a_write_is_typed_by_the_node_and_read_back(
    server: OpcUaServer, node: str, kind: DataType, value: Value, count: int | None
) -> None:
    async with connected(server.url) as rig:
        target = point(node, kind, count)
        assert await rig.device.write(target, value) == value
        assert (await rig.device.read(rig.plan(target, subscribed=False))).values == (value,)


@pytest.mark.parametrize(
    ("node", "kind", "value", "sentence"),
    [
        ("Int32", DataType.INT64, 2**31, "Int32"),
        ("Level", DataType.FLOAT64, 0.1, "rounded"),
        ("Absent", DataType.INT32, 1, "refused the write"),
        ("i=2258", DataType.DATETIME, "2026-02-01T00:00:00Z", "refused the write"),
        ("Structure", DataType.JSON, "{}", "can't be written"),
        ("Mode", DataType.INT16, None, "is no Int16"),
    ],
)
async def test_a_write_that_can_not_be_made_says_why(
    server: OpcUaServer, node: str, kind: DataType, value: Value, sentence: str
) -> None:
    async with connected(server.url) as rig:
        with pytest.raises(WriteFailed, match=sentence) as caught:
            await rig.device.write(point(node, kind), value)
        assert "\n" not in str(caught.value)


async def test_a_method_is_called_once_and_gives_its_outputs(server: OpcUaServer) -> None:
    target = point("/Objects/2:Line", DataType.JSON, method=f"nsu={NAMESPACE};s=Add")
    async with connected(server.url) as rig:
        before = server.ask("calls")
        assert orjson.loads(str(await rig.device.write(target, "[2, 40]"))) == [42]
        assert server.ask("calls") == before + 1
        for wrong in ("[1]", '["a", 1]', "5", "nonsense", "[3000000000, 1]"):
            with pytest.raises(WriteFailed):
                await rig.device.write(target, wrong)
        assert server.ask("calls") == before + 1


async def test_events_can_not_be_written(server: OpcUaServer) -> None:
    async with connected(server.url) as rig:
        with pytest.raises(WriteFailed):
            await rig.device.write(point("i=2253", DataType.JSON, events=True), "{}")
