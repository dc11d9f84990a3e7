"""Against asyncua's own server; and what asyncua's own client gets wrong, as the control beside this driver."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from asyncua import Client, Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.crypto.truststore import TrustStore
from asyncua.crypto.validator import CertificateValidator
from cryptography import x509

from drivers.opcua.security import discovery
from drivers.opcua.security.descriptions import Endpoint, Mode
from drivers.opcua.security.trust import TrustList
from gateway.driver import Site
from tests.drivers.opcua.security.conftest import USERS, Users, connected, refusal, serving
from tests.support.pki import DAY, Issued, issue, revoke

pytestmark = pytest.mark.integration

SECURED = [
    getattr(ua.SecurityPolicyType, f"{policy}_{mode}")
    for policy in ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
    for mode in ("Sign", "SignAndEncrypt")
]
EVERYTHING = [ua.SecurityPolicyType.NoSecurity, *SECURED]
PASSWORD = USERS["operator"].encode()


def _url(server: Server) -> str:
    return server.endpoint.geturl()


async def test_every_policy_mode_and_user(
    site: Site, trust: TrustList, server_certificate: Issued, user_certificate: Issued, secret: dict[str, str]
) -> None:
    trust.add(server_certificate.file)
    users = Users()
    worked = 0
    async with serving(server_certificate, EVERYTHING, users) as server:
        for policy in ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"):
            for mode in ("Sign", "SignAndEncrypt"):
                for user in (
                    {},
                    {"username": "operator", "password": secret},
                    {"user_certificate": str(user_certificate.file), "user_key": str(user_certificate.key_file)},
                ):
                    options = {"security_policy": policy, "security_mode": mode, **user}
                    async with connected(site, _url(server), **options) as bus:
                        assert bus.session.namespaces
                    worked += 1
    assert worked == 18
    assert users.passwords == [USERS["operator"]] * 6


async def _refuses(certificate: x509.Certificate, description: ua.ApplicationDescription) -> None:
    raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)


async def test_a_refusal_that_comes_with_the_session(site: Site, trust: TrustList, server_certificate: Issued) -> None:
    trust.add(server_certificate.file)
    async with serving(server_certificate, SECURED) as server:
        server.set_certificate_validator(_refuses)
        sentence = await refusal(site, _url(server))
    assert "refused this gateway's certificate (BadCertificateUntrusted)" in sentence
    (own,) = [found for found in trust.list() if found.state == "own"]
    assert str(own.file) in sentence


async def test_one_who_shows_a_trusted_certificate_without_its_key_gets_nothing(
    site: Site, trust: TrustList, server_certificate: Issued, secret: dict[str, str], tmp_path: Path
) -> None:
    trust.add(server_certificate.file)
    thief = dataclasses.replace(server_certificate, key_file=issue(tmp_path / "thief", number=4).key_file)
    users = Users()
    async with serving(thief, SECURED, users) as server:
        await refusal(site, _url(server), username="operator", password=secret, timeout_ms=500)
    assert users.passwords == []


async def test_endpoints_taken_from_the_list_on_the_way_are_missed(
    site: Site, trust: TrustList, server_certificate: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust.add(server_certificate.file)
    honest = discovery.endpoints

    async def tampered(url: str, timeout_s: float) -> list[Endpoint]:
        return [
            endpoint
            for endpoint in await honest(url, timeout_s)
            if endpoint.policy_uri == SecurityPolicyBasic256Sha256.URI and endpoint.mode is Mode.SIGN
        ]

    monkeypatch.setattr(discovery, "endpoints", tampered)
    async with serving(server_certificate, SECURED) as server:
        sentence = await refusal(site, _url(server))
        assert "somebody may be in between" in sentence
        assert not server.iserver._external_sessions
        chosen = {"security_policy": "Basic256Sha256", "security_mode": "Sign"}
        async with connected(site, _url(server), **chosen):
            pass  # what is asked for by name can't be made worse


# -- the wire


class Tap:
    """Forwards one port to another and keeps what the client said."""

    def __init__(self) -> None:
        self.said = bytearray()
        self.port = 0

    @asynccontextmanager
    async def to(self, port: int) -> AsyncIterator[Tap]:
        served: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.add(asyncio.create_task(self._serve(port, reader, writer)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)

    async def _serve(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        back = asyncio.create_task(self._forward(far_reader, writer, bytearray()))
        try:
            await self._forward(reader, far_writer, self.said)
            await back
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            for end in (writer, far_writer):
                end.close()

    @staticmethod
    async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                kept += data
                writer.write(data)
            writer.close()


async def test_a_certificate_from_an_authority_is_shown_with_its_chain(
    site: Site, trust: TrustList, server_certificate: Issued, tmp_path: Path
) -> None:
    trust.add(server_certificate.file)
    root = issue(tmp_path / "ca", "Root", authority=True, number=2)
    works = issue(tmp_path / "ca", "Works", authority=True, issuer=root, number=3)
    own = issue(tmp_path / "own", "gateway", issuer=works, uri="urn:acme:gateway", number=1)
    called: list[str] = []

    async def look(certificate: x509.Certificate, description: ua.ApplicationDescription) -> None:
        assert certificate == own.certificate
        called.append(description.ApplicationUri)

    async with serving(server_certificate, SECURED) as server:
        server.set_certificate_validator(look)
        async with Tap().to(server.endpoint.port) as tap:
            url = f"opc.tcp://127.0.0.1:{tap.port}"
            async with connected(site, url, certificate=str(own.pem_file), key=str(own.key_file)):
                pass
    assert called == ["urn:acme:gateway"]
    assert own.der + works.der in tap.said
    assert [found.state for found in trust.list()] == ["trusted"], "none was made"


def _open_tokens(server: Server) -> None:
    """Have it take passwords unprotected by their own policy, as many servers do."""
    for endpoint in server.iserver.endpoints:
        for token in endpoint.UserIdentityTokens:
            if token.TokenType == ua.UserTokenType.UserName:
                token.SecurityPolicyUri = "http://opcfoundation.org/UA/SecurityPolicy#None"


Attempt = Callable[[str, Issued, Issued], Awaitable[None]]


async def _stock(url: str, server_certificate: Issued, own: Issued) -> None:
    client = Client(url)
    client.application_uri = "urn:acme:gateway"
    client.set_user("operator")
    client.set_password(USERS["operator"])
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        own.file.read_bytes(),
        own.key_file,
        server_certificate=server_certificate.der,
        mode=ua.MessageSecurityMode.Sign,
    )
    async with client:
        pass


async def test_pitfall_a_password_in_clear_on_a_signed_connection(
    site: Site, trust: TrustList, server_certificate: Issued, secret: dict[str, str], tmp_path: Path
) -> None:
    trust.add(server_certificate.file)
    async with serving(server_certificate, [ua.SecurityPolicyType.Basic256Sha256_Sign], Users()) as server:
        _open_tokens(server)
        port = server.endpoint.port
        async with Tap().to(port) as tap:
            own = issue(tmp_path / "own", "gateway", uri="urn:acme:gateway", number=1)
            await _stock(f"opc.tcp://127.0.0.1:{tap.port}", server_certificate, own)
            assert PASSWORD in tap.said, "the control: stock asyncua sends it"
        async with Tap().to(port) as tap:
            url = f"opc.tcp://127.0.0.1:{tap.port}"
            sentence = await refusal(site, url, username="operator", password=secret)
            assert "in a form that others can read on the way" in sentence
            assert PASSWORD not in tap.said
        async with Tap().to(port) as tap:
            url = f"opc.tcp://127.0.0.1:{tap.port}"
            async with connected(site, url, username="operator", password=secret, password_in_clear=True):
                assert PASSWORD in tap.said, "it was allowed"


async def test_pitfall_a_password_to_an_unsecured_server(site: Site, secret: dict[str, str]) -> None:
    user = {"username": "operator", "password": secret, "security_policy": "None"}
    async with serving(None, [ua.SecurityPolicyType.NoSecurity], Users()) as server:
        async with Tap().to(server.endpoint.port) as tap:
            client = Client(f"opc.tcp://127.0.0.1:{tap.port}")
            client.set_user("operator")
            client.set_password(USERS["operator"])
            async with client:
                assert PASSWORD in tap.said, "the control: stock asyncua sends it"
        async with Tap().to(server.endpoint.port) as tap:
            await refusal(site, f"opc.tcp://127.0.0.1:{tap.port}", **user)
            assert PASSWORD not in tap.said
        async with connected(site, _url(server), **user, password_in_clear=True):
            pass


async def test_pitfall_anybodys_certificate_is_good_enough(site: Site, tmp_path: Path) -> None:
    expired = issue(tmp_path / "server", begin=-3 * DAY, end=-2 * DAY, uri="urn:somebody:else", hosts=["elsewhere"])
    own = issue(tmp_path / "own", "gateway", uri="urn:acme:gateway", number=1)
    users = Users()
    async with serving(expired, [ua.SecurityPolicyType.Basic256Sha256_Sign], users) as server:
        await _stock(_url(server), expired, own)
        assert users.passwords, "the control: stock asyncua has told it the password"
        sentence = await refusal(site, _url(server))
    for words in ("isn't trusted here", "it also expired on", "it also doesn't name", "it also is that of"):
        assert words in sentence


def _store(tmp_path: Path, certificates: Sequence[Issued], lists: Sequence[bytes] = ()) -> TrustStore:
    for folder in ("certs", "crls"):
        (tmp_path / folder).mkdir()
    for number, certificate in enumerate(certificates):
        (tmp_path / "certs" / f"{number}.der").write_bytes(certificate.der)
    for number, body in enumerate(lists):
        (tmp_path / "crls" / f"{number}.der").write_bytes(body)
    return TrustStore([tmp_path / "certs"], [tmp_path / "crls"])


async def test_pitfall_its_validator_checks_time_and_uri_only(tmp_path: Path) -> None:
    stranger = issue(tmp_path, hosts=["elsewhere"])
    description = ua.ApplicationDescription(ApplicationUri="urn:tidegate:peer")
    await CertificateValidator()(stranger.certificate, description)  # the control: nobody trusts it


async def test_pitfall_its_trust_store_confuses_authorities(tmp_path: Path) -> None:
    """What it should say is in test_validation.py."""
    root = issue(tmp_path / "ca", "Root", authority=True, number=2)
    other = issue(tmp_path / "ca", "Other", authority=True, number=3)
    leaf = issue(tmp_path / "server", issuer=root, serial=4711)
    namesake = issue(tmp_path / "server", "namesake", issuer=other, serial=4711)
    store = _store(tmp_path, [root], [revoke(other, namesake.certificate)])
    await store.load()
    assert store.is_revoked(leaf.certificate), "the control: revoked by an authority that didn't issue it"


# -- nothing is left over


async def test_200_secured_cycles_leave_nothing(
    site: Site, trust: TrustList, server_certificate: Issued, secret: dict[str, str]
) -> None:
    trust.add(server_certificate.file)
    process = psutil.Process(os.getpid())
    options: dict[str, Any] = {"username": "operator", "password": secret}
    async with serving(server_certificate, SECURED, Users()) as server:

        async def cycle(count: int) -> None:
            for _ in range(count):
                async with connected(site, _url(server), **options):
                    pass

        await cycle(5)
        descriptors, tasks = process.num_fds(), len(asyncio.all_tasks())
        await cycle(200)
        await asyncio.sleep(0)
        assert process.num_fds() <= descriptors + 1
        assert len(asyncio.all_tasks()) <= tasks + 1
        assert not server.iserver._external_sessions


async def test_refusals_leave_no_session_at_the_server(
    site: Site, trust: TrustList, server_certificate: Issued, tmp_path: Path
) -> None:
    trust.add(server_certificate.file)
    wrong = tmp_path / "wrong"
    wrong.write_text("nonsense")
    wrong.chmod(0o600)
    async with serving(server_certificate, SECURED, Users()) as server:
        for _ in range(3):
            await refusal(site, _url(server), username="operator", password={"file": str(wrong)})
        assert not server.iserver._external_sessions
