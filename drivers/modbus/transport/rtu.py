"""Framing of Modbus RTU (Modbus over Serial Line 1.02, §2.5.1): unit, PDU, CRC-16 low byte first.

A frame has neither length nor end mark but silence, which an operating system can't time. So a reply ends where the
request says it must: its size is known in advance, or told by its beginning.
"""

from __future__ import annotations

from fastcrc import crc16
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU

from drivers.modbus.pdu import Exchange
from drivers.modbus.transport.line import Garbled, LineRequest

_FRAMER = FramerRTU(DecodePDU(is_server=False))
_AROUND_PDU = 3
_EXCEPTION_SIZE = 5


class RtuFrames:
    """Implements :class:`drivers.modbus.transport.line.Frames`."""

    def __init__(self, byte_s: float = 0.0) -> None:
        """`byte_s`: how long one byte takes on the line."""
        self._byte_s = byte_s

    def prepare(self, unit: int, exchange: Exchange) -> LineRequest:
        frame = _FRAMER.encode(exchange.request, unit, 0)
        return LineRequest(unit, exchange, frame, (len(frame) + exchange.most + _AROUND_PDU) * self._byte_s)

    def find(self, buffer: bytearray, request: LineRequest) -> bytes | None:
        """See :meth:`drivers.modbus.transport.line.Frames.find`."""
        exchange = request.exchange
        marker = bytes((request.unit,)) + request.mark
        refusal = bytes((request.unit, exchange.function | 0x80))
        while True:
            reply_at, refusal_at = buffer.find(marker), buffer.find(refusal)
            if reply_at < 0 and refusal_at < 0:
                # The marker may just have begun.
                del buffer[: max(0, len(buffer) - len(marker) + 1)]
                return None
            refused = reply_at < 0 or 0 <= refusal_at < reply_at
            del buffer[: refusal_at if refused else reply_at]
            size = _EXCEPTION_SIZE if refused else exchange.size_of(bytes(buffer[1:])) + _AROUND_PDU
            if len(buffer) < size:
                return None
            frame = bytes(buffer[:size])
            if crc16.modbus(frame) == 0:
                del buffer[:size]
                return frame[1:-2]
            if not refused:
                buffer.clear()
                raise Garbled
            del buffer[:1]
