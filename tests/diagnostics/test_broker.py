"""The broker's ladder against a real broker, well and in every way unwell."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.diagnostics.broker import climb_broker
from gateway.diagnostics.rungs import Rung, State
from gateway.secrets import Secret
from gateway.settings import TlsSettings
from tests.diagnostics.climbing import climbed, gateway, states
from tests.northbound.toy import mqtt_settings
from tests.support.mosquitto import Authority, BrokerTls, Mosquitto, free_port

pytestmark = pytest.mark.integration


async def climb(directory: Path, port: int, **changes: Any) -> dict[str, Rung]:
    return await climbed(climb_broker(gateway(directory), mqtt_settings(port, **changes)))


@pytest.mark.parametrize("protocol", [4, 5])
async def test_a_broker_that_is_well_hands_the_message_back(tmp_path: Path, protocol: int) -> None:
    with Mosquitto(tmp_path) as broker:
        ends = await climb(tmp_path, broker.port, protocol=protocol)
    assert states(ends) == [
        "name skipped",
        "link passed",
        "tls skipped",
        "connect passed",
        "publish passed",
        "return passed",
    ]
    assert ends["publish"].details["topic"] == "uns/v1/acme/plant1/gw1/_test"
    assert "gw1-test" in ends["connect"].sentence


async def test_nobody_there(tmp_path: Path) -> None:
    ends = await climb(tmp_path, free_port())
    assert states(ends)[:3] == ["name skipped", "link failed", "tls skipped"]
    assert "nothing listens" in ends["link"].sentence
    assert "(1883 is usual)" in (ends["link"].mend or "")


async def test_a_wrong_password_is_named_in_words(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("wrong")
    (tmp_path / "secret").chmod(0o600)
    with Mosquitto(tmp_path, users={"gw": "right"}) as broker:
        ends = await climb(tmp_path, broker.port, username="gw", password=Secret("file", str(tmp_path / "secret")))
        anonymous = await climb(tmp_path, broker.port)
    assert ends["connect"].state is State.FAILED
    assert "Not authorized" in ends["connect"].sentence
    assert ends["connect"].mend == "check username and password"
    assert anonymous["connect"].mend == "it wants username and password"


async def test_a_denied_topic_is_named_with_the_right_that_is_missing(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, acl="topic readwrite other/#\n") as broker:
        ends = await climb(tmp_path, broker.port)
        old = await climb(tmp_path, broker.port, protocol=4)
    assert ends["publish"].state is State.FAILED
    assert "lets this client not publish on uns/v1/acme/plant1/gw1/_test: Not authorized" in ends["publish"].sentence
    assert "uns/#" in (ends["publish"].mend or "")
    # MQTT 3.1.1 has no way to say no: only that nothing comes back shows it.
    assert states(old)[-2:] == ["publish passed", "return failed"]
    assert "couldn't say so" in old["return"].sentence


async def test_who_may_only_write_needs_no_more(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, acl="topic write uns/#\n") as broker:
        ends = await climb(tmp_path, broker.port)
    assert states(ends)[-2:] == ["publish passed", "return skipped"]
    assert "no more than to publish" in ends["return"].sentence


async def test_what_answers_is_no_broker(tmp_path: Path) -> None:
    import asyncio

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(10):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        ends = await climb(tmp_path, server.sockets[0].getsockname()[1])
    assert ends["connect"].state is State.FAILED
    assert "check that it is an MQTT broker" in (ends["connect"].mend or "")


# -- TLS


async def tls(directory: Path, ca: Path, pair_days: int = 2, alt: str = "IP:127.0.0.1", **more: Any) -> dict[str, Rung]:
    authority = Authority(directory / "ca")
    pair = authority.issue("broker", alt=alt, days=pair_days)
    needs = more.pop("require_certificate", False)
    with Mosquitto(directory, tls=BrokerTls(pair, authority.certificate, require_certificate=needs)) as broker:
        return await climb(directory, broker.port, tls=TlsSettings(ca=ca, **more))


async def test_a_trusted_chain_is_shown_with_its_days(tmp_path: Path) -> None:
    ends = await tls(tmp_path, tmp_path / "ca" / "ca.crt")
    assert states(ends)[2:] == ["tls passed", "connect passed", "publish passed", "return passed"]
    assert "expires in 1 days" in ends["tls"].sentence
    (own, *_) = ends["tls"].details["chain"]
    assert (own["subject"], own["issuer"], own["names"]) == ("broker", "Test CA", ["127.0.0.1"])


async def test_an_expired_certificate_is_named_with_its_day(tmp_path: Path) -> None:
    ends = await tls(tmp_path, tmp_path / "ca" / "ca.crt", pair_days=-1)
    assert ends["tls"].state is State.FAILED
    assert ends["tls"].sentence.startswith("the broker's certificate 'broker' expired on 20")
    assert ends["tls"].mend is not None
    assert "clock" in ends["tls"].mend


async def test_a_wrong_name_is_told_with_the_right_one(tmp_path: Path) -> None:
    ends = await tls(tmp_path, tmp_path / "ca" / "ca.crt", alt="DNS:broker.plant")
    assert ends["tls"].sentence == "the broker's certificate 'broker' is for broker.plant, not for '127.0.0.1'"
    assert 'server_name = "broker.plant"' in (ends["tls"].mend or "")


async def test_a_foreign_authority_is_named_beside_the_trusted_one(tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "Plant CA")
    ends = await tls(tmp_path, other.certificate)
    sentence = ends["tls"].sentence
    assert "'broker' is signed by 'Test CA', which isn't trusted" in sentence
    assert "'Plant CA'" in sentence
    assert ends["tls"].details["chain"]


async def test_a_missing_client_certificate_is_the_connect(tmp_path: Path) -> None:
    ends = await tls(tmp_path, tmp_path / "ca" / "ca.crt", require_certificate=True)
    failed = next(rung for rung in ends.values() if rung.state is State.FAILED)
    assert failed.id in ("tls", "connect")
    assert "client certificate" in f"{failed.sentence} {failed.mend}"


async def test_a_port_without_tls(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        ends = await climb(tmp_path, broker.port, tls=TlsSettings())
    assert ends["tls"].state is State.FAILED
    assert "8883" in f"{ends['tls'].sentence} {ends['tls'].mend}"


async def test_a_broker_that_accepts_and_says_nothing_ends_in_time(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("gateway.diagnostics.broker._STEP_LIMIT_S", 0.2)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ends = await climb(tmp_path, listener.getsockname()[1])
    assert states(ends)[3] == "connect failed"
