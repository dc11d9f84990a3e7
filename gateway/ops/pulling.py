"""Signed configurations that a gateway fetches by itself, where nobody may come in to bring them.

A bundle is one file of at most `MOST_BYTES`: a line ``TIDEGATE-CONFIGURATION 1``, a line with the signature in base64,
and a body that is signed as it stands, JSON: ::

    {"serial": 7, "gateways": ["gw1"], "expires_s": null, "reason": "…", "files": {"tidegate.toml": "…"}}

``gateways`` may be ``["*"]``. The serial rises from bundle to bundle, so that nobody can bring an old one back. Whose
signature counts is in a PEM file of certificates and public keys: Ed25519, ECDSA with SHA-256, or RSA with PKCS #1 v1.5
and SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.ops.files import write_atomically

MAGIC = b"TIDEGATE-CONFIGURATION 1"
MOST_BYTES = 16 << 20
_BEGIN = b"-----BEGIN "
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class PullRefused(Exception):
    """A bundle that isn't taken. One sentence, and what to do."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(message)
        self.mend = mend


class Bundle(BaseModel):
    """What is signed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    serial: int = Field(ge=1)
    gateways: list[str] = Field(min_length=1)
    """Ids of the gateways it is for; ``*``: any."""
    expires_s: float | None = None
    """Seconds since 1970 UTC after which it isn't taken any more."""
    reason: str = ""
    files: dict[str, str] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Pulled:
    """The latest bundle that was dealt with."""

    serial: int
    outcome: str
    """``applied`` or ``taken back``."""
    why: str = ""


def trusted_keys(path: Path) -> list[PublicKey]:
    """Those in a PEM file. Raises PullRefused or OSError."""
    keys: list[PublicKey] = []
    body = path.read_bytes()
    for block in body.split(_BEGIN)[1:]:
        text = _BEGIN + block
        try:
            key: object = (
                x509.load_pem_x509_certificate(text).public_key()
                if block.startswith(b"CERTIFICATE")
                else serialization.load_pem_public_key(text)
            )
        except ValueError:
            raise PullRefused(f"{path} holds something that is no certificate or public key", "mend the file") from None
        if isinstance(key, PublicKey):
            keys.append(key)
    if not keys:
        raise PullRefused(
            f"{path} holds no key that could have signed a bundle", "put a certificate or a public key there, PEM"
        )
    return keys


def opened(body: bytes, keys: Sequence[PublicKey], gateway: str, latest: Pulled | None, now_s: float) -> Bundle:
    """The bundle in `body`, if `gateway` may take it: signed, for it, in time, and no older than the latest one.

    Nothing of the body is understood before its signature is known to be good. Raises PullRefused.
    """
    magic, _, rest = body.partition(b"\n")
    signature, _, signed = rest.partition(b"\n")
    if magic != MAGIC or not signed:
        raise PullRefused("it is no signed configuration", "make one with: ansible-playbook tidegate.fleet.bundle")
    if not _by_any(keys, signature, signed):
        raise PullRefused(
            "its signature isn't that of anybody who is trusted", "sign it with a key that this gateway knows"
        )
    try:
        bundle = Bundle.model_validate_json(signed)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise PullRefused(f"it is signed, but can't be used: {place}: {first['msg']}", "make it again") from None
    if gateway not in bundle.gateways and "*" not in bundle.gateways:
        raise PullRefused(
            f"it is for {', '.join(bundle.gateways[:3])}, and this is {gateway}", "give each gateway its own"
        )
    if bundle.expires_s is not None and bundle.expires_s < now_s:
        day = time.strftime("%Y-%m-%d", time.gmtime(bundle.expires_s))
        raise PullRefused(f"it expired on {day}", "make it again; is the clock right?")
    if latest is not None and bundle.serial < latest.serial:
        raise PullRefused(
            f"it has the serial {bundle.serial}, and this gateway had {latest.serial} already",
            "make a new one: an old configuration isn't brought back",
        )
    return bundle


def read_latest(path: Path) -> Pulled | None:
    """None: there was none. Raises OSError; what can't be understood counts as none."""
    try:
        return Pulled(**orjson.loads(path.read_bytes()))
    except (FileNotFoundError, orjson.JSONDecodeError, TypeError):
        return None


def write_latest(path: Path, pulled: Pulled) -> None:
    """Raises OSError."""
    write_atomically(path, orjson.dumps(asdict(pulled)))


def _by_any(keys: Sequence[PublicKey], signature: bytes, signed: bytes) -> bool:
    try:
        raw = base64.b64decode(signature, validate=True)
    except binascii.Error:
        return False
    return any(_by(key, raw, signed) for key in keys)


def _by(key: PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        match key:
            case ed25519.Ed25519PublicKey():
                key.verify(signature, signed)
            case ec.EllipticCurvePublicKey():
                key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
            case rsa.RSAPublicKey():
                key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True
