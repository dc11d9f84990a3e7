"""TLS: each way to get it wrong has its own clear sentence, before start where the files tell, else at connect."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.northbound import check_tls
from gateway.northbound.mqtt import ConnectFailed, ConnectionLost, ConnectRefused, MqttError, try_connect
from gateway.settings import Secret, TlsSettings
from tests.northbound.toy import mqtt_settings
from tests.support.mosquitto import Authority, BrokerTls, Mosquitto, Pair


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Pair:
    return authority.issue("broker", alt="IP:127.0.0.1,DNS:broker.example")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    return authority.issue("gw1")


@pytest.fixture
def broker(tmp_path: Path, authority: Authority, server: Pair) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, tls=BrokerTls(server, authority.certificate, require_certificate=True)) as running:
        yield running


def test_good_files_have_no_problems(authority: Authority, client: Pair) -> None:
    assert check_tls(TlsSettings()) == []
    assert check_tls(TlsSettings(authority.certificate, client.certificate, client.key)) == []


def test_every_broken_file_is_named(tmp_path: Path, authority: Authority, server: Pair, client: Pair) -> None:
    (tmp_path / "der").write_bytes(b"\x30\x82\x01\x00")
    (tmp_path / "torn").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", client.key, "-aes256", "-passout", "pass:x", "-out", locked],
        check=True,
        capture_output=True,
    )

    def only(settings: TlsSettings) -> str:
        (problem,) = check_tls(settings)
        return problem

    assert only(TlsSettings(ca=tmp_path / "none")) == (
        f"the CA file {tmp_path / 'none'} doesn't exist: create it, or mend ca"
    )
    assert "isn't in PEM form" in only(TlsSettings(ca=tmp_path / "der"))
    assert "is damaged" in only(TlsSettings(ca=tmp_path / "torn"))
    assert "Is a directory" in only(TlsSettings(ca=tmp_path))
    assert "has no key: set key as well" in only(TlsSettings(certificate=client.certificate))
    assert "has no certificate" in only(TlsSettings(key=client.key))
    assert "doesn't belong to the certificate" in only(TlsSettings(certificate=client.certificate, key=server.key))
    assert "is damaged" in only(TlsSettings(certificate=tmp_path / "torn", key=client.key))
    assert "passphrase" in only(TlsSettings(certificate=client.certificate, key=locked))
    assert len(check_tls(TlsSettings(tmp_path / "a", tmp_path / "b", tmp_path / "c"))) == 3


@pytest.mark.integration
@pytest.mark.parametrize("server_name", [None, "broker.example"])
async def test_both_sides_prove_themselves(
    broker: Mosquitto, authority: Authority, client: Pair, server_name: str | None
) -> None:
    tls = TlsSettings(authority.certificate, client.certificate, client.key, server_name)
    await try_connect(mqtt_settings(broker.port, tls=tls))


@pytest.mark.integration
async def test_each_failure_has_its_sentence(
    broker: Mosquitto, authority: Authority, client: Pair, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", "Other CA")

    async def failure(tls: TlsSettings | None) -> str:
        with pytest.raises(MqttError) as caught:
            await try_connect(mqtt_settings(broker.port, tls=tls))
        assert not isinstance(caught.value, ConnectRefused)
        text = str(caught.value)
        assert "\n" not in text
        return text.removeprefix(f"127.0.0.1:{broker.port}: ")

    ca = authority.certificate
    assert "isn't signed by a trusted CA" in await failure(
        TlsSettings(other.certificate, client.certificate, client.key)
    )
    assert await failure(TlsSettings(ca, client.certificate, client.key, "elsewhere.example")) == (
        "the broker's certificate isn't for 'elsewhere.example': set server_name in [sink.tls] to a name it is for"
    )
    assert "client certificate" in await failure(TlsSettings(ca))
    stranger = other.issue("gw1")
    refused = await failure(TlsSettings(ca, stranger.certificate, stranger.key))
    assert "doesn't trust the CA of our client certificate" in refused or "doesn't accept our client" in refused
    assert "doesn't exist" in await failure(TlsSettings(tmp_path / "none"))
    assert "whether it wants TLS" in await failure(None)


@pytest.mark.integration
async def test_tls_towards_a_plain_port_is_told(tmp_path: Path, authority: Authority) -> None:
    with Mosquitto(tmp_path) as broker, pytest.raises(ConnectFailed, match="doesn't speak TLS: check the port"):
        await try_connect(mqtt_settings(broker.port, tls=TlsSettings(authority.certificate)))


@pytest.mark.integration
@pytest.mark.parametrize("protocol", [5, 4])
async def test_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    with Mosquitto(tmp_path, users={"gw": "right"}) as broker:
        monkeypatch.setenv("TIDEGATE_TEST_PW", "right")
        good = mqtt_settings(broker.port, protocol=protocol, username="gw", password=Secret("env", "TIDEGATE_TEST_PW"))
        await try_connect(good)
        monkeypatch.setenv("TIDEGATE_TEST_PW", "wrong")
        with pytest.raises(ConnectRefused, match="check username and password"):
            await try_connect(good)
        monkeypatch.delenv("TIDEGATE_TEST_PW")
        with pytest.raises(ConnectFailed, match="TIDEGATE_TEST_PW isn't set"):
            await try_connect(good)
        with pytest.raises((ConnectRefused, ConnectionLost), match="it wants username and password"):
            await try_connect(mqtt_settings(broker.port, protocol=protocol))
