"""The services this driver uses (OPC 10000-4 §5), as bytes: parameters of requests, contents of responses.

Every parser takes a :class:`~drivers.opcua.binary.Reader` that stands behind the response header, and raises Malformed.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from drivers.opcua import status
from drivers.opcua.binary import (
    DataValue,
    Encoded,
    Malformed,
    NodeId,
    QualifiedName,
    Reader,
    Variant,
    pack_array,
    pack_extension_object,
    pack_node_id,
    pack_qualified_name,
    pack_variant,
)
from drivers.opcua.status import ServiceFailed


class Service(enum.IntEnum):
    """A service by the encoding id of its request; the response's is three more (OPC 10000-6 annex A.3)."""

    FIND_SERVERS = 422
    GET_ENDPOINTS = 428
    OPEN_SECURE_CHANNEL = 446
    CLOSE_SECURE_CHANNEL = 452
    CREATE_SESSION = 461
    ACTIVATE_SESSION = 467
    CLOSE_SESSION = 473
    BROWSE = 527
    BROWSE_NEXT = 533
    TRANSLATE_BROWSE_PATHS = 554
    READ = 631
    HISTORY_READ = 664
    WRITE = 673
    CALL = 712
    CREATE_MONITORED_ITEMS = 751
    DELETE_MONITORED_ITEMS = 781
    CREATE_SUBSCRIPTION = 787
    SET_PUBLISHING_MODE = 799
    PUBLISH = 826
    REPUBLISH = 832
    DELETE_SUBSCRIPTIONS = 847


VALUE = 13
"""Attribute ids (OPC 10000-6 annex A.1)."""
DATA_TYPE = 14
VALUE_RANK = 15
ACCESS_LEVEL = 17
EVENT_NOTIFIER = 12
DATA_TYPE_DEFINITION = 23

SOURCE_TIME, SERVER_TIME, BOTH_TIMES = 0, 1, 2

HIERARCHICAL_REFERENCES = 33
HAS_ENCODING = 38
HAS_SUBTYPE = 45

_NO_RANGE_NO_ENCODING = b"\xff\xff\xff\xff\x00\x00\xff\xff\xff\xff"
"""IndexRange and DataEncoding of a ReadValueId."""


def response_header(reader: Reader) -> tuple[int, int]:
    """(encoding id of the response, ServiceResult); the reader then stands before the parameters."""
    kind = reader.node_id()
    reader.int64()
    reader.uint32()
    result = reader.uint32()
    reader.diagnostic_info()
    reader.array(12)
    reader.extension_object()
    if kind.namespace or not isinstance(kind.identifier, int):
        raise Malformed(f"a response of type {kind}")
    return kind.identifier, result


def response(reader: Reader, service: int) -> Reader:
    """`reader`, now behind the header of the answer to `service`. Raises ServiceFailed or Malformed."""
    try:
        kind, result = response_header(reader)
    except RecursionError:
        raise Malformed("too deep") from None
    if result >= status.BAD:
        raise ServiceFailed(result)
    if kind != service + 3:
        raise Malformed(f"a response of type {kind}")
    return reader


def _statuses(reader: Reader) -> list[int]:
    results = reader.array(19)
    reader.skip_diagnostics()
    return results


# -- Attribute service set


def read_request(nodes: Sequence[bytes], times: int, attribute: int = VALUE) -> bytes:
    """`nodes`: packed node ids."""
    tail = struct.pack("<I", attribute) + _NO_RANGE_NO_ENCODING
    return struct.pack("<dIi", 0.0, times, len(nodes)) + tail.join(nodes) + (tail if nodes else b"")


def read_response(reader: Reader) -> list[DataValue]:
    values = [reader.data_value() for _ in range(reader.count(1))]
    reader.skip_diagnostics()
    return values


def write_request(node: NodeId, value: Variant) -> bytes:
    """Raises ValueError if the value isn't of its type."""
    return (
        struct.pack("<i", 1)
        + pack_node_id(node)
        + struct.pack("<Ii", VALUE, -1)
        + b"\x01"  # a DataValue of nothing but a value: many servers refuse one with a status or time
        + pack_variant(value)
    )


