"""The sink against a real broker, with paho as the independent subscriber and a feed in memory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.model import DataType, Layout, Quality, Tag
from gateway.northbound import MqttSink
from gateway.settings import MqttSettings
from tests.northbound.toy import (
    CONNACK,
    Listener,
    ToyFeed,
    documents,
    layout,
    mqtt_settings,
    peer,
    read_packet,
    record,
    records,
    wide_layout,
)
from tests.support.mosquitto import Mosquitto
from tests.support.proxy import Proxy

pytestmark = pytest.mark.integration

GATEWAY = "uns/v1/acme/plant1/gw1"
ASSET = "uns/v1/acme/plant1/filler1"


def empty_ledger() -> Mapping[str, Any]:
    return {"timestamp_ms": 1, "boot": 7, "sources": {"filler1": {"boots": {}}, "gone": {"boots": {}}}}


@contextlib.asynccontextmanager
async def running(settings: MqttSettings, *layouts: Layout) -> AsyncIterator[tuple[MqttSink, ToyFeed]]:
    sink = MqttSink(settings, documents(settings, *layouts), 7, empty_ledger)
    feed = ToyFeed()
    task = asyncio.create_task(sink.run(feed))
    try:
        yield sink, feed
        assert not task.done(), task.exception()
    finally:
        await sink.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not feed.loaned, "a loan was never ended"


async def until(condition: Any, timeout_s: float = 10) -> None:
    """The sink's status has no event to wait for: users read it, too."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def broker(tmp_path: Path) -> Any:
    with Mosquitto(tmp_path) as running_broker:
        yield running_broker


@pytest.mark.parametrize("protocol", [5, 4])
@pytest.mark.parametrize("granularity", ["tag", "asset"])
async def test_every_value_arrives_once_and_in_order(broker: Mosquitto, protocol: int, granularity: str) -> None:
    of = wide_layout(125)
    settings = mqtt_settings(broker.port, protocol=protocol, granularity=granularity)
    async with Listener(broker.host, broker.port) as listener, running(settings, of) as (sink, feed):
        feed.put(*records(of, 8))
        await feed.until_empty()
        expected = 1000 if granularity == "tag" else 8

        def values(heard: Listener) -> list[Any]:
            return heard.values if granularity == "tag" else heard.payloads("/_values/fast")

        await listener.until(lambda heard: len(values(heard)) >= expected)
        if granularity == "tag":
            assert [(value["seq"], value["value"]) for value in values(listener)] == [(n, n) for n in range(1, 1001)]
        else:
            assert [value["seq"] for value in values(listener)] == list(range(1, 1000, 125))
            assert [list(value["values"].values()) for value in values(listener)] == [
                list(range(first, first + 125)) for first in range(1, 1000, 125)
            ]
        status = sink.status()
        assert status["values"] == 1000
        assert status["connected"] is True
        assert status["refusals_visible"] is (protocol == 5)
        assert 0 < status["latency_p50_ms"] <= status["latency_p99_ms"] < 5000
    assert [r.seq for r in feed.settled] == list(range(1, 1000, 125))


async def test_documents_are_retained_and_the_goodbye_is_said(broker: Mosquitto) -> None:
    of = layout(Tag("count", DataType.UINT64), Tag("speed", DataType.FLOAT64, "Hz", writable=True))
    async with running(mqtt_settings(broker.port), of) as (sink, feed):
        feed.put(record(of, [2**60, 1.5]))
        await feed.until_empty()

        class Sick:
            device, state, detail, since_ns = "filler1", "failure", "no answer", 3_000_000

        sink.device_health(Sick())
        await until(lambda: sink.status()["messages"] == 7)
        async with Listener(broker.host, broker.port) as listener:
            await listener.until(lambda heard: bool(heard.payloads("filler1/_state")) and bool(heard.values))
            assert [topic for topic, _, retained in listener.messages if not retained] == []
            meta = listener.payloads("/_meta")[0]
            assert meta["tags"]["speed"]["unit"] == "Hz"
            assert meta["strings_beyond_2_53"] == ["count"]
            (namespace,) = listener.payloads("/_namespace")
            assert namespace["assets"] == [{"topic": ASSET, "source": "filler1", "tags": 2, "hash": meta["hash"]}]
            assert listener.payloads("gw1/_state")[0]["state"] == "online"
            assert listener.payloads("filler1/_state") == [
                {"timestamp_ms": 3, "state": "failure", "boot": 7, "detail": "no answer"}
            ]
            (ledger,) = listener.payloads("/_ledger")
            assert ledger["sources"] == {"filler1": {"topic": ASSET, "boots": {}}, "gone": {"boots": {}}}
            assert [value["value"] for value in listener.values] == [str(2**60), 1.5]
            await sink.stop()
            await listener.until(lambda heard: heard.payloads("gw1/_state")[-1]["state"] == "offline")
            assert listener.payloads("gw1/_state")[-1]["reason"] == "stopped"


