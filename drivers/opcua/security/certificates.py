"""X.509 certificates as OPC UA uses them (OPC 10000-6 §6.2.2): reading them, and naming them to people."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.x509.oid import NameOID

MAX_CHAIN = 10
_MAX_FILE_BYTES = 256 * 1024
_PEM = b"-----BEGIN "


def parse(body: bytes) -> list[x509.Certificate]:
    """The certificates in a file, PEM or DER. Raises ValueError, also for none."""
    if _PEM not in body:
        return [_parse_der(body)]
    return [_legible(certificate) for certificate in x509.load_pem_x509_certificates(body)]


def parse_chain(body: bytes) -> list[x509.Certificate]:
    """What a server sends as its certificate: its own, then those of its issuers, DER after DER (OPC 10000-6 §6.2.6).

    Raises ValueError.
    """
    chain: list[x509.Certificate] = []
    while body:
        if len(chain) == MAX_CHAIN:
            raise ValueError(f"a chain of more than {MAX_CHAIN} certificates")
        size = _der_size(body)
        chain.append(_parse_der(body[:size]))
        body = body[size:]
    if not chain:
        raise ValueError("no certificate")
    return chain


def leaf(body: bytes) -> bytes:
    """The first of a chain, unread. Raises ValueError."""
    return body[: _der_size(body)]


def public_key(certificate: x509.Certificate) -> RSAPublicKey:
    """Raises ValueError."""
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError("its key isn't an RSA key, which is what OPC UA uses")
    return key


def parse_crl(body: bytes) -> x509.CertificateRevocationList:
    """A revocation list, PEM or DER. Raises ValueError."""
    return x509.load_pem_x509_crl(body) if _PEM in body else x509.load_der_x509_crl(body)


def parse_key(body: bytes, password: str | None = None) -> RSAPrivateKey:
    """A private RSA key, PEM or DER. Raises ValueError with one sentence."""
    load = serialization.load_pem_private_key if _PEM in body else serialization.load_der_private_key
    try:
        key = load(body, None if password is None else password.encode())
    except TypeError:
        raise ValueError("it needs a password" if password is None else "it has no password") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("it is no RSA key, which is what OPC UA uses")
    return key


def read(path: Path) -> bytes:
    """A file that may hold certificates. Raises OSError, or ValueError if it is far too large for that."""
    with path.open("rb") as file:
        body = file.read(_MAX_FILE_BYTES + 1)
    if len(body) > _MAX_FILE_BYTES:
        raise ValueError(f"larger than {_MAX_FILE_BYTES // 1024} KiB")
    return body


def to_der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, lower-case hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def common_name(certificate: x509.Certificate) -> str:
    """What people call it: the subject's common name, or the whole subject."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()


def file_name(certificate: x509.Certificate) -> str:
    """Its name in a folder of certificates, without suffix: readable, and its own."""
    return (
        f"{re.sub(r'[^A-Za-z0-9.-]+', '-', common_name(certificate)).strip('.-')[:48]}_{fingerprint(certificate)[:16]}"
    )


def uris(certificate: x509.Certificate) -> list[str]:
    """The application URIs it names."""
    names = alternative_names(certificate)
    return names.get_values_for_type(x509.UniformResourceIdentifier) if names is not None else []


def hosts(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses it names."""
    names = alternative_names(certificate)
    if names is None:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    """None also for names that can't be read."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()


def _parse_der(body: bytes) -> x509.Certificate:
    """Raises ValueError."""
    try:
        return _legible(x509.load_der_x509_certificate(body))
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from None


def _legible(certificate: x509.Certificate) -> x509.Certificate:
    """cryptography looks at the parts of a certificate when they are asked for: here, once and for all."""
    try:
        certificate.subject, certificate.issuer, certificate.public_key(), certificate.not_valid_after_utc
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    return certificate


def _der_size(body: bytes) -> int:
    """The size of the DER value that `body` begins with (X.690 §8.1.3)."""
    if len(body) < 2:
        raise ValueError("a certificate cut short")
    first = body[1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    return 2 + count + int.from_bytes(body[2 : 2 + count])
