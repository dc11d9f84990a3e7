"""What a server has: its address space as items that can become tags.

Level by level from the start, so that a node which several ways lead to is found on the shortest, and once. No more is
asked for at a time than the server allows, and everything it holds back for later is fetched before the next step.
"""

from __future__ import annotations

import contextlib
import re
import struct
import unicodedata
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from drivers.opcua import services, status
from drivers.opcua.address import parse, to_text
from drivers.opcua.binary import (
    DataValue,
    LocalizedText,
    Malformed,
    NodeId,
    QualifiedName,
    Reader,
    Type,
    pack_array,
    pack_bytes,
    pack_node_id,
)
from drivers.opcua.reading import read_all
from drivers.opcua.resolver import resolve
from drivers.opcua.services import Service
from drivers.opcua.session import Garbled, Session, batches
from drivers.opcua.status import ServiceFailed
from drivers.opcua.units import to_ucum
from drivers.opcua.values import SUGGESTED, Converter, Unfit
from gateway.driver import DeviceSilent, Item, Point, ScanFailed
from gateway.model import DataType, Value

MAX_NODES = 200_000
"""More are found only piece by piece: every one is remembered, so that a loop ends."""
NODES_PER_CALL = 50
REFERENCES_PER_NODE = 500
_MAX_SUPERTYPES = 20
_MAX_LEVELS = 16
_MAX_LEVEL = 64

_OBJECTS = NodeId(0, 85)
_SERVER = NodeId(0, 2253)
_MAX_NODES_PER_BROWSE = NodeId(0, 11710)

_OBJECT, _VARIABLE, _METHOD = 1, 2, 4
_CLASSES = _OBJECT | _VARIABLE | _METHOD
_HAS_PROPERTY = NodeId(0, 46)
_HAS_SUBTYPE = 45
_DESCRIPTION, _USER_ACCESS_LEVEL = 5, 18
_SCALAR, _AT_LEAST_ONE = -1, 0
"""Value ranks; below are those of what may be a scalar or an array."""
_READABLE, _WRITABLE = 1, 2
_SUBSCRIBE_TO_EVENTS = 1

_EU_INFORMATION = NodeId(0, 889)
"""Binary encoding of EUInformation."""

_ABOUT_ITS_OWNER = frozenset(
    {
        *(
            "EngineeringUnits",
            "EURange",
            "InstrumentRange",
            "Definition",
            "ValuePrecision",
            "EnumStrings",
            "EnumValues",
        ),
        *("EnumDictionaryEntries", "TrueState", "FalseState", "InputArguments", "OutputArguments", "NodeVersion"),
        *("ViewVersion", "NamingRule", "HA Configuration", "AggregateConfiguration", "ValueAsText", "Title"),
    }
)
"""Properties of the standard that describe a node rather than the plant."""
_ENUMERATION = NodeId(0, 29)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})


class Reference(NamedTuple):
    """One reference from a browsed node to another."""

    type: NodeId
    node: NodeId
    name: QualifiedName
    node_class: int


class BrowseResult(NamedTuple):
    status: int
    more: bytes | None
    """Where the server goes on, if it holds something back."""
    references: list[Reference]


@dataclass(slots=True)
class _Found:
    """A node on its way to become an item."""

    node: NodeId
    name: str
    node_class: int
    levels: tuple[str, ...]
    parent: NodeId
    references: list[Reference] = field(default_factory=list)


async def browse(session: Session, start: str | None, depth: int | None) -> AsyncIterator[Item]:
    """See :meth:`gateway.driver.Browses.browse`. From the Objects folder, the server's account of itself left out."""
    try:
        root = _OBJECTS if start is None else await _start(session, start)
        walk = _Walk(session, root, await _nodes_per_call(session))
        below = _Found(root, "", _OBJECT, (), root)
        await walk.follow([below], must_exist=start)
        level = walk.children(below)
        while level:
            following: list[_Found] = []
            for some in batches(level, walk.nodes_per_call):
                last = len(some[0].levels) == depth
                # Of the last level variables only: their units stand behind one of their references.
                await walk.follow([found for found in some if found.node_class == _VARIABLE or not last])
                for item in await walk.items(some):
                    yield item
                for found in () if last else some:
                    if start is not None or found.node != _SERVER:
                        following += walk.children(found)
            level = following
    except (ServiceFailed, Garbled) as error:
        raise ScanFailed(f"{session.peer} can't be browsed: {error}") from None


