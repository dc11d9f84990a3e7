"""Secure conversation (OPC 10000-6 §6.7): messages to chunks and back, signed and encrypted. Bytes only, no socket.

Nothing of what comes in is believed before its signature is checked, and every length is held against a bound before
anything is gathered.
"""

from __future__ import annotations

import hashlib
import struct
import time
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from drivers.opcua import status
from drivers.opcua.binary import Malformed, Reader, pack_bytes, pack_string
from drivers.opcua.security.certificates import to_der
from drivers.opcua.security.policies import BLOCK_BYTES, MAC_BYTES, NONE_URI, Keys, Security
from drivers.opcua.status import ServiceFailed

CHUNK_BYTES = 65_536
LEAST_CHUNK_BYTES = 8192
"""What every side must take (OPC 10000-6 §6.7.1)."""
_HEADER = struct.Struct("<4sII")
"""Type with chunk type, size, channel."""
_TOKEN_HEADER = struct.Struct("<4sIII")
_SEQUENCE = struct.Struct("<II")
"""Sequence number, request id."""
_WRAPS_AFTER = 0xFFFF_FFFF - 1024
_OPEN_BYTES = LEAST_CHUNK_BYTES
"""Of an encrypted answer to opening: RSA takes a millisecond for each block, and anyone can encrypt."""
_LEAST_LIFETIME_MS = 1000
_TOLERANCE = 1.25
"""How much longer than it lives a token is taken (OPC 10000-4 §5.5.2.1)."""


class Message(NamedTuple):
    request: int
    """Id of the request that it answers."""
    body: bytes | ServiceFailed
    """The other side may break a message off."""


@dataclass(frozen=True, slots=True)
class Token:
    """One period of a channel's life (OPC 10000-4 §5.5.2.2)."""

    channel: int
    number: int
    ours: Keys | None
    """None: no security."""
    theirs: Keys | None
    ends_at: float
    """time.monotonic() after which it isn't taken any more."""


