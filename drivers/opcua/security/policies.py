"""Security policies (OPC 10000-7 §6.6): which algorithms sign and encrypt, and with what keys.

The algorithms themselves are those of `cryptography` and of the standard library.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from drivers.opcua.binary import Malformed

_BASE = "http://opcfoundation.org/UA/SecurityPolicy#"
NONE_URI = _BASE + "None"
NONCE_BYTES = 32
BLOCK_BYTES = 16
"""Of AES."""
MAC_BYTES = 32
"""Of an HMAC and its key."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One security policy. All of them sign messages with HMAC-SHA-256 and encrypt them with AES-CBC."""

    name: str
    key_bytes: int
    """Of the AES key."""
    pss: bool
    """Whether RSA signatures are padded by PSS instead of PKCS #1 v1.5."""
    oaep: type[hashes.SHA1 | hashes.SHA256] | None
    """Hash of the padding (OAEP) of what RSA encrypts. None: PKCS #1 v1.5."""
    signature_uri: str
    encryption_uri: str

    @property
    def uri(self) -> str:
        return _BASE + self.name

    # -- RSA

    def sign(self, key: RSAPrivateKey, data: bytes) -> bytes:
        return key.sign(data, self._signature_padding(), hashes.SHA256())

    def verify(self, key: RSAPublicKey, data: bytes, signature: bytes) -> None:
        """Raises Malformed."""
        try:
            key.verify(signature, data, self._signature_padding(), hashes.SHA256())
        except InvalidSignature:
            raise Malformed("a wrong signature") from None

    def block_bytes(self, key: RSAPublicKey | RSAPrivateKey) -> int:
        """How much RSA encrypts at a time."""
        return key.key_size // 8 - (11 if self.oaep is None else 2 * self.oaep.digest_size + 2)

    def encrypt(self, key: RSAPublicKey, data: bytes) -> bytes:
        """Block by block. Raises Malformed for a key that is too short for that, or none at all."""
        size = self.block_bytes(key)
        if size < 1:
            raise Malformed(f"an RSA key of {key.key_size} bits")
        try:
            blocks = [data[at : at + size] for at in range(0, len(data), size)]
            return b"".join([key.encrypt(block, self._encryption_padding()) for block in blocks])
        except ValueError:
            raise Malformed("an RSA key that nothing can be encrypted for") from None

    def decrypt(self, key: RSAPrivateKey, data: bytes) -> bytes:
        """Raises Malformed."""
        size = key.key_size // 8
        if not data or len(data) % size:
            raise Malformed(f"{len(data)} encrypted bytes, no multiple of {size}")
        try:
            blocks = [data[at : at + size] for at in range(0, len(data), size)]
            return b"".join([key.decrypt(block, self._encryption_padding()) for block in blocks])
        except ValueError:
            raise Malformed("what isn't encrypted for this gateway's certificate") from None

    def _signature_padding(self) -> padding.PKCS1v15 | padding.PSS:
        return padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH) if self.pss else padding.PKCS1v15()

    def _encryption_padding(self) -> padding.PKCS1v15 | padding.OAEP:
        if self.oaep is None:
            return padding.PKCS1v15()
        return padding.OAEP(padding.MGF1(self.oaep()), self.oaep(), label=None)

    # -- keys of a channel

    def derive(self, secret: bytes, seed: bytes) -> Keys:
        """The keys of one direction (P_SHA-256 of RFC 5246 §5, as OPC 10000-6 §6.7.5 says)."""
        size = MAC_BYTES + self.key_bytes + BLOCK_BYTES
        result, accumulated = b"", seed
        while len(result) < size:
            accumulated = hmac.digest(secret, accumulated, hashlib.sha256)
            result += hmac.digest(secret, accumulated + seed, hashlib.sha256)
        at = MAC_BYTES + self.key_bytes
        return Keys(result[:MAC_BYTES], Cipher(algorithms.AES(result[MAC_BYTES:at]), modes.CBC(result[at:size])))


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs and encrypts the messages of one direction."""

    signing: bytes = field(repr=False)
    cipher: Cipher[modes.CBC]

    def sign(self, data: bytes) -> bytes:
        return hmac.digest(self.signing, data, hashlib.sha256)

    def verify(self, data: bytes, signature: bytes) -> None:
        """Raises Malformed."""
        if not hmac.compare_digest(self.sign(data), signature):
            raise Malformed("a wrong signature")

    def encrypt(self, data: bytes) -> bytes:
        encryptor = self.cipher.encryptor()
        return encryptor.update(data) + encryptor.finalize()

    def decrypt(self, data: bytes) -> bytes:
        """Raises Malformed."""
        if len(data) % BLOCK_BYTES:
            raise Malformed(f"{len(data)} encrypted bytes, no multiple of {BLOCK_BYTES}")
        decryptor = self.cipher.decryptor()
        return decryptor.update(data) + decryptor.finalize()


_RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_RSA_OAEP = "http://www.w3.org/2001/04/xmlenc#rsa-oaep"
_OWN = "http://opcfoundation.org/UA/security/"

POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy("Basic256Sha256", 32, False, hashes.SHA1, _RSA_SHA256, _RSA_OAEP),
        Policy("Aes128_Sha256_RsaOaep", 16, False, hashes.SHA1, _RSA_SHA256, _RSA_OAEP),
        Policy("Aes256_Sha256_RsaPss", 32, True, hashes.SHA256, _OWN + "rsa-pss-sha2-256", _OWN + "rsa-oaep-sha2-256"),
    )
}
"""Weakest first."""
BY_URI: dict[str | None, tuple[int, Policy]] = {
    policy.uri: (strength, policy) for strength, policy in enumerate(POLICIES.values())
}
"""Policy and its place in the order of strength, by URI."""
WEAK_ENCRYPTION: dict[str | None, Policy] = {
    policy.uri: policy
    for policy in (
        Policy("Basic256", 32, False, hashes.SHA1, "", _RSA_OAEP),
        Policy("Basic128Rsa15", 16, False, None, "", "http://www.w3.org/2001/04/xmlenc#rsa-1_5"),
    )
}
"""Withdrawn. Good for nothing but to wrap a password that something else protects, where a server insists."""


@dataclass(frozen=True, slots=True)
class Security:
    """What one secure channel is secured with."""

    policy: Policy
    encrypts: bool
    """Whether messages are encrypted, too; those that open the channel always are."""
    own: x509.Certificate
    own_key: RSAPrivateKey
    own_chain: bytes
    """DER of the own certificate and of its issuers."""
    peer: x509.Certificate
    peer_key: RSAPublicKey
