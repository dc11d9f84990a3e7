"""One connection to one broker, from CONNECT to its end, and never used again.

A publisher's session: it sends with QoS 1 and subscribes to nothing. Nothing is queued here: :meth:`Session.send` takes
as many messages as the window has room for and says how many that were. What a new connection has to repeat is the
caller's to know.

Why it isn't a general client's: ``docs/adr/0003-own-mqtt-session.md``.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic  # uvloop's own time moves in whole milliseconds: too coarse for latencies
from typing import cast

from gateway import secrets
from gateway.northbound.mqtt import packets, tls
from gateway.northbound.mqtt.errors import ConnectFailed, ConnectionLost, ConnectRefused, MqttError
from gateway.northbound.mqtt.packets import Auth, Connack, Disconnect, Kind, Malformed, Property, Puback, Reason
from gateway.settings import MqttSettings

_WRITE_BUFFER = 256 * 1024
"""Bytes the transport may hold before it asks us to pause."""
_FLUSH_BYTES = 128 * 1024
"""Bytes gathered at most for one write."""
_LATENCIES = 4096
"""Acknowledgements whose latency is remembered."""
_PING_SHARE = 0.75
"""Share of the keepalive after which an idle client pings, so that the broker's patience (1.5 of it) is never near."""
_REASON_TEXT = 200
"""Characters of a broker's own words that are passed on."""


class Flight:
    """Publishes that were handed over together. `done` is called once, when each was acknowledged."""

    __slots__ = ("pending", "refused")

    def __init__(self, count: int) -> None:
        self.pending = count
        """Publishes not acknowledged yet."""
        self.refused: dict[int, str] | None = None
        """Why which publish, by its position among the handed over, was refused; None if none was."""

    def done(self) -> None:
        raise NotImplementedError

    def refuse(self, index: int, reason: str) -> None:
        """Note one refusal. `pending` counts it as acknowledged."""
        if self.refused is None:
            self.refused = {}
        self.refused[index] = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """What was agreed with the broker."""

    window: int
    max_packet: int
    keepalive_s: int
    retain: bool


