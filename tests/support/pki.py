"""Certificates for tests, as a plant's authority would make them: right, expired, for another host, revoked."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)

_keys: dict[int, list[RSAPrivateKey]] = {}


def key(number: int = 0, bits: int = 2048) -> RSAPrivateKey:
    """The same key for the same number: making one takes a while, and a test run needs few that differ."""
    made = _keys.setdefault(bits, [])
    while len(made) <= number:
        made.append(rsa.generate_private_key(public_exponent=65537, key_size=bits))
    return made[number]


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key, and the files they are in."""

    certificate: x509.Certificate
    key: RSAPrivateKey
    file: Path
    """DER."""
    key_file: Path
    """PEM."""
    issuers: Sequence[x509.Certificate] = ()
    """From its own issuer upwards."""

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem_file(self) -> Path:
        """The certificate as PEM, and those of its issuers but the last after it: what a server sends as its chain."""
        path = self.file.with_suffix(".pem")
        chain = (self.certificate, *self.issuers[:-1])
        path.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain))
        return path


def issue(
    directory: Path,
    name: str = "peer",
    *,
    issuer: Issued | None = None,
    uri: str | None = "urn:tidegate:peer",
    hosts: Sequence[str] = ("127.0.0.1", "localhost"),
    authority: bool = False,
    begin: timedelta = -DAY,
    end: timedelta = DAY,
    number: int = 0,
    bits: int = 2048,
    purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    serial: int | None = None,
) -> Issued:
    """A certificate for the key of `number`, signed by itself or by `issuer`; `begin` and `end` count from now."""
    own = key(number, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [] if uri is None else [x509.UniformResourceIdentifier(uri)]
    names += [_host(host) for host in hosts]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(own.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(_usage(authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                own.public_key() if issuer is None else issuer.key.public_key()  # type: ignore[arg-type]
            ),
            critical=False,
        )
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    certificate = builder.sign(own if issuer is None else issuer.key, hashes.SHA256())
    directory.mkdir(parents=True, exist_ok=True)
    file, key_file = directory / f"{name}.der", directory / f"{name}.key.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    key_file.write_bytes(
        own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    issuers = () if issuer is None else (issuer.certificate, *issuer.issuers)
    return Issued(certificate, own, file, key_file, issuers)


def revoke(
    issuer: Issued, *certificates: x509.Certificate, end: timedelta = DAY, signer: Issued | None = None
) -> bytes:
    """A revocation list in the name of `issuer`, DER; a forged one is signed by another `signer`."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now - 2 * DAY)
        .next_update(now + end)
    )
    for certificate in certificates:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now - DAY).build()
        )
    signed = builder.sign((signer or issuer).key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
