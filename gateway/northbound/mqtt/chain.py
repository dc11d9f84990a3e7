"""What certificates a broker shows, and which of them is the reason that it isn't trusted."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.northbound.mqtt import tls
from gateway.settings import TlsSettings

if TYPE_CHECKING:
    from cryptography import x509

_EXPIRED, _NOT_YET_VALID = 10, 9
_UNTRUSTED = {18, 19, 20, 21}
_WRONG_NAME = {62, 64}


@dataclass(frozen=True, slots=True)
class Shown:
    """One certificate of the chain."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    """What it is for."""
    not_before: datetime
    not_after: datetime

    @property
    def own_issuer(self) -> bool:
        return self.subject == self.issuer

    def to_json(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "names": list(self.names),
            "not_before": self.not_before.isoformat(),
            "not_after": self.not_after.isoformat(),
        }


async def shown(host: str, port: int, settings: TlsSettings, context: ssl.SSLContext) -> Sequence[Shown]:
    """The chain as the broker sends it, its own certificate first, whether anybody trusts it or not.

    `context`: as for a connection; it is changed and of no more use. Raises OSError.
    """
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=settings.server_name or host)
    try:
        found = _chain(writer.get_extra_info("ssl_object"))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return [_described(der) for der in found]


def _chain(connection: Any) -> Sequence[bytes]:
    """DER, from whichever of these Python has: the whole chain is public from 3.13 on."""
    if hasattr(connection, "get_unverified_chain"):
        return [bytes(der) for der in connection.get_unverified_chain()]
    inner = getattr(connection, "_sslobj", None)
    if inner is not None and hasattr(inner, "get_unverified_chain"):
        return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in inner.get_unverified_chain() or ()]
    own = connection.getpeercert(binary_form=True)
    return [own] if own else []


def _described(der: bytes) -> Shown:
    from cryptography import x509  # 7 MB: only where somebody looks

    certificate = x509.load_der_x509_certificate(der)
    return Shown(
        _short(certificate.subject),
        _short(certificate.issuer),
        _names(certificate),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def _short(name: x509.Name) -> str:
    from cryptography.x509.oid import NameOID

    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *found.get_values_for_type(x509.DNSName),
        *map(str, found.get_values_for_type(x509.IPAddress)),
    )


def trusted_names(ca: Path | None) -> Sequence[str]:
    """Subjects in a CA file; empty for the system's trust store, or a file that can't be read."""
    if ca is None:
        return ()
    from cryptography import x509

    try:
        return [_short(each.subject) for each in x509.load_pem_x509_certificates(ca.read_bytes())]
    except (OSError, ValueError):
        return ()


def why_untrusted(error: ssl.SSLError, chain: Sequence[Shown], name: str, ca: Path | None) -> tuple[str, str | None]:
    """(sentence, mend) that name the certificate that is to blame."""
    if not isinstance(error, ssl.SSLCertVerificationError) or not chain:
        return tls.explain(error, name), None
    code, own = error.verify_code, chain[0]
    now = datetime.now(UTC)
    if code == _EXPIRED:
        culprit = next((each for each in chain if each.not_after < now), own)
        return (
            f"{_whose(culprit, chain)} expired on {culprit.not_after:%Y-%m-%d}",
            f"renew it, or set this machine's clock right if it isn't {now:%Y-%m-%d} today",
        )
    if code == _NOT_YET_VALID:
        culprit = next((each for each in chain if each.not_before > now), own)
        return (
            f"{_whose(culprit, chain)} is valid from {culprit.not_before:%Y-%m-%d} only",
            f"set this machine's clock right if it isn't {now:%Y-%m-%d} today",
        )
    if code in _WRONG_NAME:
        names = ", ".join(own.names) or f"nobody by name (its subject is {own.subject!r})"
        mend = (
            f'set server_name = "{own.names[0]}" in [sink.tls], or host to one of them'
            if own.names
            else ("have one issued that names the broker")
        )
        return f"the broker's certificate {own.subject!r} is for {names}, not for {name!r}", mend
    if code in _UNTRUSTED:
        # A root that is sent along vouches for nothing: it is the one below that nobody here knows the issuer of.
        top = next((each for each in reversed(chain) if not each.own_issuer), own)
        trusted = ", ".join(repr(each) for each in trusted_names(ca))
        where = f"{ca} holds {trusted}" if trusted else f"it isn't in {ca or 'the trust store of this system'}"
        if top.own_issuer:
            return (
                f"the broker's certificate {top.subject!r} is signed by itself, and {where}",
                "set ca in [sink.tls] to this very certificate, if it is the right one",
            )
        return (
            f"{_whose(top, chain)} is signed by {top.issuer!r}, which isn't trusted: {where}",
            f"set ca in [sink.tls] to a file with the certificate of {top.issuer!r}, or have the broker send the "
            "intermediate certificates along",
        )
    return f"{_whose(own, chain)} isn't accepted ({error.verify_message})", None


def _whose(certificate: Shown, chain: Sequence[Shown]) -> str:
    if certificate is chain[0]:
        return f"the broker's certificate {certificate.subject!r}"
    return f"the certificate {certificate.subject!r}, which vouches for the broker's,"
