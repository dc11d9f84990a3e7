"""How a node is named: a node id (OPC 10000-6 §5.3.1.10) or a browse path (OPC 10000-4 annex A.2).

A namespace is meant by its URI. Its index is only good for one server start, so it is looked up in the server's
namespace table after every connect.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from drivers.opcua.binary import NodeId

Namespace: TypeAlias = int | str
"""Index or URI."""

_MAX_UINT16 = 0xFFFF
_MAX_UINT32 = 0xFFFF_FFFF
_PREFIX = re.compile(r"(?:nsu=(?P<uri>[^;]+);|ns=(?P<index>\d+);)?")
_ELEMENT = re.compile(r"(?:nsu=(?P<uri>[^;]+);|(?P<index>\d+):)?(?P<name>.+)", re.DOTALL)


class UnknownNamespace(Exception):
    """The server has no such namespace."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        super().__init__(f"the server has no namespace {uri}: mend the URI, or load the program that brings it")


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node by its id."""

    namespace: Namespace
    identifier: int | str | uuid.UUID | bytes

    def __str__(self) -> str:
        return f"{_namespace_text(self.namespace, ';', 'ns=')}{_identifier_text(self.identifier)}"

    def resolve(self, namespaces: Sequence[str]) -> NodeId:
        """The id as this server counts. Raises UnknownNamespace."""
        return NodeId(_index(self.namespace, namespaces), self.identifier)


@dataclass(frozen=True, slots=True)
class PathAddress:
    """A node by the browse names that lead to it from the root folder."""

    elements: tuple[tuple[Namespace, str], ...]

    def __str__(self) -> str:
        return "".join(f"/{_namespace_text(namespace, ';', '')}{_escape(name)}" for namespace, name in self.elements)

    def resolve(self, namespaces: Sequence[str]) -> tuple[tuple[int, str], ...]:
        """The browse names as this server counts namespaces. Raises UnknownNamespace."""
        return tuple((_index(namespace, namespaces), name) for namespace, name in self.elements)


Address: TypeAlias = NodeAddress | PathAddress


def parse(text: str) -> Address:
    """`nsu=http://acme.example/line;s=Pump.Speed`, `ns=2;i=5`, `i=2258` or `/Objects/2:Line/2:Speed`.

    Raises ValueError with one sentence for a user.
    """
    return _parse_path(text) if text.startswith("/") else _parse_id(text)


def parse_relative(text: str) -> PathAddress:
    """A browse path that starts anywhere: `ActiveState/Id`, `2:Batch`. Raises ValueError."""
    return _parse_path(f"/{text}")


def to_text(node: NodeId, namespaces: Sequence[str]) -> str:
    """A node id that is still right when the server counts its namespaces anew."""
    namespace: Namespace = node.uri or node.namespace
    if isinstance(namespace, int) and 0 < namespace < len(namespaces):
        namespace = namespaces[namespace]
    server = f"svr={node.server};" if node.server else ""
    return f"{server}{_namespace_text(namespace, ';', 'ns=')}{_identifier_text(node.identifier)}"


def name_text(namespace: int, name: str, namespaces: Sequence[str]) -> str:
    """A qualified name in the same spirit: bare in namespace 0, else with the namespace's URI."""
    if 0 < namespace < len(namespaces):
        return f"nsu={namespaces[namespace]};{name}"
    return f"{namespace}:{name}" if namespace else name


def _parse_id(text: str) -> NodeAddress:
    prefix = _PREFIX.match(text)
    assert prefix is not None
    kind, equals, rest = text[prefix.end() :].partition("=")
    if not equals or kind not in ("i", "s", "g", "b"):
        raise ValueError(
            f"'{text}' is no node id: write 'nsu=URI;s=NAME', 'ns=2;i=5' or a path such as '/Objects/2:Line/2:Speed'"
        )
    namespace = _namespace(text, prefix)
    try:
        return NodeAddress(namespace, _identifier(kind, rest))
    except (ValueError, binascii.Error):
        expected = {"i": "a number", "g": "a GUID", "b": "base64"}.get(kind, "a name")
        raise ValueError(f"'{text}' is no node id: after '{kind}=' comes {expected}") from None


def _identifier(kind: str, text: str) -> int | str | uuid.UUID | bytes:
    if kind == "i":
        number = int(text) if text.isascii() and text.isdigit() else -1
        if not 0 <= number <= _MAX_UINT32:
            raise ValueError(text)
        return number
    if not text:
        raise ValueError(text)
    if kind == "g":
        return uuid.UUID(text)
    if kind == "b":
        return base64.b64decode(text, validate=True)
    return text


def _parse_path(text: str) -> PathAddress:
    elements: list[tuple[Namespace, str]] = []
    for part in _split(text[1:]):
        match = _ELEMENT.fullmatch(part)
        if match is None:
            raise ValueError(f"'{text}' has an empty level: write it as '/Objects/2:Line/2:Speed'")
        elements.append((_namespace(text, match), match["name"]))
    return PathAddress(tuple(elements))


def _split(text: str) -> list[str]:
    """At every slash but an escaped one (`&/`) and those of a namespace URI."""
    parts, part, position = [], "", 0
    while position < len(text):
        if not part and text.startswith("nsu=", position) and (end := text.find(";", position)) > 0:
            part, position = text[position : end + 1], end + 1
            continue
        character = text[position]
        if character == "&" and position + 1 < len(text):
            position += 1
            part += text[position]
        elif character == "/":
            parts.append(part)
            part = ""
        else:
            part += character
        position += 1
    return [*parts, part]


def _escape(name: str) -> str:
    return name.replace("&", "&&").replace("/", "&/")


def _namespace(text: str, match: re.Match[str]) -> Namespace:
    if match["uri"] is not None:
        return match["uri"]
    index = int(match["index"] or 0)
    if index > _MAX_UINT16:
        raise ValueError(f"'{text}' has no namespace index: write one of 0 to {_MAX_UINT16}, or 'nsu=URI;…'")
    return index


def _index(namespace: Namespace, namespaces: Sequence[str]) -> int:
    if isinstance(namespace, int):
        return namespace
    try:
        return namespaces.index(namespace)
    except ValueError:
        raise UnknownNamespace(namespace) from None


def _namespace_text(namespace: Namespace, end: str, index_prefix: str) -> str:
    if isinstance(namespace, str):
        return f"nsu={namespace}{end}"
    if not namespace:
        return ""
    return f"{index_prefix}{namespace}{end if index_prefix else ':'}"


def _identifier_text(identifier: int | str | uuid.UUID | bytes) -> str:
    match identifier:
        case int():
            return f"i={identifier}"
        case uuid.UUID():
            return f"g={identifier}"
        case bytes():
            return f"b={base64.b64encode(identifier).decode()}"
    return f"s={identifier}"