def write_response(reader: Reader) -> list[int]:
    return _statuses(reader)


def history_request(
    nodes: Sequence[tuple[bytes, bytes | None]], start_ticks: int, end_ticks: int, count: int, times: int
) -> bytes:
    """Raw values of the nodes (packed id, continuation point) from start to end, at most `count` of each."""
    details = struct.pack("<?qqI?", False, start_ticks, end_ticks, count, False)
    items = [node + _NO_RANGE_NO_ENCODING + _pack_point(point) for node, point in nodes]
    return pack_extension_object(649, details) + struct.pack("<I?", times, False) + pack_array(items)


def _pack_point(point: bytes | None) -> bytes:
    return b"\xff\xff\xff\xff" if point is None else struct.pack("<i", len(point)) + point


class HistoryResult(NamedTuple):
    status: int
    more: bytes | None
    """Where to go on, if there is more."""
    values: list[DataValue]


def history_response(reader: Reader) -> list[HistoryResult]:
    results = []
    for _ in range(reader.count(9)):
        code = reader.uint32()
        point = reader.byte_string()
        results.append(HistoryResult(code, point or None, _history_data(reader.extension_object())))
    reader.skip_diagnostics()
    return results


def _history_data(data: Encoded) -> list[DataValue]:
    if not isinstance(data.body, bytes) or data.encoding[:2] not in ((0, 658), (0, 11227)):
        return []
    reader = Reader(data.body)
    return [reader.data_value() for _ in range(reader.count(1))]


# -- Method service set


def call_request(target: NodeId, method: NodeId, inputs: Sequence[Variant]) -> bytes:
    """Raises ValueError if an input isn't of its type."""
    arguments = pack_array([pack_variant(value) for value in inputs])
    return struct.pack("<i", 1) + pack_node_id(target) + pack_node_id(method) + arguments


class CallResult(NamedTuple):
    status: int
    inputs: list[int]
    """Status of each input, where the server says so."""
    outputs: list[Variant]


def call_response(reader: Reader) -> list[CallResult]:
    results = []
    for _ in range(reader.count(16)):
        code, inputs = reader.uint32(), reader.array(19)
        reader.skip_diagnostics()
        results.append(CallResult(code, inputs, reader.array(24)))
    reader.skip_diagnostics()
    return results


# -- View service set


def translate_request(paths: Sequence[tuple[NodeId, Sequence[tuple[int, str]]]]) -> bytes:
    """Browse paths by hierarchical references, each from a start node."""
    hierarchical = pack_node_id(NodeId(0, HIERARCHICAL_REFERENCES)) + b"\x00\x01"
    return pack_array(
        [
            pack_node_id(start)
            + pack_array([hierarchical + pack_qualified_name(QualifiedName(*element)) for element in elements])
            for start, elements in paths
        ]
    )


class PathResult(NamedTuple):
    status: int
    targets: list[NodeId]
    """Nodes at the end of the whole path."""


def translate_response(reader: Reader) -> list[PathResult]:
    results = []
    for _ in range(reader.count(8)):
        code = reader.uint32()
        targets = [(reader.node_id(), reader.uint32()) for _ in range(reader.count(6))]
        results.append(PathResult(code, [node for node, rest in targets if rest == 0xFFFF_FFFF]))
    reader.skip_diagnostics()
    return results


def browse_request(nodes: Sequence[NodeId], reference: int, *, inverse: bool = False) -> bytes:
    """References of one type and its subtypes; at most 1,000 of each node."""
    view = b"\x00\x00" + struct.pack("<qI", 0, 0)
    tail = struct.pack("<I", int(inverse)) + pack_node_id(NodeId(0, reference)) + struct.pack("<?II", True, 0, 0x3F)
    return view + struct.pack("<I", 1000) + pack_array([pack_node_id(node) + tail for node in nodes])


class Reference(NamedTuple):
    node: NodeId
    name: QualifiedName


def browse_response(reader: Reader) -> list[list[Reference]]:
    results = []
    for _ in range(reader.count(12)):
        reader.uint32()
        reader.byte_string()
        references = []
        for _ in range(reader.count(18)):
            reader.node_id()
            reader.byte()
            node = reader.node_id()
            name = reader.qualified_name()
            reader.localized_text()
            reader.uint32()
            reader.node_id()
            references.append(Reference(node, name))
        results.append(references)
    reader.skip_diagnostics()
    return results


