"""The MQTT control packets a publisher needs, to and from bytes: MQTT 5.0 (OASIS, 2019-03-07) and MQTT 3.1.1.

Pure functions, no I/O. Section numbers are those of the MQTT 5.0 specification. What a publisher never legally
receives is no part of it: :func:`decode` calls it malformed.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeAlias

MQTT_5: Final = 5
MQTT_3_1_1: Final = 4

MAX_REMAINING_LENGTH: Final = 268_435_455
"""§2.1.4: the largest length four bytes can say."""
MAX_STRING: Final = 65_535
"""§1.5.4: bytes in one string, and so in a topic."""
MAX_RECEIVED: Final = 64 * 1024
"""Bytes in the largest packet a publisher takes. It gets acknowledgements and a few properties, never data."""


class Malformed(ValueError):
    """The peer's bytes aren't the MQTT that was agreed on. The message says what is wrong with them."""


class Kind(enum.IntEnum):
    """§2.1.2."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class Reason(enum.IntEnum):
    """§2.4: the reason codes that change what a publisher does. Names for people come from :func:`reason_name`."""

    SUCCESS = 0x00
    UNSPECIFIED = 0x80
    MALFORMED = 0x81
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SESSION_TAKEN_OVER = 0x8E
    PACKET_IDENTIFIER_IN_USE = 0x91
    QOS_NOT_SUPPORTED = 0x9B


class Property(enum.IntEnum):
    """§2.2.2.2: the properties that are read or written here."""

    SERVER_KEEP_ALIVE = 0x13
    SERVER_REFERENCE = 0x1C
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27


PropertyValue: TypeAlias = int | str | bytes | tuple[str, str]
Properties: TypeAlias = Mapping[int, PropertyValue]

_BYTE, _SHORT, _LONG, _VARINT, _TEXT, _BINARY, _PAIR = range(7)
_PROPERTY_FORMS: Final = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), _BYTE),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), _SHORT),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), _LONG),
    0x0B: _VARINT,
    **dict.fromkeys((0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F), _TEXT),
    **dict.fromkeys((0x09, 0x16), _BINARY),
    0x26: _PAIR,
}


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained and with QoS 1, when the connection ends without a goodbye."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Connack:
    reason: int
    """A reason code of MQTT 5; the return codes of 3.1.1 are translated to it."""
    session_present: bool
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Puback:
    packet_id: int
    reason: int = Reason.SUCCESS
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Disconnect:
    reason: int = Reason.SUCCESS
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pingresp:
    pass


@dataclass(frozen=True, slots=True)
class Auth:
    pass


Incoming: TypeAlias = Connack | Puback | Disconnect | Pingresp | Auth

PINGREQ: Final = bytes([Kind.PINGREQ << 4, 0])
DISCONNECT: Final = bytes([Kind.DISCONNECT << 4, 0])
"""An orderly end, in both versions: the broker forgets the will."""


def varint(number: int) -> bytes:
    """§1.5.5: a variable byte integer, 0 to 268,435,455."""
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        if not number:
            out.append(low)
            return bytes(out)
        out.append(low | 0x80)


def string(text: str | bytes) -> bytes:
    """§1.5.4: a length-prefixed string. Raises ValueError beyond 65,535 bytes."""
    body = text.encode() if isinstance(text, str) else text
    if len(body) > MAX_STRING:
        raise ValueError(f"{len(body)} bytes don't fit in an MQTT string of at most {MAX_STRING}")
    return struct.pack(">H", len(body)) + body


def connect(
    version: int,
    client_id: str,
    keepalive_s: int,
    *,
    will: Will | None = None,
    username: str | None = None,
    password: bytes | None = None,
) -> bytes:
    """§3.1, with a clean start and a session that ends with the connection."""
    flags = 0x02
    properties = b""
    if version == MQTT_5:
        properties = _with_length(struct.pack(">BI", Property.MAXIMUM_PACKET_SIZE, MAX_RECEIVED))
    payload = [string(client_id)]
    if will is not None:
        flags |= 0x04 | 1 << 3 | 0x20
        payload += [b"\0" if version == MQTT_5 else b"", string(will.topic), string(will.payload)]
    if username is not None:
        flags |= 0x80
        payload.append(string(username))
    if password is not None:
        flags |= 0x40
        payload.append(string(password))
    head = b"\x00\x04MQTT" + struct.pack(">BBH", version, flags, keepalive_s)
    return bytes([Kind.CONNECT << 4]) + _with_length(b"".join((head, properties, *payload)))


@lru_cache(maxsize=4)
def publish_heads(retain: bool) -> tuple[bytes, ...]:
    """The fixed headers of PUBLISH with QoS 1 by remaining length, for the usual lengths: they cost a look-up each."""
    return tuple(_publish_head(length, retain) for length in range(4096))


def publish_head(length: int, *, retain: bool) -> bytes:
    """§3.3.1: the fixed header of a PUBLISH with QoS 1 whose variable header and payload take `length` bytes."""
    heads = publish_heads(retain)
    return heads[length] if length < len(heads) else _publish_head(length, retain)


def _publish_head(length: int, retain: bool) -> bytes:
    return bytes([Kind.PUBLISH << 4 | 0x02 | retain]) + varint(length)


def packet_ids(version: int, count: int) -> tuple[bytes, ...]:
    """What stands between topic and payload, by packet id from 0: the id and, in MQTT 5, no properties."""
    tail = b"\0" if version == MQTT_5 else b""
    return tuple(struct.pack(">H", number) + tail for number in range(count))


