"""One session with one server: opening, resuming and closing it, and the calls every request goes through."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from drivers.common.tcp import why_not
from drivers.opcua import services, status
from drivers.opcua.binary import DataValue, Encoded, Malformed, NodeId, Reader, pack_node_id
from drivers.opcua.channel import NO_TOKEN, Channel, connect
from drivers.opcua.options import LinkOptions
from drivers.opcua.profiles import PROFILES, Limits
from drivers.opcua.security import login
from drivers.opcua.security.agreement import Agreement
from drivers.opcua.security.endpoints import DEFAULT_PORT, split
from drivers.opcua.security.handshake import secure, withdrawal
from drivers.opcua.security.login import Ticket
from drivers.opcua.security.trust import TrustList
from drivers.opcua.services import Service
from drivers.opcua.status import ServiceFailed
from drivers.opcua.structures import Structures
from drivers.opcua.tracing import Tracer
from gateway.driver import DeviceSilent, LinkDown, Site

_log = logging.getLogger(__name__)

T = TypeVar("T")

SESSION_MARGIN_S = 30.0
"""How much longer than the tolerated outage the server keeps a session: the time a reconnect may take."""
_CLOSE_S = 1.0
TRUST_EVERY_S = 5.0
"""How often it is looked whether the server's certificate is still trusted."""

_NAMESPACE_ARRAY = NodeId(0, 2255)
_SERVER_LIMITS = {
    "nodes_per_read": NodeId(0, 11705),
    "items_per_call": NodeId(0, 11714),
    "nodes_per_history_read": NodeId(0, 12165),
}
"""Server.ServerCapabilities.OperationLimits (OPC 10000-5 §6.3.11)."""


class Garbled(Exception):
    """The answer came and can't be understood; the session goes on."""