class Conversation:
    """Both directions of one secure channel."""

    def __init__(self, security: Security | None, max_message_bytes: int) -> None:
        self.security = security
        self.max_message_bytes = max_message_bytes
        self.max_chunks = max_message_bytes // LEAST_CHUNK_BYTES + 1
        self.max_send_bytes = CHUNK_BYTES
        """Longest chunk that the other side takes."""
        self.max_send_message_bytes = 0
        self.max_send_chunks = 0
        """Longest message that it takes; 0: any."""
        self._token = Token(0, 0, None, None, float("inf"))
        self._before: Token | None = None
        self._sent = 0
        self._received: int | None = None
        self._request = 0
        self._parts: list[bytes] = []
        self._size = 0

    def renew(self, channel: int, number: int, lifetime_ms: int, own_nonce: bytes, peer_nonce: bytes) -> float:
        """Go on with a token that was just issued; how long it lives, in seconds. Raises Malformed."""
        if not channel or self._token.channel not in (0, channel):
            raise Malformed(f"a token of channel {channel} for channel {self._token.channel}")
        ours = theirs = None
        if self.security is not None:
            policy = self.security.policy
            if len(peer_nonce) < len(own_nonce):
                raise Malformed(f"a nonce of {len(peer_nonce)} bytes")
            ours, theirs = policy.derive(peer_nonce, own_nonce), policy.derive(own_nonce, peer_nonce)
        self._before = self._token if self._token.channel else None
        # A server that says less, or 0, would have a new one without end.
        lifetime_s = max(lifetime_ms, _LEAST_LIFETIME_MS) / 1000
        self._token = Token(channel, number, ours, theirs, time.monotonic() + _TOLERANCE * lifetime_s)
        return lifetime_s

    @property
    def numbers(self) -> tuple[int, int]:
        """Of the channel and of its present token."""
        return self._token.channel, self._token.number

    # -- sending

    def wrap(self, kind: bytes, request: int, body: bytes) -> bytes:
        """The chunks of a message (`kind`: ``MSG`` or ``CLO``).

        Raises ServiceFailed for one that the other side wouldn't take: it would end the connection over it.
        """
        token, keys = self._token, self._token.ours
        room = self.max_send_bytes - _TOKEN_HEADER.size - _SEQUENCE.size
        encrypts = keys is not None and self.security is not None and self.security.encrypts
        if keys is not None:
            # Of a padding: at most a block and its length.
            room -= MAC_BYTES + (BLOCK_BYTES + 1 if encrypts else 0)
        longest, most = self.max_send_message_bytes, self.max_send_chunks
        if (longest and len(body) > longest) or (most and len(body) > most * room):
            raise ServiceFailed(status.BAD_REQUEST_TOO_LARGE)
        chunks = []
        for at in range(0, len(body), room):
            plain = self._sequence(request) + body[at : at + room]
            size = _TOKEN_HEADER.size + len(plain)
            if keys is not None:
                if encrypts:
                    plain += _padding(len(plain) + MAC_BYTES, BLOCK_BYTES, long=False)
                size = _TOKEN_HEADER.size + len(plain) + MAC_BYTES
            header = _TOKEN_HEADER.pack(
                kind + (b"F" if at + room >= len(body) else b"C"), size, token.channel, token.number
            )
            if keys is not None:
                plain += keys.sign(header + plain)
                if encrypts:
                    plain = keys.encrypt(plain)
            chunks.append(header + plain)
        return b"".join(chunks)

    def wrap_open(self, request: int, body: bytes) -> bytes:
        """The one chunk of an OpenSecureChannel request."""
        security, plain = self.security, self._sequence(request) + body
        if security is None:
            algorithms = pack_string(NONE_URI) + pack_bytes(None) + pack_bytes(None)
            size = _HEADER.size + len(algorithms) + len(plain)
            return _HEADER.pack(b"OPNF", size, self._token.channel) + algorithms + plain
        policy, own, peer = security.policy, security.own_key, security.peer_key
        thumbprint = hashlib.sha1(to_der(security.peer), usedforsecurity=False).digest()
        algorithms = pack_string(policy.uri) + pack_bytes(security.own_chain) + pack_bytes(thumbprint)
        block, signature_size = policy.block_bytes(peer), own.key_size // 8
        plain += _padding(len(plain) + signature_size, block, long=_long(peer))
        encrypted_size = (len(plain) + signature_size) // block * (peer.key_size // 8)
        size = _HEADER.size + len(algorithms) + encrypted_size
        header = _HEADER.pack(b"OPNF", size, self._token.channel) + algorithms
        return header + policy.encrypt(peer, plain + policy.sign(own, header + plain))

    def _sequence(self, request: int) -> bytes:
        # Not before it is greater than that, says the standard, and some check.
        self._sent = self._sent + 1 if self._sent <= _WRAPS_AFTER else 1
        return _SEQUENCE.pack(self._sent, request)

    # -- receiving

    def unwrap(self, chunk: bytes) -> Message | None:
        """The message that `chunk`, a whole one of at least 8 bytes, completes. Raises Malformed."""
        kind, last = chunk[:3], chunk[3:4]
        if kind == b"MSG":
            plain = self._opened(chunk)
        elif kind == b"OPN" and last == b"F":
            plain = self._opened_open(chunk)
        else:
            raise Malformed(f"a message of type {chunk[:4]!r}")
        if len(plain) < _SEQUENCE.size:
            raise Malformed("a chunk without a sequence number")
        number, request = _SEQUENCE.unpack_from(plain)
        self._follow(number)
        if self._parts and request != self._request:
            raise Malformed("chunks of several messages mixed")
        self._request = request
        if last == b"A":
            self._drop()
            return Message(request, ServiceFailed(Reader(plain, _SEQUENCE.size).uint32()))
        if last not in (b"C", b"F"):
            raise Malformed(f"a chunk of type {last!r}")
        self._size += len(plain) - _SEQUENCE.size
        if self._size > self.max_message_bytes or len(self._parts) == self.max_chunks:
            raise Malformed(f"a message of more than {self.max_message_bytes} bytes")
        self._parts.append(plain[_SEQUENCE.size :])
        if last == b"C":
            return None
        body = b"".join(self._parts) if len(self._parts) > 1 else self._parts[0]
        self._drop()
        return Message(request, body)

    def _drop(self) -> None:
        self._parts = []
        self._size = 0

    def _follow(self, number: int) -> None:
        """Sequence numbers count up by one, and may begin anew near their end (OPC 10000-6 §6.7.2.4)."""
        before, self._received = self._received, number
        if before is None or number == before + 1 or (number < 1024 and before >= _WRAPS_AFTER):
            return
        raise Malformed(f"sequence number {number} after {before}")

    def _opened(self, chunk: bytes) -> bytes:
        """What a chunk holds, from its sequence number on."""
        if len(chunk) < _TOKEN_HEADER.size:
            raise Malformed("a chunk cut short")
        _, _, channel, number = _TOKEN_HEADER.unpack_from(chunk)
        token = self._token
        if number == token.number:
            self._before = None
        elif self._before is not None and number == self._before.number:
            # Until it has heard of the new one; in order as it is, a stream can't come back to it.
            token = self._before
        else:
            raise Malformed(f"a security token {number} that isn't in use")
        if channel != token.channel or not channel:
            raise Malformed(f"a secure channel {channel} that isn't open")
        if time.monotonic() > token.ends_at:
            raise Malformed(f"a security token {number} that is over")
        keys, security = token.theirs, self.security
        if keys is None or security is None:
            return chunk[_TOKEN_HEADER.size :]
        header, body = chunk[: _TOKEN_HEADER.size], chunk[_TOKEN_HEADER.size :]
        if security.encrypts:
            body = keys.decrypt(body)
        plain, signature = body[:-MAC_BYTES], body[-MAC_BYTES:]
        keys.verify(header + plain, signature)
        return _without_padding(plain, long=False) if security.encrypts else plain

    def _opened_open(self, chunk: bytes) -> bytes:
        reader = Reader(chunk, _HEADER.size)
        uri = reader.string()
        reader.byte_string()
        reader.byte_string()
        header, body = chunk[: reader.position], chunk[reader.position :]
        security = self.security
        if uri != (security.policy.uri if security is not None else NONE_URI):
            raise Malformed(f"a channel of policy {uri!r}, which wasn't asked for")
        if security is None:
            return body
        if len(body) > _OPEN_BYTES:
            raise Malformed(f"{len(body)} bytes to open a channel")
        body = security.policy.decrypt(security.own_key, body)
        size = security.peer_key.key_size // 8
        plain, signature = body[:-size], body[-size:]
        security.policy.verify(security.peer_key, header + plain, signature)
        return _without_padding(plain, long=_long(security.own_key))


def _long(key: RSAPublicKey | RSAPrivateKey) -> bool:
    """Whether blocks are so long that their padding's length takes two bytes (OPC 10000-6 §6.7.2.5)."""
    return key.key_size > 2048


def _padding(size: int, block: int, *, long: bool) -> bytes:
    """What fills `size` bytes up to whole blocks, itself included."""
    missing = -(size + 1 + long) % block
    padding = bytes((missing & 0xFF,)) * (missing + 1)
    return padding + bytes((missing >> 8,)) if long else padding


def _without_padding(plain: bytes, *, long: bool) -> bytes:
    if len(plain) < 2:
        raise Malformed("a chunk without padding")
    size = plain[-2] + (plain[-1] << 8) + 2 if long else plain[-1] + 1
    if size > len(plain):
        raise Malformed("a chunk of padding")
    return plain[:-size]