# -- MonitoredItem and Subscription service sets


@dataclass(frozen=True, slots=True)
class Item:
    """A monitored item as it is asked for."""

    node: bytes
    """Packed node id."""
    attribute: int
    handle: int
    """The client's own number for it: notifications carry it."""
    sampling_ms: float
    queue_size: int
    discard_oldest: bool
    filter: bytes
    """Packed ExtensionObject."""


NO_FILTER = b"\x00\x00\x00"
_REPORTING = 2


def data_change_filter(trigger: int, deadband_type: int, deadband: float) -> bytes:
    return pack_extension_object(724, struct.pack("<IId", trigger, deadband_type, deadband))


def create_items_request(subscription: int, times: int, items: Sequence[Item]) -> bytes:
    packed = [
        item.node
        + struct.pack("<I", item.attribute)
        + _NO_RANGE_NO_ENCODING
        + struct.pack("<IId", _REPORTING, item.handle, item.sampling_ms)
        + item.filter
        + struct.pack("<I?", item.queue_size, item.discard_oldest)
        for item in items
    ]
    return struct.pack("<II", subscription, times) + pack_array(packed)


class ItemResult(NamedTuple):
    status: int
    id: int
    sampling_ms: float
    queue_size: int


def create_items_response(reader: Reader) -> list[ItemResult]:
    results = []
    for _ in range(reader.count(23)):
        results.append(ItemResult(reader.uint32(), reader.uint32(), reader.double(), reader.uint32()))
        reader.extension_object()
    reader.skip_diagnostics()
    return results


def delete_items_request(subscription: int, items: Sequence[int]) -> bytes:
    return struct.pack(f"<Ii{len(items)}I", subscription, len(items), *items)


def delete_items_response(reader: Reader) -> list[int]:
    return _statuses(reader)


def create_subscription_request(publishing_ms: float, lifetime: int, keepalive: int) -> bytes:
    """`lifetime` and `keepalive` count publishing intervals."""
    return struct.pack("<dIII?B", publishing_ms, lifetime, keepalive, 0, True, 0)


class SubscriptionResult(NamedTuple):
    id: int
    publishing_ms: float
    lifetime: int
    keepalive: int


def create_subscription_response(reader: Reader) -> SubscriptionResult:
    return SubscriptionResult(reader.uint32(), reader.double(), reader.uint32(), reader.uint32())


def publishing_mode_request(subscriptions: Sequence[int]) -> bytes:
    """Switch publishing on."""
    return struct.pack(f"<?i{len(subscriptions)}I", True, len(subscriptions), *subscriptions)


def delete_subscriptions_request(subscriptions: Sequence[int]) -> bytes:
    return struct.pack(f"<i{len(subscriptions)}I", len(subscriptions), *subscriptions)


def statuses_response(reader: Reader) -> list[int]:
    """Of SetPublishingMode and DeleteSubscriptions."""
    return _statuses(reader)


def publish_request(acknowledgements: Sequence[tuple[int, int]]) -> bytes:
    """`acknowledgements`: (subscription, sequence number)."""
    flat = [number for pair in acknowledgements for number in pair]
    return struct.pack(f"<i{len(flat)}I", len(acknowledgements), *flat)


class Notification(NamedTuple):
    """The head of a publish response. The reader then stands before its notification data."""

    subscription: int
    more: bool
    sequence: int
    parts: int
    """How many notifications follow; none is a keep-alive."""


def publish_response(reader: Reader) -> Notification:
    subscription = reader.uint32()
    reader.array(7)
    more = bool(reader.byte())
    return Notification(subscription, more, *notification_message(reader))


def notification_message(reader: Reader) -> tuple[int, int]:
    """(sequence number, number of notifications)"""
    sequence = reader.uint32()
    reader.int64()
    return sequence, reader.count(3)


def republish_request(subscription: int, sequence: int) -> bytes:
    return struct.pack("<II", subscription, sequence)


DATA_CHANGE = 811
EVENTS = 916
STATUS_CHANGE = 820
