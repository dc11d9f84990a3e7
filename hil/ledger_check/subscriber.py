"""A plain MQTT 5 subscriber that feeds a checker, with or without a session that outlives its connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from hil.ledger_check.checker import Checker

_CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the messages are."""

    host: str
    port: int = 1883
    username: str | None = None
    password: str | None = None
    ca: Path | None = None
    """Trusted certificates, PEM; with it the connection is TLS."""

    def client(self, client_id: str) -> Client:
        """A client for it, not yet connected."""
        client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect_timeout = _CONNECT_TIMEOUT_S
        if self.username is not None:
            client.username_pw_set(self.username, self.password)
        if self.ca is not None:
            client.tls_set(ca_certs=str(self.ca))
        return client


class Subscriber:
    """Feeds `checker` from a thread of its own, from ``with`` on until the end of the block.

    `session`: a client id whose session the broker keeps for an hour, so that nothing is missed while disconnected;
    without one a reconnect starts afresh. `watch` is called with every message too, before the checker. `lock` is held
    while the checker works: take it to ask the checker from another thread.
    """

    def __init__(
        self,
        broker: Broker,
        checker: Checker,
        *,
        root: str = "uns",
        session: str | None = None,
        watch: Callable[[str, bytes, bool], None] | None = None,
    ) -> None:
        self._broker = broker
        self._checker = checker
        self._filter = f"{root}/v1/#"
        self._session = session
        self._watch = watch
        self._subscribed = False
        self.lock = threading.Lock()
        self.ready = threading.Event()
        """Set while subscribed."""
        self.refusal: str | None = None
        """Why the broker refuses this subscriber, if it does."""
        self._client = client = broker.client(session or "")
        client.reconnect_delay_set(min_delay=1, max_delay=2)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    def __enter__(self) -> Subscriber:
        """Raises OSError if the broker can't be reached."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        if self._session is not None:
            properties.SessionExpiryInterval = 3600
        self._client.connect(
            self._broker.host,
            self._broker.port,
            keepalive=15,
            clean_start=self._session is None,
            properties=properties,
        )
        self._client.loop_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def audit_retained(self, timeout_s: float = 10.0) -> bool:
        """Show the checker what the broker retains now, over a connection of its own. True if it was all there was.

        Raises OSError if the broker can't be reached.
        """
        with self.lock:
            self._checker.expect_retained()
        client = self._broker.client("")
        done = False

        def on_connect(client: Client, _data: Any, _flags: ConnectFlags, _reason: ReasonCode, _p: Any) -> None:
            client.subscribe(self._filter, qos=0)

        def on_subscribe(client: Client, _data: Any, _mid: int, _reasons: list[ReasonCode], _p: Any) -> None:
            client.unsubscribe(self._filter)  # at QoS 0 every retained message is on its way before the answer to this

        def on_unsubscribe(_client: Client, _data: Any, _mid: int, _reasons: list[ReasonCode], _p: Any) -> None:
            nonlocal done
            done = True

        def on_message(_client: Client, _data: Any, message: MQTTMessage) -> None:
            if message.retain:
                with self.lock:
                    self._checker.feed(message.topic, bytes(message.payload), True)

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
        client.on_unsubscribe, client.on_message = on_unsubscribe, on_message
        client.connect(self._broker.host, self._broker.port)
        end = time.monotonic() + timeout_s
        while not done and time.monotonic() < end and client.loop(0.1) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            pass
        client.disconnect()
        return done

    def _on_connect(
        self, client: Client, _data: Any, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self.refusal = f"the broker refuses the connection: {reason}"
            self.ready.set()
            return
        if self._subscribed and not flags.session_present:
            with self.lock:
                self._checker.session_lost()
        client.subscribe(self._filter, options=SubscribeOptions(qos=1, retainHandling=0 if not self._subscribed else 1))

    def _on_subscribe(
        self, _client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if reasons[0].is_failure:
            self.refusal = f"the broker refuses the subscription to {self._filter}: {reasons[0]}"
        self._subscribed = True
        self.ready.set()

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        _flags: DisconnectFlags,
        _reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self.ready.clear()
        with self.lock:
            self._checker.interrupted()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        topic, payload = message.topic, bytes(message.payload)
        if self._watch is not None:
            self._watch(topic, payload, message.retain)
        with self.lock:
            self._checker.feed(topic, payload, message.retain)
