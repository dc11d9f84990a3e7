"""One connection against a scripted peer: what a real broker wouldn't do on request."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.northbound.mqtt import ConnectFailed, ConnectionLost, ConnectRefused, Flight, Session, connect, try_connect
from gateway.northbound.mqtt.packets import MAX_RECEIVED, packet_ids, string
from tests.northbound.toy import CONNACK, mqtt_settings, peer, read_packet


class Count(Flight):
    """A flight that remembers how often it was called done."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.times = 0
        self.landed = asyncio.Event()

    def done(self) -> None:
        self.times += 1
        self.landed.set()


def messages(count: int, payload: bytes = b"x") -> tuple[list[bytes], list[bytes]]:
    return [string("t")] * count, [payload] * count


async def test_limits_come_from_the_connack() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes.fromhex("20 10 0000 0d 210007 2700000040 130003 2500"))

    async with peer(script) as port:
        limits = await try_connect(mqtt_settings(port))
    assert (limits.window, limits.max_packet, limits.keepalive_s, limits.retain) == (7, 64, 3, False)


async def test_at_most_the_window_is_in_flight_and_ids_come_back() -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes.fromhex("2006 0000 03 210003"))
        for _ in range(10):
            burst = [await read_packet(reader) for _ in range(3)]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.005)
            seen.extend(burst)
            writer.write(b"".join(b"\x40\x02" + packet[4:6] for packet in reversed(burst)))

    async with peer(script) as port:
        flight, at = Count(30), 0
        topics, payloads = messages(30)

        def pump() -> None:
            nonlocal at
            at = session.send(flight, topics, payloads, at, retain=False)
            session.flush()

        session = await connect(mqtt_settings(port, window=50), pump)
        pump()
        async with asyncio.timeout(5):
            await flight.landed.wait()
        assert flight.times == 1
        assert flight.pending == session.in_flight == 0
        assert session.acknowledged == 30
        assert len({packet[4:6] for packet in seen}) == 30
        session.abort(ConnectionLost("over"))


async def test_an_oversize_message_is_refused_here_and_one_of_exactly_the_limit_is_sent() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes.fromhex("2008 0000 05 2700000064"))
        assert len(await read_packet(reader)) == 99  # and the one byte of the length
        writer.write(b"\x40\x02\x00\x01")

    async with peer(script) as port:
        session = await connect(mqtt_settings(port))
        flight = Count(2)
        assert session.send(flight, [string("t")] * 2, [b"x" * 92, b"x" * 93], 0, retain=False) == 2
        session.flush()
        async with asyncio.timeout(5):
            await flight.landed.wait()
        assert flight.refused == {1: "101 bytes are more than the broker takes in a packet (100)"}
        session.abort(ConnectionLost("over"))


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("40020001", "packet id 1, which isn't in flight"),
        ("4002ffff", "packet id 65535, which isn't in flight"),
        ("20020000 00", "early|CONNACK"),
        ("2003000000", "second CONNACK"),
        ("f000", "AUTH"),
        ("d000d000d000", "PINGRESP that nobody asked for"),
        ("48025450", "flags 0x8"),
        ("40ffffffff01", "more than four bytes"),
    ],
)
async def test_malformed_input_ends_the_connection_in_one_sentence(answer: str, complaint: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CONNACK + bytes.fromhex(answer))

    async with peer(script) as port, asyncio.timeout(5):
        try:
            session = await connect(mqtt_settings(port))
        except ConnectionLost as error:
            end: Exception = error
        else:
            end = await session.ended
    assert isinstance(end, ConnectionLost)
    assert not end.by_broker
    with pytest.raises(ConnectionLost, match=complaint):
        raise end


async def test_a_second_acknowledgement_is_no_acknowledgement_of_another() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CONNACK)
        await read_packet(reader)
        writer.write(b"\x40\x02\x00\x01")
        await read_packet(reader)
        writer.write(b"\x40\x02\x00\x01")

    async with peer(script) as port, asyncio.timeout(5):
        session = await connect(mqtt_settings(port, window=1))
        first, second = Count(1), Count(1)
        session.send(first, *messages(1), 0, retain=False)
        session.flush()
        await first.landed.wait()
        session.send(second, *messages(1), 0, retain=False)
        session.flush()
        end = await session.ended
    assert "isn't in flight" in str(end)
    assert second.times == 0


async def test_a_takeover_is_told_apart() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CONNACK + bytes.fromhex("e008 8e 06 1f0003") + b"two")

    async with peer(script) as port, asyncio.timeout(5):
        session = await connect(mqtt_settings(port))
        end = await session.ended
    assert isinstance(end, ConnectionLost)
    assert end.taken_over
    assert str(end) == f"127.0.0.1:{port} ended the connection: Session taken over (two)"