async def test_backfill_is_never_retained(broker: Mosquitto) -> None:
    of = layout()
    async with Listener(broker.host, broker.port, f"{ASSET}/speed") as listener:
        async with running(mqtt_settings(broker.port), of) as (_, feed):
            feed.put(record(of, [1.0], seq=5), record(of, [2.0], seq=1, backfill=True))
            await feed.until_empty()
            await listener.until(lambda heard: len(heard.values) == 2)
            assert [value.get("hist") for value in listener.values] == [None, True]
        async with Listener(broker.host, broker.port, f"{ASSET}/speed") as late:
            await late.until(lambda heard: bool(heard.messages))
            assert [value["value"] for value in late.values] == [1.0]


async def test_nothing_is_retained_where_retain_is_off(broker: Mosquitto) -> None:
    of = layout()
    async with running(mqtt_settings(broker.port, retain=False), of) as (_, feed):
        feed.put(record(of, [1.0]))
        await feed.until_empty()
        async with Listener(broker.host, broker.port) as late:
            await late.until(lambda heard: bool(heard.payloads("/_ledger")))
            assert late.values == []


async def test_the_will_says_what_the_gateway_cannot(broker: Mosquitto) -> None:
    async with (
        Listener(broker.host, broker.port, f"{GATEWAY}/_state") as listener,
        Proxy(broker.host, broker.port) as proxy,
    ):
        async with running(mqtt_settings(proxy.port), layout()):
            await listener.until(lambda heard: bool(heard.messages))
            online = listener.payloads("/_state")[0]
            await proxy.cut()
            await listener.until(lambda heard: len(heard.messages) == 2)
            will = listener.payloads("/_state")[1]
            assert (will["state"], will["reason"]) == ("offline", "connection lost")
            assert will["session_ms"] == online["session_ms"]
            assert "timestamp_ms" not in will


async def test_the_window_is_the_brokers_receive_maximum(tmp_path: Path) -> None:
    of = wide_layout(125)
    with Mosquitto(tmp_path, extra=["max_inflight_messages 5"]) as broker:
        async with Listener(broker.host, broker.port) as listener:
            async with running(mqtt_settings(broker.port), of) as (sink, feed):
                feed.put(*records(of, 4))
                await feed.until_empty()
                assert sink.status()["window"] == 5
                assert sink.status()["connections"] == 1, broker.log[-2000:]
            await listener.until(lambda heard: len(heard.values) >= 500)
            assert [value["seq"] for value in listener.values] == list(range(1, 501))


async def test_a_refusal_is_seen_kept_aside_and_alarmed_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    allowed = "topic write uns/v1/acme/plant1/gw1/#\ntopic write uns/v1/acme/plant1/filler1/_meta\ntopic read #\n"
    of = wide_layout(3)
    with Mosquitto(tmp_path, acl=f"{allowed}topic write {ASSET}/t0\ntopic write {ASSET}/t2\n") as broker:
        async with (
            Listener(broker.host, broker.port) as listener,
            running(mqtt_settings(broker.port), of) as (sink, feed),
        ):
            first, second = records(of, 2)
            feed.put(first, second)
            await feed.until_empty()
            assert [(taken, positions) for taken, _, positions in feed.refused] == [(first, [1]), (second, [1])]
            assert "Not authorized" in feed.refused[0][1]
            status = sink.status()
            assert (status["refused"], status["values"]) == (2, 4)
            assert status["refusing"] == {"filler1": {"topics": 1, "reason": feed.refused[0][1]}}
            alarms = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
            assert len(alarms) == 1
            assert f"{ASSET}/t1: Not authorized" in alarms[0].getMessage()
            broker.reload(acl=f"{allowed}topic write {ASSET}/#\n")
            first.only = [1]
            feed.put(first)
            await feed.until_empty()
            assert feed.settled == [first]
            assert sink.status()["refusing"] == {}
            await listener.until(lambda heard: len(heard.values) == 5)
            assert [value["seq"] for value in listener.values] == [1, 3, 4, 6, 2]


