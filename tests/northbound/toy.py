"""A feed in memory, a listener that shares no code with the gateway, a scripted peer, and settings for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from gateway.driver import DriverKind, Point, PollGroup
from gateway.model import Batch, DataType, Layout, Record, Tag, Value
from gateway.northbound import Documents
from gateway.settings import (
    DeviceSettings,
    GatewaySettings,
    GroupSettings,
    JournalSettings,
    LinkSettings,
    MqttSettings,
    TagRules,
)
from tests.support.site import SITE

READ_NS = 1_733_904_005_123_456_789


class ToyFeed:
    """:class:`gateway.sink.Feed` over a list: what was taken is settled, refused or given back, in that order kept."""

    def __init__(self) -> None:
        self.waiting: deque[Record] = deque()
        self.loaned: dict[int, Record] = {}
        self.settled: list[Record] = []
        self.refused: list[tuple[Record, str, Sequence[int] | None]] = []
        self.restored = 0
        self.behind = False
        self._wake: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    def put(self, *records: Record) -> None:
        self.waiting.extend(records)
        self._wake()

    def take(self) -> Record | None:
        if not self.waiting:
            return None
        record = self.waiting.popleft()
        assert record.id not in self.loaned, "taken twice"
        self.loaned[record.id] = record
        return record

    def on_ready(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def settle(self, record: Record) -> None:
        del self.loaned[record.id]
        self.settled.append(record)
        self._changed.set()

    def refuse(self, record: Record, reason: str, positions: Sequence[int] | None = None) -> None:
        del self.loaned[record.id]
        self.refused.append((record, reason, positions))
        self._changed.set()

    def restore(self) -> None:
        self.restored += 1
        self.waiting.extendleft(sorted(self.loaned.values(), key=lambda record: record.id, reverse=True))
        self.loaned.clear()
        self._changed.set()

    async def until(self, condition: Callable[[ToyFeed], bool], timeout_s: float = 10) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()

    async def until_empty(self, timeout_s: float = 10) -> None:
        await self.until(lambda feed: not feed.waiting and not feed.loaned, timeout_s)


class Listener:
    """An independent MQTT 5 subscriber: paho. Messages are (topic, payload bytes, retained), in order of arrival."""

    def __init__(self, host: str, port: int, *topics: str) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self.values: list[dict[str, Any]] = []
        """The decoded payloads of everything that isn't a document, in order of arrival."""
        self._host, self._port = host, port
        self._topics = topics or ("#",)
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(0.05, 0.1)  # type: ignore[arg-type]
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def _on_connect(self, client: Client, userdata: object, flags: object, code: ReasonCode, props: object) -> None:
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_subscribe(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._subscribed.set)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        self._loop.call_soon_threadsafe(self._add, (message.topic, bytes(message.payload), message.retain))

    def _add(self, message: tuple[str, bytes, bool]) -> None:
        self.messages.append(message)
        if message[1] and not message[0].rpartition("/")[2].startswith("_"):
            self.values.append(json.loads(message[1]))
        self._changed.set()

    async def __aenter__(self) -> Listener:
        self._client.connect(self._host, self._port)
        self._client.loop_start()
        async with asyncio.timeout(5):
            await self._subscribed.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def resubscribed(self) -> None:
        """After the broker was restarted: until this listener hears again."""
        async with asyncio.timeout(5):
            await self._subscribed.wait()

    def forget_subscription(self) -> None:
        self._subscribed.clear()

    def payloads(self, suffix: str) -> list[Any]:
        """The decoded payloads of topics that end so."""
        return [json.loads(payload) for topic, payload, _ in self.messages if payload and topic.endswith(suffix)]

    @property
    def cleared(self) -> list[str]:
        """Topics of which the broker was told to keep nothing."""
        return [topic for topic, payload, _ in self.messages if not payload]

    async def until(self, condition: Callable[[Listener], bool], timeout_s: float = 10) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()


CONNACK = b"\x20\x03\x00\x00\x00"
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def peer(script: Script) -> AsyncIterator[int]:
    """Reads CONNECT, then plays the script."""

    playing: set[asyncio.Task[Any] | None] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        playing.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await read_packet(reader)
            await script(reader, writer)
            await writer.drain()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in playing:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in playing if task is not None))


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    first = await reader.readexactly(1)
    length = shift = 0
    while True:
        (byte,) = await reader.readexactly(1)
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return first + await reader.readexactly(length)


def layout(*tags: Tag, source: str = "filler1", group: str = "fast") -> Layout:
    return Layout(source, group, ("acme", "plant1", source), tags or (Tag("speed", DataType.FLOAT64, "Hz"),))


def wide_layout(count: int, source: str = "filler1") -> Layout:
    return layout(*(Tag(f"t{i}", DataType.UINT16) for i in range(count)), source=source)


_ids = itertools.count(1)


def record(of: Layout, values: Sequence[Value], *, seq: int = 1, backfill: bool = False, **batch: Any) -> Record:
    return Record(next(_ids), 7, seq, Batch(of, READ_NS, 5, values, **batch), backfill)


def records(of: Layout, count: int) -> list[Record]:
    """Consecutive full records of a layout; every value is its own sequence number modulo 65,536."""
    width = len(of.tags)
    return [
        record(of, [(1 + number * width + i) % 65536 for i in range(width)], seq=1 + number * width)
        for number in range(count)
    ]


def mqtt_settings(port: int, **changes: Any) -> MqttSettings:
    defaults: dict[str, Any] = {
        "name": "plant",
        "host": "127.0.0.1",
        "port": port,
        "client_id": "gw1",
        "ledger_interval_s": 60.0,
    }
    return MqttSettings(**{**defaults, **changes})


def documents(settings: MqttSettings, *layouts: Layout, before: Documents | None = None) -> Documents:
    return Documents.of(gateway_settings(*layouts), settings, before)


def gateway_settings(*layouts: Layout) -> GatewaySettings:
    kind = DriverKind("toy", "for tests", dict, dict, dict, lambda *_: None, lambda *_: None)  # type: ignore[arg-type]
    devices = tuple(
        DeviceSettings(
            of.source,
            None,
            (
                GroupSettings(
                    PollGroup(of.group, of, tuple(Point(tag.path, tag.type, None) for tag in of.tags), 1.0),
                    tuple(TagRules(tag.type, tag.type) for tag in of.tags),
                ),
            ),
        )
        for of in layouts
    )
    return GatewaySettings(
        id="gw1",
        location=("acme", "plant1"),
        data_dir=Path("/nonexistent"),
        socket=Path("/nonexistent/control.sock"),
        clock="trusted",
        journal=JournalSettings(Path("/nonexistent/journal.db")),
        links=(LinkSettings("wire", kind, None, SITE, devices),),
        sinks=(),
    )
