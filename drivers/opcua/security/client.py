"""asyncua's client with what it leaves out: who is at the other end is settled before anything secret is said.

asyncua checks no certificate by itself, sends a password in clear with no more than a warning, encrypts it by the first
policy a server names, however weak, and doesn't say which side refused. Here a refusal is one sentence: a LinkDown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlparse

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from drivers.opcua import status
from drivers.opcua.channel import Channel
from drivers.opcua.security.certificates import day
from drivers.opcua.security.endpoints import POLICIES, choose, policy_name, split, strength
from drivers.opcua.security.identity import Identity
from drivers.opcua.security.options import SecurityOptions
from gateway.driver import LinkDown

OURS_REFUSED = frozenset(
    {
        StatusCodes.BadSecurityChecksFailed,
        StatusCodes.BadCertificateInvalid,
        StatusCodes.BadCertificateUntrusted,
        StatusCodes.BadCertificateTimeInvalid,
        StatusCodes.BadCertificateIssuerTimeInvalid,
        StatusCodes.BadCertificateHostNameInvalid,
        StatusCodes.BadCertificateUriInvalid,
        StatusCodes.BadCertificateUseNotAllowed,
        StatusCodes.BadCertificateIssuerUseNotAllowed,
        StatusCodes.BadCertificateRevocationUnknown,
        StatusCodes.BadCertificateIssuerRevocationUnknown,
        StatusCodes.BadCertificateRevoked,
        StatusCodes.BadCertificateIssuerRevoked,
        StatusCodes.BadCertificateChainIncomplete,
        StatusCodes.BadCertificatePolicyCheckFailed,
    }
)
"""How a server says that it doesn't want this gateway's certificate. Many hide the reason behind the first."""
_USER_REFUSED = frozenset(
    {
        StatusCodes.BadIdentityTokenInvalid,
        StatusCodes.BadIdentityTokenRejected,
        StatusCodes.BadUserAccessDenied,
        StatusCodes.BadUserSignatureInvalid,
    }
)
_TOKENS = {
    ua.UserTokenType.Anonymous: "an anonymous user",
    ua.UserTokenType.UserName: "a user name with a password",
    ua.UserTokenType.Certificate: "a user certificate",
}
_URIS = [policy.URI for policy in POLICIES.values()]
"""Weakest first."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a connection is to be: settled before it is made, and held against what the server says afterwards."""

    options: SecurityOptions
    peer: str
    endpoint: ua.EndpointDescription
    server_certificate: bytes | None
    """DER. None: nothing depends on it."""
    identity: Identity | None
    """None: no security."""


