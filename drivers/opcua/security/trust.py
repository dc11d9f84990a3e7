"""The trust list: which certificates of servers are believed. Folders as in OPC 10000-12 §7.8, one file a certificate.

=====================  ================================================================================================
``own/``               the gateway's own certificate and key
``trusted/certs``      servers and authorities that are trusted
``trusted/crl``        revocation lists of trusted authorities
``issuers/certs``      authorities that only complete a chain: nothing is trusted because of them
``issuers/crl``        their revocation lists
``rejected/certs``     quarantine: what servers showed and nobody trusted yet
=====================  ================================================================================================

Everything is read anew for every connection, so a change by hand or by ``tidegate cert`` counts at once.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from cryptography import x509

from drivers.opcua.security import files, identity
from drivers.opcua.security.certificates import file_name, fingerprint, parse, parse_crl, read, to_der, uris
from gateway.driver import Certificate, Site

log = logging.getLogger(__name__)

MAX_QUARANTINED = 50
"""When one more comes, the oldest goes; but not before it was there for `STAY_S`, so that a server which changes its
certificate all the time neither fills the flash nor wears it out."""
STAY_S = 3600
MIN_FINGERPRINT = 4

_FOLDERS = {"trusted": "trusted", "issuer": "issuers", "quarantined": "rejected"}
_CERTIFICATES = (".der", ".cer", ".crt", ".pem")
_LISTS = (".crl", ".der", ".pem")

T = TypeVar("T")
_Files: TypeAlias = list[tuple[Path, x509.Certificate]]


@dataclass(frozen=True, slots=True)
class Trusted:
    """The trust list at one moment."""

    trusted: Sequence[x509.Certificate]
    issuers: Sequence[x509.Certificate]
    lists: Sequence[x509.CertificateRevocationList]

    def same_application(self, certificate: x509.Certificate) -> x509.Certificate | None:
        """One that is trusted and names the same application URI."""
        named = {*uris(certificate)}
        return next((known for known in self.trusted if named.intersection(uris(known))), None)


class QuarantineFull(Exception):
    """More unknown certificates came within an hour than are kept."""


class TrustList:
    """The folders of one gateway: :class:`gateway.driver.Certificates`. Methods block for as long as the files take."""

    def __init__(self, site: Site) -> None:
        self.root = site.state / "pki"
        self._gateway = site.gateway

    def identities(self) -> list[identity.Identity]:
        """See :func:`identity.identities`."""
        return identity.identities(self.root, self._gateway)

    def snapshot(self) -> Trusted:
        """Everything that counts for a decision. What can't be read is left out, and said in the log."""
        return Trusted(
            trusted=[certificate for _, certificate in self._certificates("trusted")],
            issuers=[certificate for _, certificate in self._certificates("issuer")],
            lists=[
                revocations
                for folder in ("trusted", "issuers")
                for _, revocations in _read_all(self.root / folder / "crl", _LISTS, lambda body: [parse_crl(body)])
            ],
        )

    def stamp(self) -> Sequence[int]:
        """Another one after certificates or revocation lists came or went. Cheap enough for the event loop."""
        return [
            _modified_ns(self.root / folder / kind) for folder in ("trusted", "issuers") for kind in ("certs", "crl")
        ]

    def quarantine(self, certificate: x509.Certificate) -> Path:
        """Keep what a server showed, for somebody to look at. Writes nothing if it is there already.

        Raises OSError or QuarantineFull.
        """
        path = self._path("quarantined", certificate)
        if path.exists():
            return path
        others = _by_age(path.parent)
        leaving = others[: max(0, len(others) - MAX_QUARANTINED + 1)]
        if any(0 <= time.time() - since_s < STAY_S for since_s, _ in leaving):
            raise QuarantineFull
        files.write(path, to_der(certificate))
        for _, old in leaving:
            files.remove(old)
        return path

    # -- gateway.driver.Certificates -----------------------------------------------------------------------------------

    def list(self) -> Sequence[Certificate]:
        own = [_described(pair.file, pair.certificate, "own") for pair in identity.stored(self.root)]
        return own + [
            _described(path, certificate, state)
            for state in _FOLDERS
            for path, certificate in self._certificates(state)
        ]

    def accept(self, fingerprint: str) -> Certificate:
        path, certificate, _ = self._find(fingerprint, ("quarantined",))
        target = self._path("trusted", certificate)
        files.move(path, target)
        return _described(target, certificate, "trusted")

    def reject(self, fingerprint: str) -> Certificate:
        path, certificate, state = self._find(fingerprint, ("trusted", "issuer", "quarantined"))
        if state == "quarantined":
            files.remove(path)
            return _described(path, certificate, state)
        for other in parse(read(path)):  # a file that came by hand may hold several
            files.write(self._path("quarantined", other), to_der(other))
        files.remove(path)
        return _described(self._path("quarantined", certificate), certificate, "quarantined")

    def add(self, file: Path) -> Certificate:
        try:
            certificate, *more = parse(read(file))
        except ValueError as error:
            raise ValueError(f"{file} is no certificate (PEM or DER): {error}") from None
        if more:
            raise ValueError(
                f"{file} holds {len(more) + 1} certificates: split it, and add those that are to be trusted"
            )
        target = self._path("trusted", certificate)
        files.write(target, to_der(certificate))
        files.remove(self._path("quarantined", certificate))
        return _described(target, certificate, "trusted")

    def renew(self) -> Certificate:
        pair = identity.renew(self.root, self._gateway)
        return _described(pair.file, pair.certificate, "own")

    def _path(self, state: str, certificate: x509.Certificate) -> Path:
        return self.root / _FOLDERS[state] / "certs" / f"{file_name(certificate)}.der"

    def _certificates(self, state: str) -> _Files:
        return _read_all(self.root / _FOLDERS[state] / "certs", _CERTIFICATES, parse)

    def _find(self, text: str, states: Sequence[str]) -> tuple[Path, x509.Certificate, str]:
        """Raises KeyError with one sentence."""
        wanted = text.replace(":", "").replace(" ", "").lower()
        if len(wanted) < MIN_FINGERPRINT:
            raise KeyError(f"'{text}' is too short for a fingerprint: give at least {MIN_FINGERPRINT} digits")
        found = [
            (path, certificate, state)
            for state in states
            for path, certificate in self._certificates(state)
            if fingerprint(certificate).startswith(wanted)
        ]
        if len({fingerprint(certificate) for _, certificate, _ in found}) > 1:
            raise KeyError(f"more than one certificate has a fingerprint that begins with {wanted}: give more digits")
        if not found:
            raise KeyError(f"no {' or '.join(states)} certificate has a fingerprint that begins with {wanted}")
        return found[0]


def _modified_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _described(path: Path, certificate: x509.Certificate, state: str) -> Certificate:
    return Certificate(
        fingerprint=fingerprint(certificate),
        state=state,
        subject=certificate.subject.rfc4514_string(),
        uris=uris(certificate),
        not_before_s=certificate.not_valid_before_utc.timestamp(),
        not_after_s=certificate.not_valid_after_utc.timestamp(),
        file=path,
    )


def _read_all(folder: Path, suffixes: Sequence[str], parse: Callable[[bytes], list[T]]) -> list[tuple[Path, T]]:
    """What the files of a folder hold, by name. A file that vanishes meanwhile was moved by somebody: that is fine."""
    found: list[tuple[Path, T]] = []
    for path in sorted(folder.glob("[!.]*")):
        if path.suffix.lower() not in suffixes:
            continue
        try:
            found += [(path, item) for item in parse(read(path))]
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            log.warning("opcua: %s is left out of the trust list: %s", path, error)
    return found


def _by_age(folder: Path) -> list[tuple[float, Path]]:
    """The files of a folder with the time they were written, oldest first."""
    found = []
    for path in folder.glob("[!.]*"):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime, path))
    return sorted(found)
