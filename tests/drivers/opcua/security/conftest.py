"""Servers that prove themselves, and a gateway that has still to be told whom to trust."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.opcua.bus import OpcUaBus
from drivers.opcua.options import LinkOptions
from drivers.opcua.security.trust import TrustList
from gateway.driver import LinkDown, Site
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
