"""Events and alarm conditions (OPC 10000-4 §7.22.3, OPC 10000-9): each event is one JSON object."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.opcua import services
from drivers.opcua.address import parse_relative
from drivers.opcua.binary import (
    NodeId,
    QualifiedName,
    Type,
    Variant,
    pack_array,
    pack_extension_object,
    pack_node_id,
    pack_qualified_name,
    pack_variant,
)
from drivers.opcua.options import TagOptions
from drivers.opcua.services import Item
from drivers.opcua.values import Names, dumps, to_json

BASE_EVENT = NodeId(0, 2041)
CONDITION = NodeId(0, 2782)
CONDITION_REFRESH = NodeId(0, 3875)
REFRESH_MARKS = frozenset({2787, 2788})
"""RefreshStartEventType and RefreshEndEventType frame what ConditionRefresh brings."""
REFRESH_REQUIRED = 2789
QUEUE_OVERFLOW = 3035

_NODE_ID = 1
"""Attribute id: with an empty path it selects the condition itself."""
_BASE_FIELDS = ("EventId", "EventType", "SourceNode", "SourceName", "Time", "Message", "Severity")
_CONDITION_FIELDS = (
    "ConditionName",
    "BranchId",
    "Retain",
    "Quality",
    "Comment",
    "EnabledState/Id",
    "ActiveState/Id",
    "AckedState/Id",
    "ConfirmedState/Id",
    "SuppressedState/Id",
    "ShelvingState/CurrentState",
)
_GREATER_OR_EQUAL, _AND, _OF_TYPE = 4, 10, 14
QUEUE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Fields:
    """What is selected of each event, in order."""

    names: tuple[str, ...]
    packed: bytes


def fields(options: TagOptions, namespaces: Sequence[str]) -> Fields:
    """Raises UnknownNamespace."""
    names: list[str] = []
    clauses: list[bytes] = []

    def select(text: str, kind: NodeId) -> None:
        path = parse_relative(text)
        names.append("/".join(name for _, name in path.elements))
        clauses.append(_operand(kind, path.resolve(namespaces), services.VALUE))

    for name in _BASE_FIELDS:
        select(name, BASE_EVENT)
    if options.conditions:
        names.append("ConditionId")
        clauses.append(_operand(CONDITION, (), _NODE_ID))
        for name in _CONDITION_FIELDS:
            select(name, CONDITION)
    for name in options.event_fields:
        select(name, BASE_EVENT)
    return Fields(tuple(names), pack_array(clauses))


def event_item(node: bytes, handle: int, options: TagOptions, selected: Fields, of_type: NodeId | None) -> Item:
    """The monitored item of one notifier."""
    return Item(
        node=node,
        attribute=services.EVENT_NOTIFIER,
        handle=handle,
        sampling_ms=0.0,
        queue_size=options.queue_size or QUEUE_SIZE,
        discard_oldest=options.discard_oldest,
        filter=pack_extension_object(727, selected.packed + _where(options.min_severity, of_type)),
    )


def to_event(selected: Fields, values: Sequence[Variant], names: Names) -> str:
    """As JSON text, without the fields the event doesn't have. Raises Unfit or Malformed for what can't be decoded."""
    pairs = zip(selected.names, values, strict=False)
    return dumps({name: to_json(value, names) for name, value in pairs if value.value is not None})


def type_of(values: Sequence[Variant]) -> int:
    """The standard's number of an event's type; 0 if it isn't one of the standard's."""
    kind = values[1].value if len(values) > 1 else None
    return (
        kind.identifier if isinstance(kind, NodeId) and not kind.namespace and isinstance(kind.identifier, int) else 0
    )


def time_of(values: Sequence[Variant]) -> int:
    """When it happened, in ticks."""
    return values[4].value if len(values) > 4 and values[4].type == Type.DATE_TIME else 0


def _operand(kind: NodeId, path: Sequence[tuple[int, str]], attribute: int) -> bytes:
    """A SimpleAttributeOperand."""
    names = pack_array([pack_qualified_name(QualifiedName(*element)) for element in path])
    return pack_node_id(kind) + names + struct.pack("<Ii", attribute, -1)


def _where(min_severity: int, of_type: NodeId | None) -> bytes:
    """A ContentFilter: this type or its subtypes, and at least so severe."""
    elements: list[bytes] = []
    if min_severity > 1:
        severity = pack_extension_object(603, _operand(BASE_EVENT, ((0, "Severity"),), services.VALUE))
        least = pack_extension_object(597, pack_variant(Variant(Type.UINT16, min_severity)))
        elements.append(struct.pack("<I", _GREATER_OR_EQUAL) + pack_array([severity, least]))
    if of_type is not None:
        literal = pack_extension_object(597, pack_variant(Variant(Type.NODE_ID, of_type)))
        elements.append(struct.pack("<I", _OF_TYPE) + pack_array([literal]))
    if len(elements) == 2:
        both = [pack_extension_object(594, struct.pack("<I", index)) for index in (1, 2)]
        elements.insert(0, struct.pack("<I", _AND) + pack_array(both))
    return pack_array(elements)
