"""Against node-opcua, which shares no code with asyncua: every policy, mode and kind of user."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.opcua import services
from drivers.opcua.binary import NodeId, pack_node_id
from drivers.opcua.bus import OpcUaBus
from drivers.opcua.security import discovery
from drivers.opcua.security.agreement import Agreement
from drivers.opcua.security.descriptions import Endpoint, Mode
from drivers.opcua.security.trust import TrustList
from drivers.opcua.status import ServiceFailed
from gateway.driver import LinkDown, Site
from tests.drivers.opcua.security.conftest import connected, refusal
from tests.support.node import NodePeer
from tests.support.pki import Issued, issue, revoke
from tests.support.proxy import Proxy

pytestmark = pytest.mark.integration

POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
StartPeer = Callable[..., NodePeer]


def _users(secret: dict[str, str], certificate: Issued) -> dict[str, dict[str, Any]]:
    return {
        "anonymous": {},
        "password": {"username": "operator", "password": secret},
        "certificate": {"user_certificate": str(certificate.file), "user_key": str(certificate.key_file)},
    }


async def test_every_policy_mode_and_user(
    site: Site,
    trust: TrustList,
    start_peer: StartPeer,
    server_certificate: Issued,
    user_certificate: Issued,
    secret: dict[str, str],
) -> None:
    peer = start_peer(server_certificate)
    trust.add(server_certificate.file)
    peer.ask(trustUser=str(user_certificate.file))
    worked = []
    for policy in POLICIES:
        for mode in ("Sign", "SignAndEncrypt"):
            for user, options in _users(secret, user_certificate).items():
                async with connected(
                    site, peer.ready["url"], security_policy=policy, security_mode=mode, **options
                ) as bus:
                    assert peer.ready["namespace"] in bus.session.namespaces
                worked.append((policy, mode, user))
    assert len(worked) == 18


def _agreement(bus: OpcUaBus) -> Agreement:
    agreement = bus.session.agreement
    assert agreement is not None
    return agreement


def _shown(bus: OpcUaBus) -> str:
    """Fingerprint of the own certificate that was shown."""
    identity = _agreement(bus).identity
    assert identity is not None
    return identity.fingerprint


def _secured_by(bus: OpcUaBus) -> tuple[str, str]:
    security = _agreement(bus).security
    return (
        ("None", "None")
        if security is None
        else (security.policy.name, "SignAndEncrypt" if security.encrypts else "Sign")
    )


async def test_best_is_the_strongest_that_is_offered(
    site: Site, trust: TrustList, start_peer: StartPeer, server_certificate: Issued
) -> None:
    trust.add(server_certificate.file)
    peer = start_peer(server_certificate)
    async with connected(site, peer.ready["url"]) as bus:
        assert _secured_by(bus) == ("Aes256_Sha256_RsaPss", "SignAndEncrypt")
    peer = start_peer(server_certificate, policies=["None", "Basic256Sha256"], modes=["None", "Sign"])
    async with connected(site, peer.ready["url"]) as bus:
        assert _secured_by(bus) == ("Basic256Sha256", "Sign")


async def test_none_only_when_it_is_asked_for(site: Site, start_peer: StartPeer, server_certificate: Issued) -> None:
    peer = start_peer(server_certificate, policies=["None"], modes=["None"])
    sentence = await refusal(site, peer.ready["url"])
    assert "offers no security: " in sentence
    assert "security_policy = 'None'" in sentence
    async with connected(site, peer.ready["url"], security_policy="None") as bus:
        assert peer.ready["namespace"] in bus.session.namespaces


async def test_a_password_never_goes_over_an_open_connection_in_clear(
    site: Site, trust: TrustList, start_peer: StartPeer, server_certificate: Issued, secret: dict[str, str]
) -> None:
    user = {"username": "operator", "password": secret, "security_policy": "None"}
    peer = start_peer(server_certificate)
    assert "isn't trusted here" in await refusal(site, peer.ready["url"], **user)
    trust.add(server_certificate.file)
    async with connected(site, peer.ready["url"], **user):
        pass  # node-opcua has it encrypted by its certificate


async def test_quarantine_accept_connect(
    site: Site, trust: TrustList, start_peer: StartPeer, server_certificate: Issued
) -> None:
    peer = start_peer(server_certificate)
    sentence = await refusal(site, peer.ready["url"])
    (waiting,) = [found for found in trust.list() if found.state == "quarantined"]
    assert f"tidegate cert accept {waiting.fingerprint[:16]}" in sentence
    assert str(waiting.file) in sentence
    assert waiting.file.read_bytes() == server_certificate.der
    trust.accept(waiting.fingerprint[:16])
    async with connected(site, peer.ready["url"]):
        pass
    trust.reject(waiting.fingerprint)
    assert "isn't trusted here" in await refusal(site, peer.ready["url"])


async def test_a_server_that_shows_another_certificate_than_before_is_told_from_a_new_one(
    site: Site, trust: TrustList, start_peer: StartPeer, server_certificate: Issued, tmp_path: Path
) -> None:
    stranger = issue(tmp_path, "stranger", uri="urn:acme:other", number=4)
    trust.add(stranger.file)
    assert "of the same application" not in await refusal(site, start_peer(server_certificate).ready["url"])
    trust.add(server_certificate.file)
    replaced = issue(tmp_path, "replaced", number=5)
    sentence = await refusal(site, start_peer(replaced).ready["url"])
    digits = hashlib.sha256(server_certificate.der).hexdigest()[:16]
    assert f"of the same application another one is trusted, {digits}: it was replaced, or" in sentence


async def test_the_sentence_says_that_the_server_refused_us(
    site: Site, trust: TrustList, start_peer: StartPeer, server_certificate: Issued
) -> None:
    trust.add(server_certificate.file)
    peer = start_peer(server_certificate, acceptAnyClient=False)
    sentence = await refusal(site, peer.ready["url"])
    (own,) = [found for found in trust.list() if found.state == "own"]
    assert "trust it on the server" in sentence
    assert str(own.file) in sentence
    assert own.fingerprint[:16] in sentence
    peer.ask(trustClient=str(own.file))
    async with connected(site, peer.ready["url"]):
        pass


async def test_a_renewed_certificate_loses_nobody_who_trusts_the_old_one(
    site: Site, trust: TrustList, start_peer: StartPeer, server_certificate: Issued
) -> None:
    trust.add(server_certificate.file)
    (first,) = trust.identities()
    peer = start_peer(server_certificate, acceptAnyClient=False)
    peer.ask(trustClient=str(first.file))
    renewed = trust.renew()
    assert renewed.fingerprint != first.fingerprint
    async with connected(site, peer.ready["url"]) as bus:
        assert _shown(bus) == first.fingerprint
    peer.ask(trustClient=str(renewed.file))
    async with connected(site, peer.ready["url"]) as bus:
        assert _shown(bus) == renewed.fingerprint


@pytest.mark.parametrize(
    ("options", "words", "relax"),
    [
        ({"hosts": ("plc1.plant",)}, "doesn't name 127.0.0.1 but plc1.plant", "verify_host"),
        ({"uri": "urn:other"}, "is that of urn:other", "verify_application_uri"),
    ],
)
async def test_a_certificate_for_something_else(
    site: Site,
    trust: TrustList,
    start_peer: StartPeer,
    tmp_path: Path,
    options: dict[str, Any],
    words: str,
    relax: str,
) -> None:
    issued = issue(tmp_path / "server", **options)
    trust.add(issued.file)
    peer = start_peer(issued)
    sentence = await refusal(site, peer.ready["url"])
    assert words in sentence
    assert f"{relax} = false" in sentence
    async with connected(site, peer.ready["url"], **{relax: False}):
        pass


async def test_an_authority_and_its_chain(site: Site, trust: TrustList, start_peer: StartPeer, tmp_path: Path) -> None:
    root = issue(tmp_path / "ca", "Root", authority=True, number=2)
    middle = issue(tmp_path / "ca", "Works", authority=True, issuer=root, number=3)
    issued = issue(tmp_path / "server", issuer=middle)
    peer = start_peer(issued)
    assert "isn't trusted here" in await refusal(site, peer.ready["url"])
    trust.add(root.file)
    async with connected(site, peer.ready["url"]):
        pass  # the server sends what lies between


async def test_wrong_passwords_and_unwanted_users(
    site: Site, trust: TrustList, start_peer: StartPeer, server_certificate: Issued, tmp_path: Path
) -> None:
    trust.add(server_certificate.file)
    peer = start_peer(server_certificate, anonymous=False)
    assert "doesn't let in anonymous users" in await refusal(site, peer.ready["url"])
    wrong = tmp_path / "wrong"
    wrong.write_text("nonsense")
    wrong.chmod(0o600)
    sentence = await refusal(site, peer.ready["url"], username="operator", password={"file": str(wrong)})
    assert "refused the user operator" in sentence
    assert "nonsense" not in sentence
    assert peer.ask(sessions=True)["sessions"] == 0


async def test_a_server_that_calls_itself_something_else_is_reached_as_configured(
    site: Site, trust: TrustList, start_peer: StartPeer, server_certificate: Issued
) -> None:
    trust.add(server_certificate.file)
    peer = start_peer(server_certificate, advertise="plc-behind-a-router.invalid", path="/UA/Line")
    async with connected(site, peer.ready["url"]) as bus:
        assert _agreement(bus).url == peer.ready["url"] + "/UA/Line"


async def test_a_session_goes_on_over_a_new_secured_connection(
    site: Site, trust: TrustList, start_peer: StartPeer, server_certificate: Issued, secret: dict[str, str]
) -> None:
    trust.add(server_certificate.file)
    peer = start_peer(server_certificate)
    async with Proxy("127.0.0.1", peer.ready["port"]) as proxy:
        url = f"opc.tcp://127.0.0.1:{proxy.port}"
        async with connected(site, url, username="operator", password=secret) as bus:
            down = asyncio.get_running_loop().create_future()
            bus.session.on_down = down.set_result
            await proxy.reset()
            await down
            await bus.connect()
            assert bus.session.resumed
            assert peer.ready["namespace"] in bus.session.namespaces
            assert peer.ask(sessions=True)["sessions"] == 1
    assert peer.ask(sessions=True)["sessions"] == 0


async def test_a_channel_is_renewed_and_takes_long_messages(
    site: Site, trust: TrustList, start_peer: StartPeer, server_certificate: Issued
) -> None:
    """Requests of several chunks, answers likewise, before and after each new token; one server has a longer key."""
    big = issue(server_certificate.file.parent, "big", number=5, bits=4096)
    nodes = 20_000 * [pack_node_id(NodeId(0, 2258))]
    for issued, policy, mode in (
        (server_certificate, "Basic256Sha256", "SignAndEncrypt"),
        (server_certificate, "Aes128_Sha256_RsaOaep", "Sign"),
        (big, "Aes256_Sha256_RsaPss", "SignAndEncrypt"),
    ):
        trust.add(issued.file)
        peer = start_peer(issued)
        async with connected(site, peer.ready["url"], security_policy=policy, security_mode=mode) as bus:
            channel = bus.session._channel
            assert channel is not None
            for _ in range(3):
                with pytest.raises(ServiceFailed, match="BadTooManyOperations"):
                    await bus.session.read(nodes, services.SERVER_TIME)
                assert len(await bus.session.read(nodes[:1000], services.BOTH_TIMES)) == 1000
                await channel.open(renew=True)


async def test_a_certificate_that_is_rejected_ends_what_it_opened(
    site: Site,
    trust: TrustList,
    start_peer: StartPeer,
    server_certificate: Issued,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("drivers.opcua.session.TRUST_EVERY_S", 0.05)
    stranger = issue(tmp_path / "stranger", "stranger", number=6)
    shown = trust.add(server_certificate.file)
    peer = start_peer(server_certificate)
    async with connected(site, peer.ready["url"]) as bus:
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        bus.session.on_down = ended.set_result
        trust.add(stranger.file)
        await asyncio.sleep(0.3)
        assert bus.session.namespaces, "what others do to the list is none of its business"
        trust.reject(shown.fingerprint)
        async with asyncio.timeout(10):
            assert "isn't trusted here any more" in await ended
    assert "isn't trusted here" in await refusal(site, peer.ready["url"])


async def test_a_session_is_not_resumed_on_a_weaker_channel(
    site: Site,
    trust: TrustList,
    start_peer: StartPeer,
    server_certificate: Issued,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody in between leaves out the encrypted endpoints when the connection is made anew."""
    trust.add(server_certificate.file)
    peer = start_peer(server_certificate)
    honest = discovery.endpoints

    async def forged(url: str, timeout_s: float) -> list[Endpoint]:
        return [found for found in await honest(url, timeout_s) if found.mode is Mode.SIGN]

    async with connected(site, peer.ready["url"]) as bus:
        bus.session.give_up("cut")
        monkeypatch.setattr(discovery, "endpoints", forged)
        with pytest.raises(LinkDown, match="somebody may be in between"):
            await bus.connect()
        monkeypatch.setattr(discovery, "endpoints", honest)
        await bus.connect()
        assert _secured_by(bus) == ("Aes256_Sha256_RsaPss", "SignAndEncrypt")


