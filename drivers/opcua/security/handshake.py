"""How a connection becomes secure, before there is one.

The order is the point: the server's endpoints are asked for, the best that the options allow is chosen, its certificate
is judged by the trust list, and only then a secured channel is opened and, in it, the user proved.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import SplitResult

from cryptography import x509

from drivers.opcua.security import discovery, endpoints, validation
from drivers.opcua.security.agreement import Agreement, User, is_about_certificate
from drivers.opcua.security.certificates import (
    common_name,
    day,
    fingerprint,
    parse,
    parse_chain,
    parse_key,
    public_key,
    read,
    to_der,
)
from drivers.opcua.security.descriptions import Endpoint, Mode, UserKind
from drivers.opcua.security.identity import Identity, application_uri, from_files
from drivers.opcua.security.options import SecurityOptions
from drivers.opcua.security.policies import BY_URI, Security
from drivers.opcua.security.trust import MAX_QUARANTINED, QuarantineFull, TrustList
from drivers.opcua.status import ServiceFailed
from gateway.driver import LinkDown, Site
from gateway.secrets import SecretError

log = logging.getLogger(__name__)

WARN_BEFORE = timedelta(days=30)
"""A server whose certificate expires is lost from one moment to the next."""


async def secure(peer: str, options: SecurityOptions, site: Site, timeout_s: float) -> Agreement:
    """Settle everything about a connection that isn't made yet.

    Raises LinkDown with one sentence, or what asking for endpoints may: OSError, TimeoutError, ServiceFailed or
    Malformed.
    """
    url = endpoints.split(peer)
    endpoint = endpoints.choose(await discovery.endpoints(peer, timeout_s), options, url)
    trust = TrustList(site)
    leaf: x509.Certificate | None = None
    identity: Identity | None = None
    if options.security_policy != "None":
        leaf = await asyncio.to_thread(_believed, peer, url, endpoint, options, trust)
        identity = await _identity(peer, endpoint, leaf, options, trust, timeout_s)
    elif options.user_certificate is not None or (options.username is not None and not options.password_in_clear):
        # It is what encrypts the password, and what a user's signature is for: of another server's, somebody in between
        # could log in there.
        leaf = await asyncio.to_thread(_believed, peer, url, endpoint, options, trust)
    return Agreement(
        peer=peer,
        url=endpoints.with_path(url, endpoint),
        name=f"Tidegate {site.gateway}",
        application_uri=identity.application_uri if identity else application_uri(site.gateway),
        endpoint=endpoint,
        server_certificate=None if leaf is None else to_der(leaf),
        identity=identity,
        security=None if leaf is None or identity is None else _security(peer, endpoint, leaf, identity),
        user=await asyncio.to_thread(_user, options),
        password_in_clear=options.password_in_clear,
    )


def _believed(
    peer: str, url: SplitResult, endpoint: Endpoint, options: SecurityOptions, trust: TrustList
) -> x509.Certificate:
    """The server's certificate, if it is to be believed. An unknown one goes into quarantine. Raises LinkDown."""
    try:
        chain = parse_chain(endpoint.certificate or b"")
        verdict = validation.judge(
            chain,
            trust.snapshot(),
            options,
            host=url.hostname or "",
            application_uri=endpoint.server.uri,
            now=datetime.now(UTC),
        )
    except ValueError as error:
        raise LinkDown(f"{peer} has a certificate that can't be read ({error}): give it another") from None
    leaf = chain[0]
    if not verdict.trusted:
        raise LinkDown(_quarantined(peer, leaf, trust, verdict.problems))
    if verdict.problems:
        raise LinkDown("; ".join(f"the certificate of {peer}{problem}" for problem in verdict.problems))
    if options.verify_time and leaf.not_valid_after_utc - datetime.now(UTC) < WARN_BEFORE:
        log.warning("opcua: the certificate of %s expires on %s: renew it", peer, day(leaf.not_valid_after_utc))
    return leaf


def withdrawal(agreement: Agreement, options: SecurityOptions, trust: TrustList) -> str:
    """Why a connection that stands mustn't go on, as the server's certificate isn't believed any more; empty if it may.

    Takes as long as the files of the trust list take: not for the event loop.
    """
    chain = parse_chain(agreement.endpoint.certificate or b"")
    problems = validation.withdrawn(chain, trust.snapshot(), options, datetime.now(UTC))
    return "; ".join(f"the certificate of {agreement.peer}{problem}" for problem in problems)


