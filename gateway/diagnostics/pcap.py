"""Frames as a capture file that packet analysers open: classic pcap with nanoseconds.

A trace is taken above the operating system, so what carried the frames isn't in it and is made up here, consistently:

- TCP and UDP: raw IPv4 packets with right lengths, checksums and, of TCP, a handshake and sequence numbers; the gateway
  is 192.0.2.1, the far end its own address, or 192.0.2.2 where that isn't an IPv4 address; its port is the protocol's
  own, whichever is in use, so that the analyser chooses the right dissector;
- serial lines: LINKTYPE_RTAC_SERIAL. Analysers can't know what travels on one: in Wireshark "Decode As…" makes it
  Modbus RTU, in tshark ``-d rtacser.data,mbrtu``.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator, Sequence

from gateway.wire import Capture, Direction, Frame, Layer

MEDIA_TYPE = "application/vnd.tcpdump.pcap"

_MAGIC_NS = 0xA1B23C4D
_RAW_IP, _RTAC_SERIAL = 101, 250
_SNAPSHOT = 1 << 18
_HERE = ipaddress.IPv4Address("192.0.2.1")
_ELSEWHERE = ipaddress.IPv4Address("192.0.2.2")
"""Of TEST-NET-1 (RFC 5737): nobody's."""
_OWN_PORT = 49152
_SEGMENT = 1400
_TCP, _UDP = 6, 17
_SYN, _ACK, _PUSH = 0x02, 0x10, 0x08
_TX_START, _RX_START = 1, 2
"""Event types of an RTAC serial header."""


def write(frames: Sequence[Frame], capture: Capture, far_end: str = "") -> bytes:
    """`far_end`: the host at the other side. The frames are in order of time."""
    packets: Iterator[tuple[int, bytes]]
    match capture.layer:
        case Layer.SERIAL:
            link_type, packets = _RTAC_SERIAL, _serial(frames)
        case Layer.UDP:
            link_type, packets = _RAW_IP, _udp(frames, capture, _address(far_end))
        case Layer.TCP:
            link_type, packets = _RAW_IP, _tcp(frames, capture, _address(far_end))
    head = struct.pack("<IHHiIII", _MAGIC_NS, 2, 4, 0, 0, _SNAPSHOT, link_type)
    return head + b"".join(
        struct.pack("<IIII", ns // 10**9, ns % 10**9, len(packet), len(packet)) + packet for ns, packet in packets
    )


def _address(host: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        return _ELSEWHERE


def _serial(frames: Sequence[Frame]) -> Iterator[tuple[int, bytes]]:
    for frame in frames:
        event = _TX_START if frame.direction is Direction.SENT else _RX_START
        seconds, rest_ns = divmod(frame.ns, 10**9)
        yield frame.ns, struct.pack(">IIBBH", seconds & 0xFFFF_FFFF, rest_ns // 1000, event, 0, 0) + frame.data


def _udp(frames: Sequence[Frame], capture: Capture, far_end: ipaddress.IPv4Address) -> Iterator[tuple[int, bytes]]:
    for number, frame in enumerate(frames):
        ends = _ends(frame.direction, far_end, capture.port)
        size = 8 + len(frame.data)
        body = struct.pack(">HHHH", ends[2], ends[3], size, 0) + frame.data
        check = _checksum(_pseudo(ends[0], ends[1], _UDP, size) + body) or 0xFFFF
        yield frame.ns, _ip(number, ends[0], ends[1], _UDP, body[:6] + check.to_bytes(2, "big") + body[8:])


def _tcp(frames: Sequence[Frame], capture: Capture, far_end: ipaddress.IPv4Address) -> Iterator[tuple[int, bytes]]:
    sequence = dict.fromkeys(Direction, 0)
    number = 0

    def segment(direction: Direction, flags: int, data: bytes) -> bytes:
        nonlocal number
        number += 1
        other = Direction.RECEIVED if direction is Direction.SENT else Direction.SENT
        acknowledged = sequence[other] if flags & _ACK else 0
        ends = _ends(direction, far_end, capture.port)
        head = struct.pack(
            ">HHIIBBHHH", ends[2], ends[3], sequence[direction], acknowledged, 5 << 4, flags, 0xFFFF, 0, 0
        )
        check = _checksum(_pseudo(ends[0], ends[1], _TCP, len(head) + len(data)) + head + data)
        sequence[direction] = sequence[direction] + (len(data) or bool(flags & _SYN)) & 0xFFFF_FFFF
        return _ip(number, ends[0], ends[1], _TCP, head[:16] + check.to_bytes(2, "big") + head[18:] + data)

    if frames:
        begin = frames[0].ns
        yield begin, segment(Direction.SENT, _SYN, b"")
        yield begin, segment(Direction.RECEIVED, _SYN | _ACK, b"")
        yield begin, segment(Direction.SENT, _ACK, b"")
    for frame in frames:
        for at in range(0, len(frame.data), _SEGMENT):
            yield frame.ns, segment(frame.direction, _PUSH | _ACK, frame.data[at : at + _SEGMENT])


def _ends(direction: Direction, far_end: ipaddress.IPv4Address, port: int) -> tuple[bytes, bytes, int, int]:
    """(source, destination, source port, destination port)"""
    if direction is Direction.SENT:
        return _HERE.packed, far_end.packed, _OWN_PORT, port
    return far_end.packed, _HERE.packed, port, _OWN_PORT


def _pseudo(source: bytes, destination: bytes, protocol: int, size: int) -> bytes:
    return source + destination + struct.pack(">BBH", 0, protocol, size)


def _ip(number: int, source: bytes, destination: bytes, protocol: int, body: bytes) -> bytes:
    """RFC 791, not to be fragmented."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), number & 0xFFFF, 0x4000, 64, protocol, 0)
    head += source + destination
    return head[:10] + _checksum(head).to_bytes(2, "big") + head[12:] + body


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
