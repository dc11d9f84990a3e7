"""What a server can say before anyone has proved anything: no answer keeps the gateway busy, or from saying why."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator

import pytest

from drivers.opcua.binary import NodeId, pack_node_id
from drivers.opcua.bus import OpcUaBus
from drivers.opcua.options import LinkOptions
from drivers.opcua.services import SOURCE_TIME
from drivers.opcua.status import ServiceFailed
from gateway.driver import LinkDown
from tests.support import raw_opcua as raw
from tests.support.raw_opcua import (
    ACTIVATE,
    CREATE,
    FIND_SERVERS,
    GET_ENDPOINTS,
    MANY,
    OPEN,
    READ,
    RawServer,
    Reply,
    header,
    response,
)
from tests.support.site import SITE
from tests.support.stopwatch import stopwatch

pytestmark = pytest.mark.integration

SERVICES = {"open": OPEN, "endpoints": GET_ENDPOINTS, "create": CREATE, "activate": ACTIVATE}
BUSY_S = 0.1
"""CPU of a whole attempt, the server's own included."""
_NULLS = b"\x80" + MANY
"""A Variant Null[100,000,000]: five bytes that some turn into a list."""


def _extra(body: bytes) -> bytes:
    """An additional header of type KeyValuePair with a body that a careless reader takes apart."""
    return b"\x01\x00" + struct.pack("<H", 14846) + b"\x01" + raw.string(body)


BOMBS = {
    "additional header": lambda handle: header(handle, extra=_extra(b"\x00\x00" + raw.string("k") + _NULLS)),
    "string table": lambda handle: header(handle, table=MANY),
    "string": lambda handle: header(handle, table=struct.pack("<ii", 1, 2**31 - 1)),
    "diagnostics": lambda handle: header(handle, diagnostics=b"\x40" * 60_000 + b"\x00"),
    "text": lambda handle: header(handle, diagnostics=b"\x10" + MANY),
}


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer().serving() as server:
        yield server


async def attempt(server: RawServer, **options: object) -> tuple[str, float]:
    """What connecting ends with, and how much CPU it took."""
    options = {"url": server.url, "security_policy": "None", "connect_timeout_ms": 5000, **options}
    bus = OpcUaBus("link1", LinkOptions.model_validate(options), SITE)
    sentence = ""
    with stopwatch() as watch, watch:
        try:
            async with asyncio.timeout(10):
                await bus.connect()
        except LinkDown as error:
            sentence = str(error)
        finally:
            await bus.close()
    return sentence, watch.slowest_s


@pytest.fixture(autouse=True)
async def warm() -> None:
    """Everything is imported and compiled before time is taken."""
    async with RawServer().serving() as server:
        del server.replies[ACTIVATE]
        await attempt(server, timeout_ms=200)


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("service", SERVICES)
async def test_a_bomb_in_a_response_header(server: RawServer, service: str, bomb: str) -> None:
    number = SERVICES[service]
    server.replies[number] = lambda handle: response(number, BOMBS[bomb](handle), b"\x01")
    sentence, busy_s = await attempt(server)
    assert sentence.startswith(server.url)
    assert server.asked[-1] == number or server.asked[-1] == 473, "that is where it ended"
    assert busy_s < BUSY_S


@pytest.mark.parametrize(
    ("service", "body"),
    [
        (GET_ENDPOINTS, MANY),
        (OPEN, struct.pack("<IIIqI", 0, 7, 1, 0, 60_000) + MANY),
        (CREATE, b"\x00\x05\x00\x06" + struct.pack("<d", 1.0) + MANY),
        (CREATE, b"\x00\x05\x00\x06" + struct.pack("<d", 1.0) + 2 * raw.string(None) + MANY),
        (CREATE, b"\x00\x05" + b"\x05\x00\x00" + MANY),
        (ACTIVATE, MANY),
    ],
)
async def test_a_bomb_in_its_parameters(server: RawServer, service: int, body: bytes) -> None:
    server.replies[service] = lambda handle: response(service, header(handle), body)
    sentence, busy_s = await attempt(server)
    assert "announced in" in sentence or "announced, " in sentence
    assert busy_s < BUSY_S


async def test_a_message_without_an_end(server: RawServer) -> None:
    """Chunks that go on for ever are given up at the bound, not gathered."""
    sent = 0

    def endless(body: bytes, request: int) -> bytes:
        nonlocal sent
        sent += 40 * 60_000
        return b"".join(server.chunk(b"MSGC", request, 60_000 * b"x") for _ in range(40))

    server.chunks = endless
    sentence, busy_s = await attempt(server)
    assert "a message of more than 1048576 bytes" in sentence
    assert sent == 40 * 60_000
    assert busy_s < BUSY_S


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (lambda server, request: server.chunk(b"MSGF", request + 99, b""), "a request that wasn't made"),
        (lambda server, request: server.chunk(b"OPNF", request, b""), "for an answer"),
        (lambda server, request: server.chunk(b"XYZF", request, b""), "a message of type"),
        (lambda server, request: server.chunk(b"MSGQ", request, b""), "a chunk of type"),
        (lambda server, request: b"MSGF" + struct.pack("<II", 12, 7), "cut short"),
        (lambda server, request: b"MSGF" + struct.pack("<I", 2**31), "a chunk of 2147483648 bytes"),
        (lambda server, request: b"MSGF" + struct.pack("<I", 3), "a chunk of 3 bytes"),
        (lambda server, request: b"MSGF" + struct.pack("<IIIII", 24, 7, 1, 99, request), "sequence number 99"),
        (lambda server, request: b"MSGF" + struct.pack("<IIIII", 24, 7, 5, 2, request), "token 5 that isn't in use"),
        (lambda server, request: b"MSGF" + struct.pack("<IIIII", 24, 8, 1, 2, request), "channel 8 that isn't open"),
        (lambda server, request: b"ACKF" + struct.pack("<IIIIII", 28, 0, 0, 0, 0, 0), "a hello that wasn't said"),
        (lambda server, request: b"ERRF" + struct.pack("<III", 16, 0x80130000, 0), "BadSecurityChecksFailed"),
        (lambda server, request: server.chunk(b"MSGA", request, struct.pack("<Ii", 0x800A0000, -1)), "BadTimeout"),
    ],
)
async def test_a_broken_rule_is_a_sentence(server: RawServer, chunk: object, words: str) -> None:
    server.chunks = lambda body, request: chunk(server, request)  # type: ignore[operator]
    sentence, busy_s = await attempt(server)
    assert words in sentence
    assert busy_s < BUSY_S


