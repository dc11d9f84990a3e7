"""What goes over a connection, as an unsecured one would have it, for somebody who watches.

Messages are shown whole, after decryption, in one chunk without signature, so that any analyser can read them. What
could help somebody to impersonate a user, or to decrypt what was recorded elsewhere, is blanked out: authentication
tokens, nonces, and all that opening a channel or a session exchanges.
"""

from __future__ import annotations

import struct
import time

from drivers.opcua.binary import Malformed, Reader, pack_bytes, pack_string
from drivers.opcua.security.policies import NONE_URI
from drivers.opcua.services import Service, response_header
from gateway.wire import Direction, Frame, Take

FORM = "opcua"
_SECRET = (Service.OPEN_SECURE_CHANNEL, Service.CREATE_SESSION, Service.ACTIVATE_SESSION)
_SECRET_REQUESTS = frozenset(int(service) for service in _SECRET)
_SECRET_ANSWERS = frozenset(service + 3 for service in _SECRET)
_BLANK = bytes(64)
"""In place of secrets of any length, which is nobody's business either. Read as a message it is empty fields."""
_NO_ALGORITHMS = pack_string(NONE_URI) + pack_bytes(None) + pack_bytes(None)


class Tracer:
    """Makes frames of what one bus sends and receives."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._sequence = dict.fromkeys(Direction, 0)

    def plain(self, direction: Direction, chunk: bytes) -> None:
        """A chunk that is never secured: hello, acknowledge, error."""
        self._emit(direction, chunk, [])

    def message(
        self,
        direction: Direction,
        kind: bytes,
        channel: tuple[int, int],
        request: int,
        body: bytes,
        *,
        encrypted: bool,
    ) -> None:
        """`kind`: ``MSG``, ``OPN`` or ``CLO``. `channel`: its number and its token's. `encrypted`: on the wire."""
        self._sequence[direction] += 1
        shown, blanked = without_secrets(direction, body)
        middle = _NO_ALGORITHMS if kind == b"OPN" else struct.pack("<I", channel[1])
        rest = middle + struct.pack("<II", self._sequence[direction], request) + shown
        head = kind + b"F" + struct.pack("<II", 12 + len(rest), channel[0])
        self._emit(direction, head + rest, ["decrypted"] * encrypted + ["secrets blanked"] * blanked)

    def _emit(self, direction: Direction, data: bytes, notes: list[str]) -> None:
        self._take(Frame(time.monotonic_ns(), time.time_ns(), direction, data, FORM, note=", ".join(notes)))


def without_secrets(direction: Direction, body: bytes) -> tuple[bytes, bool]:
    """(message body without secrets, whether more than the authentication token was one). What can't be understood is
    blanked as a whole: nobody knows what is in it."""
    reader = Reader(body)
    try:
        if direction is Direction.RECEIVED:
            kind, _ = response_header(reader)
            if kind in _SECRET_ANSWERS:
                return body[: reader.position] + _BLANK, True
            return body, False
        kind_id = reader.node_id()
        begin = reader.position
        reader.node_id()
        end = reader.position
        _read_request_header(reader)
    except (Malformed, RecursionError):
        return body[:4] + _BLANK, True
    # A two-byte null id stands for any token.
    clean = body[:begin] + b"\x00\x00"
    if kind_id.identifier in _SECRET_REQUESTS:
        return clean + body[end : reader.position] + _BLANK, True
    return clean + body[end:], False


def _read_request_header(reader: Reader) -> tuple[int, int]:
    """What follows the authentication token: (handle, timeout hint in ms). Raises Malformed."""
    reader.int64()
    handle = reader.uint32()
    reader.uint32()
    reader.string()
    timeout_ms = reader.uint32()
    reader.extension_object()
    return handle, timeout_ms
