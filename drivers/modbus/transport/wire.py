"""A Modbus bus: one connection at a time over any transport. Implements :class:`drivers.modbus.bus.ModbusBus`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from drivers.modbus.link import LinkOptions
from drivers.modbus.pdu import Exchange
from drivers.modbus.tracing import Tracer
from drivers.modbus.transport.conversation import BusState, C, Conversation, Prepared
from gateway.driver import LinkDown
from gateway.wire import Take

P = TypeVar("P", bound=Prepared)


class Dial(Protocol):
    """A way to make connections to one endpoint."""

    peer: str
    """The endpoint as users write it."""

    async def open(self, converse: Callable[[], C]) -> C:
        """Make a connection for what `converse` builds. Bounded in time. Raises LinkDown."""
        ...


@dataclass(frozen=True, slots=True)
class Speech(Generic[P]):
    """How requests are framed, and conversations held."""

    prepare: Callable[[int, Exchange], P]
    converse: Callable[[BusState], Conversation[P]]


class WireBus(BusState, Generic[P]):
    """A bus whose connection is made by `dial`."""

    def __init__(self, name: str, options: LinkOptions, speech: Speech[P], dial: Dial) -> None:
        super().__init__(name, options)
        self.prepare = speech.prepare
        self._speech = speech
        self._dial = dial
        self._connection: Conversation[P] | None = None

    async def connect(self) -> None:
        await self.close()
        await self._connect(self._dial)

    async def _connect(self, dial: Dial) -> None:
        self.peer = dial.peer
        self._connection = await dial.open(self._converse)
        self.counters["connects"] += 1
        await self._settle()

    async def _settle(self) -> None:
        """Give a device the time it needs after a connection is made."""
        if self.options.pause_after_connect_ms:
            await asyncio.sleep(self.options.pause_after_connect_ms / 1000)

    def _converse(self) -> Conversation[P]:
        return self._speech.converse(self)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def show(self, prepared: P) -> str:
        """See :meth:`drivers.modbus.bus.ModbusBus.show`."""
        return prepared.shown

    def trace(self, take: Take | None) -> None:
        """See :meth:`gateway.driver.Traces.trace`."""
        self.tracer = None if take is None else Tracer(take, self.options)
        for conversation in self._conversations():
            conversation.overhear(self.tracer)

    def _conversations(self) -> Iterator[Conversation[P]]:
        """Those there are."""
        if self._connection is not None:
            yield self._connection

    def transact(self, prepared: P) -> Awaitable[bytes]:
        """See :meth:`drivers.modbus.bus.ModbusBus.transact`."""
        connection = self._connection
        if connection is None:
            raise LinkDown(f"there is no connection to {self.peer}")
        return connection.transact(prepared)
