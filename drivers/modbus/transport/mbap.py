"""Framing of Modbus TCP: the MBAP header (Modbus Messaging on TCP/IP 1.0b, §3.1.3).

===========  ==========  ======  =====  ===
transaction  protocol 0  length  unit   PDU
2 bytes      2 bytes     2       1      1–253
===========  ==========  ======  =====  ===
"""

from __future__ import annotations

from dataclasses import dataclass

from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU

from drivers.modbus.pdu import MAX_PDU, Exchange

HEADER_SIZE = 7
MIN_LENGTH = 2
MAX_LENGTH = MAX_PDU + 1
"""Bounds of the length field, which counts the unit and the PDU."""

_FRAMER = FramerSocket(DecodePDU(is_server=False))


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A framed request and the framed reply it allows, both without their transaction id."""

    wire_s = 0.0
    """No serial line: the device's side of a gateway is in the timeout."""

    unit: int
    function: int
    tail: bytes
    """The request from its third byte on."""
    reply_head: bytes
    """What the right reply has from its third byte on, as far as it is known in advance."""
    reply_size: int
    """Size of the right reply, header included; 0 if the reply itself tells."""
    data_at: int
    """Where the data begin that `reply_head` doesn't foresee."""
    exchange: Exchange

    @property
    def shown(self) -> str:
        return f".. .. {self.tail.hex(' ')}"

    def is_answered_by(self, frame: bytes) -> bool:
        """Of a reply that tells its size itself: whether `frame` is one."""
        pdu = frame[HEADER_SIZE:]
        exchange = self.exchange
        return exchange.measure is not None and pdu.startswith(exchange.head) and exchange.measure(pdu) == len(pdu)


def prepare(unit: int, exchange: Exchange) -> PreparedRequest:
    frame = _FRAMER.encode(exchange.request, unit, 0)
    # The reply's header is that of a PDU of the expected size.
    reply_header = _FRAMER.encode(bytes(exchange.size), unit, 0)[2:HEADER_SIZE]
    return PreparedRequest(
        unit=unit,
        function=exchange.function,
        tail=frame[2:],
        reply_head=reply_header + exchange.head,
        # One that tells its size itself is never taken unread.
        reply_size=0 if exchange.measure else HEADER_SIZE + exchange.size,
        data_at=HEADER_SIZE + len(exchange.head),
        exchange=exchange,
    )
