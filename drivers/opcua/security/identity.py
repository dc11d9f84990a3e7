"""The gateway's own application certificate: made on first need, kept, and renewed without losing anyone's trust.

A pair is two files of one name, ``own/private/NAME.pem`` and ``own/certs/NAME.der``. The key is written first: a
certificate is only believed with its key beside it, so a power cut between the two leaves the state before.

After a renewal the pair before stays, and is used with servers that don't trust the new one yet, until it expires.
"""

from __future__ import annotations

import logging
import socket
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from drivers.opcua.security import files
from drivers.opcua.security.certificates import (
    common_name,
    day,
    file_name,
    fingerprint,
    parse,
    parse_key,
    read,
    to_der,
    uris,
)
from gateway.hosts import is_host

log = logging.getLogger(__name__)

KEY_BITS = 2048
"""What every policy takes and every server can: some PLCs fail above."""
LIFETIME = timedelta(days=10 * 365)
RENEW_BEFORE = timedelta(days=90)
"""Long enough for someone to trust the new one at every server before the old one expires."""
BACKDATED = timedelta(days=1)
"""Servers whose clock is behind take it, too."""
CLOCK_FLOOR = datetime(2026, 1, 1, tzinfo=UTC)
"""A clock before this is wrong: without a battery it starts at 1970, and a certificate made then would soon expire."""

_lock = threading.Lock()
"""Links of one gateway start together, and each may be the first that needs a certificate."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: RSAPrivateKey
    file: Path
    """The certificate's file: what a person gives to the far end."""
    issuers: tuple[x509.Certificate, ...] = ()
    """Who issued it, from the first upwards: shown with it."""

    @property
    def application_uri(self) -> str:
        """What the certificate says; the far end compares it with what the client says."""
        return next(iter(uris(self.certificate)), "")

    @property
    def name(self) -> str:
        return common_name(self.certificate)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate)


def identities(root: Path, gateway: str) -> list[Identity]:
    """The pairs that can be used, newest first; made if there is none, renewed if it is time. Raises OSError.

    Takes a second or more when a key is made: not for the event loop.
    """
    with _lock:
        now = datetime.now(UTC)
        pairs = _stored(root)
        if not pairs:
            return [_make(root, gateway)]
        if now >= CLOCK_FLOOR and pairs[0].certificate.not_valid_after_utc - RENEW_BEFORE <= now:
            _renew_in_time(root, gateway, pairs)
        usable = [pair for pair in pairs[1:] if pair.certificate.not_valid_after_utc > now]
        return [pairs[0], *usable]


def _renew_in_time(root: Path, gateway: str, pairs: list[Identity]) -> None:
    expires = day(pairs[0].certificate.not_valid_after_utc)
    try:
        pairs.insert(0, _make(root, gateway, pairs[0]))
    except OSError as error:  # the one that there is still works
        log.warning("opcua: the certificate of this gateway expires on %s and can't be renewed: %s", expires, error)
        return
    log.warning(
        "opcua: the certificate of this gateway expires on %s and was renewed: trust %s at every server",
        expires,
        pairs[0].file,
    )


def renew(root: Path, gateway: str) -> Identity:
    """Make a new pair and keep the one before. Raises OSError."""
    with _lock:
        pairs = _stored(root)
        return _make(root, gateway, pairs[0] if pairs else None)


def stored(root: Path) -> list[Identity]:
    """The pairs there are, newest first."""
    with _lock:
        return _stored(root)


def from_files(certificate: Path, key: Path) -> Identity:
    """A pair that somebody else made. Raises ValueError or OSError with one sentence."""
    try:
        (own, *issuers), private = parse(read(certificate)), parse_key(read(key))
    except ValueError as error:
        raise ValueError(f"{certificate} and {key} are no certificate and its key: {error}") from None
    if own.public_key() != private.public_key():
        raise ValueError(f"{key} isn't the key of {certificate}: name the two that belong together")
    if not uris(own):
        raise ValueError(f"{certificate} names no application URI: have it issued with one (OPC 10000-6 §6.2.2)")
    return Identity(own, private, certificate, tuple(issuers))


def _stored(root: Path) -> list[Identity]:
    found: list[Identity] = []
    for path in (root / "own" / "certs").glob("*.der"):
        try:
            (certificate,) = parse(read(path))
            key = parse_key(read(_key_file(root, path.stem)))
        except (OSError, ValueError) as error:
            log.warning("opcua: the own certificate %s can't be used: %s", path, error)
            continue
        if certificate.public_key() == key.public_key():
            found.append(Identity(certificate, key, path))
    # A clock that jumped back may have made a newer one with an earlier beginning: what was written last counts.
    return sorted(found, key=lambda pair: (pair.file.stat().st_mtime_ns, pair.file.name), reverse=True)


def _key_file(root: Path, name: str) -> Path:
    return root / "own" / "private" / f"{name}.pem"


def _make(root: Path, gateway: str, before: Identity | None = None) -> Identity:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    uri = before.application_uri if before is not None else ""
    certificate = self_signed(key, gateway, uri or application_uri(gateway))
    name = file_name(certificate)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files.write(_key_file(root, name), pem)
    path = root / "own" / "certs" / f"{name}.der"
    files.write(path, to_der(certificate))
    _tidy(root, keep={name, before.file.stem} if before is not None else {name})
    return Identity(certificate, key, path)


def _tidy(root: Path, keep: set[str]) -> None:
    for folder in ("certs", "private"):
        for path in (root / "own" / folder).iterdir():
            if path.stem not in keep:
                files.remove(path)


def application_uri(gateway: str) -> str:
    """Unique in the world as far as host names are (OPC 10000-3 §8.9 leaves the form to the application)."""
    return f"urn:{socket.gethostname().lower()}:tidegate:{gateway}"


def self_signed(key: RSAPrivateKey, gateway: str, uri: str) -> x509.Certificate:
    """An application instance certificate for a client, as OPC 10000-6 §6.2.2 wants it."""
    now = datetime.now(UTC)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"Tidegate {gateway}"[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tidegate"),
        ]
    )
    public = key.public_key()
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName(_host_name())]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=True,
                key_encipherment=True,
                data_encipherment=True,
                key_agreement=False,
                key_cert_sign=True,  # the standard wants it of a self-signed one
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            True,
        ),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (authority, False),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(max(now, CLOCK_FLOOR) + LIFETIME)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, hashes.SHA256())


def _host_name() -> str:
    name = socket.gethostname()
    return name if is_host(name) and name.isascii() else "localhost"
