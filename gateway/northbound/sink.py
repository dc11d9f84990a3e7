"""The MQTT sink: takes records from its feed, publishes them, and tells the feed what became of each.

A record ends in exactly one way: every message of it acknowledged with success → settled; any refused (a reason code of
0x80 or more, or larger than the broker takes) → refused, with the positions; connection gone → restored.
Everything runs on the event loop and nothing is awaited per record: acknowledgements and the feed's wake-ups drive
:meth:`MqttSink._pump`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.model import Record
from gateway.northbound import manifest
from gateway.northbound.backoff import Backoff
from gateway.northbound.documents import Documents
from gateway.northbound.mqtt import ConnectionLost, ConnectRefused, Flight, MqttError, Session, Will, connect
from gateway.northbound.mqtt.packets import MQTT_5, string
from gateway.northbound.status import MqttStatus
from gateway.northbound.uns import Encoder, Messages, Unpublishable
from gateway.settings import MqttSettings
from gateway.sink import Feed

log = logging.getLogger(__name__)

_DRAIN_S = 1.0
"""Time that `stop` gives what the feed still has: normally only what the last polls brought."""
_GOODBYE_S = 2.0
"""Time that `stop` gives what is in flight then, the offline state and the goodbye together."""
_CONTEST_CLOSES = 5
_CONTEST_LIFE_S = 2.0
"""So many connections in a row that the broker closed in order within this time: most likely another client has our id
and is told nothing either. Mosquitto before 2.0.12 gives no reason at a takeover, MQTT 3.1.1 has no way to give one."""
_FRUITLESS = 2
"""Connections the broker may end over undelivered data before one record at a time is tried."""
_REFRESH_PAUSE_S, _LONGEST_REFRESH_PAUSE_S = 10.0, 600.0
"""Between two times that all is asked for on one connection, since something came too late to be live."""
_MUTED_S = 600.0
"""Time for which a document isn't published again after the broker ended connections over it."""
_NOT_WELCOME = frozenset((0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C))
"""Reasons for refusing a connection that won't pass by themselves: protocol, client id, credentials, ban."""
_NOT_OUR_DATA = frozenset((0x89, 0x8B, 0x8D, 0x8E, 0x98, 0x9C, 0x9D, 0x9F, 0xA0))
"""Reasons for which a broker ends connections that have nothing to do with what was sent."""


class _Loan(Flight):
    """A record on its way."""

    __slots__ = ("_sink", "messages", "record", "sent")

    def __init__(self, sink: MqttSink, record: Record, messages: Messages) -> None:
        super().__init__(len(messages.payloads))
        self._sink = sink
        self.record = record
        self.messages = messages
        self.sent = 0

    def done(self) -> None:
        self._sink._loan_done(self)


class _Notices(Flight):
    """Documents about the gateway and its assets on their way."""

    __slots__ = ("_sink", "topics")

    def __init__(self, sink: MqttSink, topics: list[str]) -> None:
        super().__init__(len(topics))
        self._sink = sink
        self.topics = topics

    def done(self) -> None:
        self._sink._notices_done(self)


