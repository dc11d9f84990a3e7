"""Structures as JSON. Their definitions (OPC 10000-3 §5.8.3) are read from the server, once a session.

A structure whose definition the server doesn't give is passed on as its bytes: ``{"encoding": …, "body": hex}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from drivers.opcua import services
from drivers.opcua.address import to_text
from drivers.opcua.binary import Encoded, Malformed, NodeId, Reader, Type, pack_node_id
from drivers.opcua.services import Service
from drivers.opcua.values import Unfit, scalar_to_json
from gateway.model import Quality

if TYPE_CHECKING:
    from drivers.opcua.session import Session

_STRUCTURE_DEFINITION = NodeId(0, 122)
_ENUM_DEFINITION = NodeId(0, 123)
_ENUMERATION = NodeId(0, 29)
_NUMBERS = (26, 27, 28)
"""Number, Integer, UInteger: abstract, so carried as Variants."""
_PLAIN, _OPTIONAL, _UNION, _SUBTYPED, _SUBTYPED_UNION = range(5)
_STANDARD = Path(__file__).with_name("standard_structures.json")
"""By encoding id. Read when one of them is met, which most servers define themselves."""
_MOST = 1000
"""Definitions a session keeps."""


@dataclass(slots=True)
class Structure:
    """A structure's definition."""

    kind: int
    fields: list[Field] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: int | Structure
    is_array: bool
    optional: bool
    """In a structure that allows subtypes: whether this field may be of one."""


class NotDefined(Exception):
    """The server doesn't say how this is made up."""


def standard(encoding: NodeId) -> Structure:
    """One of the standard's own, which older servers don't define. Raises NotDefined."""
    table = orjson.loads(_STANDARD.read_bytes())
    name = None if encoding.namespace else table["encodings"].get(str(encoding.identifier))
    if name is None:
        raise NotDefined
    return _from_table(table["structures"], name)


def _from_table(table: Mapping[str, Any], name: str) -> Structure:
    fields = [
        Field(field_name, _from_table(table, kind) if isinstance(kind, str) else kind, is_array, optional=False)
        for field_name, kind, is_array in table[name]
    ]
    return Structure(_PLAIN, fields)


