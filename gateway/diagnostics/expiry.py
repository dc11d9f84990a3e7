"""Certificates of a configuration, and when they end. Reads files: not for the event loop's thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gateway.diagnostics.repairs import ExpiringCertificate
from gateway.settings import GatewaySettings

_KEYS = ("certificate", "ca", "user_certificate")


def certificates(settings: GatewaySettings) -> list[ExpiringCertificate]:
    """Those of sinks and links, and of drivers' own trust lists. What can't be read is somebody else's to report."""
    return [*_of_sinks(settings), *_of_links(settings), *_of_drivers(settings)]


def quarantined(settings: GatewaySettings) -> list[tuple[str, str]]:
    """(driver, subject) of those that far ends showed and nobody has accepted."""
    return [(name, each.subject) for name, each in _known(settings) if each.state == "quarantined"]


def _of_sinks(settings: GatewaySettings) -> Iterator[ExpiringCertificate]:
    for sink in settings.sinks:
        if sink.tls is not None:
            for key, file in (("certificate", sink.tls.certificate), ("ca", sink.tls.ca)):
                yield from _in_file(file, f"sink:{sink.name}:{key}", f"the {key} of sink {sink.name}")


def _of_links(settings: GatewaySettings) -> Iterator[ExpiringCertificate]:
    for link in settings.links:
        options = link.options if isinstance(link.options, BaseModel) else None
        for key in _KEYS:
            file = getattr(options, key, None)
            if isinstance(file, Path):
                yield from _in_file(file, f"link:{link.name}:{key}", f"the {key} of link {link.name}")


def _of_drivers(settings: GatewaySettings) -> Iterator[ExpiringCertificate]:
    for name, each in _known(settings):
        if each.state in ("own", "trusted"):
            what = (
                f"this gateway's own certificate for {name}"
                if each.state == "own"
                else f"the certificate {each.subject!r}"
            )
            yield ExpiringCertificate(f"driver:{name}:{each.fingerprint[:16]}", what, each.not_after_s)


def _known(settings: GatewaySettings) -> Iterator[tuple[str, Any]]:
    seen = set()
    for link in settings.links:
        kind = link.kind
        if kind.certificates is None or kind.name in seen:
            continue
        seen.add(kind.name)
        try:
            yield from ((kind.name, each) for each in kind.certificates(link.site).list())
        except (OSError, ValueError):
            continue


def _in_file(file: Path | None, id_: str, what: str) -> Iterator[ExpiringCertificate]:
    """The one that ends first."""
    if file is None:
        return
    from cryptography import x509  # 7 MB: only where somebody looks

    try:
        body = file.read_bytes()
        found = (
            x509.load_pem_x509_certificates(body) if b"-----BEGIN" in body else [x509.load_der_x509_certificate(body)]
        )
    except (OSError, ValueError):
        return
    yield ExpiringCertificate(id_, what, min(each.not_valid_after_utc.timestamp() for each in found))
