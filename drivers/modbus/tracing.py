"""What goes over a Modbus connection, cut into frames for somebody who watches. Exists only while somebody does.

What is sent is one frame a write. What is received comes in pieces of any size: a frame is complete when its own length
says so, or on a serial line when its checksum is right. What never becomes complete is shown as it is, before what is
sent next or when the line has been silent for a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from fastcrc import crc16

from drivers.modbus.link import LinkOptions
from drivers.modbus.transport import mbap
from gateway.wire import Direction, Frame, Take

_SILENCE_S = 0.2
_LONGEST = 513
"""Characters of the longest frame in any framing: more without an end is shown in parts."""


def form_of(options: LinkOptions) -> str:
    """``mbap``, ``rtu`` or ``ascii``."""
    return "mbap" if options.transport in ("tcp", "udp", "tls") else options.transport.partition("-")[0]


class Tracer:
    """Makes frames of the bytes of one bus and hands them to `take`."""

    def __init__(self, take: Take, options: LinkOptions) -> None:
        self._take = take
        self._form = form_of(options)
        self._note = "decrypted" if options.transport == "tls" else ""
        self._echoes = options.local_echo
        self._echo = b""
        self._pending = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def sent(self, data: bytes) -> None:
        self.flush()
        self._echo = bytes(data) if self._echoes else b""
        self._emit(Direction.SENT, bytes(data))

    def received(self, data: bytes) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pending += data
        if self._echo and len(self._pending) >= len(self._echo):
            if self._pending.startswith(self._echo):
                del self._pending[: len(self._echo)]
                self._emit(Direction.RECEIVED, self._echo, "echo of what was sent")
            self._echo = b""
        for frame in self._complete():
            self._emit(Direction.RECEIVED, frame)
        if len(self._pending) > _LONGEST:
            self.flush()
        elif self._pending:
            self._timer = asyncio.get_running_loop().call_later(_SILENCE_S, self.flush)

    def flush(self) -> None:
        """Show what is incomplete."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pending:
            data = bytes(self._pending)
            self._pending.clear()
            self._emit(Direction.RECEIVED, data, "incomplete")

    def _complete(self) -> Iterator[bytes]:
        pending = self._pending
        while pending and (size := self._size_of_first(pending)):
            frame = bytes(pending[:size])
            del pending[:size]
            yield frame

    def _size_of_first(self, pending: bytearray) -> int:
        """Bytes of the frame that `pending` begins with; 0 while it isn't complete, or can't be told."""
        if self._form == "mbap":
            if len(pending) < mbap.HEADER_SIZE:
                return 0
            size = 6 + int.from_bytes(pending[4:6], "big")
            return size if size <= len(pending) else 0
        if self._form == "ascii":
            return pending.find(b"\r\n") + 2 if b"\r\n" in pending else 0
        # A checksum over a checksum that is right is zero.
        return next((size for size in range(4, len(pending) + 1) if not crc16.modbus(bytes(pending[:size]))), 0)

    def _emit(self, direction: Direction, data: bytes, note: str = "") -> None:
        notes = ", ".join(filter(None, (self._note, note)))
        self._take(Frame(time.monotonic_ns(), time.time_ns(), direction, data, self._form, self._unit(data), notes))

    def _unit(self, data: bytes) -> str:
        match self._form:
            case "mbap":
                return str(data[6]) if len(data) > 6 else ""
            case "rtu":
                return str(data[0]) if data else ""
        try:
            return str(int(data[1:3], 16))
        except ValueError:
            return ""
