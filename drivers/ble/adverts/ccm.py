"""AES-CCM with a tag of four bytes, as every encrypted advert format uses it (RFC 3610, M = 4, L = 2)."""

from __future__ import annotations

from collections.abc import Callable

from drivers.ble.adverts.format import Unauthentic

TAG_SIZE = 4

Opener = Callable[[bytes, bytes, bytes | None], bytes]
"""(nonce, ciphertext with its tag, associated data) → plaintext. Raises Unauthentic."""


def opener(key: bytes) -> Opener:
    """`key`: 16 bytes."""
    # cryptography comes with the first key: most sites have none.
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    cipher = AESCCM(key, tag_length=TAG_SIZE)

    def open_sealed(nonce: bytes, sealed: bytes, associated: bytes | None) -> bytes:
        try:
            return cipher.decrypt(nonce, sealed, associated)
        except InvalidTag:
            raise Unauthentic("the advert can't be decrypted: check the bindkey") from None

    return open_sealed
