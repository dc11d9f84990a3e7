"""Random messages for everything that takes a server's bytes apart: nothing but the declared errors, never for long."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from drivers.opcua import KIND, events, services, structures
from drivers.opcua.address import parse_relative
from drivers.opcua.binary import (
    Encoded,
    LocalizedText,
    Malformed,
    NodeId,
    QualifiedName,
    Reader,
    Type,
    Variant,
    pack_array,
    pack_bytes,
    pack_encoded,
    pack_extension_object,
    pack_node_id,
    pack_string,
    pack_variant,
)
from drivers.opcua.channel import Channel
from drivers.opcua.conversation import Conversation
from drivers.opcua.security import descriptions, login
from drivers.opcua.security.certificates import common_name, file_name, hosts, parse_chain, uris
from drivers.opcua.security.endpoints import choose, split
from drivers.opcua.security.options import SecurityOptions
from drivers.opcua.security.trust import TrustList
from drivers.opcua.security.validation import judge
from drivers.opcua.session import Session
from drivers.opcua.status import ServiceFailed
from drivers.opcua.structures import Field, Structure, Structures
from drivers.opcua.values import Converter, Unfit, to_json_text
from gateway.driver import LinkDown, Point, Site
from gateway.model import DataType
from tests.drivers.opcua.test_conversation import pair
from tests.support import raw_opcua as raw
from tests.support.effort import times
from tests.support.pki import issue
from tests.support.stopwatch import stopwatch

pytestmark = pytest.mark.timeout(3600)

MESSAGES = times(40_000)
SLOWEST_S = 0.1
_EXTREMES = [struct.pack("<i", number) for number in (-1, 0, 1, 2, 255, 65_536, 250_001, 100_000_000, 2**31 - 1)]


def damaged(chance: random.Random, whole: Sequence[bytes]) -> bytes:
    """One of `whole`, or something like it."""
    data = bytearray(chance.choice(whole))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 5))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0:
                del data[at:]
            case 1:
                data[at : at + 1] = bytes((chance.choice((0, 1, 0x16, 0x18, 0x40, 0x80, 0xC1, 0xFF)),))
            case 2:
                data[at : at + 4] = chance.choice(_EXTREMES)
            case 3:
                data[at:at] = chance.randbytes(chance.randrange(1, 20))
            case 4:
                data[at : at + 1] = chance.randbytes(1)
            case 5:
                data[at:at] = bytes(data[at : at + chance.randrange(1, 40)]) * chance.choice((1, 2, 50))
            case _:
                data[at:] = chance.choice((b"\x18", b"\x40", b"\x98\x01\0\0\0", b"\xff", b"\0")) * 3000
    return bytes(data) if chance.random() > 0.03 else chance.randbytes(chance.randrange(200))


def fuzz(
    seed: int, share: float, whole: Sequence[bytes], parse: Callable[[bytes], object], *errors: type[Exception]
) -> None:
    """Both outcomes must occur: otherwise nothing was tried."""
    chance = random.Random(seed)
    parsed = refused = 0
    with stopwatch() as watch:
        for _ in range(max(200, int(MESSAGES * share))):
            body = damaged(chance, whole)
            try:
                with watch:
                    parse(body)
                parsed += 1
            except errors:
                refused += 1
            assert watch.slowest_s < SLOWEST_S, body[:200].hex()
    assert parsed
    assert refused


# -- values

_VALUES = [
    Variant(Type.BOOLEAN, True),
    Variant(Type.UINT16, 7),
    Variant(Type.INT64, -(2**63)),
    Variant(Type.DOUBLE, float("nan")),
    Variant(Type.DOUBLE, [1.5, float("inf")] * 3, (2, 3)),
    Variant(Type.STRING, "Füller"),
    Variant(Type.STRING, ["a", None, ""]),
    Variant(Type.DATE_TIME, 133_500_000_000_000_000),
    Variant(Type.BYTE_STRING, b"\x00\xff"),
    Variant(Type.NODE_ID, NodeId(2, "Speed")),
    Variant(Type.QUALIFIED_NAME, QualifiedName(3, "x")),
    Variant(Type.LOCALIZED_TEXT, LocalizedText("de", "Füller")),
    Variant(Type.STATUS_CODE, 0x800A0000),
    Variant(Type.VARIANT, [Variant(Type.INT32, 1), Variant(Type.STRING, "x")]),
    Variant(Type.EXTENSION_OBJECT, Encoded(NodeId(2, 1), struct.pack("<id", 5, 2.5) + pack_string("text") + bytes(30))),
    Variant(Type.EXTENSION_OBJECT, [Encoded(NodeId(2, 2), bytes(40)), Encoded(NodeId(0, 298), bytes(30))]),
]
_VARIANTS = [pack_variant(value) for value in _VALUES]
_DATA_VALUES = [b"\x0f" + body + struct.pack("<Iqq", 0x480, 10**17, 10**17) for body in _VARIANTS]


class Names:
    """A session that knows structures of every kind."""

    def __init__(self) -> None:
        self.namespaces = ["http://opcfoundation.org/UA/", "urn:one", "urn:two"]
        self._structures = Structures(cast(Session, self))
        empty = Structure(0)
        own = Structure(0)
        own.fields += [Field("again", own, True, False), Field("n", Type.INT32, False, False)]
        plain = [Field("i", Type.INT32, False, False), Field("d", Type.DOUBLE, False, False)]
        mixed = [
            *plain,
            Field("s", Type.STRING, False, True),
            Field("v", Type.VARIANT, True, True),
            Field("e", Type.EXTENSION_OBJECT, True, True),
            Field("many", Structure(0, list(plain)), True, True),
            Field("nothing", empty, True, False),
        ]
        wide = Structure(0, [Field(f"f{at}", empty, False, False) for at in range(100)])
        for _ in range(3):
            wide = Structure(0, [Field(f"f{at}", wide, False, False) for at in range(100)])
        known = [Structure(kind, mixed) for kind in range(5)] + [own, wide, empty]
        for number, structure in enumerate(known):
            self._structures._by_encoding[NodeId(2, number)] = structure
        self._structures._by_encoding[NodeId(0, 298)] = structures.standard(NodeId(0, 298))

    def structure(self, encoded: Encoded) -> Any:
        return self._structures.to_json(encoded)


def test_values() -> None:
    names = Names()
    converters = [
        Converter(Point("p", kind, KIND.tag_options(node="i=1"), count)) for kind in DataType for count in (None, 0, 2)
    ]
    turns = iter(range(10**9))

    def parse(body: bytes) -> None:
        data = Reader(body).data_value()
        converters[next(turns) % len(converters)].convert(data, names)

    fuzz(1, 0.2, _DATA_VALUES, parse, Malformed, Unfit)


def test_values_as_json() -> None:
    names = Names()
    fuzz(2, 0.15, _VARIANTS, lambda body: to_json_text(Reader(body).variant(), names), Malformed, Unfit)


@pytest.mark.parametrize("number", range(8))
def test_structures(number: int) -> None:
    names = Names()
    bodies = [
        struct.pack("<id", 5, 2.5) + pack_string("text") + pack_array([pack_variant(_VALUES[1])]) + bytes(40),
        struct.pack("<Iid", 7, 5, 2.5) + pack_string("text") + pack_array([pack_encoded(_VALUES[14].value)]) + bytes(9),
        struct.pack("<Ii", 1, 5),
        struct.pack("<ii", 2, 0) + bytes(30),
        struct.pack("<I", 7) + struct.pack("<i", 250_000),
    ]

    def parse(body: bytes) -> None:
        to_json_text(Variant(Type.EXTENSION_OBJECT, Encoded(NodeId(2, number), body)), names)

    fuzz(30 + number, 0.01, [*bodies, b""], parse, Unfit) if number < 6 else parse_all(bodies, parse)


def parse_all(bodies: Sequence[bytes], parse: Callable[[bytes], None]) -> None:
    """Where the bytes make no difference."""
    with stopwatch() as watch:
        for body in bodies:
            with watch, contextlib.suppress(Unfit):
                parse(body)
    assert watch.slowest_s < SLOWEST_S


def test_events() -> None:
    names = Names()
    options = KIND.tag_options(node="i=2253", events=True)
    selected = events.fields(options, names.namespaces)
    assert parse_relative("2:BatchId")

    def parse(body: bytes) -> None:
        reader = Reader(body)
        for _ in range(reader.count(8)):
            reader.uint32()
            values = reader.array(Type.VARIANT)
            events.type_of(values)
            events.time_of(values)
            events.to_event(selected, values, names)

    event = struct.pack("<I", 1) + pack_array(_VARIANTS)
    fuzz(4, 0.05, [pack_array([event]), pack_array([event, event])], parse, Malformed, Unfit)


# -- services


def _notification() -> bytes:
    items = pack_array([struct.pack("<I", at) + body for at, body in enumerate(_DATA_VALUES)]) + b"\xff" * 4
    return struct.pack("<IiI?IqI", 5, 1, 1, False, 1, 10**17, 1) + pack_extension_object(811, items)


_RESPONSES: dict[str, tuple[Callable[[Reader], object], Sequence[bytes]]] = {
    "read": (services.read_response, [pack_array(_DATA_VALUES) + bytes(4)]),
    "write": (services.write_response, [struct.pack("<iIi", 1, 0, 0)]),
    "history": (
        services.history_response,
        [
            pack_array([bytes(4) + pack_bytes(b"more") + pack_extension_object(658, pack_array(_DATA_VALUES))] * 2)
            + bytes(4)
        ],
    ),
    "call": (
        services.call_response,
        [pack_array([bytes(4) + pack_array([bytes(4)]) + bytes(4) + pack_array(_VARIANTS)]) + bytes(4)],
    ),
    "translate": (
        services.translate_response,
        [pack_array([bytes(4) + pack_array([pack_node_id(NodeId(2, "x")) + b"\xff" * 4])]) + bytes(4)],
    ),
    "browse": (
        services.browse_response,
        [
            pack_array(
                [
                    bytes(4)
                    + pack_bytes(None)
                    + pack_array([b"\0\x23\x01" + b"\0\x05" + b"\0\0" + pack_string("n") + b"\0" + bytes(4) + b"\0\0"])
                ]
            )
            + bytes(4)
        ],
    ),
    "items": (
        services.create_items_response,
        [pack_array([struct.pack("<IIdI", 0, 5, 100.0, 10) + b"\0\0\0"] * 3) + bytes(4)],
    ),
    "subscription": (services.create_subscription_response, [struct.pack("<IdII", 1, 100.0, 30, 10)]),
    "statuses": (services.statuses_response, [struct.pack("<iIi", 1, 0, 0)]),
    "publish": (lambda reader: _publish(reader), [_notification()]),
    "endpoints": (descriptions.endpoints, [pack_array([raw.endpoint(4840)] * 2)]),
    "servers": (descriptions.applications, [pack_array([raw.endpoint(4840)[24:]])]),
    "session": (login._created, [raw.created(4840)]),
}


def _publish(reader: Reader) -> None:
    for _ in range(services.publish_response(reader).parts):
        part = reader.extension_object()
        if isinstance(part.body, bytes):
            items = Reader(part.body)
            for _ in range(items.count(5)):
                items.uint32()
                items.data_value()


@pytest.mark.parametrize("name", _RESPONSES)
def test_responses(name: str) -> None:
    parse, bodies = _RESPONSES[name]
    fuzz(len(name), 0.02, bodies, lambda body: parse(Reader(body)), Malformed)


def test_response_headers() -> None:
    whole = [
        raw.response(raw.CREATE, raw.header(5), b"body"),
        raw.response(raw.CREATE, raw.header(5, diagnostics=b"\x4f" + bytes(16) + b"\x10" + raw.string("why")), b""),
        raw.response(raw.CREATE, raw.header(5, table=pack_array([raw.string("a")] * 5)), b""),
        raw.response(
            raw.CREATE, raw.header(5, extra=pack_encoded(Encoded(NodeId(0, 14846), b"\x80\xff\xff\xff"))), b""
        ),
    ]
    fuzz(6, 0.06, whole, lambda body: services.response(Reader(body), raw.CREATE), Malformed, ServiceFailed)


def test_endpoints_are_chosen_from_whatever_is_offered() -> None:
    def parse(body: bytes) -> None:
        offered = descriptions.endpoints(Reader(body))
        choose(offered, SecurityOptions.model_validate({"security_policy": "None"}), split("opc.tcp://127.0.0.1:4840"))

    fuzz(7, 0.04, [pack_array([raw.endpoint(4840)] * 2)], parse, Malformed, LinkDown)


# -- chunks


def _chunks(folder: Path, mode: tuple[str, bool] | None) -> tuple[Conversation, list[bytes]]:
    one, two = pair(folder, mode)
    chunks = [two.wrap(b"MSG", 5, b"body" * size) for size in (1, 10, 1000)]
    chunks += [chunks[0][:3] + b"C" + chunks[0][4:], chunks[0][:3] + b"A" + chunks[0][4:]]
    return one, [*chunks, two.wrap_open(5, b"open")]


@pytest.mark.parametrize(
    ("mode", "share"), [(None, 0.1), (("Basic256Sha256", False), 0.02), (("Aes256_Sha256_RsaPss", True), 0.02)]
)
def test_chunks(tmp_path: Path, mode: tuple[str, bool] | None, share: float) -> None:
    one, chunks = _chunks(tmp_path, mode)
    before = one._received

    def parse(body: bytes) -> None:
        # What counts is the chunk, not what came before it.
        one._received = None
        one._drop()
        one.unwrap(body)

    fuzz(8, share, chunks, lambda body: parse(body.ljust(8, b"\0")), Malformed)
    assert before is not None


async def test_streams() -> None:
    """A channel that is being opened takes whatever comes; each stream ends it or leaves it waiting."""
    chance = random.Random(9)
    server = raw.RawServer()
    ends: dict[str, int] = {}
    with stopwatch() as watch:
        for _ in range(max(200, MESSAGES // 20)):
            server._sequence = 0
            channel = Channel(1.0, None, 1 << 20, lambda why: None)
            channel._opening = (1, b"")
            future = channel._requests[1] = channel.closed.get_loop().create_future()
            opened = server.chunk(b"OPNF", 1, raw.response(raw.OPEN, raw.header(1), raw.opened()))
            answer = server.chunk(b"MSGF", 2, raw.response(raw.CREATE, raw.header(2), raw.created(4840)))
            stream = damaged(chance, [opened, opened + answer, b"ERRF" + struct.pack("<III", 16, 0x80130000, 0)])
            with watch:
                for at in range(0, len(stream), 1000):
                    channel.data_received(stream[at : at + 1000])
                channel.connection_lost(None)
            end = "opened" if not future.exception() else "given up" if channel.why else "lost"
            ends[end] = ends.get(end, 0) + 1
    assert {"opened", "given up", "lost"} == ends.keys()
    assert watch.slowest_s < SLOWEST_S


# -- certificates


def _certificates(folder: Path) -> Iterator[bytes]:
    root = issue(folder, "Root", authority=True, number=2)
    leaf = issue(folder, issuer=root)
    yield leaf.der
    yield leaf.der + root.der


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_certificates(tmp_path: Path) -> None:
    trusted = TrustList(Site("works-7", tmp_path / "state")).snapshot()

    def parse(body: bytes) -> None:
        chain = parse_chain(body)
        leaf = chain[0]
        common_name(leaf), file_name(leaf), hosts(leaf), uris(leaf)
        judge(chain, trusted, SecurityOptions(), host="127.0.0.1", application_uri="urn:x", now=datetime.now(UTC))

    fuzz(10, 0.05, list(_certificates(tmp_path)), parse, ValueError)


@dataclass(slots=True)
class _Circle:
    """A server whose types are made of each other without end."""

    namespaces: Sequence[str] = ()

    async def read(self, nodes: Sequence[bytes], times: int, attribute: int) -> list[Any]:
        return [Reader(b"\x00").data_value()]

    async def call(self, service: int, body: bytes, parse: Callable[[Reader], Any]) -> Any:
        return [[services.Reference(NodeId(2, 77), QualifiedName(2, "again"))]]


async def test_types_in_a_circle_have_no_definition() -> None:
    known = Structures(cast(Session, _Circle()))
    known.unknown.add(NodeId(2, 5))
    await known.learn()
    assert known.to_json(Encoded(NodeId(2, 5), b"\x01")) == {"encoding": "ns=2;i=5", "body": "01"}
