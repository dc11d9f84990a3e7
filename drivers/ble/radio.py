"""What the driver needs of a radio: to know that it works, to scan with it, and to connect through it.

The one that ships is :mod:`drivers.ble.bluez`. Whatever implements this gives bleak's own scanner and client classes,
so everything above it is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bleak import BleakClient, BleakScanner
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

Heard = Callable[["BLEDevice", "AdvertisementData"], None]


class Radio(Protocol):
    """One Bluetooth adapter."""

    name: str
    """As a user writes it: ``hci0``."""

    async def open(self, lost: Callable[[str], None]) -> None:
        """Make sure that the adapter is there and on; from now on call `lost`, once, with one sentence, if it goes.

        Bounded in time. Raises LinkDown.
        """
        ...

    async def close(self) -> None:
        """Idempotent, bounded, and safe after a failed open."""
        ...

    def scanner(self, heard: Heard) -> BleakScanner:
        """A scanner, not yet started, that calls `heard` for every advert."""
        ...

    def client(self, device: BLEDevice, gone: Callable[[], None], timeout_s: float, pair: bool) -> BleakClient:
        """A client for a device that was heard, not yet connected, that calls `gone` when the connection ends."""
        ...

    async def let_go(self, address: str | None, name: str | None) -> None:
        """End a connection to this device that nobody here has made: of a process that died before, say.

        A device that is connected sends no adverts, so it would never be heard again. Raises what :meth:`explain` can
        tell.
        """
        ...

    def explain(self, error: Exception) -> str:
        """One sentence for a user, with its mend, about an error that scanning raised."""
        ...
