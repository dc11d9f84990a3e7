from __future__ import annotations

import uuid

import pytest

from drivers.opcua.address import NodeAddress, PathAddress, UnknownNamespace, parse, to_text
from drivers.opcua.binary import NodeId

NAMESPACES = ["http://opcfoundation.org/UA/", "urn:server", "http://acme.example/line"]


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("i=2258", NodeId(0, 2258)),
        ("ns=2;i=5", NodeId(2, 5)),
        ("nsu=http://acme.example/line;s=Pump.Speed", NodeId(2, "Pump.Speed")),
        ('ns=3;s="DB_1"."a;b=c"', NodeId(3, '"DB_1"."a;b=c"')),
        ("ns=1;g=00112233-4455-6677-8899-aabbccddeeff", NodeId(1, uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"))),
        ("ns=1;b=AQI=", NodeId(1, b"\x01\x02")),
    ],
)
def test_node_ids(text: str, node: NodeId) -> None:
    address = parse(text)
    assert isinstance(address, NodeAddress)
    assert str(address) == text
    assert address.resolve(NAMESPACES) == node


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("/Objects/2:Line/2:Speed", ((0, "Objects"), (2, "Line"), (2, "Speed"))),
        ("/Objects/nsu=http://acme.example/line;Line", ((0, "Objects"), (2, "Line"))),
        ("/Objects/2:a&/b&&c", ((0, "Objects"), (2, "a/b&c"))),
    ],
)
def test_browse_paths(text: str, names: tuple[tuple[int, str], ...]) -> None:
    address = parse(text)
    assert isinstance(address, PathAddress)
    assert str(address) == text
    assert address.resolve(NAMESPACES) == names


@pytest.mark.parametrize(
    "text",
    ["", "Speed", "x=5", "i=", "i=-1", "i=4294967296", "ns=70000;i=1", "s=", "ns=1;g=5", "ns=1;b=?", "/a//b", "/"],
)
def test_what_is_no_address_is_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="'") as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_a_namespace_the_server_has_not_is_named() -> None:
    with pytest.raises(UnknownNamespace, match="http://nowhere"):
        parse("nsu=http://nowhere;i=1").resolve(NAMESPACES)


def test_a_node_id_is_written_so_that_it_survives_a_restart() -> None:
    assert to_text(NodeId(2, "a"), NAMESPACES) == "nsu=http://acme.example/line;s=a"
    assert parse(to_text(NodeId(2, "a"), NAMESPACES)).resolve(NAMESPACES) == NodeId(2, "a")
    assert to_text(NodeId(0, 85), NAMESPACES) == "i=85"
