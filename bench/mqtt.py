"""As much of MQTT 5 (OASIS, 2019) as the bench's publisher and subscriber need."""

from __future__ import annotations

CONNACK, PUBLISH, PUBACK, SUBACK = 0x20, 0x30, 0x40, 0x90
RETAIN_QOS1 = 0x03


def varint(number: int) -> bytes:
    """Variable byte integer (§1.5.5)."""
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | 128 if number else low)
        if not number:
            return bytes(out)


def text(value: str) -> bytes:
    """UTF-8 string with its length in front (§1.5.4)."""
    body = value.encode()
    return len(body).to_bytes(2, "big") + body


def packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + varint(len(body)) + body


def connect(client_id: str) -> bytes:
    """CONNECT with a clean start, no keepalive and the largest Receive Maximum."""
    return packet(0x10, text("MQTT") + b"\x05\x02\x00\x00" + b"\x00" + text(client_id))


def subscribe(topic: str) -> bytes:
    """SUBSCRIBE at QoS 1 with packet id 1."""
    return packet(0x82, b"\x00\x01\x00" + text(topic) + b"\x01")


class Reader:
    """Cuts a byte stream into packets without copying their bodies."""

    __slots__ = ("_end", "data")

    def __init__(self) -> None:
        self.data = b""
        """What the positions given by the last `feed` refer to."""
        self._end = 0

    def feed(self, chunk: bytes) -> list[tuple[int, int, int]]:
        """Every whole packet as (first byte, start of body, end of body) in `data`."""
        data = self.data = self.data[self._end :] + chunk if self._end < len(self.data) else chunk
        found: list[tuple[int, int, int]] = []
        size = len(data)
        begin = at = 0
        while at + 1 < size:
            at += 1
            length = data[at]
            if length & 128:
                length &= 127
                shift = 7
                while True:
                    at += 1
                    if at >= size:
                        self._end = begin
                        return found
                    byte = data[at]
                    length |= (byte & 127) << shift
                    if byte < 128:
                        break
                    shift += 7
            at += 1
            if at + length > size:
                break
            found.append((data[begin], at, at + length))
            begin = at = at + length
        self._end = begin
        return found
