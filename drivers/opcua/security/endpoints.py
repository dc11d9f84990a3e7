"""Which of the endpoints a server offers to use (OPC 10000-4 §5.5.4, §6.1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from asyncua import ua
from asyncua.crypto.security_policies import (
    SecurityPolicy,
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
    SecurityPolicyNone,
)

from drivers.opcua.security.options import SecurityOptions
from gateway.driver import LinkDown

DEFAULT_PORT = 4840
NONE_URI: str = SecurityPolicyNone.URI
POLICIES: dict[str, type[SecurityPolicy]] = {
    "Basic256Sha256": SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": SecurityPolicyAes256Sha256RsaPss,
}
"""Weakest first."""
_MODES = (ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt)
"""Weakest first."""
_BY_URI = {policy.URI: (name, strength) for strength, (name, policy) in enumerate(POLICIES.items())}


def no_security() -> SecurityPolicy:
    """The policy None, for what anyone may read and forge."""
    return SecurityPolicyNone()  # type: ignore[no-untyped-call]


def policy_name(uri: str | None) -> str:
    """What follows the `#` of a policy's URI, which is what people call it."""
    return (uri or "").rpartition("#")[2] or "no policy"


def mode_name(mode: ua.MessageSecurityMode) -> str:
    return mode.name.rstrip("_")


def choose(
    offered: Sequence[ua.EndpointDescription], options: SecurityOptions, url: SplitResult
) -> ua.EndpointDescription:
    """The strongest endpoint that the options allow. Raises LinkDown with one sentence."""
    reachable = _on_port(_binary(offered), url.port or DEFAULT_PORT)
    if options.security_policy == "None":
        allowed = [found for found in reachable if found.SecurityPolicyUri == NONE_URI]
    else:
        allowed = [found for found in reachable if _allowed(found, options)]
    if not allowed:
        raise LinkDown(_nothing_allowed(reachable, options))
    return max(allowed, key=strength)


def strength(endpoint: ua.EndpointDescription) -> tuple[int, int]:
    """Encrypted beats signed, then the better policy; what the server itself thinks of it doesn't count."""
    mode = _MODES.index(endpoint.SecurityMode) if endpoint.SecurityMode in _MODES else -1
    return mode, _BY_URI.get(endpoint.SecurityPolicyUri, ("", -1))[1]


def with_path(url: SplitResult, endpoint: ua.EndpointDescription) -> str:
    """Where to connect: the configured host and port, whatever the server calls itself, and the endpoint's path.

    A server often gives a name that only its own network knows, or the address before a translation.
    """
    path = url.path if url.path not in ("", "/") else split(endpoint.EndpointUrl).path
    return url._replace(path=path).geturl()


def _binary(offered: Sequence[ua.EndpointDescription]) -> list[ua.EndpointDescription]:
    return [found for found in offered if (found.EndpointUrl or "").startswith("opc.tcp:")]


def _on_port(offered: list[ua.EndpointDescription], port: int) -> list[ua.EndpointDescription]:
    """Those on the configured port; all, if none is: then a translation lies between."""
    return [found for found in offered if _port(found.EndpointUrl) == port] or offered


def _port(url: str) -> int | None:
    try:
        return split(url).port or DEFAULT_PORT
    except ValueError:
        return None


def split(url: str | None) -> SplitResult:
    """A URL's parts; all empty if it is none."""
    try:
        return urlsplit(url or "")
    except ValueError:
        return urlsplit("")


def _allowed(endpoint: ua.EndpointDescription, options: SecurityOptions) -> bool:
    name, _ = _BY_URI.get(endpoint.SecurityPolicyUri, (None, -1))
    return (
        name is not None
        and endpoint.SecurityMode in _MODES
        and options.security_policy in ("best", name)
        and options.security_mode in ("best", mode_name(endpoint.SecurityMode))
    )


def _nothing_allowed(reachable: Sequence[ua.EndpointDescription], options: SecurityOptions) -> str:
    kinds = dict.fromkeys(
        f"{policy_name(e.SecurityPolicyUri)} {mode_name(e.SecurityMode)}"
        for e in reachable
        if e.SecurityPolicyUri != NONE_URI
    )
    offer = f"the server offers {', '.join(kinds) or ('no security' if reachable else 'no opc.tcp endpoint')}"
    secure = [e for e in reachable if e.SecurityPolicyUri in _BY_URI and e.SecurityMode in _MODES]
    if options.security_policy == "None":
        return f"{offer}, but security_policy asks for None: set it to 'best'"
    if not secure:
        found = ", nothing secure" if kinds else ""
        return f"{offer}{found}: switch security on there, or go without by security_policy = 'None'"
    wanted = f"security_policy '{options.security_policy}' with security_mode '{options.security_mode}'"
    return f"{offer}, but not {wanted}: set both to 'best'"