@pytest.mark.parametrize(
    ("answer", "changes", "sentence"),
    [
        ("2003008600", {"username": "u"}, "Bad user name or password: check username and password"),
        ("2003008700", {}, "Not authorized: it wants username and password"),
        ("2003008400", {}, 'Unsupported protocol version: set protocol = "3.1.1"'),
        ("2008009d05 1c00026232", {}, "Server moved: it names 'b2' instead"),
        ("20050000022400", {}, "offers no acknowledged delivery"),
        ("20020005", {"protocol": 4}, "Not authorized"),
    ],
)
async def test_a_no_is_passed_on_with_its_mend(answer: str, changes: dict[str, Any], sentence: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes.fromhex(answer))

    async with peer(script) as port:
        with pytest.raises(ConnectRefused, match=sentence):
            await connect(mqtt_settings(port, **changes))


async def test_a_silent_peer_is_given_up() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async with peer(script) as port:
        with pytest.raises(ConnectFailed, match=r"no answer within 0\.1 s"):
            await connect(mqtt_settings(port, connect_timeout_s=0.1))


async def test_a_name_that_does_not_resolve_is_said_so() -> None:
    with pytest.raises(ConnectFailed, match=r"'broker\.invalid' can't be resolved: check host and the DNS"):
        await connect(mqtt_settings(1883, host="broker.invalid"))


class Sink(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


def established(version: int, window: int) -> tuple[Session, Sink]:
    """A session as it is after CONNACK, without a network."""
    session, transport = Session(mqtt_settings(1883, protocol=version, window=window), lambda: None), Sink()
    session.connection_made(transport)
    connecting = session._establish(b"")
    with contextlib.suppress(StopIteration):
        connecting.send(None)
        session.data_received(CONNACK if version == 5 else CONNACK[:1] + b"\x02\x00\x00")
        connecting.send(None)
    return session, transport


def within_loop(call: Callable[[], None]) -> None:
    async def run() -> None:
        call()

    asyncio.run(run())


@settings(max_examples=60)
@given(
    version=st.sampled_from([4, 5]),
    refused=st.sets(st.integers(0, 19)),
    order=st.permutations(range(20)),
    cuts=st.lists(st.integers(0, 150), max_size=30),
)
def test_acknowledgements_count_wherever_the_bytes_are_split(
    version: int, refused: set[int], order: list[int], cuts: list[int]
) -> None:
    """Any order of acknowledgements, split anywhere, a ping's answer among them: the outcome is the same."""
    if version == 4:
        refused = set()

    def run() -> None:
        session, transport = established(version, 20)
        flight = Count(20)
        assert session.send(flight, *messages(20), 0, retain=True) == 20
        session.flush()
        ids = packet_ids(version, 21)
        answers = [
            (b"\x40\x04" + ids[1 + n][:2] + b"\x87\x00") if n in refused else b"\x40\x02" + ids[1 + n][:2]
            for n in order
        ]
        session._pinged_at = 0.0
        stream = b"".join([*answers[:7], b"\xd0\x00", *answers[7:]])
        edges = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
        for start, stop in itertools.pairwise(edges):
            session.data_received(stream[start:stop])
        assert session.alive
        assert (flight.times, flight.pending, session.in_flight, session.acknowledged) == (1, 0, 0, 20)
        assert set(flight.refused or ()) == refused
        assert transport.written.count(b"\x00\x01t") == 20
        session.abort(ConnectionLost("over"))

    within_loop(run)


@settings(max_examples=200)
@given(st.sampled_from([4, 5]), st.lists(st.binary(max_size=40), max_size=8))
def test_noise_never_acknowledges_twice_or_raises(version: int, chunks: list[bytes]) -> None:
    def run() -> None:
        session, transport = established(version, 20)
        flight = Count(20)
        session.send(flight, *messages(20), 0, retain=False)
        session.flush()
        for chunk in chunks:
            if session.alive:
                session.data_received(chunk)
        assert 0 <= session.in_flight == flight.pending <= 20
        assert len(session._rest) <= MAX_RECEIVED
        assert session.alive or transport.aborted
        session.abort(ConnectionLost("over"))

    within_loop(run)


def test_a_paused_transport_leaves_no_room() -> None:
    def run() -> None:
        session, _ = established(5, 20)
        session.pause_writing()
        assert session.room == 0
        assert session.send(Count(1), *messages(1), 0, retain=False) == 0
        session.resume_writing()
        assert session.room == 20
        session.abort(ConnectionLost("over"))

    within_loop(run)