class SecureClient(Client):
    """Prepared by :func:`drivers.opcua.security.handshake.secure`, then used like any other client."""

    agreement: Agreement | None = None

    def agree(self, url: str, agreement: Agreement) -> None:
        self._server_url = urlparse(url)
        self.agreement = agreement

    async def open_secure_channel(self, renew: bool = False) -> None:
        agreement = self.agreement
        if renew or agreement is None or agreement.identity is None:
            await super().open_secure_channel(renew)
            return
        try:
            await super().open_secure_channel()
        except (UaStatusCodeError, ConnectionError) as error:
            if isinstance(error, ConnectionError) and self._ended_it():
                raise
            raise LinkDown(certificate_refused(agreement.peer, agreement.identity, error)) from None

    def _ended_it(self) -> bool:
        """Whether it was this side that closed the connection, because of what came."""
        channel = self.uaclient.protocol
        return isinstance(channel, Channel) and bool(channel.why)

    async def create_session(self) -> ua.CreateSessionResult:
        agreement = self.agreement
        assert agreement is not None
        try:
            result = await super().create_session()
            self._hold_against(agreement, result.ServerEndpoints)
        except UaStatusCodeError as error:
            if agreement.identity is not None and error.code in OURS_REFUSED:
                raise LinkDown(certificate_refused(agreement.peer, agreement.identity, error)) from None
            raise
        return result

    def _hold_against(self, agreement: Agreement, offered: Sequence[ua.EndpointDescription]) -> None:
        """The list of endpoints came over an unsecured connection; now it comes from the server itself.

        Raises LinkDown (OPC 10000-4 §5.7.2: the client shall compare them).
        """
        certificate = agreement.server_certificate
        if certificate is not None and self.security_policy.peer_certificate != certificate:
            raise LinkDown(
                f"{agreement.peer} showed one certificate and then used another: somebody may be in between, "
                "or the server just changed it"
            )
        if agreement.options.security_policy == "None":
            return
        best = choose(offered, agreement.options, split(agreement.peer))
        if strength(best) > strength(agreement.endpoint):
            raise LinkDown(
                f"{agreement.peer} offers {policy_name(best.SecurityPolicyUri)}, but didn't when it was asked for its "
                "endpoints: somebody may be in between, or the server just changed"
            )

    async def activate_session(self, *arguments: object, **named: object) -> ua.ActivateSessionResult:
        try:
            return await super().activate_session(*arguments, **named)  # type: ignore[arg-type]
        except UaStatusCodeError as error:
            if self.agreement is None or error.code not in _USER_REFUSED:
                raise
            raise LinkDown(
                f"{self.agreement.peer} refused {_who(self.agreement.options)} ({status.name(error.code)}): "
                "check the user and what the server lets it do"
            ) from None

    def server_policy(self, token_type: ua.UserTokenType) -> ua.UserTokenPolicy:
        """How to prove who the user is: called right before that is done. Raises LinkDown if it isn't safe.

        asyncua takes the first policy of the type that the server names.
        """
        assert self.agreement is not None
        channel = self.security_policy.URI
        offered = [
            dataclasses.replace(policy, SecurityPolicyUri=policy.SecurityPolicyUri or channel)
            for policy in self._policy_ids
            if policy.TokenType == token_type
        ]
        if not offered:
            raise LinkDown(_no_such_user(self.agreement, self._policy_ids))
        if token_type == ua.UserTokenType.Anonymous:
            return offered[0]
        strong = [policy for policy in offered if policy.SecurityPolicyUri in _URIS]
        if strong and self.security_policy.peer_certificate:
            return max(strong, key=lambda policy: _URIS.index(policy.SecurityPolicyUri))
        if self._protects(token_type):
            return offered[0]
        raise LinkDown(_not_safe(self.agreement, token_type, offered))

    def _protects(self, token_type: ua.UserTokenType) -> bool:
        """Whether the connection makes up for a token with weak protection or none, or whether that is allowed."""
        assert self.agreement is not None
        if token_type == ua.UserTokenType.Certificate:
            return self.security_policy.Mode != ua.MessageSecurityMode.None_
        encrypted = self.security_policy.Mode == ua.MessageSecurityMode.SignAndEncrypt
        return encrypted or self.agreement.options.password_in_clear


def is_about_certificate(error: UaStatusCodeError | ConnectionError) -> bool:
    """Whether this is how a server refuses the certificate it was shown for a secure channel.

    Some just close the connection, and node-opcua gives a status code that isn't one.
    """
    return not isinstance(error, UaStatusCodeError) or error.code in OURS_REFUSED or error.code < status.BAD


def certificate_refused(peer: str, identity: Identity, error: UaStatusCodeError | ConnectionError) -> str:
    """Why no secure channel came about: it is the server that refuses, and what to do there."""
    if not isinstance(error, UaStatusCodeError) or error.code < status.BAD:
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


def _no_such_user(agreement: Agreement, offered: Sequence[ua.UserTokenPolicy]) -> str:
    kinds = dict.fromkeys(_TOKENS.get(policy.TokenType, "something else") for policy in offered)
    return (
        f"{agreement.peer} doesn't let in {_who(agreement.options)}, but {' or '.join(kinds) or 'nobody'}: set "
        "'username' and 'password', or 'user_certificate' and 'user_key', or neither"
    )


def _not_safe(agreement: Agreement, token_type: ua.UserTokenType, offered: Sequence[ua.UserTokenPolicy]) -> str:
    policies = ", ".join(dict.fromkeys(policy_name(policy.SecurityPolicyUri) for policy in offered))
    if token_type == ua.UserTokenType.Certificate:
        return (
            f"{agreement.peer} has no safe way to prove a user's certificate without security (only {policies}): "
            "set security_policy = 'best'"
        )
    return (
        f"{agreement.peer} would get the password in a form that others can read on the way ({policies}): set "
        "security_policy and security_mode to 'best', or allow it with password_in_clear = true"
    )


def _who(options: SecurityOptions) -> str:
    if options.username is not None:
        return f"the user {options.username}"
    if options.user_certificate is not None:
        return f"the user with the certificate {options.user_certificate}"
    return "anonymous users"
