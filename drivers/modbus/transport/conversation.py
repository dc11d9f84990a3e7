"""The transaction law, the same for every transport.

- One request at a time.
- A reply is taken only if it answers that request. What else comes is thrown away and counted, or ends the connection.
- A request that isn't answered within its time fails; nothing is ever sent twice.
- Requests that stay unanswered in a row end the connection, so that a half-open one isn't believed in for ever.

How a reply is told apart is the subclasses' affair: :mod:`.numbered` by transaction ids, :mod:`.line` without.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

from drivers.common.overheard import Overheard
from drivers.modbus.errors import Refused, ReplyTimeout
from drivers.modbus.link import LINES, LinkOptions
from drivers.modbus.tracing import Tracer
from gateway.driver import LinkDown

_log = logging.getLogger(__name__)


class Prepared(Protocol):
    """What the law must know of a framed request."""

    @property
    def unit(self) -> int: ...
    @property
    def function(self) -> int: ...
    @property
    def wire_s(self) -> float:
        """How long the request and its reply occupy a serial line, on top of the reply's timeout."""
        ...

    @property
    def shown(self) -> str:
        """Its bytes for people, in hexadecimal; dots for those that are only known once it is sent."""
        ...


P = TypeVar("P", bound=Prepared)
C = TypeVar("C", bound="Conversation[Any]")


ANYBODY = -1
"""A unit that somebody else may have asked just before a bus was opened for the first time: this gateway, too, with
the configuration it had until then."""


class BusState:
    """What outlives a single connection."""

    def __init__(self, name: str, options: LinkOptions) -> None:
        self.name = name
        self.options = options
        self.peer = options.peer
        self.broadcasts = options.transport in LINES
        self.state: Path | None = None
        self.reply_ns = 0
        self.reply_mono_ns = 0
        self.counters: Counter[str] = Counter()
        self.owed = {ANYBODY}
        """Units on a line without transaction ids whose reply may still come, also after a reconnect."""
        self.tracer: Tracer | None = None
        """Who is shown what goes over the wire."""
        self.transaction = 0
        """The id last used. It goes on over reconnects, so that even a gateway that mixes up its sessions can't pass a
        stale reply off as a fresh one."""


