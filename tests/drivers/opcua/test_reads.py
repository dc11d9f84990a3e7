"""Reading a real server: every type, nodes that aren't there, and namespaces that move."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from gateway.driver import LinkDown
from gateway.model import DataType, Quality
from tests.drivers.opcua.rig import connected, point, unconnected
from tests.support.opcua_server import NAMESPACE, OpcUaServer

pytestmark = pytest.mark.integration

EVERY_TYPE = {
    "Speed": (DataType.UINT16, 1450),
    "Run": (DataType.BOOL, True),
    "Level": (DataType.FLOAT32, 100.0),
    "Name": (DataType.STRING, "Filler"),
    "Mode": (DataType.INT16, -2),
    "SByte": (DataType.INT8, -128),
    "Byte": (DataType.UINT8, 255),
    "Int32": (DataType.INT32, -(2**31)),
    "UInt32": (DataType.UINT32, 2**32 - 1),
    "Int64": (DataType.INT64, -(2**63)),
    "UInt64": (DataType.UINT64, 2**64 - 1),
    "Double": (DataType.FLOAT64, 0.1),
    "DateTime": (DataType.DATETIME, "2026-01-31T12:00:00.1234560Z"),
    "Guid": (DataType.STRING, "00112233-4455-6677-8899-aabbccddeeff"),
    "ByteString": (DataType.BYTES, "01fe"),
    "NodeId": (DataType.STRING, f"nsu={NAMESPACE};s=Speed"),
    "StatusCode": (DataType.UINT32, 0x80340000),
    "QualifiedName": (DataType.STRING, f"nsu={NAMESPACE};Q"),
    "LocalizedText": (DataType.STRING, "Füller"),
    "Matrix": (DataType.JSON, "[[1,2,3],[4,5,6]]"),
}


async def test_every_built_in_type_is_read_exactly(server: OpcUaServer) -> None:
    points = [point(node, kind) for node, (kind, _) in EVERY_TYPE.items()]
    arrays = [
        point("Array", DataType.INT32, 3),
        point("Empty", DataType.INT32, 0),
        point("Texts", DataType.STRING, 0),
    ]
    async with connected(server.url) as rig:
        batch = await rig.device.read(rig.plan(*points, *arrays, subscribed=False))
    assert list(batch.values) == [*(value for _, value in EVERY_TYPE.values()), (1, -2, 3), (), ("a", "b")]
    assert batch.qualities is None
    assert batch.source_ns is not None
    assert all(batch.source_ns)


async def test_a_node_the_server_chokes_on_fails_only_itself(server: OpcUaServer) -> None:
    """asyncua's server can't encode an XmlElement, and refuses the whole read for it."""
    points = [point(node, kind) for node, (kind, _) in EVERY_TYPE.items()]
    points.insert(3, point("XmlElement", DataType.STRING))
    async with connected(server.url) as rig:
        plan = rig.plan(*points, subscribed=False)
        requests = []
        for _ in range(2):
            before = rig.bus.counters["requests"]
            batch = await rig.device.read(plan)
            requests.append(rig.bus.counters["requests"] - before)
            assert batch.qualities is not None
            assert [code for code in batch.qualities if code] == [0x80020000]
            assert batch.values[3] is None
        assert requests[1] == 2  # it is known by then, and asked for alone


async def test_a_structure_is_json_by_its_own_definition(server: OpcUaServer) -> None:
    async with connected(server.url) as rig:
        plan = rig.plan(point("Structure", DataType.JSON), point("i=2256", DataType.JSON), subscribed=False)
        for _ in range(2):
            batch = await rig.device.read(plan)
            unit, state = (orjson.loads(str(value)) for value in batch.values)
            assert unit == {"NamespaceUri": "http://units", "UnitId": 4408652, "DisplayName": "C", "Description": ""}
            assert state["State"] == 0
            assert set(state["BuildInfo"]) >= {"ProductName", "SoftwareVersion"}


async def test_a_path_finds_its_node(server: OpcUaServer) -> None:
    paths = ("/Objects/2:Line/2:Speed", f"/Objects/nsu={NAMESPACE};Line/nsu={NAMESPACE};Speed", "/Objects/2:Nowhere")
    async with connected(server.url) as rig:
        batch = await rig.device.read(rig.plan(*(point(path, DataType.UINT16) for path in paths), subscribed=False))
    assert list(batch.values) == [1450, 1450, None]
    assert batch.qualities is not None
    assert batch.qualities[2] == 0x806F0000  # BadNoMatch


async def test_an_unknown_namespace_is_one_bad_tag_and_one_line(
    server: OpcUaServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(server.url) as rig:
        plan = rig.plan(
            point("Speed", DataType.UINT16), point("nsu=http://no.example;s=a", DataType.INT32), subscribed=False
        )
        for _ in range(3):
            batch = await rig.device.read(plan)
            assert list(batch.values) == [1450, None]
            assert batch.qualities == (0, Quality.BAD_NODE_ID_UNKNOWN)
    assert caplog.text.count("http://no.example") == 1


async def test_a_type_that_does_not_fit_is_bad_and_said_once(
    server: OpcUaServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(server.url) as rig:
        plan = rig.plan(point("Double", DataType.INT32), point("Speed", DataType.UINT16), subscribed=False)
        for _ in range(3):
            batch = await rig.device.read(plan)
            assert list(batch.values) == [None, 1450]
            assert batch.qualities == (0x80740000, 0)
    assert caplog.text.count("set type = 'float64'") == 1


async def test_many_nodes_take_several_requests(server: OpcUaServer) -> None:
    points = [point(node, kind) for node, (kind, _) in EVERY_TYPE.items()]
    async with connected(server.url, max_nodes_per_read=3) as rig:
        plan = rig.plan(*points, subscribed=False)
        assert plan.describe()[-1] == "read 2 nodes"
        batch = await rig.device.read(plan)
    assert list(batch.values) == [value for _, value in EVERY_TYPE.values()]


async def test_namespace_indices_may_move_between_two_starts(fresh_server: OpcUaServer) -> None:
    async with connected(fresh_server.url) as rig:
        plan = rig.plan(point("Speed", DataType.UINT16), subscribed=False)
        assert (await rig.device.read(plan)).values == (1450,)
        fresh_server.stop()
        await asyncio.to_thread(fresh_server.start, "--namespaces-before", "3")
        with pytest.raises(LinkDown):
            await rig.device.read(plan)
        await rig.bus.close()
        await rig.bus.connect()
        assert (await rig.device.read(plan)).values == (1450,)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [("opc.tcp://127.0.0.1:1/x", "refused the connection"), ("opc.tcp://no.invalid:4840", "can't be resolved")],
)
async def test_why_there_is_no_connection_is_one_sentence(url: str, sentence: str) -> None:
    rig = unconnected(url)
    with pytest.raises(LinkDown, match=sentence) as caught:
        await rig.bus.connect()
    assert "\n" not in str(caught.value)
    await rig.bus.close()


async def test_sessions_do_not_leak(server: OpcUaServer) -> None:
    """200 lives of a connection leave neither a session nor a subscription at the server."""
    rig = unconnected(server.url)
    plan = rig.plan(point("Speed", DataType.UINT16))
    for cycle in range(200):
        await rig.bus.connect()
        if cycle % 4 == 0:
            await rig.listen(plan)
        await rig.bus.close()
    assert server.ask("sessions") == 0
    assert server.ask("subscriptions") == 1  # the server's own, for history