class MqttSink:
    """One broker. Implements :class:`gateway.sink.Sink`."""

    def __init__(
        self,
        settings: MqttSettings,
        documents: Documents,
        boot: int,
        ledger: Callable[[], Mapping[str, Any]],
        refresh: Callable[[], None] = lambda: None,
        on_state: Callable[[bool, str], None] = lambda connected, detail: None,
        stale: Collection[str] = (),
    ) -> None:
        """`refresh` asks for a new report of every tag; what it brings may come at once or with the next polls.

        `on_state` is told whenever the sink connects, and why it isn't connected whenever that changes. `stale`: topics
        that the broker still keeps something under and shouldn't.
        """
        self.name = settings.name
        self._settings = settings
        self._boot = boot
        self._ledger = ledger
        self._refresh = refresh
        self._on_state = on_state
        self._encoder = Encoder(
            root=settings.root, granularity=settings.granularity, profile=settings.profile, retain=settings.retain
        )
        self.documents = documents
        self._stale = set(stale)
        """Topics to be cleared once nothing is on its way to them any more."""
        self._stale_through = 0
        """Id of the last record that may be on its way there."""
        self._clearing: set[str] = set()
        """Those that are being cleared on this connection."""
        self._health: dict[str, bytes] = {}
        self._where = f"{settings.host}:{settings.port}"

        self._feed: Feed | None = None
        self._session: Session | None = None
        self._backoff = Backoff(settings.reconnect_max_s)
        self._loan: _Loan | None = None
        self._notices: dict[str, bytes] = {}
        self._muted: dict[str, float] = {}
        self._refused_documents: dict[str, str] = {}
        self._wake_pending = False
        self._stopping = False
        self._taking = True
        self._idle: asyncio.Event | None = None
        self._ledger_timer: asyncio.TimerHandle | None = None
        self._refreshed_ns = 0
        self._refresh_due_s = 0.0
        """When all may be asked for once more on this connection, by the loop's clock."""
        self._refresh_pause_s = 0.0
        self._refresh_overtaken = False

        self._fruitless = 0
        self._settled_here = False
        self._short_lives = 0
        self._latest: Flight | None = None
        self._remaining: dict[int, list[int]] = {}

        self._since_ns = 0
        self._connections = 0
        self._last_error: str | None = None
        self._said: str | None = None
        self._messages = self._values = self._bytes = self._refused = 0
        self._refusals: dict[str, dict[bytes, str]] = {}

    # The contract

    async def run(self, feed: Feed) -> None:
        self._feed = feed
        feed.on_ready(self._wake)
        loop = asyncio.get_running_loop()
        while not self._stopping:
            started_ms = _now_ms()
            try:
                self._session = await connect(self._settings, self._on_room, self._will(started_ms))
            except MqttError as failure:
                end: Exception = failure
            else:
                end = await self._serve(self._session, feed, started_ms)
            if not isinstance(end, MqttError):
                raise end
            if not self._stopping:
                delay_s = self._delay_after(end, loop.time())
                self._failed(end, delay_s)
                await asyncio.sleep(delay_s)
        self._session = self._latest = None
        await asyncio.Event().wait()

    async def stop(self, before_goodbye: Callable[[], None] = lambda: None) -> None:
        """What is there gets a moment to be delivered; then the last ledger, the offline state, the goodbye.

        `before_goodbye` is called before that ledger, when nothing is on loan any more; not if there is no connection.
        """
        self._stopping = True
        session = self._session
        if session is None or not session.alive:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._until_idle(session)
        self._taking = False
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._until_idle(session)
                before_goodbye()
                self._clear_stale()
                self._publish_ledger()
                self._notify(
                    f"{self.documents.gateway_topic}/_state",
                    manifest.encode(manifest.offline(self._boot, self._since_ns // 1_000_000, _now_ms())),
                )
                await self._until_idle(session)
                await session.close()
        except TimeoutError:
            session.abort(ConnectionLost(f"{self._where} took no goodbye within {_GOODBYE_S:g} s"))

    @property
    def connected(self) -> bool:
        return self._session is not None and self._session.alive

    def status(self) -> MqttStatus:
        session = self._session
        live = self.connected
        latencies = sorted(session.latencies_s) if session is not None else []
        return {
            "type": "mqtt",
            "connected": live,
            "since_ms": self._since_ns // 1_000_000 if live else None,
            "broker": self._where,
            "protocol": "5" if self._settings.protocol == MQTT_5 else "3.1.1",
            "refusals_visible": self._settings.protocol == MQTT_5,
            "tls": self._settings.tls is not None,
            "granularity": self._settings.granularity,
            "profile": self._settings.profile,
            "connections": self._connections,
            "reconnects": max(0, self._connections - 1),
            "in_flight": session.in_flight if session is not None and live else 0,
            "window": session.limits.window if session is not None and live else self._settings.window,
            "messages": self._messages + (session.acknowledged if session is not None else 0),
            "values": self._values,
            "bytes": self._bytes + (session.bytes_sent if session is not None else 0),
            "refused": self._refused,
            "refusing": {
                source: {"topics": len(topics), "reason": next(iter(topics.values()))}
                for source, topics in self._refusals.items()
            },
            "refused_documents": dict(self._refused_documents),
            "last_error": self._last_error,
            "latency_p50_ms": _quantile_ms(latencies, 0.5),
            "latency_p99_ms": _quantile_ms(latencies, 0.99),
        }

    def refusal(self, device: str, topic: str) -> str | None:
        """Why the broker refuses what is published there; None if it doesn't, or never said so."""
        return self._refusals.get(device, {}).get(string(topic))

    def device_health(self, health: manifest.Health) -> None:
        """Publish the state of a device on its asset's ``_state``; kept for the next connection too."""
        topic = self.documents.asset_topics.get(health.device)
        if topic is None:
            return
        payload = manifest.encode(manifest.device_state(health, self._boot))
        if self._health.get(f"{topic}/_state") == payload:
            return
        self._health[f"{topic}/_state"] = payload
        self._notify(f"{topic}/_state", payload)

    def describe(self, documents: Documents, through: int) -> None:
        """Other devices and tags from now on: say what differs and take back what is gone. The connection stays.

        `through`: id of the last record that may be of what is gone.
        """
        before, self.documents = self.documents, documents
        self._stale |= before.retained - documents.retained
        self._stale -= documents.retained
        self._clearing -= documents.retained
        self._stale_through = through
        self._notices = {topic: body for topic, body in self._notices.items() if body or topic in self._clearing}
        self._health = {topic: body for topic, body in self._health.items() if topic in documents.retained}
        for topic, body in documents.bodies.items():
            if before.bodies.get(topic) != body:
                self._notify(topic, body)
        self._publish_ledger()
        self._wake()

    # One connection

    async def _serve(self, session: Session, feed: Feed, started_ms: int) -> Exception:
        """Publish until the connection ends; returns why it did."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._since_ns = time.time_ns()
        self._connections += 1
        self._settled_here = False
        log.info("sink %s: connected to %s%s", *self._names, "" if self._said is None else " again")
        self._said = None
        self._on_state(True, "")
        if self._settings.retain and not session.limits.retain:
            log.warning("sink %s: %s keeps no retained messages, so new subscribers see no last values", *self._names)
        try:
            self._announce(started_ms)
            self._refresh_due_s = self._refresh_pause_s = 0.0
            self._ask_for_all()
            error = await asyncio.shield(session.ended)
        finally:
            session.abort(ConnectionLost("the sink was cancelled"))
            if self._ledger_timer is not None:
                self._ledger_timer.cancel()
            self._messages += session.acknowledged
            self._bytes += session.bytes_sent
            session.acknowledged = session.bytes_sent = 0
            self._judge(session.ended.result(), session)
            self._remember(session)
            self._loan = None
            self._notices.clear()
            feed.restore()
        lived_s = loop.time() - began
        self._backoff.connected(lived_s, delivered=self._settled_here)
        if isinstance(error, ConnectionLost):
            short = error.orderly and lived_s < _CONTEST_LIFE_S
            self._short_lives = self._short_lives + 1 if short else 0
        return error

    def _ask_for_all(self) -> None:
        """What came up while there was no connection arrives as backfill, which is never retained and no news to those
        who watch the present; and a broker that restarted may have forgotten everything. So every tag is reported anew.
        """
        self._refreshed_ns = time.monotonic_ns()
        self._refresh_overtaken = False
        self._refresh()

    def _ask_once_more(self) -> None:
        """What came too late to be live may hold for long. Ever more rarely, since a broker that is too slow to take
        everything live would else do nothing else; the ledger's period brings this up again.
        """
        now = asyncio.get_running_loop().time()
        if now < self._refresh_due_s:
            return
        self._refresh_pause_s = min(max(2 * self._refresh_pause_s, _REFRESH_PAUSE_S), _LONGEST_REFRESH_PAUSE_S)
        self._refresh_due_s = now + self._refresh_pause_s
        self._ask_for_all()

    @property
    def _names(self) -> tuple[str, str]:
        return self.name, self._where

    def _will(self, started_ms: int) -> Will:
        return Will(f"{self.documents.gateway_topic}/_state", manifest.encode(manifest.offline(self._boot, started_ms)))

    def _announce(self, started_ms: int) -> None:
        self._notices.clear()
        self._stale |= self._clearing
        self._clearing.clear()
        state = manifest.online(self._boot, _now_ms(), started_ms)
        self._notices[f"{self.documents.gateway_topic}/_state"] = manifest.encode(state)
        self._notices.update(self.documents.bodies)
        self._notices.update(self._health)
        now = asyncio.get_running_loop().time()
        self._muted = {topic: until for topic, until in self._muted.items() if until > now}
        for topic in self._muted:
            self._notices.pop(topic, None)
        self._tick_ledger()

    def _tick_ledger(self) -> None:
        self._publish_ledger()
        loop = asyncio.get_running_loop()
        self._ledger_timer = loop.call_later(self._settings.ledger_interval_s, self._tick_ledger)

    def _publish_ledger(self) -> None:
        body = manifest.ledger(self._ledger(), self.documents.asset_topics)
        self._notify(f"{self.documents.gateway_topic}/_ledger", manifest.encode(body))

    def _notify(self, topic: str, payload: bytes) -> None:
        """Publish a retained document when there is room; a newer one of the same topic replaces it until then."""
        if topic in self._muted or self._session is None or not self._session.alive:
            return
        self._notices[topic] = payload
        self._wake()

    # The pump

    def _wake(self) -> None:
        if not self._wake_pending and self._session is not None:
            self._wake_pending = True
            asyncio.get_running_loop().call_soon(self._woken)

    def _woken(self) -> None:
        self._wake_pending = False
        try:
            self._pump()
        except Exception as error:
            # A defect. Left to the loop it would be logged and the pump would stand still; so it ends `run` instead.
            log.exception("sink %s: publishing failed", self.name)
            assert self._session is not None
            self._session.abort(error)

    def _on_room(self) -> None:
        self._pump()
        if self._idle is not None and self._session is not None and not self._session.in_flight:
            self._idle.set()

    def _pump(self) -> None:
        """Send while there is room and something to send. At most one record waits here, partly sent."""
        session, feed = self._session, self._feed
        if session is None or feed is None:
            return
        cautious = self._fruitless >= _FRUITLESS
        while session.room:
            if cautious and self._loan is None and session.in_flight:
                break
            if self._notices and self._loan is None:
                self._send_notices(session, 1 if cautious else session.room)
                continue
            if self._loan is None:
                self._loan = self._next_loan(feed)
                if self._loan is None:
                    if self._notices:
                        continue
                    break
            loan = self._loan
            messages = loan.messages
            loan.sent = session.send(loan, messages.topics, messages.payloads, loan.sent, retain=messages.retain)
            if loan.sent == len(messages.payloads):
                self._loan = None
                if not loan.pending:
                    loan.done()
        session.flush()

    def _next_loan(self, feed: Feed) -> _Loan | None:
        while self._taking:
            record = feed.take()
            if self._stale and self._nothing_on_its_way(record, feed):
                self._clear_stale()
            if record is None:
                if self._refresh_overtaken and not feed.behind:
                    self._ask_once_more()
                return None
            if record.backfill and record.boot == self._boot and record.batch.mono_ns >= self._refreshed_ns:
                self._refresh_overtaken = True
            left = self._remaining.pop(record.id, None)
            try:
                messages = self._encoder.encode(record if left is None else replace(record, only=left))
            except Unpublishable as error:
                self._refuse(record, str(error), None, {b"": str(error)})
                continue
            except Exception as error:
                # A defect in a driver or the encoder must cost this record, not everything behind it.
                if record.batch.layout.source not in self._refusals:
                    log.exception("sink %s: a record of %s can't be encoded", self.name, record.batch.layout.source)
                reason = f"it can't be encoded ({type(error).__name__}: {error})"
                self._refuse(record, reason, None, {b"": reason})
                continue
            if messages.payloads:
                loan = _Loan(self, record, messages)
                self._latest = loan
                return loan
            feed.settle(record)
        return None

    def _nothing_on_its_way(self, record: Record | None, feed: Feed) -> bool:
        """Whether nothing that would be retained under a stale topic can follow `record`, the next one."""
        if self._settings.strict_order:
            return record is None and not feed.behind
        # What is live comes first and in order, and what comes late is never retained.
        return record is None or record.backfill or record.id > self._stale_through

    def _clear_stale(self) -> None:
        """An empty retained message takes back what the broker keeps under a topic."""
        topics = self._stale - self._muted.keys()
        self._notices.update(dict.fromkeys(topics, b""))
        self._clearing |= topics
        self._stale -= topics

    def _send_notices(self, session: Session, most: int) -> None:
        topics = list(self._notices)[:most]
        payloads = [self._notices.pop(topic) for topic in topics]
        flight = _Notices(self, topics)
        self._latest = flight
        sent = session.send(flight, [string(topic) for topic in topics], payloads, 0, retain=True)
        # What the transport had no more room for waits for it.
        self._notices = {**dict(zip(topics[sent:], payloads[sent:], strict=True)), **self._notices}
        flight.pending -= len(topics) - sent
        del topics[sent:]
        if not flight.pending:
            flight.done()

    def _loan_done(self, loan: _Loan) -> None:
        record = loan.record
        if loan.refused is not None:
            messages = loan.messages
            positions = messages.positions(list(loan.refused))
            whole = len(positions) == (len(record.batch.values) if record.only is None else len(record.only))
            topics = {messages.topics[index]: reason for index, reason in loan.refused.items()}
            self._values += 0 if whole else _count(record) - len(positions)
            self._refuse(record, next(iter(loan.refused.values())), None if whole else positions, topics)
            return
        self._values += _count(record)
        self._progress()
        if self._refusals:
            self._accepted(loan)
        assert self._feed is not None
        self._feed.settle(record)

    def _notices_done(self, flight: _Notices) -> None:
        refused = flight.refused or {}
        self._clearing.difference_update(flight.topics)
        for index, topic in enumerate(flight.topics):
            known = topic in self._refused_documents
            if (reason := refused.get(index)) is not None:
                self._refused_documents[topic] = reason
                if not known:
                    log.error("sink %s: %s refuses the document %s (%s)", *self._names, topic, reason)
            elif known:
                del self._refused_documents[topic]
                log.info("sink %s: %s accepts the document %s again", *self._names, topic)

    # Refusals

    def _progress(self) -> None:
        self._settled_here = True
        self._fruitless = 0

    def _refuse(self, record: Record, reason: str, positions: list[int] | None, topics: Mapping[bytes, str]) -> None:
        self._progress()
        self._refused += _count(record) if positions is None else len(positions)
        source = record.batch.layout.source
        known = self._refusals.get(source)
        if known is None:
            known = self._refusals[source] = {}
            first = next(iter(topics))[2:].decode()
            log.error(
                "sink %s: %s refuses values of %s (%s%s): they are kept aside and tried again every %g s; "
                "check the broker's access rules and limits",
                *self._names,
                source,
                f"{first}: " if first else "",
                reason,
                self._settings.refused_retry_s,
            )
        known.update(topics)
        assert self._feed is not None
        self._feed.refuse(record, reason, positions)

    def _accepted(self, loan: _Loan) -> None:
        source = loan.record.batch.layout.source
        known = self._refusals.get(source)
        if known is None:
            return
        for topic in loan.messages.topics:
            known.pop(topic, None)
        if not known:
            del self._refusals[source]
            log.info("sink %s: %s accepts the values of %s again", *self._names, source)

    # Ends

    def _judge(self, error: Exception, session: Session) -> None:
        """Was it our data? A broker that ends every connection over one record would hold up all others for ever."""
        if not isinstance(error, ConnectionLost) or not error.by_broker or error.reason in _NOT_OUR_DATA:
            return
        if not session.in_flight or self._settled_here:
            return
        suspect = self._latest
        if self._fruitless < _FRUITLESS or suspect is None:
            self._fruitless += 1
            return
        reason = f"the broker ends the connection whenever it is sent: {error}"
        if isinstance(suspect, _Loan):
            topics = dict.fromkeys(suspect.messages.topics, reason)
            self._refuse(suspect.record, reason, None, topics)
        elif isinstance(suspect, _Notices):
            for topic in suspect.topics:
                log.error("sink %s: the document %s waits %g s: %s", self.name, topic, _MUTED_S, reason)
                self._refused_documents[topic] = reason
                self._muted[topic] = asyncio.get_running_loop().time() + _MUTED_S
            self._fruitless = 0

    def _remember(self, session: Session) -> None:
        """Note what of partly acknowledged records is left, so that a reconnect repeats no more than the window."""
        in_flight = session.unacknowledged()
        if self._loan is not None:
            in_flight.setdefault(self._loan, [])
        for loan, indexes in in_flight.items():
            if not isinstance(loan, _Loan):
                continue
            indexes += [*(loan.refused or ()), *range(loan.sent, len(loan.messages.payloads))]
            left = loan.messages.positions(indexes)
            if len(left) < _count(loan.record):
                self._remaining[loan.record.id] = left
        while len(self._remaining) > 2 * self._settings.window:
            del self._remaining[next(iter(self._remaining))]

    def _contested(self, error: MqttError) -> bool:
        return isinstance(error, ConnectionLost) and (error.taken_over or self._short_lives >= _CONTEST_CLOSES)

    def _delay_after(self, error: MqttError, now: float) -> float:
        if self._contested(error):
            return self._backoff.after_takeover()
        if isinstance(error, ConnectRefused) and error.reason in _NOT_WELCOME:
            return self._backoff.after_refusal()
        return self._backoff.after_failure(now)

    def _failed(self, error: MqttError, delay_s: float) -> None:
        """Say it once, not once per attempt."""
        self._last_error = text = str(error)
        if self._contested(error):
            log.error(
                "sink %s: %s: another client uses the client id %r there: give each its own; next attempt in %.0f s",
                *(self.name, text, self._settings.client_id, delay_s),
            )
        elif text != self._said:
            log.warning("sink %s: %s; values are kept until it is back", self.name, text)
        if text != self._said:
            self._on_state(False, text)
        self._said = text

    async def _until_idle(self, session: Session) -> None:
        """Until everything handed over is acknowledged, or the connection is gone."""
        self._pump()
        while session.alive and (session.in_flight or self._loan is not None or self._notices):
            self._idle = asyncio.Event()
            waiter = asyncio.ensure_future(self._idle.wait())
            try:
                await asyncio.wait((waiter, session.ended), return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiter.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiter
                self._idle = None


def _count(record: Record) -> int:
    return len(record.batch.values) if record.only is None else len(record.only)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _quantile_ms(ordered_s: Sequence[float], share: float) -> float | None:
    return round(ordered_s[int(share * (len(ordered_s) - 1))] * 1000, 3) if ordered_s else None