class Conversation(asyncio.Protocol, Generic[P]):
    """The life of one connection. Abstract: `_transmit`, and what feeds `_answer` and `_refuse`."""

    def __init__(self, state: BusState) -> None:
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._counters = state.counters
        self._timeout_s = state.options.timeout_ms / 1000
        self._pause_s = state.options.pause_between_requests_ms / 1000
        self._patience = state.options.timeouts_before_reconnect
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.BaseTransport | None = None
        self._write: Callable[[bytes], object] = _not_connected
        self._write_unheard: Callable[[bytes], object] = _not_connected
        self._down = ""
        self._sent = 0
        self._silence: Counter[int] = Counter()
        self._late_logged = False
        self._quiet_since = 0.0
        """Monotonic seconds of the last byte, or of what else ended the last transaction."""
        self.answered = False
        """Whether anything was ever answered on it."""
        self.explain: Callable[[Exception | None], str | None] = _no_explanation
        """What it means that the far end closed the connection, where the transport knows more than the error."""
        # The current transaction.
        self._waiter: asyncio.Future[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._request: P | None = None

    # -- sending

    def transact(self, prepared: P) -> Awaitable[bytes]:
        """See :meth:`drivers.modbus.bus.ModbusBus.transact`."""
        return self._transact_paced(prepared) if self._pause_s else self.send(prepared)

    async def _transact_paced(self, prepared: P) -> bytes:
        await self._rest(self._pause_s)
        try:
            return await self.send(prepared)
        finally:
            self._quiet_since = time.monotonic()

    async def _rest(self, pause_s: float) -> None:
        """Return when nothing has happened for `pause_s`."""
        while (wait_s := self._quiet_since + pause_s - time.monotonic()) > 0:  # noqa: ASYNC110 - it's the time that counts
            await asyncio.sleep(wait_s)

    def send(self, prepared: P) -> asyncio.Future[bytes]:
        """Send a request now; the future is its reply's data. Raises LinkDown if the connection has ended."""
        if self._transport is None:
            raise LinkDown(self._down)
        if self._waiter is not None:
            if not self._waiter.done():
                raise RuntimeError(f"two requests at once on the connection to {self._state.peer}")
            self._forget()
        self._sent += 1
        self._request = prepared
        self._waiter = waiter = self._loop.create_future()
        self._timer = self._loop.call_later(self._timeout_s + prepared.wire_s, self._on_timeout)
        self._transmit(prepared)
        return waiter

    def _transmit(self, prepared: P) -> None:
        raise NotImplementedError

    # -- the end of a transaction

    def _forget(self) -> None:
        """End the current transaction, answered or not."""
        self._waiter = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _answer(self, waiter: asyncio.Future[bytes], data: bytes) -> None:
        self._replied()
        waiter.set_result(data)

    def _refuse(self, waiter: asyncio.Future[bytes], code: int) -> None:
        self._counters["exceptions"] += 1
        self._replied()
        waiter.set_exception(Refused(code))

    def _replied(self) -> None:
        """The current transaction has its reply, complete and right."""
        state = self._state
        state.reply_ns = time.time_ns()
        state.reply_mono_ns = time.monotonic_ns()
        self.answered = True
        self._forget()
        if self._silence:
            self._silence.clear()

    def _on_timeout(self) -> None:
        waiter, request = self._waiter, self._request
        self._forget()
        if waiter is None or waiter.done() or request is None:
            return
        self._counters["timeouts"] += 1
        self._silence[request.unit] += 1
        if self._patience and self._silence[request.unit] >= self._patience:
            message = f"{self._state.peer} left {self._patience} requests in a row unanswered"
            self.give_up(message)
            waiter.set_exception(LinkDown(message))
        else:
            waiter.set_exception(ReplyTimeout(f"no answer within {self._state.options.timeout_ms} ms"))

    def _late(self) -> None:
        self._counters["late_replies"] += 1
        # The far end lives, if slowly: that is no reason to reconnect.
        self._silence.clear()
        if not self._late_logged:
            self._late_logged = True
            name, peer = self._state.name, self._state.peer
            _log.info("link %s: %s answers too late; such replies are thrown away", name, peer)

    # -- the end of the connection

    def _desynchronised(self, what: str) -> None:
        self._counters["desyncs"] += 1
        self.give_up(f"{self._state.peer} sent {what}; the connection is made anew")

    def give_up(self, reason: str) -> None:
        """End the connection from this side."""
        transport, self._transport = self._transport, None
        self._down = reason
        self._fail_waiter(LinkDown(reason))
        if transport is not None:
            cast(asyncio.Transport, transport).abort()

    def _fail_waiter(self, error: Exception) -> None:
        waiter = self._waiter
        self._forget()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports don't inherit from asyncio's.
        self._begin(transport, cast(asyncio.Transport, transport).write)

    def _begin(self, transport: asyncio.BaseTransport, write: Callable[[bytes], object]) -> None:
        self._transport = transport
        self._write = self._write_unheard = write
        if self._state.tracer is not None:
            self.overhear(self._state.tracer)

    def overhear(self, tracer: Tracer | None) -> None:
        """Show all that is sent and received from now on to `tracer`; None: to nobody, which costs nothing."""
        transport = self._transport
        if transport is None:
            return
        if tracer is None:
            self._write = self._write_unheard
            transport.set_protocol(self)
            return

        def write(data: bytes) -> None:
            tracer.sent(data)
            self._write_unheard(data)

        self._write = write
        transport.set_protocol(Overheard(self, tracer.received))

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended(self._why_lost(exc))

    def ended(self, reason: str) -> None:
        """The connection is gone; `reason` counts if it wasn't given up from this side."""
        if self._transport is not None:
            self._counters["disconnects"] += 1
            self._transport = None
            self._down = reason
            self._fail_waiter(LinkDown(reason))
        if not self._closed.done():
            self._closed.set_result(None)

    def _why_lost(self, error: Exception | None) -> str:
        if meaning := self.explain(error):
            return f"{self._state.peer} closed the connection: {meaning}"
        cause = f": {os.strerror(error.errno)}" if isinstance(error, OSError) and error.errno else ""
        return f"{self._state.peer} closed the connection{cause}"

    def supersede(self, reason: str) -> None:
        """End the connection in favour of another: a request under way fails, but the link isn't down."""
        self._fail_waiter(ReplyTimeout(reason))
        self.give_up(reason)

    async def close(self) -> None:
        """Give the connection up and wait until its descriptor is free."""
        self.give_up(f"the connection to {self._state.peer} is closed")
        await asyncio.shield(self._closed)


def _not_connected(data: bytes) -> object:
    raise RuntimeError("nothing can be sent before the connection is made")


def _no_explanation(error: Exception | None) -> str | None:
    return None
