"""TLS and passwords: each way to get them wrong has its own clear sentence."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.northbound.mqtt import ConnectFailed, ConnectionLost, ConnectRefused, MqttError, try_connect
from gateway.secrets import Secret
from gateway.settings import TlsSettings
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


async def test_a_file_that_broke_since_the_start_is_named(tmp_path: Path, authority: Authority, client: Pair) -> None:
    """The full diagnosis is the configuration's check; nothing may ask on the terminal meanwhile."""
    (tmp_path / "torn").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", client.key, "-aes256", "-passout", "pass:x", "-out", locked],
        check=True,
        capture_output=True,
    )

    async def failure(tls: TlsSettings) -> str:
        with pytest.raises(ConnectFailed) as caught:
            await try_connect(mqtt_settings(1, tls=tls))
        return str(caught.value)

    assert await failure(TlsSettings(ca=tmp_path / "none")) == (
        f"the CA file {tmp_path / 'none'} can't be used (No such file or directory): tidegate check says how to mend it"
    )
    assert f"the CA file {tmp_path / 'torn'} can't be used" in await failure(TlsSettings(ca=tmp_path / "torn"))
    assert "its key" in await failure(TlsSettings(None, client.certificate, tmp_path / "none"))
    assert "needs a passphrase" in await failure(TlsSettings(None, client.certificate, locked))


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
    assert "No such file" in await failure(TlsSettings(tmp_path / "none"))
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
