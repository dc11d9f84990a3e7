"""Devices that call us: the gateway listens, and uses the connection that comes in as if it had made it.

A caller is taken if it comes from an allowed network and first sends the registration that is asked for. The newest
caller counts: a router that dials again has lost its earlier connection, though nobody may have told us.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

from drivers.common.tcp import peer_name, tune
from drivers.modbus.link import LinkOptions
from drivers.modbus.transport.conversation import Conversation, Prepared
from drivers.modbus.transport.wire import Speech, WireBus
from gateway.driver import LinkDown

_log = logging.getLogger(__name__)

P = TypeVar("P", bound=Prepared)

_REGISTRATION_S = 5.0
_PENDING = 8
"""Callers that may be about to register at once; more are hung up on."""


class CalledBus(WireBus[P]):
    """A bus on which the device makes the connection."""

    def __init__(self, name: str, options: LinkOptions, speech: Speech[P]) -> None:
        self._door = _Door(options, self._called)
        super().__init__(name, options, speech, cast(Any, self._door))

    def _called(self, caller: str, conversation: Conversation[P]) -> None:
        """Another call came in while there is a connection."""
        _log.info("link %s: %s calls anew; its earlier connection is closed", self.name, caller)
        if self._connection is not None:
            self._connection = conversation
            self.counters["connects"] += 1

    async def close(self) -> None:
        self._door.close()
        self.counters["callers_rejected"] += self._door.take_rejected()
        await super().close()


class _Door:
    """Listens on one endpoint. Implements :class:`drivers.modbus.transport.wire.Dial`."""

    def __init__(self, options: LinkOptions, called: Callable[[str, Conversation[Any]], None]) -> None:
        self.peer = peer_name(*options.endpoint)
        self.registration = options.registration_bytes
        self.pending: set[_Caller] = set()
        self._options = options
        self._called = called
        self._networks = [ipaddress.ip_network(network) for network in options.allow]
        self._server: asyncio.Server | None = None
        self._converse: Callable[[], Conversation[Any]] | None = None
        self._somebody = asyncio.Event()
        self._newest: Conversation[Any] | None = None
        self._rejected = 0
        self._why_rejected = ""

    async def open(self, converse: Callable[[], Conversation[Any]]) -> Conversation[Any]:
        """Listen until somebody calls. Bounded by the connect timeout. Raises LinkDown."""
        loop = asyncio.get_running_loop()
        self._converse = converse
        self._somebody.clear()
        host, port = self._options.endpoint
        try:
            self._server = await loop.create_server(
                lambda: _Caller(self), host, port, backlog=_PENDING, start_serving=False
            )
            await self._server.start_serving()  # apart: who calls at once is to find a door that knows its server
        except OSError as error:
            cause = os.strerror(error.errno) if error.errno else error
            raise LinkDown(
                f"nothing can be listened for on {self.peer} ({cause}): "
                "host must be an address of this machine, and the port free"
            ) from None
        timeout_s = self._options.connect_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                while self._newest is None:
                    await self._somebody.wait()
                return self._newest
        except TimeoutError:
            turned_away = f"; {self._rejected} callers were turned away: {self._why_rejected}" if self._rejected else ""
            raise LinkDown(
                f"no device has dialled in on {self.peer} within {timeout_s:g} s: "
                f"check its destination and any firewall between{turned_away}"
            ) from None

    def close(self) -> None:
        """Stop listening and hang up on who hasn't been let in."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for caller in list(self.pending):
            caller.hang_up()
        newest, self._newest = self._newest, None
        if newest is not None:
            newest.give_up(f"the connection to {self.peer} is closed")

    def take_rejected(self) -> int:
        """How many were rejected since this was last asked."""
        rejected, self._rejected = self._rejected, 0
        return rejected

    def why_not(self, address: str) -> str:
        """Why a caller may not even register; empty if it may."""
        if self._networks and not any(ipaddress.ip_address(address) in network for network in self._networks):
            return f"{address} isn't in allow"
        return f"{address} is one too many at once" if len(self.pending) >= _PENDING else ""

    def reject(self, reason: str) -> None:
        self._rejected += 1
        self._why_rejected = reason

    def admit(self, caller: _Caller, transport: asyncio.Transport, rest: bytes) -> None:
        """`rest` is what came after the registration."""
        if self._server is None or self._converse is None:
            transport.abort()
            return
        try:
            tune(transport.get_extra_info("socket"), self._options.keepalive_s)
        except OSError:  # it has hung up already
            transport.abort()
            return
        former, self._newest = self._newest, self._converse()
        transport.set_protocol(self._newest)
        self._newest.connection_made(transport)
        self._somebody.set()
        if former is not None:
            self._called(caller.address, self._newest)
            former.supersede(f"the device behind {self.peer} called anew")
        if rest:
            self._newest.data_received(rest)


class _Caller(asyncio.Protocol):
    """Somebody who calls, until let in."""

    address = ""

    def __init__(self, door: _Door) -> None:
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._said = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.address = str(transport.get_extra_info("peername")[0])
        if reason := self._door.why_not(self.address):
            self._refuse(reason)
            return
        self._door.pending.add(self)
        if self._door.registration:
            overdue = f"{self.address} didn't register within {_REGISTRATION_S:g} s"
            self._timer = asyncio.get_running_loop().call_later(_REGISTRATION_S, self._refuse, overdue)
        else:
            self._enter(b"")

    def data_received(self, data: bytes) -> None:
        self._said += data
        wanted = self._door.registration
        if self._said.startswith(wanted):
            self._enter(self._said[len(wanted) :])
        elif not wanted.startswith(self._said):
            self._refuse(f"{self.address} registered as {self._said[:32]!r}")

    def _enter(self, rest: bytes) -> None:
        transport, self._transport = self._transport, None
        self._leave()
        if transport is not None:
            self._door.admit(self, transport, rest)

    def _refuse(self, reason: str) -> None:
        self._door.reject(reason)
        self.hang_up()

    def hang_up(self) -> None:
        transport, self._transport = self._transport, None
        self._leave()
        if transport is not None:
            transport.abort()

    def _leave(self) -> None:
        self._door.pending.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._leave()
