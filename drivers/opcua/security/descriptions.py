"""What a server says of itself: its endpoints, and the servers it knows (OPC 10000-4 §7.2, §7.14, §7.41)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from drivers.opcua.binary import Malformed, Reader, Type

N = TypeVar("N", bound=enum.IntEnum)

ENDPOINT_BYTES, APPLICATION_BYTES = 60, 25
"""What one takes at least."""


class Mode(enum.IntEnum):
    """MessageSecurityMode."""

    INVALID = 0
    NONE = 1
    SIGN = 2
    SIGN_AND_ENCRYPT = 3


class UserKind(enum.IntEnum):
    """UserTokenType: how a user can prove who it is."""

    ANONYMOUS = 0
    PASSWORD = 1
    CERTIFICATE = 2
    ISSUED_TOKEN = 3


@dataclass(frozen=True, slots=True)
class Application:
    uri: str | None
    name: str | None
    urls: tuple[str, ...]
    """Where it answers those who look for servers."""


@dataclass(frozen=True, slots=True)
class UserPolicy:
    """One way for users to log in."""

    id: str | None
    kind: UserKind
    policy_uri: str | None
    """What protects the user's secret. None: whatever protects the channel."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    url: str | None
    server: Application
    certificate: bytes | None
    """DER, maybe followed by those of its issuers."""
    mode: Mode
    policy_uri: str | None
    users: tuple[UserPolicy, ...]


def application(reader: Reader) -> Application:
    """Raises Malformed, as the others do."""
    uri, _product, name = reader.string(), reader.string(), reader.localized_text()
    reader.uint32()
    _gateway, _profile, urls = reader.string(), reader.string(), reader.array(Type.STRING)
    return Application(uri, name.text, tuple(url for url in urls if url))


def endpoint(reader: Reader) -> Endpoint:
    url, server, certificate = reader.string(), application(reader), reader.byte_string()
    mode, policy = _known(Mode, reader.uint32()), reader.string()
    users = tuple(_user_policy(reader) for _ in range(reader.count(20)))
    reader.string()
    reader.byte()
    return Endpoint(url, server, certificate, mode, policy, users)


def endpoints(reader: Reader) -> list[Endpoint]:
    return [endpoint(reader) for _ in range(reader.count(ENDPOINT_BYTES))]


def applications(reader: Reader) -> list[Application]:
    return [application(reader) for _ in range(reader.count(APPLICATION_BYTES))]


def _user_policy(reader: Reader) -> UserPolicy:
    name, kind = reader.string(), _known(UserKind, reader.uint32())
    reader.string()
    reader.string()
    return UserPolicy(name, kind, reader.string())


def _known(kind: Callable[[int], N], number: int) -> N:
    """Raises Malformed for a number that the standard doesn't have."""
    try:
        return kind(number)
    except ValueError:
        raise Malformed(f"{number} where there is no such kind") from None