def _quarantined(peer: str, leaf: x509.Certificate, trust: TrustList, problems: Sequence[str]) -> str:
    try:
        file = trust.quarantine(leaf)
    except OSError as error:
        raise LinkDown(f"the certificate of {peer} can't be put into quarantine: {error}") from None
    except QuarantineFull:
        raise LinkDown(
            f"the certificate of {peer} isn't trusted here and not even kept, as {MAX_QUARANTINED} others came within "
            "an hour: accept or reject those, see tidegate cert"
        ) from None
    digits = fingerprint(leaf)[:16]
    known = trust.snapshot().same_application(leaf)
    replaced = (
        ""
        if known is None
        else (
            f"; of the same application another one is trusted, {fingerprint(known)[:16]}: it was replaced, or it is "
            "somebody else who answers"
        )
    )
    also = "".join(f"; it also{problem}" for problem in problems)
    return (
        f"the certificate of {peer} isn't trusted here ({common_name(leaf)}, SHA-256 {digits}): compare this with "
        f"what the server shows of itself, then run: tidegate cert accept {digits}; the file is {file}{replaced}{also}"
    )


# -- our side ----------------------------------------------------------------------------------------------------------


async def _identity(
    peer: str,
    endpoint: Endpoint,
    leaf: x509.Certificate,
    options: SecurityOptions,
    trust: TrustList,
    timeout_s: float,
) -> Identity:
    """The certificate to show. Raises LinkDown."""
    if options.certificate is not None and options.key is not None:
        try:
            return await asyncio.to_thread(from_files, options.certificate, options.key)
        except (OSError, ValueError) as error:
            raise LinkDown(f"this gateway's certificate can't be used: {error}") from None
    try:
        newest, *older = await asyncio.to_thread(trust.identities)
    except OSError as error:
        raise LinkDown(f"this gateway's certificate can't be kept in {trust.root}: {error}") from None
    if older and await _refuses(peer, endpoint, leaf, newest, timeout_s):
        log.warning(
            "opcua: %s doesn't trust the renewed certificate %s yet; the one before is used, until it expires on %s",
            peer,
            newest.file,
            day(older[0].certificate.not_valid_after_utc),
        )
        return older[0]
    return newest


async def _refuses(peer: str, endpoint: Endpoint, leaf: x509.Certificate, identity: Identity, timeout_s: float) -> bool:
    """Whether the server refuses a certificate, asked by opening a channel with it and nothing else."""
    try:
        await discovery.open_channel(peer, timeout_s, _security(peer, endpoint, leaf, identity))
    except (ServiceFailed, ConnectionError) as error:
        return is_about_certificate(error)
    return False


def _security(peer: str, endpoint: Endpoint, leaf: x509.Certificate, identity: Identity) -> Security:
    """Raises LinkDown."""
    try:
        peer_key = public_key(leaf)
    except ValueError as error:
        raise LinkDown(f"the certificate of {peer} can't be used: {error}") from None
    return Security(
        policy=BY_URI[endpoint.policy_uri][1],
        encrypts=endpoint.mode is Mode.SIGN_AND_ENCRYPT,
        own=identity.certificate,
        own_key=identity.key,
        own_chain=b"".join(to_der(each) for each in (identity.certificate, *identity.issuers)),
        peer=leaf,
        peer_key=peer_key,
    )


def _user(options: SecurityOptions) -> User:
    """Raises LinkDown if the user's secrets can't be had."""
    try:
        if options.username is not None and options.password is not None:
            return User(UserKind.PASSWORD, options.username, options.password.read())
        if options.user_certificate is not None and options.user_key is not None:
            password = None if options.user_key_password is None else options.user_key_password.read()
            certificates = parse(read(options.user_certificate))
            key = parse_key(read(options.user_key), password)
            if certificates[0].public_key() != key.public_key():
                raise ValueError(f"{options.user_key} isn't the key of {options.user_certificate}")
            name = str(options.user_certificate)
            return User(UserKind.CERTIFICATE, name, certificates=tuple(certificates), key=key)
    except SecretError as error:
        raise LinkDown(str(error)) from None
    except (OSError, ValueError) as error:
        raise LinkDown(f"the user's certificate and key can't be used: {error}") from None
    return User()
