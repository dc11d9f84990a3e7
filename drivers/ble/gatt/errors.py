"""What can come of a request to a device other than its answer, and the quality that makes of a tag."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model import Quality

BAD_USER_ACCESS_DENIED = 0x801F0000
"""OPC UA's code for what a device keeps to those it knows."""

_DENIED = (
    "pairing is wanted: set 'pair = true', or pair it once by hand with 'bluetoothctl pair'",
    BAD_USER_ACCESS_DENIED,
)
_MEANINGS: dict[int, tuple[str, int]] = {
    0x01: ("it has no such attribute any more", Quality.BAD_NODE_ID_UNKNOWN),
    0x02: ("it can't be read", Quality.BAD_NOT_SUPPORTED),
    0x03: ("it can't be written", Quality.BAD_NOT_SUPPORTED),
    0x05: _DENIED,
    0x06: ("it doesn't support that", Quality.BAD_NOT_SUPPORTED),
    0x08: ("it doesn't allow that", BAD_USER_ACCESS_DENIED),
    0x0A: ("it has no such attribute any more", Quality.BAD_NODE_ID_UNKNOWN),
    0x0C: _DENIED,
    0x0D: ("the value has the wrong length", Quality.BAD_OUT_OF_RANGE),
    0x0F: _DENIED,
    0x13: ("the value isn't allowed", Quality.BAD_OUT_OF_RANGE),
    0x2F: _DENIED,
    0xFF: ("the value is out of range", Quality.BAD_OUT_OF_RANGE),
}
"""ATT error codes (Core Specification vol 3 part F §3.4.1.1) → what it means, and the quality."""


class NoAnswer(Exception):
    """No answer came in time. One that comes later is thrown away."""


class NotThere(Exception):
    """The device hasn't got such a characteristic, or several of them."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the device refuses."""

    text: str
    quality: int


class Refused(Exception):
    """The device answered with an error."""

    def __init__(self, message: str, refusal: Refusal) -> None:
        self.quality = refusal.quality
        super().__init__(message)


def refusal(error: Exception) -> Refusal | None:
    """What a device meant by an error of bleak's; None if it wasn't the device that spoke."""
    from bleak.exc import BleakDBusError, BleakGATTProtocolError

    if isinstance(error, BleakGATTProtocolError):
        code = int(error.code)
        text, quality = _MEANINGS.get(code, (f"ATT error 0x{code:02x}", Quality.BAD_DEVICE_FAILURE))
        return Refusal(text, int(quality))
    if isinstance(error, BleakDBusError) and error.dbus_error in (
        "org.bluez.Error.NotPermitted",
        "org.bluez.Error.NotAuthorized",
    ):
        return Refusal(*_DENIED)
    return None