class Structures:
    """What is known of a server's structures. Belongs to one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._by_encoding: dict[NodeId, Structure | None] = {}
        """None: the server doesn't define it."""
        self._by_type: dict[NodeId, int | Structure] = {}
        self.unknown: set[NodeId] = set()
        """Encodings that were met and not looked up yet."""

    def to_json(self, encoded: Encoded) -> Any:
        """Raises Malformed, or Unfit while the definition isn't known yet."""
        if encoded.body is None:
            return None
        encoding = encoded.encoding
        if encoding not in self._by_encoding:
            self.unknown.add(encoding)
            raise Unfit(Quality.BAD_WAITING_FOR_INITIAL_DATA, "its structure is being looked up")
        definition = self._by_encoding[encoding]
        if definition is None or not isinstance(encoded.body, bytes):
            body = encoded.body.hex() if isinstance(encoded.body, bytes) else encoded.body
            return {"encoding": to_text(encoding, self._session.namespaces), "body": body}
        return self._decode(Reader(encoded.body), definition)

    # -- decoding

    def _decode(self, reader: Reader, definition: Structure) -> Any:
        reader.descend()
        if definition.kind in (_UNION, _SUBTYPED_UNION):
            body = self._union(reader, definition)
        else:
            mask = reader.uint32() if definition.kind == _OPTIONAL else 0
            bit = 1
            body = {}
            for part in definition.fields:
                if definition.kind == _OPTIONAL and part.optional:
                    present, bit = mask & bit, bit << 1
                    if not present:
                        continue
                body[part.name] = self._field(reader, part, subtyped=definition.kind == _SUBTYPED and part.optional)
        reader.ascend()
        return body

    def _union(self, reader: Reader, definition: Structure) -> dict[str, Any]:
        switch = reader.uint32()
        if switch == 0:
            return {}
        if switch > len(definition.fields):
            raise Malformed(f"field {switch} of a union of {len(definition.fields)}")
        part = definition.fields[switch - 1]
        subtyped = definition.kind == _SUBTYPED_UNION and part.optional
        return {part.name: self._field(reader, part, subtyped=subtyped)}

    def _field(self, reader: Reader, part: Field, *, subtyped: bool) -> Any:
        kind = part.type
        if subtyped:
            kind = Type.EXTENSION_OBJECT if isinstance(kind, Structure) else Type.VARIANT
        if isinstance(kind, Structure):
            if part.is_array:
                return [self._decode(reader, kind) for _ in range(reader.count(0))]
            return self._decode(reader, kind)
        if part.is_array:
            return [scalar_to_json(kind, value, self._session) for value in reader.array(kind)]
        return scalar_to_json(kind, reader.scalar(kind), self._session)

    # -- learning

    async def learn(self) -> None:
        """Look up what was met and isn't known. Raises as :meth:`drivers.opcua.session.Session.call`."""
        while self.unknown:
            encoding = self.unknown.pop()
            if len(self._by_encoding) >= _MOST:
                self._by_encoding.clear()
            try:
                self._by_encoding[encoding] = await self._definition_of(encoding)
            except (NotDefined, RecursionError):  # types in a circle, too
                self._by_encoding[encoding] = None

    async def _definition_of(self, encoding: NodeId) -> Structure:
        references = await self._browse(encoding, services.HAS_ENCODING)
        try:
            kind = await self._type(references[0]) if references else None
        except NotDefined:
            kind = None
        return kind if isinstance(kind, Structure) else standard(encoding)

    async def _type(self, data_type: NodeId) -> int | Structure:
        """A data type as built-in type or definition. Raises NotDefined."""
        known = self._by_type.get(data_type)
        if known is not None:
            return known
        if data_type.namespace == 0 and isinstance(data_type.identifier, int):
            if data_type.identifier in _NUMBERS:
                return Type.VARIANT
            if data_type.identifier <= Type.DIAGNOSTIC_INFO:
                return data_type.identifier
        if data_type == _ENUMERATION:
            return Type.INT32
        (data,) = await self._session.read(
            [pack_node_id(data_type)], services.SERVER_TIME, services.DATA_TYPE_DEFINITION
        )
        definition = data.value
        if isinstance(definition, Encoded) and definition.encoding == _STRUCTURE_DEFINITION:
            return await self._structure(data_type, definition)
        if isinstance(definition, Encoded) and definition.encoding == _ENUM_DEFINITION:
            kind: int | Structure = Type.INT32
        else:
            supertypes = await self._browse(data_type, services.HAS_SUBTYPE)
            if not supertypes or supertypes[0] == NodeId(0, Type.EXTENSION_OBJECT):
                raise NotDefined
            kind = await self._type(supertypes[0])
        self._by_type[data_type] = kind
        return kind

    async def _structure(self, data_type: NodeId, definition: Encoded) -> Structure:
        if not isinstance(definition.body, bytes) or len(self._by_type) >= _MOST:
            raise NotDefined
        reader = Reader(definition.body)
        reader.node_id()
        reader.node_id()
        # Known before its fields are: a structure may contain itself.
        structure = self._by_type[data_type] = Structure(reader.int32())
        try:
            for _ in range(reader.count(20)):
                name = reader.string() or ""
                reader.localized_text()
                kind, rank = reader.node_id(), reader.int32()
                reader.array(Type.UINT32)
                reader.uint32()
                optional = bool(reader.byte())
                if rank > 1 or rank < -1:
                    raise NotDefined  # an array of several dimensions
                structure.fields.append(Field(name, await self._type(kind), rank >= 0, optional))
        except (NotDefined, Malformed):
            del self._by_type[data_type]
            raise NotDefined from None
        return structure

    async def _browse(self, node: NodeId, reference: int) -> Sequence[NodeId]:
        request = services.browse_request([node], reference, inverse=True)
        results = await self._session.call(Service.BROWSE, request, services.browse_response)
        if len(results) != 1:
            raise NotDefined
        return [each.node for each in results[0]]
