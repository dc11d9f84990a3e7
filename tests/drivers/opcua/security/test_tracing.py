"""A trace is decrypted, and still tells nobody's secrets."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from drivers.opcua.bus import OpcUaBus
from drivers.opcua.dissection import dissect
from drivers.opcua.options import LinkOptions
from drivers.opcua.security.trust import TrustList
from drivers.opcua.tracing import without_secrets
from gateway.driver import Site
from gateway.wire import Direction, Frame
from tests.drivers.opcua.security.conftest import USERS, Users, serving
from tests.drivers.opcua.security.test_asyncua import EVERYTHING, PASSWORD, _url
from tests.support.pki import Issued

pytestmark = pytest.mark.integration

_TOKEN_AT = 28
"""Behind the chunk's header and the request's type."""


@pytest.mark.parametrize(
    "options",
    [
        {"security_policy": "Basic256Sha256", "security_mode": "SignAndEncrypt"},
        {"security_policy": "Aes256_Sha256_RsaPss", "security_mode": "Sign"},
        {"security_policy": "None", "password_in_clear": True},
    ],
    ids=lambda options: f"{options['security_policy']}-{options.get('security_mode', 'clear')}",
)
async def test_no_password_token_or_nonce_is_shown(
    options: dict[str, Any],
    site: Site,
    trust: TrustList,
    server_certificate: Issued,
    secret: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trust.add(server_certificate.file)
    nonces: list[bytes] = []
    real = secrets.token_bytes

    def noted(size: int | None = None) -> bytes:
        nonces.append(real(size))
        return nonces[-1]

    monkeypatch.setattr(secrets, "token_bytes", noted)
    users = Users()
    frames: list[Frame] = []
    async with serving(server_certificate, EVERYTHING, users) as server:
        link = LinkOptions(url=_url(server), username="operator", password=secret, **options)
        bus = OpcUaBus("link1", link, site)
        bus.trace(frames.append)
        try:
            await bus.connect()
            await bus.session.read_namespaces()
        finally:
            await bus.close()
    assert users.passwords == [USERS["operator"]]
    shown = b"".join(frame.data for frame in frames)
    assert PASSWORD not in shown
    messages = [frame.data for frame in frames if frame.direction is Direction.SENT and frame.data[:3] == b"MSG"]
    assert {data[_TOKEN_AT : _TOKEN_AT + 2] for data in messages} == {b"\0\0"}, "no authentication token"
    assert not any(nonce in shown for nonce in nonces if len(nonce) >= 16)
    kinds = [dissect(frame, None).summary for frame in frames]
    assert "activate session request" in kinds
    assert any(kind.startswith("read response") for kind in kinds), "what isn't secret is shown"
    encrypted = options.get("security_mode") == "SignAndEncrypt"
    reads = [frame for frame, kind in zip(frames, kinds, strict=True) if kind.startswith("read")]
    assert all(("decrypted" in frame.note) == encrypted for frame in reads)


def test_what_cannot_be_understood_is_blanked_as_a_whole() -> None:
    clean, blanked = without_secrets(Direction.SENT, b"\x01\x00\xd3\x01" + b"secret" * 10)
    assert blanked
    assert b"secret" not in clean
