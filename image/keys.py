"""Who signs. A production key comes from outside; without one a development key is made, and says so in its name.

Neither key ever lies in the checkout: development keys are in the cache.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from image.errors import BuildError

KEY_VARIABLE = "TIDEGATE_SIGNING_KEY"
CERTIFICATE_VARIABLE = "TIDEGATE_SIGNING_CERTIFICATE"
KEYRING_VARIABLE = "TIDEGATE_KEYRING"
# A box that was off for long may not know the time when it is to judge a bundle.
_FROM = datetime(1970, 1, 1, tzinfo=UTC)
_UNTIL = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Signer:
    """What bundles are signed with, and what boxes trust. ``key`` is a file, or a ``pkcs11:`` address."""

    key: str
    certificate: Path
    keyring: Path
    kind: str
    """``development`` or ``production``."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What has to be read for signing."""
        key = () if self.key.startswith("pkcs11:") else (Path(self.key),)
        return (*key, self.certificate, self.keyring)


def signer(folder: Path, environment: Mapping[str, str] = os.environ) -> Signer:
    """The production key that the environment names, else the development key in ``folder``, made where there is none.

    Raises BuildError where the environment names only a part, or a file that isn't there.
    """
    names = (KEY_VARIABLE, CERTIFICATE_VARIABLE, KEYRING_VARIABLE)
    given = {name: environment[name] for name in names if environment.get(name)}
    if not given:
        return _development(folder)
    missing = [name for name in names if name not in given]
    if missing:
        raise BuildError(
            f"{', '.join(given)} is set without {', '.join(missing)}: set all three, or none for a development key"
        )
    for name, value in given.items():
        if not value.startswith("pkcs11:") and not Path(value).is_file():
            raise BuildError(f"{name}: there is no file {value}")
    key = given[KEY_VARIABLE]
    return Signer(
        key=key if key.startswith("pkcs11:") else str(Path(key).resolve()),
        certificate=Path(given[CERTIFICATE_VARIABLE]).resolve(),
        keyring=Path(given[KEYRING_VARIABLE]).resolve(),
        kind="production",
    )


def _development(folder: Path) -> Signer:
    key, certificate, keyring = folder / "signing.key", folder / "signing.pem", folder / "keyring.pem"
    if not certificate.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority_key, signing_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        authority = _certificate("Tidegate development authority", authority_key, None, authority_key)
        signing = _certificate("Tidegate development signing", signing_key, authority, authority_key)
        keyring.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        _write_secret(
            key,
            signing_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        # Last: it says that the others are whole. The authority's own key is forgotten.
        certificate.write_bytes(signing.public_bytes(serialization.Encoding.PEM))
    return Signer(str(key), certificate, keyring, "development")


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    is_authority = issuer is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(_usage(is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not is_authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_secret(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
