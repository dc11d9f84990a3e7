"""What goes over a serial port, for somebody who watches; and what of it can be told without knowing the instrument.

What is received comes in pieces of any size. It is shown when it makes whole frames, before something is sent, or after
a moment of silence.
"""

from __future__ import annotations

import asyncio
import time

from drivers.serial.notation import CONTROLS
from gateway.wire import Direction, Dissection, Frame, Part, Take

FORM = "serial"
_SILENCE_S = 0.1
_MOST = 1024
_NAMES = {code: name for name, code in CONTROLS.items() if code != 0x20}
_MEANINGS = {
    "SOH": "start of heading",
    "STX": "start of text",
    "ETX": "end of text",
    "EOT": "end of transmission",
    "ENQ": "enquiry",
    "ACK": "acknowledge",
    "NAK": "negative acknowledge",
    "XON": "go on sending",
    "XOFF": "stop sending",
    "CR": "carriage return",
    "LF": "line feed",
    "ETB": "end of block",
    "CAN": "cancel",
    "ESC": "escape",
}
_SHOWN = 80


class Tracer:
    """Makes frames of what one port sends and receives."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._pending = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def sent(self, data: bytes) -> None:
        self.flush()
        self._emit(Direction.SENT, data)

    def received(self, data: bytes, *, whole: bool) -> None:
        """`whole`: a frame ends here."""
        self._pending += data
        if whole or len(self._pending) >= _MOST:
            self.flush()
        else:
            self._stop_timer()
            self._timer = asyncio.get_running_loop().call_later(_SILENCE_S, self.flush)

    def damaged(self) -> None:
        """A character was lost or damaged on the line."""
        self.flush()
        self._emit(Direction.RECEIVED, b"", "a character was lost or damaged: parity, framing or break")

    def flush(self) -> None:
        self._stop_timer()
        if self._pending:
            data = bytes(self._pending)
            self._pending.clear()
            self._emit(Direction.RECEIVED, data)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _emit(self, direction: Direction, data: bytes, note: str = "") -> None:
        self._take(Frame(time.monotonic_ns(), time.time_ns(), direction, data, FORM, note=note))


def dissect(frame: Frame, asked: Frame | None) -> Dissection:
    """See :attr:`gateway.driver.DriverKind.dissect`: runs of text and other bytes, control characters by name."""
    data = frame.data
    if not data:
        return Dissection(frame.note or "nothing", fault=True)
    parts: list[Part] = []
    at = 0
    while at < len(data):
        end, kind = at + 1, _kind(data[at])
        while kind != "control" and end < len(data) and _kind(data[end]) == kind:
            end += 1
        parts.append(Part(kind, at, end - at, _text(data[at:end], kind)))
        at = end
    return Dissection(_summary(data), tuple(parts))


def _kind(byte: int) -> str:
    if byte in _NAMES:
        return "control"
    return "text" if byte < 0x7F else "bytes"


def _text(data: bytes, kind: str) -> str:
    if kind == "control":
        name = _NAMES[data[0]]
        return f"{name}, {_MEANINGS[name]}" if name in _MEANINGS else name
    return data.decode("ascii") if kind == "text" else data.hex(" ")


def _summary(data: bytes) -> str:
    shown = "".join(
        f"<{_NAMES[byte]}>" if byte in _NAMES else chr(byte) if byte < 0x7F else f"\\x{byte:02x}"
        for byte in data[:_SHOWN]
    )
    return shown + ("…" if len(data) > _SHOWN else "")