class Session(asyncio.Protocol):
    """An MQTT connection. Make one with :func:`connect`.

    `on_room` is called whenever acknowledgements or the transport made room after there was none, or the window is no
    more than half full.
    """

    def __init__(self, settings: MqttSettings, on_room: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Exception] = self._loop.create_future()
        """Resolves once, with why the connection ended."""
        self.latencies_s: deque[float] = deque(maxlen=_LATENCIES)
        """From handing over to acknowledgement, the latest ones."""
        self.acknowledged = 0
        self.bytes_sent = 0
        self.in_flight = 0
        self.limits = Limits(settings.window, packets.MAX_REMAINING_LENGTH, settings.keepalive_s, True)
        self._settings = settings
        self._on_room = on_room
        self._version = settings.protocol
        self._where = f"{settings.host}:{settings.port}"
        self._transport: asyncio.Transport | None = None
        self._connack: asyncio.Future[Connack] = self._loop.create_future()
        self._rest = b""
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._paused = False
        self._closing = False
        # Slot i belongs to packet id i; ids are given out in turn, so that one is free for long before it is used
        # again: a second acknowledgement of an old message can't pass for that of a new one.
        self._flights: list[Flight | None] = []
        self._indexes: list[int] = []
        self._sent_at: list[float] = []
        self._ids: tuple[bytes, ...] = ()
        self._free: deque[int] = deque()
        self._half_window = 0
        self._last_sent = self._last_heard = monotonic()
        self._pinged_at: float | None = None
        self._watchdog: asyncio.TimerHandle | None = None

    # The publisher's side

    @property
    def alive(self) -> bool:
        return not self.ended.done()

    @property
    def room(self) -> int:
        """Publishes that can be sent now."""
        return 0 if self._paused or self.ended.done() else self.limits.window - self.in_flight

    def send(
        self, flight: Flight, topics: Sequence[bytes], payloads: Sequence[bytes], start: int, *, retain: bool
    ) -> int:
        """Send messages from position `start` on, while there is room; returns the position of the first unsent one.

        `topics` are length-prefixed (:func:`packets.string`). A message beyond the broker's Maximum Packet Size isn't
        sent but noted in `flight` as refused; ``flight.done`` is left to the caller if that was its last. What is sent
        waits for :meth:`flush`.
        """
        stop = min(len(payloads), start + self.room)
        if start == stop:
            return start
        now = monotonic()
        retain = retain and self.limits.retain
        heads = packets.publish_heads(retain)
        known = len(heads)
        limit = self.limits.max_packet
        out, ids, free = self._out, self._ids, self._free
        flights, indexes, sent_at = self._flights, self._indexes, self._sent_at
        overhead = len(ids[1])
        gathered = 0
        for index in range(start, stop):
            topic, payload = topics[index], payloads[index]
            length = len(topic) + overhead + len(payload)
            head = heads[length] if length < known else packets.publish_head(length, retain=retain)
            if length + len(head) > limit:
                flight.refuse(index, f"{length + len(head)} bytes are more than the broker takes in a packet ({limit})")
                flight.pending -= 1
                continue
            packet_id = free.popleft()
            flights[packet_id] = flight
            indexes[packet_id] = index
            sent_at[packet_id] = now
            self.in_flight += 1
            out += (head, topic, ids[packet_id], payload)
            gathered += length
            if gathered > _FLUSH_BYTES:
                self._out_bytes += gathered
                gathered = 0
                self.flush()
                if self._paused:
                    return index + 1
        self._out_bytes += gathered
        if self._out_bytes > _FLUSH_BYTES:
            self.flush()
        return stop

    def flush(self) -> None:
        """Write what was gathered, as one."""
        if self._out and self._transport is not None and not self.ended.done():
            data = b"".join(self._out)
            self._out.clear()
            self._out_bytes = 0
            self._write(data)

    def unacknowledged(self) -> dict[Flight, list[int]]:
        """Positions of the publishes that are sent and not acknowledged, by flight."""
        found: dict[Flight, list[int]] = {}
        for flight, index in zip(self._flights, self._indexes, strict=True):
            if flight is not None:
                found.setdefault(flight, []).append(index)
        return found

    async def close(self) -> None:
        """Say goodbye, so that the broker forgets the will, and close. Waits until the bytes are out; bound it."""
        if self._transport is None or self.ended.done():
            return
        self.flush()
        self._write(packets.DISCONNECT)
        self._closing = True
        self._transport.close()
        await asyncio.shield(self.ended)

    def abort(self, error: Exception) -> None:
        """End it now. Nothing of it is called back any more but `ended`."""
        if not self.ended.done():
            self.ended.set_result(error)
            if not self._connack.done():
                self._connack.set_exception(error)
                self._connack.exception()  # Nobody may be waiting for it any more; that is no defect.
            if self._watchdog is not None:
                self._watchdog.cancel()
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._on_room()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.ended.done():
            return
        if self._closing:
            self.abort(ConnectionLost(f"the connection to {self._where} is closed"))
        elif exc is not None and not isinstance(exc, OSError):
            # Not the network's fault but a defect in what was called back: it must surface, not be retried.
            self.abort(exc)
        elif isinstance(exc, ssl.SSLError):
            self.abort(ConnectionLost(self._tls_words(exc), by_broker=True))
        elif not self._connack.done():
            self.abort(ConnectionLost(f"{self._where}: {self._no_answer_words()}", by_broker=True))
        else:
            cause = f" ({exc.strerror or exc})" if exc is not None else ""
            self.abort(
                ConnectionLost(f"{self._where} closed the connection{cause}", by_broker=True, orderly=exc is None)
            )

    def data_received(self, data: bytes) -> None:
        self._last_heard = now = monotonic()
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at, size = 0, len(data)
        before = self.in_flight
        flights, free, sent_at, latencies = self._flights, self._free, self._sent_at, self.latencies_s
        try:
            while at < size:
                # Nearly everything a publisher hears is a PUBACK that says yes without more words: four bytes.
                if data[at] == 0x40 and size - at >= 4 and data[at + 1] == 2:
                    packet_id = data[at + 2] << 8 | data[at + 3]
                    at += 4
                    flight = flights[packet_id] if packet_id < len(flights) else None
                    if flight is None:
                        raise Malformed(f"a PUBACK for packet id {packet_id}, which isn't in flight")
                    flights[packet_id] = None
                    free.append(packet_id)
                    self.in_flight -= 1
                    latencies.append(now - sent_at[packet_id])
                    flight.pending -= 1
                    if not flight.pending:
                        flight.done()
                    continue
                body = packets.frame(data, at)
                if body is None:
                    self._rest = data[at:]
                    break
                start, end = body
                self._received(packets.decode(self._version, data[at], data[start:end]), now)
                at = end
                if self.ended.done():
                    return
        except Malformed as error:
            self._refuse_bytes(error)
            return
        if self.in_flight < before:
            self.acknowledged += before - self.in_flight
            # Refilling a nearly full window would turn every drip of acknowledgements into a write of its own.
            if self.in_flight <= self._half_window and not self._paused:
                self._on_room()

    # Inside

    async def _establish(self, connect_packet: bytes) -> None:
        self._write(connect_packet)
        connack = await self._connack
        words = _broker_words(connack.properties)
        if connack.reason >= 0x80:
            raise ConnectRefused(
                f"{self._where} refuses the connection: {packets.reason_name(Kind.CONNACK, connack.reason)}{words}"
                + connect_mend(connack.reason, self._settings, connack.properties),
                connack.reason,
            )
        if connack.session_present:
            raise ConnectionLost(f"{self._where} kept a session that was asked to be clean")
        if connack.properties.get(Property.MAXIMUM_QOS, 1) == 0:
            raise ConnectRefused(
                f"{self._where} offers no acknowledged delivery (Maximum QoS 0): allow QoS 1 there",
                Reason.QOS_NOT_SUPPORTED,
            )
        self._agree(connack)

    def _agree(self, connack: Connack) -> None:
        def number(identifier: int, default: int) -> int:
            value = connack.properties.get(identifier, default)
            assert isinstance(value, int)
            return value

        window = min(self._settings.window, number(Property.RECEIVE_MAXIMUM, packets.MAX_STRING))
        if window == 0 or number(Property.MAXIMUM_PACKET_SIZE, 1) == 0:
            raise ConnectionLost(f"{self._where} offers a Receive Maximum or Maximum Packet Size of 0")
        self.limits = Limits(
            window=window,
            max_packet=number(Property.MAXIMUM_PACKET_SIZE, packets.MAX_REMAINING_LENGTH),
            keepalive_s=number(Property.SERVER_KEEP_ALIVE, self._settings.keepalive_s),
            retain=bool(number(Property.RETAIN_AVAILABLE, 1)),
        )
        count = min(1 << 16, max(1024, 2 * window))
        self._ids = packets.packet_ids(self._version, count)
        self._flights = [None] * count
        self._indexes = [0] * count
        self._sent_at = [0.0] * count
        self._free = deque(range(1, count))
        self._half_window = window // 2
        self._watch()

    def _received(self, packet: packets.Incoming, now: float) -> None:
        """Everything but the short PUBACK."""
        if not self._connack.done():
            if not isinstance(packet, Connack):
                raise Malformed(f"a {type(packet).__name__.upper()} before the CONNACK")
            self._connack.set_result(packet)
            return
        match packet:
            case Puback():
                self._puback(packet, now)
            case packets.Pingresp():
                if self._pinged_at is None:
                    raise Malformed("a PINGRESP that nobody asked for")
                self._pinged_at = None
            case Disconnect():
                reason = packets.reason_name(Kind.DISCONNECT, packet.reason)
                self.abort(
                    ConnectionLost(
                        f"{self._where} ended the connection: {reason}{_broker_words(packet.properties)}",
                        reason=packet.reason,
                        by_broker=True,
                    )
                )
            case Auth():
                raise Malformed("an AUTH, though no authentication method was asked for")
            case Connack():
                raise Malformed("a second CONNACK")

    def _puback(self, packet: Puback, now: float) -> None:
        packet_id = packet.packet_id
        flight = self._flights[packet_id] if packet_id < len(self._flights) else None
        if flight is None:
            raise Malformed(f"a PUBACK for packet id {packet_id}, which isn't in flight")
        if packet.reason == Reason.PACKET_IDENTIFIER_IN_USE:
            raise Malformed(f"packet id {packet_id} called in use, though its message was acknowledged")
        self._flights[packet_id] = None
        self._free.append(packet_id)
        self.in_flight -= 1
        self.latencies_s.append(now - self._sent_at[packet_id])
        if packet.reason >= 0x80:
            reason = packets.reason_name(Kind.PUBACK, packet.reason)
            flight.refuse(self._indexes[packet_id], reason + _broker_words(packet.properties))
        flight.pending -= 1
        if not flight.pending:
            flight.done()

    def _refuse_bytes(self, error: Malformed) -> None:
        if self._transport is not None and self._version == packets.MQTT_5:
            self._transport.write(bytes([Kind.DISCONNECT << 4, 1, Reason.MALFORMED]))
        self.abort(ConnectionLost(f"{self._where} sent {error}: is it an MQTT broker?"))

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._last_sent = monotonic()
        self.bytes_sent += len(data)
        self._transport.write(data)

    def _watch(self) -> None:
        """Keepalive and deadlines: one timer, set to the earliest moment at which something can be due."""
        if self.ended.done() or self._transport is None:
            return
        now = monotonic()
        patience_s = self._settings.ack_timeout_s
        oldest = now
        if self.in_flight:
            oldest = min(at for at, flight in zip(self._sent_at, self._flights, strict=True) if flight is not None)
        if now - oldest >= patience_s:
            self.abort(ConnectionLost(f"{self._where} left a publish without acknowledgement for {patience_s:g} s"))
            return
        if self._pinged_at is not None and now - self._pinged_at >= patience_s:
            self.abort(ConnectionLost(f"{self._where} left a ping without answer for {patience_s:g} s"))
            return
        due = oldest + patience_s
        if self.limits.keepalive_s:
            idle_s = self.limits.keepalive_s * _PING_SHARE
            if now - self._last_sent >= idle_s:
                if self._pinged_at is None:
                    self._pinged_at = now
                self._write(packets.PINGREQ)
            due = min(due, self._last_sent + idle_s)
        if self._pinged_at is not None:
            due = min(due, self._pinged_at + patience_s)
        self._watchdog = self._loop.call_later(due - now, self._watch)

    def _no_answer_words(self) -> str:
        if self._settings.tls is None:
            return (
                "the connection was closed without an answer to CONNECT: check the port, whether it wants TLS, and the "
                "protocol version"
            )
        # The alert that says so is lost where the broker's RST overtakes it.
        wish = "wants a" if self._settings.tls.certificate is None else "doesn't accept our"
        return (
            f"the connection was closed right after the TLS handshake; most likely the broker {wish} client "
            "certificate: check certificate and key in [sink.tls]"
        )

    def _tls_words(self, error: ssl.SSLError) -> str:
        name = (self._settings.tls.server_name if self._settings.tls else None) or self._settings.host
        return f"{self._where}: {tls.explain(error, name)}"


