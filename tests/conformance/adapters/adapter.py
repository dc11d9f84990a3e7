"""What the conformance suite needs to know of a driver: how to start a peer for it, and how to break that peer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gateway.driver import DriverKind, Point
from gateway.model import Value

TIMEOUT_S = 0.1
"""Reply timeout the adapters configure; the suite's bounds follow from it."""


class Adapter(Protocol):
    """One driver's peer, on loopback."""

    @property
    def kind(self) -> DriverKind: ...

    @property
    def points(self) -> Sequence[Point]:
        """At least three that the peer has, in at least two requests on the wire."""
        ...

    @property
    def values(self) -> Sequence[Value]:
        """What the peer gives for `points`."""
        ...

    @property
    def impossible(self) -> Point:
        """One that ``plan`` must report."""
        ...

    @property
    def missing(self) -> Point:
        """One that can be planned but that the peer doesn't have."""
        ...

    @property
    def writable(self) -> Point | None:
        """One of `points` that can be written, or None if the driver can't write."""
        ...

    @property
    def written(self) -> Value:
        """A value to write, other than the present one."""
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
        """From now on requests stay unanswered; the connection stands."""
        ...

    def slow_down(self) -> None:
        """From now on requests are answered, but only after half of `TIMEOUT_S`."""
        ...

    def speak(self) -> None:
        """Answer again as usual."""
        ...

    async def disconnect(self) -> None:
        """Drop the connections there are; new ones are taken."""
        ...

    async def asked(self, count: int) -> None:
        """Wait until `count` requests have arrived since the start."""
        ...

    def requests(self) -> int:
        """How many requests have arrived since the start."""
        ...
