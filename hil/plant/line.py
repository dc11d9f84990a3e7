"""A multi-drop serial line: a pseudo-terminal behind which units answer in Modbus RTU (Modbus over Serial Line 1.02).

A request's length follows from its function code, since a pseudo-terminal knows nothing of silence on the wire. What
has a wrong checksum is answered by nobody, as the standard says.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from hil.plant.registers import Bank
from hil.plant.server import respond
from hil.plant.terminal import Terminal

_BROADCAST = 0
_LONGEST = 256
_PLAIN = 8
"""Bytes of most requests: unit, function, two words, checksum."""
_COUNTED = (15, 16)
"""Their seventh byte says how many follow."""
_MASK_WRITE = (22, 10)


class RtuLine:
    """``async with`` opens the port; `path` names it. `banks` maps units to what they hold."""

    def __init__(self, banks: Mapping[int, Bank]) -> None:
        self._banks = banks
        self._terminal = Terminal(self._received)
        self._buffer = bytearray()

    @property
    def path(self) -> str:
        return self._terminal.path

    async def __aenter__(self) -> RtuLine:
        """Raises OSError."""
        await self._terminal.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._terminal.__aexit__()

    def _received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while (size := _size(buffer)) is not None and len(buffer) >= size:
            frame = bytes(buffer[:size])
            if crc(frame) != 0:
                del buffer[:1]  # out of step: the next byte may begin a request
                continue
            del buffer[:size]
            bank = self._banks.get(frame[0])
            if bank is not None and frame[0] != _BROADCAST:
                answer = frame[:1] + respond(bank, frame[1:-2])
                self._terminal.send(answer + struct.pack("<H", crc(answer)))
        if len(buffer) > _LONGEST:
            buffer.clear()


def crc(data: bytes) -> int:
    """CRC-16 of the standard's appendix B; 0 over a frame with its checksum, low byte first."""
    remainder = 0xFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ 0xA001 if remainder & 1 else remainder >> 1
    return remainder


def _size(buffer: bytearray) -> int | None:
    """Of the request at the beginning; None: not known yet."""
    if len(buffer) < 2:
        return None
    if buffer[1] == _MASK_WRITE[0]:
        return _MASK_WRITE[1]
    if buffer[1] in _COUNTED:
        return 9 + buffer[6] if len(buffer) > 6 else None
    return _PLAIN