async def connect(
    settings: MqttSettings, on_room: Callable[[], None] = lambda: None, will: packets.Will | None = None
) -> Session:
    """Open a connection and complete CONNECT within ``settings.connect_timeout_s``. Raises MqttError.

    Secrets and TLS files are read anew each time, so that a rotated one is taken up.
    """
    where = f"{settings.host}:{settings.port}"
    loop = asyncio.get_running_loop()
    session = Session(settings, on_room)
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            context, password = None, None
            if settings.tls is not None or settings.password is not None:
                context, password = await asyncio.to_thread(_secrets, settings)
            packet = packets.connect(
                settings.protocol,
                settings.client_id,
                settings.keepalive_s,
                will=will,
                username=settings.username,
                password=password,
            )
            server_name = settings.tls.server_name if settings.tls is not None else None
            await loop.create_connection(
                lambda: session,
                settings.host,
                settings.port,
                ssl=context,
                server_hostname=(server_name or settings.host) if context is not None else None,
            )
            await session._establish(packet)
    except TimeoutError:
        error: Exception = ConnectFailed(
            f"{where} gave no answer within {settings.connect_timeout_s:g} s: is it up, and is the way to it open?"
        )
    except MqttError as failure:
        error = failure
    except secrets.SecretError as failure:
        error = ConnectFailed(str(failure))
    except socket.gaierror:
        error = ConnectFailed(f"the broker's name {settings.host!r} can't be resolved: check host and the DNS")
    except ssl.SSLError as failure:
        error = ConnectFailed(session._tls_words(failure))
    except ConnectionRefusedError:
        error = ConnectFailed(f"nothing listens at {where}: check host and port, and that the broker runs")
    except OSError as failure:
        if settings.tls is not None and isinstance(failure, ConnectionResetError):
            error = ConnectFailed(f"{where}: {tls.NOT_TLS}")
        else:
            error = ConnectFailed(f"{where} can't be reached ({failure.strerror or failure})")
    except BaseException as failure:
        session.abort(ConnectFailed(f"the attempt to reach {where} was broken off ({type(failure).__name__})"))
        raise
    else:
        return session
    session.abort(error)
    raise error