class Session:
    """An open session. Made by :meth:`open`; of no more use once `down` is set."""

    def __init__(self, options: LinkOptions, site: Site, counters: Counter[str]) -> None:
        self.options = options
        self.peer = options.peer
        self.site = site
        self.counters = counters
        self.namespaces: list[str] = []
        self.structures = Structures(self)
        self.limits = configured_limits(options)
        self.items = 0
        """Monitored items there are."""
        self.asked_alone: set[bytes] = set()
        """Nodes (packed) that make the server refuse a whole read."""
        self.agreement: Agreement | None = None
        """What its connection was made by; None until that is settled."""
        self.resumed = False
        self.down = ""
        """Why it ended: one sentence; empty while it lives."""
        self.on_down: Callable[[str], None] | None = None
        """Called once, when it ends by itself."""
        self.timeout_s = options.timeout_ms / 1000
        self.heard_at = 0.0
        """time.monotonic() of the last answer."""
        self._tracer: Tracer | None = None
        self._silences = 0
        self._channel: Channel | None = None
        self._channels: list[Channel] = []
        self._ticket: Ticket | None = None
        self._upkeep: list[asyncio.Task[None]] = []
        self._usable = True
        """Whether the server may still hold the session."""

    # -- life

    async def open(self, ticket: Ticket | None) -> None:
        """Connect, and resume the session of `ticket` if the server still has it. Raises LinkDown."""
        self._ticket = ticket
        try:
            async with asyncio.timeout(self.options.connect_timeout_ms / 1000):
                await self._open(ticket)
        except TimeoutError:
            await self.close()
            raise LinkDown(
                f"{self.peer} didn't answer while a session was being opened: "
                "check the address, the cabling and any firewall between"
            ) from None
        except LinkDown:
            await self.close()
            raise
        except (OSError, Malformed, ServiceFailed, DeviceSilent, Garbled, UnicodeError) as error:
            why_not = self._why_not(error)
            await self.close()
            raise LinkDown(why_not) from None
        except BaseException:
            await self.abandon()
            raise

    async def _open(self, ticket: Ticket | None) -> None:
        options, timeout_s = self.options, self.timeout_s
        agreement = self.agreement = await secure(options.url, options, self.site, timeout_s)
        url = split(agreement.url)
        await connect(url.hostname or "", url.port or DEFAULT_PORT, timeout_s, lambda: self._make_channel(agreement))
        channel = self._channel
        assert channel is not None
        await channel.hello(agreement.url)
        await login.open_channel(channel, agreement)
        if ticket is not None and ticket.fits(agreement):
            self.resumed = await self._resume(channel, agreement, ticket)
        if not self.resumed:
            life_ms = int(1000 * (options.outage_s + SESSION_MARGIN_S))
            created = await login.create_session(channel, agreement, options, life_ms, timeout_s)
            self._ticket = await login.activate(channel, agreement, created, timeout_s)
        self._keep_up(self._renew(channel), "channel")
        if agreement.server_certificate is not None:
            self._keep_up(self._mind_trust(agreement), "trust")
        await self._learn()

    def trace(self, tracer: Tracer | None) -> None:
        """Show what is sent and received to `tracer`; None: to nobody."""
        self._tracer = tracer
        if self._channel is not None:
            self._channel.tracer = tracer

    def _keep_up(self, work: Coroutine[Any, Any, None], what: str) -> None:
        self._upkeep.append(asyncio.create_task(work, name=f"{what} of {self.peer}"))

    def _make_channel(self, agreement: Agreement) -> Channel:
        channel = Channel(
            self.timeout_s,
            agreement.security,
            self.options.max_message_bytes,
            lambda why: self._lost(channel, why),
        )
        channel.tracer = self._tracer
        self._channel = channel
        self._channels.append(channel)
        return channel

    async def _resume(self, channel: Channel, agreement: Agreement, ticket: Ticket) -> bool:
        try:
            self._ticket = await login.activate(channel, agreement, ticket, self.timeout_s)
        except (ServiceFailed, TimeoutError):
            channel.token = NO_TOKEN
            return False
        except LinkDown:
            # An answer that got lost may have had the nonce that the user is to be proved with: a new session tells.
            # The ticket is of no more use: every try is one that the server may count against the user.
            channel.token = NO_TOKEN
            self._ticket = None
            return False
        return True

    def ticket(self) -> Ticket | None:
        """For the next connection; None if the server has let go of the session, or never gave one."""
        return self._ticket if self._usable else None

    async def close(self) -> None:
        """End the session at the server, too, if it can be reached, and the connection."""
        channel = self._channel
        if channel is not None and channel.transport is not None and not self.down and channel.token != NO_TOKEN:
            self._usable = False
            with contextlib.suppress(OSError, TimeoutError, ServiceFailed, LinkDown, DeviceSilent, Garbled):
                async with asyncio.timeout(_CLOSE_S):
                    await self._call(Service.CLOSE_SESSION, b"\x01")
                    channel.close()
        await self.abandon()

    async def abandon(self) -> None:
        """End the connection; the server may keep the session for a while."""
        self.on_down = None
        self.down = self.down or f"the connection to {self.peer} is closed"
        upkeep, self._upkeep = self._upkeep, []
        for task in upkeep:
            task.cancel()
        await asyncio.gather(*upkeep, return_exceptions=True)
        for channel in self._channels:
            channel.give_up("closed")
        # Of a connection that was cut short while it was being made, not every event loop says that it is gone.
        closing = [channel.closed for channel in self._channels if channel.connected]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_S)

    def give_up(self, reason: str) -> None:
        """End it because of `reason`, a sentence."""
        if self.down:
            return
        self.down = reason
        if self._channel is not None:
            self._channel.give_up(reason)
        if self.on_down is not None:
            self.on_down(reason)

    def _lost(self, channel: Channel, why: str) -> None:
        if channel is self._channel:
            self.give_up(f"{self.peer} {why}")

    async def _renew(self, channel: Channel) -> None:
        """Ask for a new security token after three quarters of the old one's life (OPC 10000-4 §5.5.2.1)."""
        while True:
            await asyncio.sleep(0.75 * channel.lifetime_s)
            try:
                await channel.open(renew=True)
            except (OSError, TimeoutError, ServiceFailed) as error:
                self.give_up(f"{self.peer} didn't renew its secure channel ({error or type(error).__name__})")
                return

    async def _mind_trust(self, agreement: Agreement) -> None:
        """Who no longer trusts a server doesn't want to go on talking to it."""
        trust = TrustList(self.site)
        judged: Sequence[int] = ()  # the list may have changed while the session was being opened
        while True:
            await asyncio.sleep(TRUST_EVERY_S)
            stamp = trust.stamp()
            if stamp == judged:
                continue
            judged = stamp
            why = await asyncio.to_thread(withdrawal, agreement, self.options, trust)
            if why:
                self.give_up(why)
                return

    # -- requests

    async def call(self, service: Service, body: bytes, parse: Callable[[Reader], T]) -> T:
        """One request and its answer.

        Raises LinkDown, DeviceSilent, ServiceFailed or Garbled.
        """
        reader = await self._call(service, body)
        try:
            return parse(reader)
        except (Malformed, RecursionError) as error:
            self.counters["malformed"] += 1
            raise Garbled(f"{self.peer} answered {service.name.lower()} with a malformed message: {error}") from None

    async def _call(self, service: Service, body: bytes) -> Reader:
        if self.down:
            raise LinkDown(self.down)
        assert self._channel is not None
        self.counters["requests"] += 1
        try:
            future = self._channel.request(service, body, self.timeout_s)
            async with asyncio.timeout(self.timeout_s):
                data = await future
        except TimeoutError:
            self._silent()
        except ConnectionError as error:
            raise LinkDown(self.down or f"{self.peer}: {error}") from None
        return self.answer(service, data)

    def send(self, service: Service, body: bytes) -> asyncio.Future[bytes]:
        """A request that may wait for its answer as long as it likes. Raises LinkDown."""
        if self.down:
            raise LinkDown(self.down)
        assert self._channel is not None
        try:
            return self._channel.request(service, body)
        except ConnectionError as error:
            raise LinkDown(self.down or f"{self.peer}: {error}") from None

    def answer(self, service: Service, data: bytes) -> Reader:
        """The answer to a request, opened behind its header. Raises ServiceFailed, LinkDown or Garbled."""
        self._silences = 0
        self.heard_at = time.monotonic()
        reader = Reader(data)
        try:
            kind, result = services.response_header(reader)
        except (Malformed, RecursionError) as error:
            self.counters["malformed"] += 1
            raise Garbled(f"{self.peer} sent a malformed message: {error}") from None
        if result >= 0x8000_0000:
            if result & status.MASK in status.SESSION_GONE:
                self._usable = False
                self.give_up(f"{self.peer} has ended the session: {status.name(result)}")
                raise LinkDown(self.down)
            raise ServiceFailed(result)
        if kind != service + 3:
            self.give_up(f"{self.peer} answered {service.name.lower()} with a message of type {kind}")
            raise LinkDown(self.down)
        return reader

    def _silent(self) -> None:
        self.counters["timeouts"] += 1
        self._silences += 1
        if self._silences >= self.options.timeouts_before_reconnect:
            self.give_up(f"{self.peer} left {self._silences} requests in a row unanswered")
            raise LinkDown(self.down) from None
        raise DeviceSilent(f"{self.peer}: no answer within {self.options.timeout_ms} ms") from None

    async def read(self, nodes: Sequence[bytes], times: int, attribute: int = services.VALUE) -> list[DataValue]:
        """One Read. Raises as :meth:`call`."""
        values = await self.call(Service.READ, services.read_request(nodes, times, attribute), services.read_response)
        if len(values) != len(nodes):
            raise Garbled(f"{self.peer} answered a read of {len(nodes)} nodes with {len(values)} values")
        return values

    def structure(self, encoded: Encoded) -> Any:
        """A structure as JSON-ready dictionaries and lists. Raises Malformed or Unfit."""
        return self.structures.to_json(encoded)

    # -- what the server says of itself

    async def _learn(self) -> None:
        """A server needn't tell its limits."""
        await self.read_namespaces()
        limits = await self.read([pack_node_id(node) for node in _SERVER_LIMITS.values()], services.SERVER_TIME)
        told: dict[str, Any] = {}
        for key, limit in zip(_SERVER_LIMITS, limits, strict=True):
            own = getattr(self.limits, key)
            if isinstance(limit.value, int) and limit.value > 0:
                told[key] = min(limit.value, own) if own else limit.value
        self.limits = replace(self.limits, **told)

    async def read_namespaces(self) -> None:
        """Raises as :meth:`call`."""
        (table,) = await self.read([pack_node_id(_NAMESPACE_ARRAY)], services.SERVER_TIME)
        if not isinstance(table.value, list) or not all(isinstance(uri, str) for uri in table.value):
            raise Garbled(f"{self.peer} doesn't tell its namespaces: {status.name(table.status)}")
        self.namespaces = table.value

    def _why_not(self, error: Exception) -> str:
        if isinstance(error, ConnectionRefusedError | socket.gaierror | UnicodeError):
            return why_not(self.peer, urlsplit(self.options.url).hostname, error, "that the server is running")
        if self.down:
            return self.down
        if isinstance(error, ServiceFailed):
            return f"{self.peer} refused the session: {error}"
        if isinstance(error, OSError) and error.errno:
            return f"{self.peer} can't be reached: {os.strerror(error.errno)}"
        return f"{self.peer} can't be talked to: {error or type(error).__name__}"


def configured_limits(options: LinkOptions) -> Limits:
    """The profile's limits with what the configuration says on top."""
    limits = PROFILES[options.profile]
    return replace(
        limits,
        items=options.max_items or limits.items,
        items_per_call=options.max_items_per_call or limits.items_per_call,
        nodes_per_read=options.max_nodes_per_read or limits.nodes_per_read,
    )


def batches(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """`items` in runs of at most `size`; 0: all at once."""
    step = size or max(len(items), 1)
    return [items[at : at + step] for at in range(0, len(items), step)]
