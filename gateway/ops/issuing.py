"""Certificates that an authority of others issues: the key is made here and stays here, a request goes out (PKCS #10,
RFC 2986), a certificate comes back.

A pair is two PEM files. The next key waits beside the one in use, as ``KEY.next``, until its certificate is here.
Blocking.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from gateway.ops.files import write_atomically

KeyType = Literal["ec", "rsa"]
RSA_BITS = 2048
"""What every OPC UA policy takes and every server can."""
_PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class IssuingRefused(Exception):
    """A certificate that isn't taken. One sentence, and what to do."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(message)
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Pair:
    """Where a certificate and its key are."""

    certificate: Path
    key: Path

    @property
    def next_key(self) -> Path:
        return self.key.with_name(f"{self.key.name}.next")


@dataclass(frozen=True, slots=True)
class About:
    """A certificate, told."""

    file: str
    subject: str
    issuer: str
    fingerprint: str
    """SHA-256, lower-case hexadecimal."""
    serial: str
    """Hexadecimal."""
    hosts: list[str]
    uris: list[str]
    not_before_s: float
    not_after_s: float
    """Seconds since 1970 UTC."""
    fits_key: bool
    """Its key is beside it."""


def about(pair: Pair) -> About | None:
    """The certificate in use; None: there is none. Raises OSError or IssuingRefused."""
    try:
        body = pair.certificate.read_bytes()
    except FileNotFoundError:
        return None
    found = _chain(body, str(pair.certificate))[0]
    key = _key(pair.key)
    names = _names(found)
    return About(
        str(pair.certificate),
        found.subject.rfc4514_string(),
        found.issuer.rfc4514_string(),
        found.fingerprint(hashes.SHA256()).hex(),
        f"{found.serial_number:x}",
        [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))],
        names.get_values_for_type(x509.UniformResourceIdentifier),
        found.not_valid_before_utc.timestamp(),
        found.not_valid_after_utc.timestamp(),
        key is not None and _public(key) == _public(found),
    )


def request(pair: Pair, name: str, hosts: Sequence[str], uris: Sequence[str], kind: KeyType) -> str:
    """A request (PEM) for the next key, which is made unless it waits already. Raises OSError or IssuingRefused."""
    key = _key(pair.next_key)
    if key is None or (kind == "rsa") != isinstance(key, rsa.RSAPrivateKey):
        key = rsa.generate_private_key(65537, RSA_BITS) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
        pair.key.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        text = key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_atomically(pair.next_key, text, 0o600)
        _give(pair.next_key)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    names: list[x509.GeneralName] = [*map(_host, hosts), *map(x509.UniformResourceIdentifier, uris)]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode("ascii")


def install(pair: Pair, body: bytes) -> About:
    """Take a certificate, and those that lead to its authority after it, into use, with its key.

    Raises OSError or IssuingRefused: then everything is as it was.
    """
    chain = _chain(body, "what was given")
    first = chain[0]
    now = datetime.now(UTC)
    if first.not_valid_after_utc < now:
        day = first.not_valid_after_utc.date().isoformat()
        raise IssuingRefused(f"the certificate expired on {day}", "have a new one issued")
    waiting, used = _key(pair.next_key), _key(pair.key)
    fitting = next((key for key in (waiting, used) if key is not None and _public(key) == _public(first)), None)
    if fitting is None:
        raise IssuingRefused(
            "the certificate is for another key than this gateway's", "have it issued for: tidegate cert request"
        )
    text = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    if fitting is waiting:
        # A power cut between the two leaves a pair that doesn't fit and its key waiting: the same call mends it.
        write_atomically(pair.certificate, text, 0o644)
        os.replace(pair.next_key, pair.key)
    else:
        write_atomically(pair.certificate, text, 0o644)
    _give(pair.certificate)
    told = about(pair)
    assert told is not None
    return told


def _chain(body: bytes, what: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(body)
    except ValueError:
        raise IssuingRefused(
            f"{what} holds no certificate in PEM form", "give what begins with -----BEGIN CERTIFICATE-----"
        ) from None


def _key(path: Path) -> _PrivateKey | None:
    """None: there is none."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise IssuingRefused(f"{path} holds no private key that can be used", "take the file away") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise IssuingRefused(f"{path} holds a key that is neither EC nor RSA", "take the file away")
    return key


def _public(holder: _PrivateKey | x509.Certificate) -> bytes:
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _give(path: Path) -> None:
    """Root's files in the gateway's directory would be closed to it."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
