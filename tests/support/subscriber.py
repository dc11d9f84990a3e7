"""An independent subscriber: paho, collecting everything a broker sends, in order of arrival."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import orjson
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    payload: bytes
    retained: bool
    at: float
    """time.monotonic() at arrival."""

    @property
    def json(self) -> Any:
        return orjson.loads(self.payload)


class Subscriber:
    """Subscribed to `pattern` at QoS 1 when the context is entered. Its session outlives a broken connection."""

    def __init__(self, port: int, pattern: str = "#", *, client_id: str = "subscriber") -> None:
        self.messages: list[Message] = []
        self.connections = 0
        self._pattern = pattern
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        keep = Properties(PacketTypes.CONNECT)
        keep.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, clean_start=False, properties=keep)

    def __enter__(self) -> Subscriber:
        self._client.loop_start()
        assert self._subscribed.wait(10), "the broker didn't confirm the subscription"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def under(self, suffix: str) -> list[Message]:
        """Messages whose topic ends with `suffix`."""
        return [message for message in self.messages if message.topic.endswith(suffix)]

    async def until(
        self, condition: Callable[[list[Message]], object], what: str, timeout_s: float = 20.0
    ) -> list[Message]:
        """The messages as soon as they fulfil `condition`."""
        deadline = time.monotonic() + timeout_s
        while not condition(self.messages):
            assert time.monotonic() < deadline, (
                f"not within {timeout_s} s: {what}; {len(self.messages)} messages, "
                f"the last: {self.messages[-1] if self.messages else None}"
            )
            await asyncio.sleep(0.02)
        return self.messages

    def _on_connect(self, client: Client, *_: Any) -> None:
        self.connections += 1
        client.subscribe(self._pattern, qos=1)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self.messages.append(Message(message.topic, message.payload, bool(message.retain), time.monotonic()))
