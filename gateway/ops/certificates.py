"""Every certificate a gateway has to do with: those of its drivers, those for its brokers, the page's own.

Works on files, with or without a running gateway. Blocking.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.driver import Certificate, Certificates
from gateway.settings import GatewaySettings, page_directory, site_of

if TYPE_CHECKING:
    from cryptography.x509 import Certificate as Certificate509

SHOWN = 16
"""Digits of a fingerprint that a table shows: enough to name it by."""


class CertificateProblem(Exception):
    """What can't be done, in one sentence, and what to do. `code` is stable."""

    def __init__(self, code: str, message: str, mend: str) -> None:
        super().__init__(message)
        self.code = code
        self.mend = mend


@dataclass(frozen=True, slots=True)
class KnownCertificate:
    """One certificate, and whose it is."""

    holder: str
    """``driver NAME``, ``sink NAME`` or ``page``."""
    driver: str | None
    """Only a driver's can be accepted, rejected or renewed."""
    state: str
    """``own``, ``trusted``, ``issuer`` or ``quarantined``."""
    fingerprint: str
    """SHA-256, lower-case hexadecimal."""
    subject: str
    uris: list[str]
    not_before_s: float
    not_after_s: float
    """Seconds since 1970 UTC."""
    file: str


Stores = Mapping[str, Certificates]


def stores_of(settings: GatewaySettings) -> dict[str, Certificates]:
    """The trust list of every configured driver that has one, by the driver's name."""
    kinds = {link.kind.name: link.kind for link in settings.links}
    return {
        name: kind.certificates(site_of(settings.id, settings.data_dir, name))
        for name, kind in kinds.items()
        if kind.certificates is not None
    }


def known_in(stores: Stores) -> Iterator[KnownCertificate]:
    """Every one a driver knows. Raises OSError."""
    for driver, store in stores.items():
        for certificate in store.list():
            yield described(driver, certificate)


def known_for_sinks(settings: GatewaySettings) -> Iterator[KnownCertificate]:
    """Those for brokers, as far as they can be read: whether they can is for the check of the configuration to say."""
    for sink in settings.sinks:
        if sink.tls is not None:
            yield from _in_file(f"sink {sink.name}", "issuer", sink.tls.ca)
            yield from _in_file(f"sink {sink.name}", "own", sink.tls.certificate)


def known_of_page(file: Path) -> Iterator[KnownCertificate]:
    """The local page's own, if there is one."""
    yield from _in_file("page", "own", file)


def page_certificate(socket: Path) -> Path:
    """Where the page keeps its own, unless it was told another place. `socket`: of the gateway."""
    return page_directory(socket) / "tls" / "certificate.pem"


def described(driver: str, certificate: Certificate) -> KnownCertificate:
    return KnownCertificate(
        f"driver {driver}",
        driver,
        certificate.state,
        certificate.fingerprint,
        certificate.subject,
        list(certificate.uris),
        certificate.not_before_s,
        certificate.not_after_s,
        str(certificate.file),
    )


def one_of(known: Sequence[KnownCertificate], fingerprint: str, *states: str) -> KnownCertificate:
    """The one that is meant by a fingerprint or its beginning, in one of these states if any are given.

    Raises CertificateProblem: ``no-such-certificate``, ``ambiguous`` or ``other-state``.
    """
    beginning = fingerprint.replace(":", "").replace(" ", "").lower()
    named = [each for each in known if beginning and each.fingerprint.startswith(beginning)]
    meant = [each for each in named if not states or each.state in states]
    if len(meant) > 1:
        all_of_them = ", ".join(f"{each.driver} {each.fingerprint[:SHOWN]}" for each in meant)
        raise CertificateProblem(
            "ambiguous", f"{fingerprint!r} can mean {all_of_them}", "write more of it, or name the driver"
        )
    if meant:
        return meant[0]
    if named:
        raise CertificateProblem(
            "other-state",
            f"the certificate {named[0].fingerprint[:SHOWN]} is {named[0].state}",
            "see: tidegate cert list",
        )
    raise CertificateProblem(
        "no-such-certificate",
        f"there is no certificate whose fingerprint begins with {fingerprint!r}",
        "see: tidegate cert list",
    )


def _in_file(holder: str, state: str, file: Path | None) -> Iterator[KnownCertificate]:
    """Each in a PEM file."""
    if file is None:
        return
    # Imported when somebody looks: a gateway whose drivers need none of it needn't hold it in memory.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        return
    for certificate in found:
        yield KnownCertificate(
            holder,
            None,
            state,
            hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
            certificate.subject.rfc4514_string(),
            _uris(certificate),
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
            str(file),
        )


def _uris(certificate: Certificate509) -> list[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)