async def test_a_server_that_wants_new_tokens_without_end_gets_one_a_second(server: RawServer) -> None:
    server.replies[OPEN] = lambda handle: response(OPEN, header(handle), raw.opened(lifetime_ms=0))
    del server.replies[ACTIVATE]
    sentence, busy_s = await attempt(server, timeout_ms=500)
    assert sentence
    assert server.asked.count(OPEN) <= 3
    assert busy_s < BUSY_S


async def test_a_server_that_never_answers_is_given_up_in_time(server: RawServer) -> None:
    for service in (OPEN, GET_ENDPOINTS, CREATE, ACTIVATE):
        kept = server.replies.pop(service)
        began = time.monotonic()
        sentence, _ = await attempt(server, timeout_ms=200)
        assert "didn't answer" in sentence
        assert time.monotonic() - began < 5
        server.replies[service] = kept


def _values(server: RawServer) -> Reply:
    """Namespaces, and no limits."""
    namespaces = struct.pack("<iBBi", 1, 1, 0x8C, 1) + raw.string("urn:raw")
    limits = struct.pack("<i", 3) + 3 * struct.pack("<BI", 2, 0x80340000)

    def reply(handle: int) -> bytes:
        first = server.asked.count(READ) % 2
        return response(READ, header(handle), (namespaces if first else limits) + struct.pack("<i", -1))

    return reply


async def test_a_user_who_is_refused_on_resuming_gets_a_new_session(server: RawServer) -> None:
    """The answer to the last activation may have been lost, and with it the nonce that proves the user."""
    server.replies[READ] = _values(server)
    bus = OpcUaBus("link1", LinkOptions.model_validate({"url": server.url, "security_policy": "None"}), SITE)
    try:
        await bus.connect()
        bus.session.give_up("cut")
        honest = server.replies[ACTIVATE]
        codes = iter((0x80200000,))
        server.replies[ACTIVATE] = lambda handle: (
            response(ACTIVATE, header(handle, code), b"") if (code := next(codes, 0)) else honest(handle)
        )
        await bus.connect()
        assert not bus.session.resumed
        assert server.asked.count(CREATE) == 2
        bus.session.give_up("cut")
        server.replies[ACTIVATE] = lambda handle: response(ACTIVATE, header(handle, 0x80200000), b"")
        tries = server.asked.count(ACTIVATE)
        for _ in range(2):
            with pytest.raises(LinkDown, match="refused anonymous users"):
                await bus.connect()
        assert server.asked.count(ACTIVATE) - tries == 3, "the old session is tried once"
    finally:
        await bus.close()


async def test_requests_that_are_never_answered_are_not_kept_for_ever(server: RawServer) -> None:
    server.replies[READ] = _values(server)
    bus = OpcUaBus("link1", LinkOptions.model_validate({"url": server.url, "security_policy": "None"}), SITE)
    try:
        await bus.connect()
        answer = server.replies.pop(READ)
        channel = bus.session._channel
        assert channel is not None
        waited_for = channel.request(READ, b"")
        for _ in range(2999):
            channel.request(READ, b"").cancel()
        assert len(channel._requests) <= 1000
        assert not waited_for.done()
        assert waited_for in channel._requests.values()
        await channel.ask(FIND_SERVERS, b"", 10.0)  # behind all of these
        channel._request = 0xFFFF_FFFF  # that many were made
        server.replies[READ] = answer
        await bus.session.read_namespaces()
        assert channel._request == 1
    finally:
        await bus.close()


async def test_a_request_longer_than_the_server_takes_is_not_sent(server: RawServer) -> None:
    """Longer than it said in its hello, and it would end the connection."""
    server.takes = (1000, 0)
    server.replies[READ] = _values(server)
    bus = OpcUaBus("link1", LinkOptions.model_validate({"url": server.url, "security_policy": "None"}), SITE)
    try:
        await bus.connect()
        asked = server.asked.count(READ)
        server.replies[READ] = lambda handle: response(READ, header(handle, 0x80340000), b"")
        nodes = 100 * [pack_node_id(NodeId(0, 2258))]
        with pytest.raises(ServiceFailed, match="BadRequestTooLarge"):
            await bus.session.read(nodes, SOURCE_TIME)
        assert server.asked.count(READ) == asked
        assert bus.session.down == ""
        with pytest.raises(ServiceFailed, match="BadNodeIdUnknown"):
            await bus.session.read(nodes[:20], SOURCE_TIME)
    finally:
        await bus.close()