async def try_connect(settings: MqttSettings) -> Limits:
    """Connect as the gateway would and say goodbye; returns what the broker allows. Raises MqttError.

    Under a client id of its own, so that a running gateway keeps its connection.
    """
    session = await connect(replace(settings, client_id=f"{settings.client_id}-test"))
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            await session.close()
    except TimeoutError:
        session.abort(ConnectionLost(f"{settings.host}:{settings.port} doesn't close the connection"))
    return session.limits


def _secrets(settings: MqttSettings) -> tuple[ssl.SSLContext | None, bytes | None]:
    """Reads files: not for the event loop's thread."""
    context = tls.client_context(settings.tls) if settings.tls is not None else None
    password = secrets.resolve(settings.password).encode() if settings.password is not None else None
    return context, password


def _broker_words(properties: packets.Properties) -> str:
    """The broker's own reason string as a parenthesis, safe to log, or nothing."""
    text = properties.get(Property.REASON_STRING)
    if not isinstance(text, str) or not text:
        return ""
    printable = "".join(character if character.isprintable() else "?" for character in text[:_REASON_TEXT])
    return f" ({printable})"


def connect_mend(reason: int, settings: MqttSettings, properties: packets.Properties) -> str:
    """What to do about a refused CONNECT, behind a colon; empty if that isn't known."""
    if reason in (Reason.BAD_USER_NAME_OR_PASSWORD, Reason.NOT_AUTHORIZED):
        return ": check username and password" if settings.username is not None else ": it wants username and password"
    if reason == 0x84:
        return ': set protocol = "3.1.1"' if settings.protocol == packets.MQTT_5 else ""
    other = properties.get(Property.SERVER_REFERENCE)
    return f": it names {other!r} instead" if isinstance(other, str) else ""