class _Walk:
    """The state of one browse: what was seen, and what types are."""

    def __init__(self, session: Session, root: NodeId, nodes_per_call: int) -> None:
        self.nodes_per_call = nodes_per_call
        self._session = session
        self._seen = {root}
        self._reads_values = True
        self._types: dict[NodeId, DataType] = {_ENUMERATION: DataType.INT32}
        self._types |= {NodeId(0, int(kind)): ours for kind, ours in SUGGESTED.items()}

    async def follow(self, nodes: Sequence[_Found], must_exist: str | None = None) -> None:
        """Fill in the references of nodes. Raises LinkDown, DeviceSilent, ServiceFailed, Garbled or ScanFailed."""
        if not nodes:
            return
        results = await self._session.call(Service.BROWSE, browse_request([f.node for f in nodes]), browse_response)
        open_points: dict[int, bytes] = {}
        alone: list[int] = []
        for index, result in enumerate(results[: len(nodes)]):
            if must_exist is not None and result.status >= status.BAD:
                raise ScanFailed(f"there is no node {must_exist} to start from ({status.name(result.status)})")
            if result.status == status.BAD_NO_CONTINUATION_POINTS and len(nodes) > 1:
                alone.append(index)
                continue
            nodes[index].references = result.references
            if result.more:
                open_points[index] = result.more
        while open_points:
            indexes = list(open_points)
            request = browse_next_request([open_points[index] for index in indexes])
            results = await self._session.call(Service.BROWSE_NEXT, request, browse_response)
            open_points = {}
            for index, result in zip(indexes, results, strict=False):
                nodes[index].references += result.references
                if result.more:
                    open_points[index] = result.more
        for index in alone:  # the server can't hold back something of so many at once
            await self.follow([nodes[index]])

    def children(self, parent: _Found) -> list[_Found]:
        """What is below a node that wasn't found before, with levels that don't collide. Raises ScanFailed."""
        used: set[str] = set()
        found = []
        for reference in parent.references:
            node, name = reference.node, reference.name.name or ""
            if node.server or node in self._seen or not reference.node_class & _CLASSES:
                continue
            if reference.type == _HAS_PROPERTY and reference.name.namespace == 0 and name in _ABOUT_ITS_OWNER:
                continue
            if len(self._seen) >= MAX_NODES:
                raise ScanFailed(
                    f"{self._session.peer} has more than {MAX_NODES} nodes here: start further down, or give a depth"
                )
            self._seen.add(node)
            level = _unused(fit(name), used)
            used.add(level)
            found.append(_Found(node, name, reference.node_class, (*parent.levels, level), parent.node))
        return found

    async def items(self, nodes: Sequence[_Found]) -> list[Item]:
        """Nodes whose references are known, as items."""
        variables = [found for found in nodes if found.node_class == _VARIABLE]
        objects = [found for found in nodes if found.node_class == _OBJECT]
        types = await self._read(variables, services.DATA_TYPE)
        ranks = await self._read(variables, services.VALUE_RANK)
        access = await self._read(variables, _USER_ACCESS_LEVEL)
        notifiers = await self._read(objects, services.EVENT_NOTIFIER)
        descriptions = await self._read(nodes, _DESCRIPTION)
        units = await self._units(variables)
        await self._learn_types([data.value for data in types.values() if isinstance(data.value, NodeId)])
        read = await self._values([one for one in variables if _flags(access[one.node]) & _READABLE])
        shapes = {node: self._shape(types[node].value, ranks[node].value, read.get(node)) for node in types}
        values = self._converted(read, shapes)
        made = []
        for found in nodes:
            node = found.node
            description = descriptions[node]
            kind, address, data_type, count, writable = "folder", node, None, None, False
            options: dict[str, Any] = {}
            if found.node_class == _METHOD:
                kind, address, data_type, writable = "method", found.parent, DataType.JSON, True
                options = {"method": self._text(node)}
            elif found.node_class == _VARIABLE:
                kind, writable = "value", bool(_flags(access[node]) & _WRITABLE)
                data_type, count = shapes[node]
            elif _flags(notifiers[node]) & _SUBSCRIBE_TO_EVENTS:
                kind, data_type, options = "event", DataType.JSON, {"events": True}
            made.append(
                Item(
                    address="" if kind == "folder" else self._text(address),
                    path="/".join(found.levels[-_MAX_LEVELS:]),
                    kind=kind,
                    type=data_type,
                    count=count,
                    writable=writable,
                    name=found.name,
                    unit=units.get(node),
                    description=describe(description.value, found.name),
                    value=values.get(node),
                    options=options,
                )
            )
        return made

    def _text(self, node: NodeId) -> str:
        return to_text(node, self._session.namespaces)

    async def _read(self, nodes: Sequence[_Found], attribute: int) -> dict[NodeId, DataValue]:
        found: dict[NodeId, DataValue] = {}
        for some in batches(nodes, self._session.limits.nodes_per_read or NODES_PER_CALL):
            if some:
                packed = [pack_node_id(one.node) for one in some]
                values = await self._session.read(packed, services.SERVER_TIME, attribute)
                found |= dict(zip((one.node for one in some), values, strict=True))
        return found

    async def _units(self, variables: Sequence[_Found]) -> dict[NodeId, str | None]:
        properties = {
            reference.node: found.node
            for found in variables
            for reference in found.references
            if reference.name == QualifiedName(0, "EngineeringUnits")
        }
        read = await self._read([_Found(node, "", _VARIABLE, (), node) for node in properties], services.VALUE)
        return {properties[node]: _unit(data) for node, data in read.items()}

    async def _values(self, variables: Sequence[_Found]) -> dict[NodeId, DataValue]:
        """What nodes read now. A node that the server chokes on costs its own value, one that takes too long all values
        from there on, none the browse."""
        if not self._reads_values:
            return {}
        packed = [pack_node_id(found.node) for found in variables]
        try:
            read = await read_all(self._session, packed, services.SERVER_TIME)
            await self._learn_structures(read)
        except DeviceSilent:
            self._reads_values = False
            return {}
        return {found.node: data for found, data in zip(variables, read, strict=True)}

    def _converted(
        self, read: Mapping[NodeId, DataValue], shapes: Mapping[NodeId, tuple[DataType | None, int | None]]
    ) -> dict[NodeId, Value]:
        values: dict[NodeId, Value] = {}
        for node, data in read.items():
            data_type, count = shapes[node]
            if data_type is not None:
                try:
                    converter = Converter(Point("", data_type, None, count))
                    values[node], _ = converter.convert(data, self._session)
                except Unfit:
                    continue
        return values

    async def _learn_structures(self, read: Iterable[DataValue]) -> None:
        """Find out how the structures among these values are made, so that they can be shown."""
        converter = Converter(Point("", DataType.JSON, None, None))
        for data in read:
            with contextlib.suppress(Unfit):
                converter.convert(data, self._session)
        with contextlib.suppress(ServiceFailed, Garbled):
            await self._session.structures.learn()

    # -- types

    async def _learn_types(self, wanted: Sequence[NodeId]) -> None:
        """Find out what types of the server's own are made of, by asking for their supertypes."""
        ways = {node: [node] for node in dict.fromkeys(wanted) if node not in self._types}
        for _ in range(_MAX_SUPERTYPES):
            asking = [way for way in ways.values() if way[-1] not in self._types]
            if not asking:
                break
            for some in batches(asking, self.nodes_per_call):
                request = services.browse_request([way[-1] for way in some], _HAS_SUBTYPE, inverse=True)
                for way, supertypes in zip(
                    some, await self._session.call(Service.BROWSE, request, services.browse_response), strict=False
                ):
                    if supertypes:
                        way.append(supertypes[0].node)
                    else:  # the root of all types, or a type that isn't told
                        self._types[way[-1]] = DataType.JSON
        for way in ways.values():
            for node in way:
                self._types.setdefault(node, self._types.get(way[-1], DataType.JSON))

    def _shape(self, data_type: object, rank: object, now: DataValue | None) -> tuple[DataType | None, int | None]:
        """Our type and count. An array of unknown size has as many elements as the device has (0).

        Where the rank (OPC 10000-3 §5.6.2) leaves it open what a value looks like, the one it has `now` decides.
        """
        ours = self._types.get(data_type, DataType.JSON) if isinstance(data_type, NodeId) else None
        if ours in (None, DataType.JSON) or not isinstance(rank, int):
            return ours, None
        is_array = now is not None and isinstance(now.value, list)
        if rank == _SCALAR or (rank < _SCALAR and not is_array):
            return ours, None
        is_vector = rank == 1 or (rank == _AT_LEAST_ONE and is_array and now is not None and not now.dimensions)
        return (ours, 0) if is_vector else (DataType.JSON, None)


