"""Browsing node-opcua's address space."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from drivers.opcua import KIND
from drivers.opcua import browse as browsing
from drivers.opcua.binary import LocalizedText
from drivers.opcua.browse import describe, fit
from drivers.opcua.bus import OpcUaBus
from drivers.opcua.options import DeviceOptions, LinkOptions, TagOptions
from drivers.opcua.units import UNECE, to_ucum
from gateway.config.names import check_tag_path
from gateway.config.units import check_unit
from gateway.driver import Browses, Item, ScanFailed, Site
from gateway.model import DataType
from tests.support.node import NodePeer
from tests.support.opcua_server import OpcUaServer

PEER = "nsu=urn:tidegate:peer;s="


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodePeer]:
    with NodePeer("opcua", pki=str(tmp_path_factory.mktemp("pki")), policies=["None"], modes=["None"]) as peer:
        yield peer


@pytest.fixture
async def device(peer: NodePeer, tmp_path: Path) -> AsyncIterator[Browses]:
    options = LinkOptions.model_validate({"url": peer.ready["url"], "security_policy": "None"})
    bus = OpcUaBus("server", options, Site("works-7", tmp_path))
    await bus.connect()
    device = KIND.open_device(bus, "line", DeviceOptions())
    assert isinstance(device, Browses)
    yield device
    await bus.close()


async def _items(device: Browses, start: str | None = None, depth: int | None = None) -> list[Item]:
    return [item async for item in device.browse(start, depth)]


@pytest.mark.integration
async def test_every_type_access_and_unit(device: Browses) -> None:
    found = {item.path: item for item in await _items(device, f"{PEER}Line1", 1)}
    for name in ("SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64"):
        assert found[name].type == {"SByte": "int8", "Byte": "uint8"}.get(name, name.lower())
    assert found["Running"].type is DataType.BOOL
    assert (found["Float"].type, found["Double"].type) == (DataType.FLOAT32, DataType.FLOAT64)
    assert found["DateTime"].type is DataType.DATETIME
    assert found["ByteString"].type is DataType.BYTES
    assert found["Label"].type is DataType.STRING
    assert found["State"].type is DataType.INT32  # an enumeration of the server's own
    assert found["Batch"].type is DataType.JSON  # a structure of the server's own
    assert (found["Profile"].type, found["Profile"].count) == (DataType.FLOAT64, 0)
    assert (found["Matrix"].type, found["Matrix"].count) == (DataType.JSON, None)
    assert (found["Double"].writable, found["ReadOnly"].writable) == (True, False)
    add = found["Add"]
    assert (add.kind, add.address, add.options) == ("method", f"{PEER}Line1", {"method": f"{PEER}Add"})
    assert found["Temperature"].unit == "Cel"
    assert found["Temperature"].description == "Of the product, behind the valve"
    assert (found["Temperature"].value, found["Profile"].value) == (20.5, (1.0, 2.0, 3.0))
    assert (found["Int64"].value, found["UInt64"].value) == (-10, 9007199254740993)
    assert found["Failing"].value is None
    assert found["Batch"].value == '{"Number":7,"Product":"Ale","Weights":[1.5,2.5]}'
    for item in found.values():
        check_tag_path(item.path)
        if item.address:
            TagOptions.model_validate({"node": item.address, **item.options})


def test_a_description_that_only_repeats_the_name_is_none() -> None:
    """asyncua's servers and others have one for every node: each tag said its name twice."""
    assert describe(LocalizedText(None, "Speed"), "Speed") == ""
    assert describe(LocalizedText("en", "of the motor "), "Speed") == "of the motor"
    assert describe(None, "Speed") == ""


