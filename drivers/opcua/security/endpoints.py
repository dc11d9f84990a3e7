"""Which of the endpoints a server offers to use (OPC 10000-4 §5.5.4, §6.1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from drivers.opcua.security.descriptions import Endpoint, Mode
from drivers.opcua.security.options import SecurityOptions
from drivers.opcua.security.policies import BY_URI, NONE_URI
from gateway.driver import LinkDown

DEFAULT_PORT = 4840
_MODES = (Mode.SIGN, Mode.SIGN_AND_ENCRYPT)
"""Weakest first."""
_MODE_NAMES = {Mode.NONE: "None", Mode.SIGN: "Sign", Mode.SIGN_AND_ENCRYPT: "SignAndEncrypt"}


def policy_name(uri: str | None) -> str:
    """What follows the `#` of a policy's URI, which is what people call it."""
    return (uri or "").rpartition("#")[2] or "no policy"


def mode_name(mode: Mode) -> str:
    return _MODE_NAMES.get(mode, "Invalid")


def choose(offered: Sequence[Endpoint], options: SecurityOptions, url: SplitResult) -> Endpoint:
    """The strongest endpoint that the options allow. Raises LinkDown with one sentence."""
    reachable = _on_port(_binary(offered), url.port or DEFAULT_PORT)
    if options.security_policy == "None":
        allowed = [found for found in reachable if found.policy_uri == NONE_URI]
    else:
        allowed = [found for found in reachable if _allowed(found, options)]
    if not allowed:
        raise LinkDown(_nothing_allowed(reachable, options))
    return max(allowed, key=strength)


def strength(endpoint: Endpoint) -> tuple[int, int]:
    """Encrypted beats signed, then the better policy; what the server itself thinks of it doesn't count."""
    mode = _MODES.index(endpoint.mode) if endpoint.mode in _MODES else -1
    return mode, BY_URI[endpoint.policy_uri][0] if endpoint.policy_uri in BY_URI else -1


def with_path(url: SplitResult, endpoint: Endpoint) -> str:
    """Where to connect: the configured host and port, whatever the server calls itself, and the endpoint's path.

    A server often gives a name that only its own network knows, or the address before a translation.
    """
    path = url.path if url.path not in ("", "/") else split(endpoint.url).path
    return url._replace(path=path).geturl()


def _binary(offered: Sequence[Endpoint]) -> list[Endpoint]:
    return [found for found in offered if (found.url or "").startswith("opc.tcp:")]


def _on_port(offered: list[Endpoint], port: int) -> list[Endpoint]:
    """Those on the configured port; all, if none is: then a translation lies between."""
    return [found for found in offered if _port(found.url) == port] or offered


def _port(url: str | None) -> int | None:
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


def _allowed(endpoint: Endpoint, options: SecurityOptions) -> bool:
    return (
        endpoint.policy_uri in BY_URI
        and endpoint.mode in _MODES
        and options.security_policy in ("best", policy_name(endpoint.policy_uri))
        and options.security_mode in ("best", mode_name(endpoint.mode))
    )


def _nothing_allowed(reachable: Sequence[Endpoint], options: SecurityOptions) -> str:
    kinds = dict.fromkeys(
        f"{policy_name(e.policy_uri)} {mode_name(e.mode)}" for e in reachable if e.policy_uri != NONE_URI
    )
    offer = f"the server offers {', '.join(kinds) or ('no security' if reachable else 'no opc.tcp endpoint')}"
    secure = [e for e in reachable if e.policy_uri in BY_URI and e.mode in _MODES]
    if options.security_policy == "None":
        return f"{offer}, but security_policy asks for None: set it to 'best'"
    if not secure:
        found = ", nothing secure" if kinds else ""
        return f"{offer}{found}: switch security on there, or go without by security_policy = 'None'"
    wanted = f"security_policy '{options.security_policy}' with security_mode '{options.security_mode}'"
    return f"{offer}, but not {wanted}: set both to 'best'"