def fit(name: str) -> str:
    """A name as a level of a tag's path: letters, digits, - and _, not beginning with _."""
    plain = unicodedata.normalize("NFKD", name.translate(_UMLAUTS)).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-").lstrip("_")[:_MAX_LEVEL] or "node"


def describe(text: object, name: str) -> str:
    """What a server says of a node. Many repeat its name, which tells nothing."""
    said = (text.text or "").strip() if isinstance(text, LocalizedText) else ""
    return "" if said == name else said


def _unused(level: str, used: set[str]) -> str:
    candidate, number = level, 1
    while candidate in used:
        number += 1
        candidate = f"{level[: _MAX_LEVEL - 8]}-{number}"
    return candidate


def _flags(data: DataValue) -> int:
    return data.value if isinstance(data.value, int) else 0


def _unit(data: DataValue) -> str | None:
    if data.type != Type.EXTENSION_OBJECT or data.value.encoding[:2] != _EU_INFORMATION[:2]:
        return None
    reader = Reader(data.value.body or b"")
    try:
        return to_ucum(reader.string(), reader.int32())
    except Malformed:
        return None


async def _start(session: Session, text: str) -> NodeId:
    try:
        (node,) = await resolve(session, [parse(text)])
    except ValueError as error:
        raise ScanFailed(str(error)) from None
    if isinstance(node, int):
        raise ScanFailed(f"there is no node {text} to start from ({status.name(node)})")
    return node


