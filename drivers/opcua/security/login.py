"""Opening the channel and the session, and proving the user (OPC 10000-4 §5.6, §5.7).

Who is at the other end is settled before anything secret is said. A refusal is one sentence: a LinkDown.
"""

from __future__ import annotations

import dataclasses
import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from drivers.opcua.binary import (
    LocalizedText,
    Malformed,
    Reader,
    pack_array,
    pack_bytes,
    pack_extension_object,
    pack_localized_text,
    pack_string,
)
from drivers.opcua.channel import Channel
from drivers.opcua.security import descriptions
from drivers.opcua.security.agreement import (
    OURS_REFUSED,
    USER_REFUSED,
    Agreement,
    certificate_refused,
    no_such_user,
    not_safe,
    user_refused,
)
from drivers.opcua.security.certificates import leaf, parse_chain, public_key, to_der
from drivers.opcua.security.descriptions import Endpoint, Mode, UserKind, UserPolicy
from drivers.opcua.security.endpoints import choose, split, strength
from drivers.opcua.security.endpoints import policy_name as called
from drivers.opcua.security.options import SecurityOptions
from drivers.opcua.security.policies import BY_URI, NONCE_BYTES, NONE_URI, WEAK_ENCRYPTION
from drivers.opcua.services import Service
from drivers.opcua.status import ServiceFailed
from gateway.driver import LinkDown

_ANONYMOUS, _USER_NAME, _X509 = 321, 324, 327
"""Encoding ids of user identity tokens (OPC 10000-6 annex A.3)."""
_CLIENT = 1
_NO_SIGNATURE = pack_string(None) + pack_bytes(None)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What it takes to go on with a session, on this connection or on another (OPC 10000-4 §6.7)."""

    token: bytes = field(repr=False)
    """Authentication token, packed."""
    nonce: bytes | None = field(repr=False)
    """The server's last one."""
    users: tuple[UserPolicy, ...]
    certificate: bytes | None
    """The server's."""
    strength: tuple[int, int]
    """Of the endpoint that was held against what the server itself said."""

    def fits(self, agreement: Agreement) -> bool:
        """Whether the new connection is what the session was made on.

        Nothing compares the endpoints again when a session is resumed: who is in between could have left out the better
        ones this time.
        """
        certificate = agreement.server_certificate
        return strength(agreement.endpoint) == self.strength and certificate in (None, self.certificate)


async def open_channel(channel: Channel, agreement: Agreement) -> None:
    """Raises LinkDown, ConnectionError, TimeoutError or ServiceFailed."""
    try:
        await channel.open()
    except (ServiceFailed, ConnectionError) as error:
        if agreement.identity is None or (isinstance(error, ConnectionError) and channel.why):
            raise
        raise LinkDown(certificate_refused(agreement.peer, agreement.identity, error)) from None


async def create_session(
    channel: Channel, agreement: Agreement, options: SecurityOptions, life_ms: int, timeout_s: float
) -> Ticket:
    """Raises LinkDown, ConnectionError, TimeoutError, ServiceFailed or Malformed."""
    security, nonce = agreement.security, secrets.token_bytes(NONCE_BYTES)
    certificate = None if security is None else to_der(security.own)
    name = pack_localized_text(LocalizedText(None, agreement.name))
    body = b"".join(
        (
            pack_string(agreement.application_uri) + pack_string("urn:tidegate") + name + struct.pack("<I", _CLIENT),
            pack_string(None) + pack_string(None) + pack_array([]),
            pack_string(None) + pack_string(agreement.url) + pack_string(agreement.name),
            pack_bytes(nonce) + pack_bytes(certificate) + struct.pack("<dI", life_ms, 0),
        )
    )
    try:
        reader = await channel.ask(Service.CREATE_SESSION, body, timeout_s)
    except ServiceFailed as error:
        if agreement.identity is not None and error.code in OURS_REFUSED:
            raise LinkDown(certificate_refused(agreement.peer, agreement.identity, error)) from None
        raise
    made = _created(reader)
    # From here on there is a session to be closed, come what may.
    channel.token = made.token
    if security is not None:
        security.policy.verify(security.peer_key, (certificate or b"") + nonce, made.signature)
    shown = _leaf(made.certificate)
    _hold_against(agreement, options, made.endpoints, shown)
    users = _same(agreement.endpoint, made.endpoints).users
    return Ticket(made.token, made.nonce, users, shown, strength(agreement.endpoint))


class _Created(NamedTuple):
    """The parameters of a CreateSession response."""

    token: bytes
    nonce: bytes | None
    certificate: bytes | None
    endpoints: list[Endpoint]
    signature: bytes


def _created(reader: Reader) -> _Created:
    """Raises Malformed."""
    reader.node_id()
    start = reader.position
    reader.node_id()
    token = reader.data[start : reader.position]
    reader.double()
    nonce, certificate = reader.byte_string(), reader.byte_string()
    offered = descriptions.endpoints(reader)
    for _ in range(reader.count(8)):
        reader.byte_string()
        reader.byte_string()
    reader.string()
    return _Created(token, nonce, certificate, offered, reader.byte_string() or b"")


def _leaf(certificate: bytes | None) -> bytes | None:
    """The first of a chain. Raises Malformed."""
    try:
        return leaf(certificate) if certificate else None
    except ValueError as error:
        raise Malformed(str(error)) from None