async def test_a_refused_document_does_not_hold_up_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    of = layout()
    with Mosquitto(tmp_path, acl=f"topic write {ASSET}/speed\n") as broker:
        async with running(mqtt_settings(broker.port), of) as (sink, feed):
            feed.put(record(of, [1.0]))
            await feed.until_empty()
            assert len(feed.settled) == 1
            assert set(sink.status()["refused_documents"]) == {
                *(f"{GATEWAY}/_state", f"{GATEWAY}/_namespace", f"{GATEWAY}/_ledger", f"{ASSET}/_meta")
            }


async def test_a_refusal_cannot_be_seen_on_3_1_1(tmp_path: Path) -> None:
    of = layout()
    with Mosquitto(tmp_path, acl="topic read #\n") as broker:
        async with running(mqtt_settings(broker.port, protocol=4), of) as (sink, feed):
            feed.put(record(of, [1.0]))
            await feed.until_empty()
            assert len(feed.settled) == 1
            assert sink.status()["refusals_visible"] is False


@pytest.mark.parametrize("protocol", [5, 4])
async def test_a_record_larger_than_the_broker_takes_is_kept_aside(tmp_path: Path, protocol: int) -> None:
    """In MQTT 5 the limit is known; in 3.1.1 the broker just ends every connection over it."""
    of = layout(Tag("text", DataType.STRING))
    with Mosquitto(tmp_path, extra=["max_packet_size 2000"]) as broker:
        async with running(mqtt_settings(broker.port, protocol=protocol), of) as (sink, feed):
            await until(lambda: sink.status()["connected"])
            feed.put(record(of, ["x" * 5000], seq=1), record(of, ["small"], seq=2))
            await feed.until_empty()
            assert [taken.seq for taken, _, _ in feed.refused] == [1]
            assert [taken.seq for taken in feed.settled] == [2]
            assert ("more than the broker takes" in feed.refused[0][1]) is (protocol == 5)


async def test_a_half_open_connection_is_noticed_within_the_deadline(broker: Mosquitto) -> None:
    of = layout()
    async with Proxy(broker.host, broker.port) as proxy:
        settings = mqtt_settings(proxy.port, ack_timeout_s=0.3, connect_timeout_s=0.5)
        async with running(settings, of) as (sink, feed):
            await until(lambda: sink.status()["connected"] and not sink.status()["in_flight"])
            proxy.freeze()
            feed.put(record(of, [1.0]))
            await feed.until(lambda toy: toy.restored == 1, timeout_s=0.6)
            assert "without acknowledgement" in sink.status()["last_error"]
            await proxy.reset()
            await proxy.resume()
            await feed.until_empty()


async def test_an_idle_half_open_connection_is_noticed_by_ping(broker: Mosquitto) -> None:
    async with Proxy(broker.host, broker.port) as proxy:
        settings = mqtt_settings(proxy.port, keepalive_s=1, ack_timeout_s=0.3)
        async with running(settings, layout()) as (sink, feed):
            await until(lambda: sink.status()["connected"] and not sink.status()["in_flight"])
            await asyncio.sleep(1.2)
            assert sink.status()["connected"], "a ping must keep an idle connection"
            proxy.freeze()
            await feed.until(lambda toy: toy.restored == 1, timeout_s=1.5)
            assert "a ping without answer" in sink.status()["last_error"]
            await proxy.reset()
            await proxy.resume()


@pytest.mark.fault
async def test_cut_connections_cost_duplicates_within_the_window(tmp_path: Path) -> None:
    """Records are far wider than the window: a reconnect must not repeat what of one was acknowledged."""
    of, window, cuts = wide_layout(125), 20, 4
    with Mosquitto(tmp_path) as broker:
        async with Listener(broker.host, broker.port) as listener, Proxy(broker.host, broker.port) as proxy:
            async with running(mqtt_settings(proxy.port, window=window), of) as (sink, feed):
                await until(lambda: sink.status()["connected"])
                feed.put(*records(of, 40))
                for number in range(1, cuts + 1):
                    await feed.until(lambda toy, goal=8 * number: len(toy.settled) >= goal)  # type: ignore[misc]
                    await proxy.cut()
                    await proxy.resume()
                await feed.until_empty()
                assert sink.status()["reconnects"] == feed.restored == cuts
            await listener.until(lambda heard: heard.values[-1]["seq"] == 5000)
    seqs = [value["seq"] for value in listener.values]
    assert set(seqs) == set(range(1, 5001))
    assert len(seqs) - 5000 <= window * cuts
    assert sum(later <= earlier for earlier, later in itertools.pairwise(seqs)) <= cuts
    assert [taken.seq for taken in feed.settled] == list(range(1, 5001, 125))


