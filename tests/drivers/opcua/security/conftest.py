"""Servers that prove themselves, and a gateway that has still to be told whom to trust."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole

from drivers.opcua.bus import OpcUaBus
from drivers.opcua.options import LinkOptions
from drivers.opcua.security.trust import TrustList
from gateway.driver import LinkDown, Site
from tests.support.mosquitto import free_port
from tests.support.node import NodePeer
from tests.support.pki import Issued, issue

USERS = {"operator": "Grün-und-Blau"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site("works-7", tmp_path / "state" / "opcua")


@pytest.fixture
def trust(site: Site) -> TrustList:
    return TrustList(site)


@pytest.fixture
def server_certificate(tmp_path: Path) -> Issued:
    return issue(tmp_path / "server")


@pytest.fixture
def secret(tmp_path: Path) -> dict[str, str]:
    """The operator's password, by reference."""
    file = tmp_path / "password"
    file.write_text(USERS["operator"] + "\n")
    file.chmod(0o600)
    return {"file": str(file)}


@pytest.fixture
def user_certificate(tmp_path: Path) -> Issued:
    return issue(tmp_path / "user", "operator", uri=None, hosts=(), number=1)


@pytest.fixture
def start_peer(tmp_path: Path) -> Iterator[Callable[..., NodePeer]]:
    """Start node-opcua with a certificate; it takes every client unless told otherwise."""
    started: list[NodePeer] = []

    def start(issued: Issued, **options: Any) -> NodePeer:
        settings = {"acceptAnyClient": True, "users": USERS, **options}
        folder = tmp_path / f"peer-{len(started)}"
        peer = NodePeer(
            "opcua", pki=str(folder), certificate=str(issued.pem_file), key=str(issued.key_file), **settings
        )
        started.append(peer)
        return peer.start()

    yield start
    for peer in started:
        peer.stop()


class Users:
    """Who an asyncua server lets in, and what it was told."""

    def __init__(self) -> None:
        self.passwords: list[str] = []

    def get_user(
        self, iserver: object, username: str | None = None, password: str | None = None, certificate: object = None
    ) -> User | None:
        if username is None:
            return User(role=UserRole.User)
        self.passwords.append(str(password))
        return User(role=UserRole.User) if USERS.get(username) == password else None


@asynccontextmanager
async def serving(
    issued: Issued | None, policies: Sequence[ua.SecurityPolicyType], users: Users | None = None
) -> AsyncIterator[Server]:
    """An asyncua server on a free port, `server.endpoint` being where."""
    server = Server(user_manager=users)
    await server.init()
    await server.set_application_uri("urn:tidegate:peer")
    if issued is not None:
        await server.load_certificate(issued.file)
        await server.load_private_key(issued.key_file)
    server.set_security_policy(list(policies))
    server.set_endpoint(f"opc.tcp://127.0.0.1:{free_port()}/")
    async with server:
        yield server


@asynccontextmanager
async def connected(site: Site, url: str, **options: Any) -> AsyncIterator[OpcUaBus]:
    bus = OpcUaBus("server", LinkOptions.model_validate({"url": url, **options}), site)
    try:
        await bus.connect()
        yield bus
    finally:
        await bus.close()


async def refusal(site: Site, url: str, **options: Any) -> str:
    """The sentence that a connection ends with that must not come about."""
    with pytest.raises(LinkDown) as caught:
        async with connected(site, url, **options):
            pass
    return str(caught.value)
