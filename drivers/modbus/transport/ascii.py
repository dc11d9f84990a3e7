"""Framing of Modbus ASCII (Modbus over Serial Line 1.02, §2.5.2): ``:``, two hexadecimal digits a byte, LRC, CR LF."""

from __future__ import annotations

from binascii import a2b_hex

from pymodbus.framer import FramerAscii
from pymodbus.pdu import DecodePDU

from drivers.modbus.pdu import MAX_PDU, Exchange
from drivers.modbus.transport.line import Garbled, LineRequest

_FRAMER = FramerAscii(DecodePDU(is_server=False))
_END = b"\r\n"
_MAX_SIZE = 2 * (MAX_PDU + 2) + 3
_AROUND_PDU = 7
"""Characters beside the PDU: colon, unit, LRC, CR LF."""


class AsciiFrames:
    """Implements :class:`drivers.modbus.transport.line.Frames`."""

    def __init__(self, byte_s: float = 0.0) -> None:
        """`byte_s`: how long one character takes on the line."""
        self._byte_s = byte_s

    def prepare(self, unit: int, exchange: Exchange) -> LineRequest:
        frame = _FRAMER.encode(exchange.request, unit, 0)
        return LineRequest(unit, exchange, frame, (len(frame) + 2 * exchange.most + _AROUND_PDU) * self._byte_s)

    def find(self, buffer: bytearray, request: LineRequest) -> bytes | None:
        """See :meth:`drivers.modbus.transport.line.Frames.find`."""
        while (end := buffer.find(_END)) >= 0:
            text = bytes(buffer[:end])
            del buffer[: end + len(_END)]
            # A colon begins a frame wherever it comes.
            _, colon, digits = text.rpartition(b":")
            if not colon:
                continue
            if (pdu := _pdu(digits, request)) is not None:
                return pdu
        start = buffer.rfind(b":")
        del buffer[: len(buffer) if start < 0 else start]
        if len(buffer) > _MAX_SIZE:
            buffer.clear()
        return None


def _pdu(digits: bytes, request: LineRequest) -> bytes | None:
    """The PDU of a frame if it answers the request. Raises Garbled."""
    try:
        frame = a2b_hex(digits)
    except ValueError:
        raise Garbled from None
    if len(frame) < 4 or sum(frame) & 0xFF:
        raise Garbled
    pdu = frame[1:-1]
    exchange = request.exchange
    if frame[0] != request.unit:
        return None
    is_refusal = len(pdu) == 2 and pdu[0] == exchange.function | 0x80
    is_reply = pdu.startswith(request.mark) and exchange.size_of(pdu) == len(pdu)
    return pdu if is_refusal or is_reply else None
