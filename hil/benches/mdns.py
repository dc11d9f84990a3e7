"""Ask the network who has a name that ends in ``.local`` (multicast DNS, RFC 6762)."""

from __future__ import annotations

import socket
import struct

_GROUP, _PORT = "224.0.0.251", 5353
_A, _IN = 1, 1
_TRIES, _ANSWER_S = 5, 2.0


def find(name: str, here: str) -> str | None:
    """The IPv4 address of `name`, asked for on the network of `here`; None: nobody answers."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    query = struct.pack(">6H", 0, 0, 1, 0, 0, 0) + question + struct.pack(">2H", _A, _IN)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        # From another port than 5353 the answer comes to this socket alone, the question repeated (§6.7).
        asking.bind((here, 0))
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(here))
        asking.settimeout(_ANSWER_S)
        for _ in range(_TRIES):
            asking.sendto(query, (_GROUP, _PORT))
            try:
                answer = asking.recv(9000)
            except TimeoutError:
                continue
            found = _address(answer, len(query))
            if found is not None:
                return found
    return None


def _address(answer: bytes, at: int) -> str | None:
    """Of the first record after the question, which is a pointer to it, type, class, time to live and an address."""
    _, flags, _, answers, _, _ = struct.unpack_from(">6H", answer)
    if not flags & 0x8000 or not answers:
        return None
    while at < len(answer) and 0 < answer[at] < 0xC0:
        at += 1 + answer[at]
    at += 2 if answer[at] >= 0xC0 else 1
    kind, _, _, size = struct.unpack_from(">HHIH", answer, at)
    return socket.inet_ntoa(answer[at + 10 : at + 14]) if (kind, size) == (_A, 4) else None