@pytest.mark.fault
async def test_what_was_acknowledged_is_not_repeated_however_often_the_connection_is_lost() -> None:
    """First connection: 10 of 125 values acknowledged. Second: none. Third: all the rest."""
    allowance = iter((10, 0, 125))
    seen: list[list[int]] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CONNACK)
        allowed = next(allowance)
        values: list[int] = []
        seen.append(values)
        while True:
            packet = await read_packet(reader)
            size = 3 + int.from_bytes(packet[1:3], "big")
            if b"filler1/t" in packet[:size]:
                values.append(json.loads(packet[size + 3 :])["seq"])
                if len(values) > allowed:
                    break
            writer.write(b"\x40\x02" + packet[size : size + 2])
        await writer.drain()
        writer.transport.abort()

    of = wide_layout(125)
    async with peer(script) as port, running(mqtt_settings(port, window=20), of) as (_, feed):
        (taken,) = records(of, 1)
        feed.put(taken)
        await feed.until_empty()
        assert feed.settled == [taken]
    assert [values[:1] for values in seen] == [[1], [11], [11]]
    assert seen[2] == list(range(11, 126))


@pytest.mark.fault
async def test_a_killed_broker_costs_nothing_that_was_not_acknowledged(tmp_path: Path) -> None:
    of = wide_layout(50)
    with Mosquitto(tmp_path) as broker:
        async with Listener(broker.host, broker.port) as listener, Proxy(broker.host, broker.port) as proxy:
            async with running(mqtt_settings(proxy.port), of) as (sink, feed):
                await until(lambda: sink.status()["connected"])
                feed.put(*records(of, 100))
                await feed.until(lambda toy: len(toy.settled) > 30)
                listener.forget_subscription()
                broker.kill()
                await proxy.cut()
                await feed.until(lambda toy: toy.restored == 1)
                assert not feed.loaned
                acknowledged = sink.status()["messages"]
                heard_before = {value["seq"] for value in listener.values}
                broker.start()
                await listener.resubscribed()
                await proxy.resume()
                await feed.until_empty()
            await listener.until(lambda heard: heard.values[-1]["seq"] == 5000)
    missing = set(range(1, 5001)) - {value["seq"] for value in listener.values}
    # What it had acknowledged and not passed on yet died with the broker.
    assert all(max(heard_before, default=0) < seq <= acknowledged for seq in missing)
    assert len(feed.settled) == 100


@pytest.mark.parametrize("protocol", [5, 4])
async def test_two_clients_of_one_name_do_not_fight(
    broker: Mosquitto, caplog: pytest.LogCaptureFixture, protocol: int
) -> None:
    """Neither this Mosquitto nor any MQTT 3.1.1 broker says why it closes; the pattern does."""
    settings = mqtt_settings(broker.port, protocol=protocol)
    async with running(settings, layout()) as (sink, _), running(settings, layout()) as (rival, _):

        def connections() -> int:
            return int(sink.status()["connections"]) + int(rival.status()["connections"])

        await until(lambda: any("another client uses the client id 'gw1'" in text for text in caplog.messages))
        before = connections()
        await asyncio.sleep(0.6)
        assert connections() <= before + 1


async def test_an_unreachable_broker_is_said_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    async with Proxy("127.0.0.1", 9) as proxy:
        await proxy.cut()
        with caplog.at_level(logging.INFO):
            async with running(mqtt_settings(proxy.port), layout()) as (sink, _):
                await asyncio.sleep(0.7)
                assert not sink.status()["connected"]
    warnings = [text for text in caplog.messages if "sink plant" in text]
    assert len(warnings) == 1
    assert f"nothing listens at 127.0.0.1:{proxy.port}" in warnings[0]


