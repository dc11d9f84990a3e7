"""What a network and a server can do to a session, and what must not be lost over it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from drivers.opcua import publisher
from drivers.opcua.history import FORGOTTEN
from gateway.driver import LinkDown
from gateway.model import DataType
from tests.drivers.opcua.rig import Ear, Rig, connected, point
from tests.support.opcua_server import HOST, OpcUaServer
from tests.support.proxy import Proxy

pytestmark = [pytest.mark.integration, pytest.mark.fault]


@pytest.fixture
async def proxy(fresh_server: OpcUaServer) -> AsyncIterator[Proxy]:
    async with Proxy(HOST, fresh_server.port) as between:
        yield between


def url_of(proxy: Proxy) -> str:
    return f"opc.tcp://{HOST}:{proxy.port}/line"


async def heal(rig: Rig, connect_s: float = 20.0) -> None:
    """Reconnect as the runtime does, until it works."""
    async with asyncio.timeout(connect_s):
        while True:
            await rig.bus.close()
            try:
                await rig.bus.connect()
            except LinkDown:
                await asyncio.sleep(0.1)
            else:
                return


async def test_a_cut_connection_loses_nothing_the_server_queued(fresh_server: OpcUaServer, proxy: Proxy) -> None:
    async with connected(url_of(proxy)) as rig:
        plan = rig.plan(point("Mode", DataType.INT16), point("Run", DataType.BOOL))
        first = await rig.listen(plan)
        await first.until(lambda: first.of(0) and first.of(1))
        await proxy.cut()
        await first.until(lambda: first.ends)
        fresh_server.ask("write_many", node="Mode", values=list(range(100, 200)))
        await proxy.resume()
        await heal(rig)
        second = await rig.listen(plan)
        await second.until(lambda: second.values()[-1:] == [199] and second.of(1))
        assert second.values() == list(range(100, 200))
        assert second.values(1) == [True]  # it hasn't changed, and is reported all the same
        assert rig.bus.counters["resumed_sessions"] == rig.bus.counters["resumed_subscriptions"] == 1
        assert (second.losses, second.values(history=True)) == ([], [])
        assert fresh_server.ask("sessions") == 1


async def test_what_was_sent_into_a_dying_connection_is_sent_again(fresh_server: OpcUaServer, proxy: Proxy) -> None:
    async with connected(url_of(proxy)) as rig:
        plan = rig.plan(point("Mode", DataType.INT16))
        first = await rig.listen(plan)
        await first.until(lambda: first.of(0))
        proxy.drop()
        fresh_server.ask("write_many", node="Mode", values=list(range(100, 120)))
        await asyncio.sleep(0.5)  # published into nowhere
        await proxy.resume()
        await first.until(lambda: first.ends)
        await heal(rig)
        second = await rig.listen(plan)
        await second.until(lambda: second.values()[-1:] == [119])
        assert second.values() == list(range(100, 120))
        assert rig.bus.counters["republished"] >= 1
        assert second.losses == []


async def test_a_restarted_server_loses_nothing_its_history_has(fresh_server: OpcUaServer) -> None:
    """The server comes back with another session, other indices, and a history that went on."""
    async with connected(fresh_server.url) as rig:
        plan = rig.plan(point("Double", DataType.FLOAT64), point("Mode", DataType.INT16))
        first = await rig.listen(plan)
        await first.until(lambda: first.of(0) and first.of(1))
        fresh_server.ask("write", node="Double", value=0.25)
        await first.until(lambda: first.values()[-1] == 0.25)
        fresh_server.stop()
        await first.until(lambda: first.ends)
        await asyncio.to_thread(fresh_server.start, "--history", "Double", "--namespaces-before", "2")
        for number in range(1500):
            fresh_server.ask("write", node="Double", value=float(number))
        await heal(rig)
        second = await rig.listen(plan)
        await second.until(lambda: 1499.0 in second.values(history=False) and 1498.0 in second.values(history=True))
        assert second.values(history=True)[-1499:] == [float(number) for number in range(1499)]
        assert second.values(history=False) == [1499.0]
        times = [time_ns for _, _, time_ns in second.of(0, history=True)]
        assert None not in times
        assert times == sorted(times)  # type: ignore[type-var]
        assert rig.bus.counters["resumed_sessions"] == 0


async def test_what_a_restart_may_have_cost_is_counted_where_no_history_tells(
    fresh_server: OpcUaServer, caplog: pytest.LogCaptureFixture
) -> None:
    """One for every tag that changed meanwhile and has no history; none where history shows that there was nothing."""
    async with connected(fresh_server.url) as rig:
        plan = rig.plan(
            point("Double", DataType.FLOAT64),
            point("Mode", DataType.INT16),
            point("i=2253", DataType.JSON, events=True),
        )
        first = await rig.listen(plan)
        await first.until(lambda: first.of(0) and first.of(1))
        fresh_server.stop()
        await first.until(lambda: first.ends)
        await asyncio.to_thread(fresh_server.start, "--history", "Double")
        fresh_server.ask("write", node="Double", value=5.0)
        fresh_server.ask("write", node="Mode", value=5)
        await heal(rig)
        second = await rig.listen(plan)
        await second.until(lambda: second.losses)
        assert second.losses == [(1, FORGOTTEN)]
        assert caplog.text.count("events of i=2253 while there was no subscription are gone") == 1
        # From here on everything is known again.
        await rig.device.subscribe(plan, second)
        fresh_server.ask("write", node="Mode", value=6)
        await second.until(lambda: second.values(1)[-1] == 6)
        assert len(second.losses) == 1


async def test_a_half_open_connection_is_noticed_in_time(
    fresh_server: OpcUaServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publisher.PROBE_AFTER_S + publisher.PROBE_LIMIT_S < 15
    async with connected(url_of(proxy)) as rig:
        plan = rig.plan(point("Mode", DataType.INT16))
        ear = await rig.listen(plan)
        await ear.until(lambda: ear.of(0))
        proxy.freeze()
        before = time.monotonic()
        await ear.until(lambda: ear.ends, 16)
        assert time.monotonic() - before <= 15
        assert "has said nothing for" in ear.ends[0][1]
        await proxy.resume()
        healed = time.monotonic()
        await heal(rig)
        second = await rig.listen(plan)
        fresh_server.ask("write", node="Mode", value=7)
        await second.until(lambda: second.values()[-1:] == [7])
        assert time.monotonic() - healed <= 5


async def test_a_stall_that_ends_in_time_is_no_loss(fresh_server: OpcUaServer, proxy: Proxy) -> None:
    """Where asyncua's own supervisor gives up after 1 s."""
    async with connected(url_of(proxy)) as rig:
        ear = await rig.listen(rig.plan(point("Mode", DataType.INT16)))
        await ear.until(lambda: ear.of(0))
        proxy.freeze()
        fresh_server.ask("write_many", node="Mode", values=list(range(50)))
        await asyncio.sleep(2)
        await proxy.resume()
        await ear.until(lambda: ear.values()[-1] == 49)
        assert ear.values()[-50:] == list(range(50))
        assert (ear.ends, ear.losses) == ([], [])


