"""What the device needs of a transport: to prepare a request once, and to exchange it for its reply many times.

A transport owns its framing (MBAP for TCP), its checks and its deadlines. The transaction rules are the same for all:
one request at a time, a reply is taken only if it answers that request, a late one is thrown away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from drivers.modbus.link import LinkOptions
from drivers.modbus.pdu import Exchange

P = TypeVar("P")


class ModbusBus(Protocol, Generic[P]):
    """One Modbus connection. `P` is the transport's own form of a prepared request."""

    options: LinkOptions
    peer: str
    """The far end, as a user would write it."""
    broadcasts: bool
    """Whether unit 0 is every unit of a serial line, none of which answers."""
    state: Path | None
    """Where what is learnt about the devices is kept; None: nowhere."""
    reply_ns: int
    """Wall clock when the last reply was complete, ns since 1970 UTC."""
    reply_mono_ns: int
    """CLOCK_MONOTONIC at the same moment."""
    counters: Counter[str]

    async def connect(self) -> None: ...

    async def close(self) -> None: ...

    def prepare(self, unit: int, exchange: Exchange) -> P:
        """Frame a request once, to be sent many times."""
        ...

    def show(self, prepared: P) -> str:
        """The framed request for people: hexadecimal, dots for what is only known once it is sent."""
        ...

    def transact(self, prepared: P) -> Awaitable[bytes]:
        """Send a request and return what follows the expected head in its reply.

        Raises ReplyTimeout, Refused or LinkDown. May be cancelled at any time. Never overlap two.
        """
        ...
