"""What an OPC UA message means, as :mod:`.tracing` shows it (OPC 10000-6 §5.2, §6.7, §7.1; OPC 10000-4 §5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from drivers.opcua import services, status
from drivers.opcua.binary import DataValue, Malformed, NodeId, Reader, type_name
from drivers.opcua.services import Service
from drivers.opcua.values import ticks_to_text
from gateway.wire import Direction, Dissection, Frame, Part

_KINDS = {
    b"HEL": "hello",
    b"ACK": "acknowledge",
    b"ERR": "error",
    b"OPN": "open channel",
    b"CLO": "close channel",
    b"MSG": "message",
}
_HEADER = 8
_FAULT = 397
"""Encoding id of a ServiceFault."""
_SHOWN = 200
"""Values of one message that are listed; beyond that their number says enough."""
_TEXT = 120


class _Parts:
    """Reads a message and notes where everything stood."""

    def __init__(self, data: bytes, position: int) -> None:
        self.reader = Reader(data, position)
        self.found: list[Part] = []

    def note(self, name: str, read: Callable[[], Any], show: Callable[[Any], str] = str) -> Any:
        """Raises Malformed."""
        begin = self.reader.position
        value = read()
        self.found.append(Part(name, begin, self.reader.position - begin, _short(show(value))))
        return value


def dissect(frame: Frame, asked: Frame | None) -> Dissection:
    """See :attr:`gateway.driver.DriverKind.dissect`."""
    data = frame.data
    if len(data) < _HEADER:
        return Dissection(f"{len(data)} bytes are too few for OPC UA", fault=True)
    parts = _Parts(data, _HEADER)
    kind = data[:3]
    parts.found.append(Part("type", 0, 3, _KINDS.get(kind, "unknown")))
    parts.found.append(Part("chunk", 3, 1, {b"F": "final", b"C": "intermediate", b"A": "abort"}.get(data[3:4], "?")))
    parts.found.append(Part("size", 4, 4, str(int.from_bytes(data[4:8], "little"))))
    try:
        summary, fault = _meaning(kind, parts, frame.direction)
    except (Malformed, RecursionError) as error:
        blanked = "blanked" in frame.note
        summary, fault = (
            _KINDS.get(kind, "not OPC UA") + ("" if blanked else f", cut short or malformed: {error}"),
            True,
        )
    return Dissection(summary, tuple(parts.found), fault)


def _meaning(kind: bytes, parts: _Parts, direction: Direction) -> tuple[str, bool]:
    reader = parts.reader
    match kind:
        case b"HEL" | b"ACK":
            for name in ("protocol version", "receive buffer", "send buffer", "longest message", "most chunks"):
                parts.note(name, reader.uint32)
            if kind == b"HEL":
                return f"hello to {parts.note('URL', reader.string)}", False
            return "acknowledge", False
        case b"ERR":
            code = parts.note("error", reader.uint32, status.sentence)
            reason = parts.note("reason", reader.string)
            return f"error {status.name(code)}" + (f": {reason}" if reason else ""), True
        case b"OPN" | b"CLO" | b"MSG":
            parts.note("channel", reader.uint32)
            if kind == b"OPN":
                parts.note("policy", reader.string)
                reader.byte_string()
                reader.byte_string()
            else:
                parts.note("token", reader.uint32)
            parts.note("sequence number", reader.uint32)
            parts.note("request id", reader.uint32)
            return _service(parts, direction)
    raise Malformed(f"a message of type {kind!r}")


def _service(parts: _Parts, direction: Direction) -> tuple[str, bool]:
    reader = parts.reader
    number = parts.note("service", reader.node_id, lambda node: _service_name(node.identifier)).identifier
    name = _service_name(number)
    if direction is Direction.SENT:
        parts.note("session", reader.node_id, lambda _: "token not shown")
        parts.note("time", reader.int64, ticks_to_text)
        parts.note("request handle", reader.uint32)
        reader.uint32()
        reader.string()
        parts.note("timeout hint", reader.uint32, lambda ms: f"{ms} ms" if ms else "none")
        reader.extension_object()
        return name + _joined(_REQUESTS.get(number, _nothing)(parts)), False
    parts.note("time", reader.int64, ticks_to_text)
    parts.note("request handle", reader.uint32)
    result = parts.note("result", reader.uint32, status.sentence)
    reader.diagnostic_info()
    reader.array(12)
    reader.extension_object()
    if number == _FAULT or result >= status.BAD:
        return f"{name}: {status.sentence(result)}", True
    return name + _joined(_ANSWERS.get(number, _nothing)(parts)), False


def _service_name(number: object) -> str:
    if number == _FAULT:
        return "service fault"
    for service in Service:
        words = service.name.lower().replace("_", " ")
        if number == service:
            return f"{words} request"
        if number == service + 3:
            return f"{words} response"
    return f"message {number}"


# What of a service is shown: each a generator of what belongs in the summary.


def _nothing(parts: _Parts) -> Iterator[str]:
    return iter(())


def _items(parts: _Parts, least: int) -> range:
    """As many as are shown, of those there are."""
    count = parts.note("count", lambda: parts.reader.count(least))
    return range(min(count, _SHOWN))


def _read_request(parts: _Parts) -> Iterator[str]:
    parts.note("max age", parts.reader.double, lambda ms: f"{ms:g} ms")
    parts.note("timestamps", parts.reader.uint32)
    items = _items(parts, 10)
    for _ in items:
        node = parts.note("node", parts.reader.node_id, _node)
        parts.note("attribute", parts.reader.uint32)
        parts.reader.string()
        parts.reader.qualified_name()
        if len(items) == 1:
            yield _node(node)
    if len(items) != 1:
        yield f"{len(items)} nodes"


def _read_response(parts: _Parts) -> Iterator[str]:
    items = _items(parts, 1)
    for index in items:
        value = parts.note(f"value {index + 1}", parts.reader.data_value, _data_value)
        if len(items) == 1:
            yield _data_value(value)
    if len(items) != 1:
        yield f"{len(items)} values"


def _write_request(parts: _Parts) -> Iterator[str]:
    for _ in _items(parts, 11):
        node = parts.note("node", parts.reader.node_id, _node)
        parts.note("attribute", parts.reader.uint32)
        parts.reader.string()
        value = parts.note("value", parts.reader.data_value, _data_value)
        yield f"{_node(node)} = {_data_value(value)}"


def _statuses(parts: _Parts) -> Iterator[str]:
    for index in _items(parts, 4):
        code = parts.note(f"result {index + 1}", parts.reader.uint32, status.sentence)
        if code >= status.BAD:
            yield status.name(code)


def _publish_request(parts: _Parts) -> Iterator[str]:
    for _ in _items(parts, 8):
        subscription = parts.note("subscription", parts.reader.uint32)
        number = parts.note("acknowledged", parts.reader.uint32)
        yield f"acknowledges {number} of {subscription}"


def _publish_response(parts: _Parts) -> Iterator[str]:
    reader = parts.reader
    subscription = parts.note("subscription", reader.uint32)
    parts.note("available", lambda: reader.array(7))
    parts.note("more follow", reader.byte, lambda more: "yes" if more else "no")
    sequence = parts.note("notification number", reader.uint32)
    parts.note("published", reader.int64, ticks_to_text)
    count = parts.note("notifications", lambda: reader.count(3))
    yield f"subscription {subscription}, number {sequence}" + ("" if count else ", keep-alive")
    for _ in range(count):
        begin = reader.position
        encoded = reader.extension_object()
        size = len(encoded.body) if isinstance(encoded.body, bytes) else 0
        yield from _notification(parts, encoded.encoding, begin, reader.position - size)


def _notification(parts: _Parts, encoding: NodeId, begin: int, body: int) -> Iterator[str]:
    """`begin`, `body`: where the structure and its content stand."""
    end = parts.reader.position
    what = {services.DATA_CHANGE: "data change", services.EVENTS: "events", services.STATUS_CHANGE: "status change"}
    name = what.get(encoding.identifier if isinstance(encoding.identifier, int) else 0, str(encoding.identifier))
    parts.found.append(Part("notification", begin, body - begin, name))
    if encoding.identifier != services.DATA_CHANGE:
        yield name
        return
    inner = _Parts(parts.reader.data, body)
    items = _items(inner, 5)
    for _ in items:
        handle = inner.note("item", inner.reader.uint32)
        inner.note(f"value of {handle}", inner.reader.data_value, _data_value)
    parts.found += inner.found
    parts.reader.position = end
    yield f"{len(items)} value{'s' if len(items) != 1 else ''}"


def _create_items_request(parts: _Parts) -> Iterator[str]:
    reader = parts.reader
    parts.note("subscription", reader.uint32)
    parts.note("timestamps", reader.uint32)
    items = _items(parts, 30)
    for _ in items:
        parts.note("node", reader.node_id, _node)
        parts.note("attribute", reader.uint32)
        reader.string()
        reader.qualified_name()
        parts.note("mode", reader.uint32)
        parts.note("item", reader.uint32)
        parts.note("sampling", reader.double, lambda ms: f"{ms:g} ms")
        reader.extension_object()
        parts.note("queue", reader.uint32)
        reader.byte()
    yield f"{len(items)} nodes"


def _create_items_response(parts: _Parts) -> Iterator[str]:
    reader = parts.reader
    bad = 0
    items = _items(parts, 23)
    for index in items:
        bad += parts.note(f"result {index + 1}", reader.uint32, status.sentence) >= status.BAD
        parts.note("item id", reader.uint32)
        parts.note("sampling", reader.double, lambda ms: f"{ms:g} ms")
        parts.note("queue", reader.uint32)
        reader.extension_object()
    yield f"{len(items)} items" + (f", {bad} refused" if bad else "")


_REQUESTS: dict[object, Callable[[_Parts], Iterator[str]]] = {
    int(Service.READ): _read_request,
    int(Service.WRITE): _write_request,
    int(Service.PUBLISH): _publish_request,
    int(Service.CREATE_MONITORED_ITEMS): _create_items_request,
}
_ANSWERS: dict[object, Callable[[_Parts], Iterator[str]]] = {
    Service.READ + 3: _read_response,
    Service.WRITE + 3: _statuses,
    Service.PUBLISH + 3: _publish_response,
    Service.CREATE_MONITORED_ITEMS + 3: _create_items_response,
    Service.DELETE_MONITORED_ITEMS + 3: _statuses,
    Service.DELETE_SUBSCRIPTIONS + 3: _statuses,
}


def _joined(said: Iterator[str]) -> str:
    text = ", ".join(said)
    return f": {_short(text)}" if text else ""


def _short(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"


def _node(node: NodeId) -> str:
    identifier = node.identifier
    letter = {int: "i", str: "s", bytes: "b"}.get(type(identifier), "g")
    shown = identifier.hex() if isinstance(identifier, bytes) else identifier
    return (f"ns={node.namespace};" if node.namespace else "") + f"{letter}={shown}"


def _data_value(data: DataValue) -> str:
    shown = f"{data.value!r} ({type_name(data.type, array=isinstance(data.value, list))})" if data.type else "nothing"
    return shown if not data.status else f"{shown}, {status.name(data.status)}"