async def test_a_message_too_long_ends_the_connection_and_nothing_else(fresh_server: OpcUaServer) -> None:
    async with connected(fresh_server.url, max_message_bytes=8192) as rig:
        plan = rig.plan(point("Name", DataType.STRING), subscribed=False)
        fresh_server.ask("write", node="Name", value="x" * 20_000)
        with pytest.raises(LinkDown):
            await rig.device.read(plan)
        fresh_server.ask("write", node="Name", value="short")
        await heal(rig)
        assert (await rig.device.read(plan)).values == ("short",)


async def test_garbage_ends_the_connection_with_one_sentence() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    babbler = await asyncio.start_server(babble, HOST, 0)
    async with babbler:
        port = babbler.sockets[0].getsockname()[1]
        with pytest.raises(LinkDown, match="isn't OPC UA") as caught:
            async with connected(f"opc.tcp://{HOST}:{port}"):
                pass
        assert "\n" not in str(caught.value)


async def test_alarms_in_force_and_events_come_as_json(fresh_server: OpcUaServer) -> None:
    async with connected(fresh_server.url) as rig:
        plan = rig.plan(
            point("i=2253", DataType.JSON, events=True), point("i=85", DataType.JSON, events=True, min_severity=600)
        )
        ear = await rig.listen(plan)
        await ear.until(lambda: ear.of(0))
        assert ear.of(0)[0][:2] == (None, 0x80320000)
        for number in range(20):
            fresh_server.ask("event", message=f"door {number}", severity=500 + number)
        await ear.until(lambda: len(ear.values()) == 21)
        assert_events(ear)


def assert_events(ear: Ear) -> None:
    import orjson

    events = [orjson.loads(str(value)) for value in ear.values()[1:]]
    assert [event["Message"] for event in events] == [f"door {number}" for number in range(20)]
    assert [event["Severity"] for event in events] == list(range(500, 520))
    first = events[0]
    assert bytes.fromhex(first["EventId"])
    assert first["EventType"] == "i=2041"
    assert first["SourceName"] == "Server"
    assert first["Time"].endswith("Z")
    assert [batch.event for batch in ear.batches if 0 in (batch.columns or ())] == [False] + [True] * 20
    assert len({event["EventId"] for event in events}) == 20