def frame(data: bytes, start: int) -> tuple[int, int] | None:
    """Where the body of the packet at `start` begins and ends, or None while its end isn't here yet.

    Raises Malformed if its length is impossible or more than `MAX_RECEIVED`.
    """
    length = shift = 0
    for at in range(start + 1, min(start + 5, len(data))):
        byte = data[at]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            end = at + 1 + length
            if end - start > MAX_RECEIVED:
                raise Malformed(f"a packet of {end - start} bytes, more than the {MAX_RECEIVED} that were offered")
            return (at + 1, end) if end <= len(data) else None
        shift += 7
    if len(data) - start >= 5:
        raise Malformed("a remaining length of more than four bytes")
    return None


def decode(version: int, first: int, body: bytes) -> Incoming:
    """One whole packet: its first byte and what follows the length. Raises Malformed."""
    kind, flags = first >> 4, first & 0x0F
    if kind == Kind.PUBLISH:
        raise Malformed("a PUBLISH to a client that subscribes to nothing")
    if flags:
        raise Malformed(f"flags 0x{flags:X} on a packet of type {kind}, where they must be 0")
    try:
        match kind:
            case Kind.CONNACK:
                return _connack(version, body)
            case Kind.PUBACK:
                return _puback(version, body)
            case Kind.PINGRESP:
                if body:
                    raise Malformed("a PINGRESP with a body")
                return Pingresp()
            case Kind.DISCONNECT if version == MQTT_5:
                return _disconnect(body)
            case Kind.AUTH if version == MQTT_5:
                return Auth()
    except (IndexError, struct.error):
        raise Malformed(f"a packet of type {kind} that ends too early") from None
    raise Malformed(f"a packet of type {kind}, which a broker doesn't send here")


def reason_name(packet: Kind, code: int) -> str:
    """The specification's words for a reason code, or its number where it has none for this packet."""
    from paho.mqtt.reasoncodes import ReasonCode

    try:
        return str(ReasonCode(packet, identifier=code))
    except (KeyError, ValueError):
        return f"reason code 0x{code:02X}"


_RETURN_CODES_3_1_1: Final = {0: 0x00, 1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}


def _connack(version: int, body: bytes) -> Connack:
    if body[0] > 1:
        raise Malformed(f"a CONNACK with acknowledge flags 0x{body[0]:02X}")
    if version == MQTT_5:
        return Connack(body[1], bool(body[0]), _properties(body, 2))
    if len(body) != 2:
        raise Malformed(f"a CONNACK of {len(body)} bytes")
    return Connack(_RETURN_CODES_3_1_1.get(body[1], Reason.UNSPECIFIED), bool(body[0]))


def _puback(version: int, body: bytes) -> Puback:
    packet_id = body[0] << 8 | body[1]
    if len(body) == 2:
        return Puback(packet_id)
    if version != MQTT_5:
        raise Malformed(f"a PUBACK of {len(body)} bytes")
    return Puback(packet_id, body[2], _properties(body, 3) if len(body) > 3 else {})


def _disconnect(body: bytes) -> Disconnect:
    if not body:
        return Disconnect()
    return Disconnect(body[0], _properties(body, 1) if len(body) > 1 else {})


def _properties(body: bytes, start: int) -> Properties:
    """§2.2.2: everything up to the end of `body`. Raises Malformed, IndexError or struct.error."""
    length, at = _read_varint(body, start)
    if at + length != len(body):
        raise Malformed("properties whose length isn't that of the packet")
    found: dict[int, PropertyValue] = {}
    while at < len(body):
        identifier = body[at]
        form = _PROPERTY_FORMS.get(identifier)
        if form is None:
            raise Malformed(f"an unknown property 0x{identifier:02X}")
        if identifier in found and identifier != Property.USER_PROPERTY:
            raise Malformed(f"the property 0x{identifier:02X} twice")
        found[identifier], at = _property(body, at + 1, form)
    return found


def _property(body: bytes, at: int, form: int) -> tuple[PropertyValue, int]:
    if form == _BYTE:
        return body[at], at + 1
    if form == _SHORT:
        return struct.unpack_from(">H", body, at)[0], at + 2
    if form == _LONG:
        return struct.unpack_from(">I", body, at)[0], at + 4
    if form == _VARINT:
        return _read_varint(body, at)
    if form == _BINARY:
        return _read_string(body, at)
    name, at = _read_text(body, at)
    if form == _TEXT:
        return name, at
    value, at = _read_text(body, at)
    return (name, value), at


def _read_varint(body: bytes, start: int) -> tuple[int, int]:
    number = 0
    for place in range(4):
        byte = body[start + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, start + place + 1
    raise Malformed("a variable byte integer of more than four bytes")


def _read_string(body: bytes, at: int) -> tuple[bytes, int]:
    end = at + 2 + int(struct.unpack_from(">H", body, at)[0])
    if end > len(body):
        raise Malformed("a string that ends after its packet")
    return body[at + 2 : end], end


def _read_text(body: bytes, at: int) -> tuple[str, int]:
    raw, end = _read_string(body, at)
    try:
        return raw.decode(), end
    except UnicodeDecodeError:
        raise Malformed("a string that isn't UTF-8") from None


def _with_length(body: bytes) -> bytes:
    return varint(len(body)) + body
