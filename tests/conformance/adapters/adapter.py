"""What the conformance suite needs to know of a driver: how to start a peer for it, and how to break that peer.

Every adapter is an :class:`Adapter`. What its peer can do beyond that is one of the powers below it, detected with
isinstance as the contract's own are: an adapter has it or hasn't, and never stubs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from gateway.driver import DriverKind, Point
from gateway.model import Value

TIMEOUT_S = 0.1
"""A reply timeout that suits a peer in this process."""


class Adapter(Protocol):
    """One driver's peer, on loopback. A peer that isn't asked repeats its `values` all the time, until silenced."""

    @property
    def kind(self) -> DriverKind: ...

    timeout_s: float
    """How long the options below make a read wait for the peer; the suite's bounds follow from it."""

    @property
    def silence_is_loss(self) -> bool:
        """Whether lasting silence must end in LinkDown: a TCP connection may be half-open. False where silence is
        nothing unusual, or the wire can't be lost unnoticed."""
        ...

    @property
    def connects_slowly(self) -> bool:
        """Whether a connection takes 10 ms or more to make, for reasons that lie in the protocol or in its peer."""
        ...

    @property
    def points(self) -> Sequence[Point]:
        """At least three that the peer has."""
        ...

    @property
    def values(self) -> Sequence[Value]:
        """What the peer gives for `points` now."""
        ...

    @property
    def impossible(self) -> Point:
        """One that ``plan`` must report."""
        ...

    @property
    def missing(self) -> Point:
        """One that can be planned but that the peer doesn't have."""
        ...

    async def start(self) -> None:
        """Start the peer, at the same place as before if it was started before."""
        ...

    async def stop(self) -> None:
        """Stop the peer: connections are lost, new ones refused. Safe to repeat."""
        ...

    def link_options(self) -> Any: ...

    def device_options(self) -> Any: ...

    def silence(self) -> None:
        """From now on the peer says nothing, asked or not; the connection stands."""
        ...

    def speak(self) -> None:
        """Answer, or talk, again as usual."""
        ...

    async def disconnect(self) -> None:
        """Drop the connections there are; new ones are taken."""
        ...


@runtime_checkable
class Asked(Protocol):
    """A peer that answers requests, and counts them. One that only talks (a barcode reader, a beacon) has none."""

    @property
    def requests_per_read(self) -> int:
        """How many requests a read of `points` makes on the wire; two or more if the protocol can be brought to it."""
        ...

    def slow_down(self, delay_s: float) -> None:
        """From now on requests are answered, but only after `delay_s`."""
        ...

    async def asked(self, count: int) -> None:
        """Wait until `count` requests have arrived since the start."""
        ...

    def requests(self) -> int:
        """How many requests have arrived since the start. Not those that only open or keep up a connection."""
        ...


@runtime_checkable
class Written(Protocol):
    """A peer of a driver that is Writes."""

    @property
    def writable(self) -> Point:
        """One of `points` that can be written."""
        ...

    @property
    def written(self) -> Value:
        """A value to write, other than the present one."""
        ...


@runtime_checkable
class Changing(Protocol):
    """A peer of a driver that is Subscribes."""

    async def change(self) -> tuple[int, Value]:
        """Give one of `points` a value it didn't have before, and say which (its index) and what. `values` follow."""
        ...