async def test_what_a_node_is_can_be_told_although_its_rank_is_open_and_another_unreadable(tmp_path: Path) -> None:
    """asyncua's servers say "one or more dimensions" of every array: each became JSON text."""
    with OpcUaServer() as server:
        options = LinkOptions.model_validate({"url": server.url, "security_policy": "None"})
        bus = OpcUaBus("server", options, Site("works-7", tmp_path))
        await bus.connect()
        device = KIND.open_device(bus, "line", DeviceOptions())
        assert isinstance(device, Browses)
        found = {item.path.rpartition("/")[2]: item for item in await _items(device)}
        await bus.close()
    assert (found["Array"].type, found["Array"].count, found["Array"].value) == (DataType.INT32, 0, (1, -2, 3))
    assert (found["Texts"].type, found["Texts"].count) == (DataType.STRING, 0)
    assert (found["Matrix"].type, found["Matrix"].count) == (DataType.JSON, None)
    assert (found["Speed"].type, found["Speed"].count) == (DataType.UINT16, None)
    # The server refuses any read with this one in it: it once cost the values of all others.
    assert (found["XmlElement"].value, found["Speed"].value) == (None, 1450)


@pytest.mark.integration
async def test_everything_once_in_spite_of_loops(device: Browses) -> None:
    items = await _items(device)
    paths = [item.path for item in items]
    assert len(set(paths)) == len(paths)
    addresses = [item.options.get("method") or item.address for item in items if item.address]
    assert len(set(addresses)) == len(addresses)
    assert len([path for path in paths if path.startswith("Plant/Crowd/Item-")]) == 300
    (line,) = [item for item in items if item.path == "Plant/Line-1"]
    assert (line.kind, line.name, line.type, line.options) == ("event", "Line 1", DataType.JSON, {"events": True})
    (odd,) = [item for item in items if item.address == f"{PEER}odd"]
    assert (odd.path, odd.name) == ("Plant/Pump-3-A", "Pump/3 #A+")
    assert not any(path.startswith("Server/") for path in paths)


@pytest.mark.integration
async def test_a_server_that_holds_back_gives_all_in_the_end(device: Browses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "REFERENCES_PER_NODE", 7)
    items = await _items(device, f"{PEER}Plant", 2)
    assert len([item for item in items if item.path.startswith("Crowd/")]) == 300


@pytest.mark.integration
async def test_depth_and_start(device: Browses) -> None:
    assert {item.path for item in await _items(device, "/Objects/1:Plant", 1)} == {"Line-1", "Crowd", "Pump-3-A"}
    server = await _items(device, "i=2253", 2)
    assert "ServerStatus/CurrentTime" in {item.path for item in server}
    for start, words in (
        (f"{PEER}Nowhere", "there is no node"),
        ("nonsense", "is no node id"),
        ("nsu=urn:nobody;i=1", "there is no node"),
    ):
        with pytest.raises(ScanFailed, match=words):
            await _items(device, start)


@pytest.mark.integration
async def test_a_node_that_takes_too_long_costs_the_values_alone(peer: NodePeer, tmp_path: Path) -> None:
    options = {"url": peer.ready["url"], "security_policy": "None", "timeout_ms": 1000}
    bus = OpcUaBus("server", LinkOptions.model_validate(options), Site("works-7", tmp_path))
    await bus.connect()
    device = KIND.open_device(bus, "line", DeviceOptions())
    assert isinstance(device, Browses)
    found = {item.path: item for item in await _items(device, f"{PEER}Line1", 1)}
    await bus.close()
    assert found["Slow"].type is DataType.FLOAT64
    assert found["Temperature"].value is None


@pytest.mark.integration
async def test_more_than_can_be_remembered_is_said(device: Browses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "MAX_NODES", 100)
    with pytest.raises(ScanFailed, match="more than 100 nodes"):
        await _items(device)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("Temperature", "Temperature"),
        ("Füllstand 1", "Fuellstand-1"),
        ('"DB_Data"."Speed[3]"', "DB_Data-Speed-3"),
        ("_private", "private"),
        ("温度", "node"),
        ("x" * 100, "x" * 64),
    ],
)
def test_names_become_levels(name: str, level: str) -> None:
    assert fit(name) == level
    check_tag_path(fit(name))


def test_units_are_ucum() -> None:
    codes = {code: to_ucum(UNECE, int.from_bytes(code.encode(), "big")) for code in browsing_units()}
    for unit in codes.values():
        assert unit is not None
        check_unit(unit)
    assert to_ucum(UNECE, 4408652) == "Cel"
    assert to_ucum("http://acme.example/units", 4408652) is None
    assert to_ucum(UNECE, -1) is None


def browsing_units() -> list[str]:
    from drivers.opcua.units import _UCUM

    return list(_UCUM)
