"""What an open port is, and what hears it."""

from __future__ import annotations

from abc import ABC, abstractmethod

MAX_UNSENT = 1 << 16
"""Bytes that may wait for a port that takes none before it is given up."""


class PortReceiver(ABC):
    """What hears a port. Called on the event loop; must not raise."""

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Characters that arrived, none of them damaged as far as the line can tell. Never empty."""

    @abstractmethod
    def line_error(self) -> None:
        """Between what was received and what will be, a character was lost or damaged: parity, framing or break."""

    @abstractmethod
    def port_lost(self, reason: str) -> None:
        """The port is gone; `reason` is a sentence for LinkDown. Called once, and not after :meth:`Port.close`."""


class Port(ABC):
    """An open port."""

    name: str
    """As the user wrote it."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send at once, or as soon as the port takes it. Raises LinkDown if the port is gone or takes nothing."""

    @abstractmethod
    def discard_unsent(self) -> None:
        """Forget what was written and isn't on the wire yet."""

    @abstractmethod
    async def close(self) -> None:
        """Idempotent. The descriptor is free when it returns."""