async def _nodes_per_call(session: Session) -> int:
    (limit,) = await session.read([pack_node_id(_MAX_NODES_PER_BROWSE)], services.SERVER_TIME)
    return min(limit.value or NODES_PER_CALL, NODES_PER_CALL) if isinstance(limit.value, int) else NODES_PER_CALL


# -- the messages (OPC 10000-4 §5.9.2, §5.9.3)


def browse_request(nodes: Sequence[NodeId]) -> bytes:
    """Forward hierarchical references to objects, variables and methods."""
    view = b"\x00\x00" + struct.pack("<qI", 0, 0)
    hierarchical = pack_node_id(NodeId(0, services.HIERARCHICAL_REFERENCES))
    tail = struct.pack("<I", 0) + hierarchical + struct.pack("<?II", True, _CLASSES, 0x3F)
    return view + struct.pack("<I", REFERENCES_PER_NODE) + pack_array([pack_node_id(node) + tail for node in nodes])


def browse_next_request(points: Sequence[bytes]) -> bytes:
    return b"\x00" + pack_array([pack_bytes(point) for point in points])


def browse_response(reader: Reader) -> list[BrowseResult]:
    """Of Browse and BrowseNext."""
    results = []
    for _ in range(reader.count(12)):
        code = reader.uint32()
        point = reader.byte_string()
        results.append(BrowseResult(code, point or None, [_reference(reader) for _ in range(reader.count(18))]))
    reader.skip_diagnostics()
    return results


def _reference(reader: Reader) -> Reference:
    kind = reader.node_id()
    reader.byte()
    node = reader.node_id()
    name = reader.qualified_name()
    reader.localized_text()
    node_class = reader.uint32()
    reader.node_id()
    return Reference(kind, node, name, node_class)