async def test_a_record_that_cannot_be_encoded_costs_only_itself(broker: Mosquitto) -> None:
    of = wide_layout(2)
    async with running(mqtt_settings(broker.port), of) as (_, feed):
        feed.put(record(of, [1], seq=1, columns=[5]), record(of, [1, 2], seq=2))
        await feed.until_empty()
        assert [(taken.seq, reason) for taken, reason, _ in feed.refused] == [
            (1, "it can't be encoded (IndexError: list index out of range)")
        ]
        assert [taken.seq for taken in feed.settled] == [2]


async def test_stop_delivers_what_is_there(broker: Mosquitto) -> None:
    of = wide_layout(125)
    async with running(mqtt_settings(broker.port), of) as (sink, feed):
        await until(lambda: sink.status()["connected"])
        feed.put(*records(of, 5))
        await sink.stop()
        assert len(feed.settled) == 5
        assert not sink.status()["connected"]


@pytest.mark.parametrize("broken", ["settle", "take"])
async def test_a_feed_that_breaks_surfaces(broker: Mosquitto, broken: str) -> None:
    """A defect behind the feed must end `run`, not be retried as if the network had failed."""
    of = layout()
    feed = ToyFeed()
    settings = mqtt_settings(broker.port)
    sink = MqttSink(settings, documents(settings, of), 7, empty_ledger)
    setattr(feed, broken, lambda *_: json.loads("not json"))
    task = asyncio.create_task(sink.run(feed))
    feed.put(record(of, [1.0]))
    with pytest.raises(json.JSONDecodeError):
        await asyncio.wait_for(task, 5)


async def test_other_devices_are_told_without_reconnecting(broker: Mosquitto) -> None:
    stays, goes, comes = layout(), layout(Tag("a/b", DataType.UINT16), source="mixer"), layout(source="kiln")
    settings = mqtt_settings(broker.port)
    base = "uns/v1/acme/plant1"
    async with Listener(broker.host, broker.port) as listener, running(settings, stays, goes) as (sink, feed):
        feed.put(record(stays, [1.0]), record(goes, [5]))
        await feed.until_empty()
        last = record(goes, [None], seq=2, qualities=[int(Quality.BAD_OUT_OF_SERVICE)])
        feed.put(last)
        sink.describe(documents(settings, stays, comes, before=sink.documents), last.id)
        await listener.until(lambda heard: len(heard.cleared) == 3)
        assert set(listener.cleared) == {f"{base}/mixer/{end}" for end in ("a/b", "_meta", "_state")}
        of_value = [payload for topic, payload, _ in listener.messages if topic.endswith("mixer/a/b")]
        assert [bool(payload) for payload in of_value] == [True, True, False], "cleared before its last value came"
        assert len(listener.payloads("_namespace")) == 2
        assert [asset["source"] for asset in listener.payloads("_namespace")[1]["assets"]] == ["filler1", "kiln"]
        assert [meta["source"] for meta in listener.payloads("_meta")] == ["filler1", "mixer", "kiln"], "only news"
        await until(lambda: sink.status()["in_flight"] == 0)
        async with Listener(broker.host, broker.port) as fresh:
            await fresh.until(lambda heard: bool(heard.payloads("_ledger")))
            assert not [topic for topic, _, _ in fresh.messages if "mixer" in topic], "a ghost is left at the broker"
        assert sink.status()["connections"] == 1


@pytest.mark.parametrize("order", ["live-first", "strict"])
async def test_nothing_is_cleared_while_something_may_still_be_retained_there(broker: Mosquitto, order: str) -> None:
    stays, goes = layout(), layout(source="mixer")
    settings = mqtt_settings(broker.port, strict_order=order == "strict", window=1)
    async with Listener(broker.host, broker.port) as listener, running(settings, stays, goes) as (sink, feed):
        await until(lambda: sink.status()["connected"])
        before = [record(goes, [float(n)], seq=n) for n in range(1, 30)]
        late = record(stays, [0.0], backfill=True)
        after = record(stays, [1.0], seq=2)
        feed.behind = True
        feed.put(*before, *([after] if order == "strict" else [late]), after if order != "strict" else late)
        sink.describe(documents(settings, stays), before[-1].id)
        await feed.until_empty()
        if order == "strict":
            await asyncio.sleep(0.1)
            assert listener.cleared == [], "what is stored comes first, and something live may wait behind it"
            feed.behind = False
            feed.put(record(stays, [2.0], seq=3))
        await listener.until(lambda heard: "uns/v1/acme/plant1/mixer/speed" in heard.cleared)
        topics = [topic for topic, _, _ in listener.messages if topic.endswith("mixer/speed")]
        assert len(topics) == len(before) + 1