def _hold_against(
    agreement: Agreement, options: SecurityOptions, offered: Sequence[Endpoint], shown: bytes | None
) -> None:
    """The list of endpoints came over an unsecured connection; now it comes from the server itself.

    Raises LinkDown (OPC 10000-4 §5.7.2: the client shall compare them).
    """
    if agreement.server_certificate is not None and shown != agreement.server_certificate:
        raise LinkDown(
            f"{agreement.peer} showed one certificate and then used another: somebody may be in between, "
            "or the server just changed it"
        )
    if agreement.security is None:
        return
    best = choose(offered, options, split(agreement.peer))
    if strength(best) > strength(agreement.endpoint):
        raise LinkDown(
            f"{agreement.peer} offers {called(best.policy_uri)}, but didn't when it was asked for its "
            "endpoints: somebody may be in between, or the server just changed"
        )


def _same(chosen: Endpoint, offered: Sequence[Endpoint]) -> Endpoint:
    """What the server says of the chosen endpoint, now that it may be believed. Raises Malformed."""
    for endpoint in offered:
        if endpoint.mode is chosen.mode and endpoint.policy_uri == chosen.policy_uri:
            return endpoint
    raise Malformed("no word of the endpoint that is used")


async def activate(channel: Channel, agreement: Agreement, ticket: Ticket, timeout_s: float) -> Ticket:
    """Bind the session to the channel and log in; the ticket for the next time.

    Raises LinkDown, ConnectionError, TimeoutError, ServiceFailed or Malformed.
    """
    security = agreement.security
    certificate = ticket.certificate if security is None else to_der(security.peer)
    challenge = (certificate or b"") + (ticket.nonce or b"")
    signature = _NO_SIGNATURE
    if security is not None:
        signed = security.policy.sign(security.own_key, challenge)
        signature = pack_string(security.policy.signature_uri) + pack_bytes(signed)
    policy = user_policy(agreement, ticket.users, certificate)
    token, proof = _prove(agreement, policy, ticket.nonce or b"", certificate, challenge)
    body = signature + pack_array([]) + pack_array([pack_string("en")]) + token + proof
    channel.token = ticket.token
    try:
        reader = await channel.ask(Service.ACTIVATE_SESSION, body, timeout_s)
    except ServiceFailed as error:
        if error.code not in USER_REFUSED:
            raise
        raise LinkDown(user_refused(agreement, error.code)) from None
    return dataclasses.replace(ticket, nonce=reader.byte_string(), certificate=certificate)


def user_policy(agreement: Agreement, offered: Sequence[UserPolicy], certificate: bytes | None) -> UserPolicy:
    """How to prove who the user is, protected by the strongest policy. Raises LinkDown if it isn't safe."""
    channel = NONE_URI if agreement.security is None else agreement.security.policy.uri
    fitting = [
        dataclasses.replace(policy, policy_uri=policy.policy_uri or channel)
        for policy in offered
        if policy.kind is agreement.user.kind
    ]
    if not fitting:
        raise LinkDown(no_such_user(agreement, offered))
    if agreement.user.kind is UserKind.ANONYMOUS:
        return fitting[0]
    strong = [policy for policy in fitting if policy.policy_uri in BY_URI]
    if strong and certificate:
        return max(strong, key=lambda policy: BY_URI[policy.policy_uri][0])
    if agreement.user.kind is UserKind.PASSWORD and _may_be_read(agreement):
        for policy in fitting:
            if policy.policy_uri == NONE_URI or (certificate and policy.policy_uri in WEAK_ENCRYPTION):
                return policy
    raise LinkDown(not_safe(agreement, fitting))


def _may_be_read(agreement: Agreement) -> bool:
    """Whether the channel makes up for a password with weak protection or none, or whether that is allowed."""
    return agreement.endpoint.mode is Mode.SIGN_AND_ENCRYPT or agreement.password_in_clear


def _prove(
    agreement: Agreement, policy: UserPolicy, nonce: bytes, certificate: bytes | None, challenge: bytes
) -> tuple[bytes, bytes]:
    """The user's identity token and its signature. Raises Malformed."""
    user, name = agreement.user, pack_string(policy.id)
    if user.kind is UserKind.CERTIFICATE and user.key is not None:
        strong = BY_URI[policy.policy_uri][1]
        chain = b"".join(to_der(each) for each in user.certificates)
        proof = pack_string(strong.signature_uri) + pack_bytes(strong.sign(user.key, challenge))
        return pack_extension_object(_X509, name + pack_bytes(chain)), proof
    if user.kind is UserKind.PASSWORD:
        secret, algorithm = _encrypted(user.password.encode(), policy.policy_uri, nonce, certificate)
        body = name + pack_string(user.name) + pack_bytes(secret) + pack_string(algorithm)
        return pack_extension_object(_USER_NAME, body), _NO_SIGNATURE
    return pack_extension_object(_ANONYMOUS, name), _NO_SIGNATURE


def _encrypted(
    secret: bytes, policy_uri: str | None, nonce: bytes, certificate: bytes | None
) -> tuple[bytes, str | None]:
    """A password as it is sent, and the algorithm (OPC 10000-4 §7.40.2.2). Raises Malformed."""
    if policy_uri == NONE_URI or certificate is None:
        return secret, None
    policy = BY_URI[policy_uri][1] if policy_uri in BY_URI else WEAK_ENCRYPTION[policy_uri]
    return policy.encrypt(_public_key(certificate), pack_bytes(secret + nonce)), policy.encryption_uri


def _public_key(certificate: bytes) -> RSAPublicKey:
    try:
        (parsed,) = parse_chain(certificate)
        return public_key(parsed)
    except ValueError as error:
        raise Malformed(f"a certificate that can't be used: {error}") from None
