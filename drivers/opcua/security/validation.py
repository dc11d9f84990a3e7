"""Whether a server's certificate is to be believed (OPC 10000-4 §6.1.3).

What differs from the standard: a certificate that is in the trust list itself is trusted even if its issuers aren't
known, as nothing they could say makes it more certain; a missing revocation list is no fault unless asked for.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from drivers.opcua.security.certificates import MAX_CHAIN, common_name, day, hosts, uris
from drivers.opcua.security.options import SecurityOptions
from drivers.opcua.security.trust import Trusted

E = TypeVar("E", bound=x509.ExtensionType)

MIN_KEY_BITS = 2048
"""Of every policy that isn't withdrawn (OPC 10000-7)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said about a certificate. It is believed if it is trusted and nothing is wrong with it."""

    trusted: bool
    problems: Sequence[str]
    """Each a clause about "the server's certificate", with its mend; most important first."""


def judge(
    chain: Sequence[x509.Certificate],
    trust: Trusted,
    options: SecurityOptions,
    *,
    host: str,
    application_uri: str | None,
    now: datetime,
) -> Verdict:
    """`chain` is what the server sent, its own certificate first; it should name `host` and `application_uri`."""
    leaf = chain[0]
    path = _path(chain, trust, now)
    pinned = leaf in trust.trusted
    trusted = pinned or any(certificate in trust.trusted for certificate in path[1:])
    problems = [
        *_revoked(path, trust, options, now),
        *_weak(path, pinned),
        *(_untimely(path[:1] if pinned else path, now) if options.verify_time else ()),
        *(other_host(leaf, host) if options.verify_host else ()),
        *(_other_application(leaf, application_uri) if options.verify_application_uri else ()),
        *(_other_use(leaf) if options.verify_usage else ()),
    ]
    return Verdict(trusted, problems)


def withdrawn(
    chain: Sequence[x509.Certificate], trust: Trusted, options: SecurityOptions, now: datetime
) -> Sequence[str]:
    """Why a certificate that was believed isn't any more: nobody trusts it now, or it was revoked."""
    path = _path(chain, trust, now)
    trusted = any(certificate in trust.trusted for certificate in path)
    return [*(() if trusted else (" isn't trusted here any more",)), *_revoked(path, trust, options, now)]


def _path(chain: Sequence[x509.Certificate], trust: Trusted, now: datetime) -> list[x509.Certificate]:
    """From the server's certificate upwards, as far as issuers are known, no further than to one that is trusted."""
    path = [chain[0]]
    known = [*trust.trusted, *trust.issuers, *chain[1:]]
    while len(path) < MAX_CHAIN and path[-1].issuer != path[-1].subject:
        issuers = [candidate for candidate in known if candidate not in path and _issued(candidate, path[-1])]
        if not issuers:
            break
        # Of an authority that renewed its certificate, the one that is valid now; `known` has trusted ones first.
        path.append(min(issuers, key=lambda issuer: not _timely(issuer, now)))
        if path[-1] in trust.trusted:
            break
    return path


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    if issuer.subject != certificate.issuer or not _is_authority(issuer):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    return constraints is not None and constraints.ca and (usage is None or usage.key_cert_sign)


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    """None also if the extensions can't be read."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None


# -- what can be wrong -------------------------------------------------------------------------------------------------


def _revoked(
    path: Sequence[x509.Certificate], trust: Trusted, options: SecurityOptions, now: datetime
) -> Iterable[str]:
    for certificate, issuer in itertools.pairwise(path):
        lists = [found for found in trust.lists if found.issuer == issuer.subject and _signed(found, issuer)]
        whose = "" if certificate is path[0] else f"'s issuer {common_name(certificate)}"
        if any(found.get_revoked_certificate_by_serial_number(certificate.serial_number) for found in lists):
            yield f"{whose} was revoked by {common_name(issuer)}: the server needs a new one"
        elif options.require_crl and not any(_current(found, now) for found in lists):
            yield (
                f"{whose} can't be checked: {common_name(issuer)} has no current revocation list in the trust list; "
                "put it into trusted/crl, or set require_crl = false"
            )


def _signed(revocations: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    try:
        return isinstance(key, RSAPublicKey) and revocations.is_signature_valid(key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def _current(revocations: x509.CertificateRevocationList, now: datetime) -> bool:
    return revocations.next_update_utc is None or now <= revocations.next_update_utc


def _weak(path: Sequence[x509.Certificate], pinned: bool) -> Iterable[str]:
    key = path[0].public_key()
    if not isinstance(key, RSAPublicKey):
        yield " has no RSA key, which every security policy here needs: give the server one that has"
    elif key.key_size < MIN_KEY_BITS:
        yield f" has a key of {key.key_size} bits, which can be broken: give the server one of {MIN_KEY_BITS} or more"
    if not pinned and any(_hash_is_broken(certificate) for certificate in path):
        yield " rests on a signature with SHA-1 or MD5, which can be forged: have it issued anew"


def _hash_is_broken(certificate: x509.Certificate) -> bool:
    try:
        return isinstance(certificate.signature_hash_algorithm, (hashes.SHA1, hashes.MD5))
    except UnsupportedAlgorithm:
        return True


def _timely(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _untimely(path: Sequence[x509.Certificate], now: datetime) -> Iterable[str]:
    for certificate in path:
        whose = "" if certificate is path[0] else f"'s issuer {common_name(certificate)}"
        relax = "or set verify_time = false"
        if now < certificate.not_valid_before_utc:
            yield (
                f"{whose} is valid from {day(certificate.not_valid_before_utc)}, but this gateway's clock says "
                f"{day(now)}: set the clock, {relax}"
            )
        elif now > certificate.not_valid_after_utc:
            yield (
                f"{whose} expired on {day(certificate.not_valid_after_utc)} (this gateway's clock says {day(now)}): "
                f"renew it on the server, {relax}"
            )


def other_host(certificate: x509.Certificate, host: str) -> Iterable[str]:
    """What is to be said, if it is for other hosts."""
    named = hosts(certificate)
    if not any(_same_host(host, name) for name in named):
        yield (
            f" doesn't name {host} but {', '.join(named) or 'no host'}: connect to a name that it has, "
            "or set verify_host = false"
        )


def _same_host(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one.rstrip(".").casefold() == other.rstrip(".").casefold()


def _other_application(certificate: x509.Certificate, application_uri: str | None) -> Iterable[str]:
    named = uris(certificate)
    if application_uri not in named:
        yield (
            f" is that of {', '.join(named) or 'no application'}, but the server calls itself {application_uri}: "
            "mend it on the server, or set verify_application_uri = false"
        )


def _other_use(certificate: x509.Certificate) -> Iterable[str]:
    usage = _extension(certificate, x509.KeyUsage)
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    signs = usage is None or (usage.digital_signature and (usage.key_encipherment or usage.data_encipherment))
    serves = purposes is None or any(
        purpose in purposes for purpose in (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    )
    if not signs or not serves:
        yield " wasn't issued for an OPC UA server: have it issued for that, or set verify_usage = false"