async def test_what_went_while_the_broker_was_away_is_cleared_when_it_is_back(broker: Mosquitto) -> None:
    stays, goes = layout(), layout(source="mixer")
    async with Proxy(broker.host, broker.port) as proxy:
        settings = mqtt_settings(proxy.port, reconnect_max_s=0.2)
        async with running(settings, stays, goes) as (sink, feed):
            feed.put(record(goes, [5.0]))
            await feed.until_empty()
            await proxy.cut()
            await until(lambda: not sink.status()["connected"])
            sink.describe(documents(settings, stays), 0)
            await proxy.resume()
            async with Listener(broker.host, broker.port) as listener:
                await listener.until(lambda heard: "uns/v1/acme/plant1/mixer/speed" in heard.cleared)
            await until(lambda: sink.status()["connected"] and sink.status()["in_flight"] == 0)
            sink.describe(documents(settings, stays, goes), 0)
            feed.put(record(goes, [6.0], seq=2))
            async with Listener(broker.host, broker.port) as listener:
                await listener.until(lambda heard: bool(heard.values) and heard.values[-1]["value"] == 6.0)
                await listener.until(lambda heard: any(m["source"] == "mixer" for m in heard.payloads("_meta")))
                assert listener.cleared == []


async def test_a_sink_that_takes_over_clears_what_the_one_before_left(broker: Mosquitto) -> None:
    of = layout()
    old, new = mqtt_settings(broker.port), mqtt_settings(broker.port, root="plant")
    async with running(old, of) as (sink, feed):
        feed.put(record(of, [1.0]))
        await feed.until_empty()
        before = sink.documents
    documents_now = documents(new, of)
    sink = MqttSink(new, documents_now, 7, empty_ledger, stale=before.retained - documents_now.retained)
    feed = ToyFeed()
    task = asyncio.create_task(sink.run(feed))
    await until(lambda: sink.status()["connected"] and sink.status()["in_flight"] == 0)
    await sink.stop()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with Listener(broker.host, broker.port) as listener:
        await listener.until(lambda heard: bool(heard.payloads("_namespace")))
        assert {topic.split("/")[0] for topic, _, _ in listener.messages} == {"plant"}


async def test_every_connection_asks_for_all_values_anew_and_again_if_they_came_too_late(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.northbound.sink._REFRESH_PAUSE_S", 0.5)
    of = wide_layout(1)
    asked = 0
    asked_s: list[float] = []

    def refresh() -> None:
        nonlocal asked
        asked += 1
        asked_s.append(time.monotonic())

    async with Proxy(broker.host, broker.port) as proxy:
        settings = mqtt_settings(proxy.port, ledger_interval_s=0.1)
        sink = MqttSink(settings, documents(settings, of), 7, empty_ledger, refresh)
        feed = ToyFeed()
        task = asyncio.create_task(sink.run(feed))
        try:
            await until(lambda: asked == 1)
            await proxy.reset()
            await until(lambda: asked == 2)
            late = time.monotonic_ns()
            before = record(of, [1], backfill=True)
            before.batch.mono_ns = late - 60_000_000_000
            feed.put(before)
            await feed.until_empty()
            assert asked == 2, "what was read before the connection stood isn't overtaken"
            for number in range(2):
                overtaken = record(of, [1], seq=2 + number, backfill=True)
                overtaken.batch.mono_ns = late
                feed.behind = number == 0
                feed.put(overtaken)
                await feed.until_empty()
                assert asked == (2 if number == 0 else 3)
            for _ in range(2):
                earlier = len(asked_s)
                overtaken.batch.mono_ns = time.monotonic_ns()
                feed.put(overtaken)
                await until(lambda earlier=earlier: asked == earlier + 1)
            pauses_s = [later - earlier for earlier, later in itertools.pairwise(asked_s[2:])]
            assert pauses_s[0] >= 0.5, "a slow broker would be asked all the time"
            assert pauses_s[1] >= 1.0, "and ever so often"
        finally:
            await sink.stop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
