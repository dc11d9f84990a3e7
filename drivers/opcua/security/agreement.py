"""What a connection is to be: settled before it is made, and held against what the server says afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from drivers.opcua import status
from drivers.opcua.security.certificates import day
from drivers.opcua.security.descriptions import Endpoint, UserKind, UserPolicy
from drivers.opcua.security.endpoints import policy_name
from drivers.opcua.security.identity import Identity
from drivers.opcua.security.policies import Security
from drivers.opcua.status import ServiceFailed

OURS_REFUSED = frozenset(
    {
        status.BAD_SECURITY_CHECKS_FAILED,
        status.BAD_CERTIFICATE_INVALID,
        status.BAD_CERTIFICATE_UNTRUSTED,
        *range(status.BAD_CERTIFICATE_TIME_INVALID, status.BAD_CERTIFICATE_ISSUER_REVOKED + 1, 1 << 16),
        status.BAD_CERTIFICATE_CHAIN_INCOMPLETE,
        status.BAD_CERTIFICATE_POLICY_CHECK_FAILED,
    }
)
"""How a server says that it doesn't want this gateway's certificate. Many hide the reason behind the first."""
USER_REFUSED = frozenset(
    {
        status.BAD_IDENTITY_TOKEN_INVALID,
        status.BAD_IDENTITY_TOKEN_REJECTED,
        status.BAD_USER_ACCESS_DENIED,
        status.BAD_USER_SIGNATURE_INVALID,
    }
)
_KINDS = {
    UserKind.ANONYMOUS: "an anonymous user",
    UserKind.PASSWORD: "a user name with a password",
    UserKind.CERTIFICATE: "a user certificate",
}


@dataclass(frozen=True, slots=True)
class User:
    """Who logs in, and how it is proved."""

    kind: UserKind = UserKind.ANONYMOUS
    name: str = ""
    password: str = field(default="", repr=False)
    certificates: tuple[x509.Certificate, ...] = ()
    """The user's own, then those of its issuers."""
    key: RSAPrivateKey | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.kind is UserKind.PASSWORD:
            return f"the user {self.name}"
        return f"the user with the certificate {self.name}" if self.name else "anonymous users"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Made by :func:`drivers.opcua.security.handshake.secure`."""

    peer: str
    """The far end as a user would write it."""
    url: str
    """Where to connect."""
    name: str
    """What the gateway calls itself."""
    application_uri: str
    endpoint: Endpoint
    server_certificate: bytes | None
    """DER. None: nothing depends on it."""
    identity: Identity | None
    security: Security | None
    """None: no security, as is `identity`."""
    user: User
    password_in_clear: bool


def is_about_certificate(error: ServiceFailed | ConnectionError) -> bool:
    """Whether this is how a server refuses the certificate it was shown for a secure channel.

    Some just close the connection, and node-opcua gives a status code that isn't one.
    """
    return not isinstance(error, ServiceFailed) or error.code in OURS_REFUSED or error.code < status.BAD


def certificate_refused(peer: str, identity: Identity, error: ServiceFailed | ConnectionError) -> str:
    """Why no secure channel came about: it is the server that refuses, and what to do there."""
    if not isinstance(error, ServiceFailed) or error.code < status.BAD:
        how = "closed the connection when it was shown this gateway's certificate, as servers do that don't trust it"
    elif error.code in OURS_REFUSED:
        how = f"refused this gateway's certificate ({status.name(error.code)})"
    else:
        return f"{peer} refused a secure channel: {status.name(error.code)}"
    begin, end = identity.certificate.not_valid_before_utc, identity.certificate.not_valid_after_utc
    dates = f"; it is valid from {day(begin)} to {day(end)}" if "Time" in how else ""
    return (
        f"{peer} {how}: trust it on the server, where it may lie among the rejected ones; it is {identity.file} "
        f"({identity.name}, SHA-256 {identity.fingerprint[:16]}){dates}"
    )


def user_refused(agreement: Agreement, code: int) -> str:
    return (
        f"{agreement.peer} refused {agreement.user} ({status.name(code)}): check the user and what the server lets "
        "it do"
    )


def no_such_user(agreement: Agreement, offered: Sequence[UserPolicy]) -> str:
    kinds = dict.fromkeys(_KINDS.get(policy.kind, "something else") for policy in offered)
    return (
        f"{agreement.peer} doesn't let in {agreement.user}, but {' or '.join(kinds) or 'nobody'}: set "
        "'username' and 'password', or 'user_certificate' and 'user_key', or neither"
    )


def not_safe(agreement: Agreement, offered: Sequence[UserPolicy]) -> str:
    policies = ", ".join(dict.fromkeys(policy_name(policy.policy_uri) for policy in offered))
    if agreement.user.kind is UserKind.CERTIFICATE:
        return (
            f"{agreement.peer} has no safe way to prove a user's certificate without security (only {policies}): "
            "set security_policy = 'best'"
        )
    return (
        f"{agreement.peer} would get the password in a form that others can read on the way ({policies}): set "
        "security_policy and security_mode to 'best', or allow it with password_in_clear = true"
    )
