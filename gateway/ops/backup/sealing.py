"""A passphrase round bytes: scrypt makes the key, ChaCha20-Poly1305 hides the bytes and proves them whole.

What does the work is imported when there is work: a gateway that makes no backup needn't hold it in memory.
"""

from __future__ import annotations

import os
import struct
from typing import Final

MAGIC: Final = b"tidegate sealed 1\n"
LEAST_PASSPHRASE: Final = 12
_LOG_N, _R, _P = 14, 8, 5
"""OWASP's choice for 16 MiB: a small board has them to spare for the moment it takes."""
_MOST_LOG_N, _MOST_R, _MOST_P = 16, 8, 16
_HEAD = struct.Struct(">BBB16s12s")


class CantOpen(Exception):
    """Not sealed by us, with another passphrase, or changed since. One sentence."""


def is_sealed(body: bytes) -> bool:
    return body.startswith(MAGIC)


def seal(body: bytes, passphrase: str) -> bytes:
    """Takes about 0.2 s and 16 MiB."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    salt, nonce = os.urandom(16), os.urandom(12)
    head = MAGIC + _HEAD.pack(_LOG_N, _R, _P, salt, nonce)
    return head + ChaCha20Poly1305(_key(passphrase, salt, _LOG_N, _R, _P)).encrypt(nonce, body, head)


def unseal(body: bytes, passphrase: str) -> bytes:
    """Raises CantOpen."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    end = len(MAGIC) + _HEAD.size
    if not is_sealed(body) or len(body) < end:
        raise CantOpen("it isn't sealed with a passphrase")
    log_n, r, p, salt, nonce = _HEAD.unpack(body[len(MAGIC) : end])
    if not (1 <= log_n <= _MOST_LOG_N and 1 <= r <= _MOST_R and 1 <= p <= _MOST_P):
        raise CantOpen("it asks for more work than any passphrase of ours needs")
    try:
        return ChaCha20Poly1305(_key(passphrase, salt, log_n, r, p)).decrypt(nonce, body[end:], body[:end])
    except InvalidTag:
        raise CantOpen("the passphrase is wrong, or the file was changed or cut") from None


def _key(passphrase: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=1 << log_n, r=r, p=p).derive(passphrase.encode())