async def test_a_user_certificate_signs_only_for_a_server_that_is_trusted(
    site: Site, trust: TrustList, start_peer: StartPeer, server_certificate: Issued, user_certificate: Issued
) -> None:
    """Also without security: with a signature for another's certificate, somebody in between could log in there."""
    peer = start_peer(server_certificate)
    peer.ask(trustUser=str(user_certificate.file))
    user = {
        "security_policy": "None",
        "user_certificate": str(user_certificate.file),
        "user_key": str(user_certificate.key_file),
    }
    assert "isn't trusted here" in await refusal(site, peer.ready["url"], **user)
    trust.add(server_certificate.file)
    async with connected(site, peer.ready["url"], **user) as bus:
        assert peer.ready["namespace"] in bus.session.namespaces


async def test_the_own_certificate_comes_with_its_issuers(
    site: Site, trust: TrustList, start_peer: StartPeer, server_certificate: Issued, tmp_path: Path
) -> None:
    root = issue(tmp_path / "ca", "Root", authority=True, number=2)
    middle = issue(tmp_path / "ca", "Works", authority=True, issuer=root, number=3)
    own = issue(tmp_path / "own", uri="urn:tidegate:own", issuer=middle, number=4)
    trust.add(server_certificate.file)
    for kind, name, body in (
        ("issuers/certs", "root.der", root.der),
        ("issuers/certs", "middle.der", middle.der),
        ("issuers/crl", "root.crl", revoke(root)),
        ("issuers/crl", "middle.crl", revoke(middle)),
        ("trusted/certs", "own.der", own.der),
    ):
        folder = tmp_path / "peer-0" / "pki" / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    peer = start_peer(server_certificate)
    files = {"certificate": str(own.pem_file), "key": str(own.key_file)}
    async with connected(site, peer.ready["url"], **files) as bus:
        assert _shown(bus) == hashlib.sha256(own.der).hexdigest()
