"""Certificates over the API of a running gateway, with the trust list of the OPC UA driver."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.control.client import Refused
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Authority, free_port

pytestmark = pytest.mark.integration


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    authority = Authority(tmp_path / "tls")
    pair = authority.issue("gw")
    page = tmp_path / "data/web/tls/certificate.pem"
    page.parent.mkdir(parents=True)
    page.write_bytes(authority.issue("page").certificate.read_bytes())
    text = f"""
[gateway]
id = "gw1"
enterprise = "acme"
site = "plant1"
data_dir = "{tmp_path}/data"
[[sink]]
name = "plant"
type = "mqtt"
host = "127.0.0.1"
port = {free_port()}
tls = {{ca = "{authority.certificate}", certificate = "{pair.certificate}", key = "{pair.key}"}}
[[link]]
name = "ua"
driver = "opcua"
url = "opc.tcp://127.0.0.1:{free_port()}"
[[device]]
name = "plc"
link = "ua"
[[device.group]]
name = "g"
interval_ms = 1000
[[device.group.tag]]
name = "t"
node = "i=2258"
type = "datetime"
"""
    with GatewayProcess(tmp_path, text) as running:
        asyncio.run(running.until(lambda body: True, "it answers"))
        yield running


def refused(gateway: GatewayProcess, *call: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        gateway.client.call("POST", *call)
    return caught.value


def test_every_certificate_can_be_seen_and_those_of_drivers_changed(gateway: GatewayProcess, tmp_path: Path) -> None:
    client, of_driver = gateway.client, "/v1/certificates/opcua"
    own = client.post(f"{of_driver}/renew")
    assert (own["holder"], own["state"]) == ("driver opcua", "own")
    server = Authority(tmp_path / "server").issue("plc")
    added = client.call("POST", f"{of_driver}/add", body=server.certificate.read_bytes())
    der = ssl.PEM_cert_to_DER_cert(server.certificate.read_text())
    assert added["fingerprint"] == hashlib.sha256(der).hexdigest()
    assert added["state"] == "trusted"
    listed = client.get("/v1/certificates")
    assert {(each["holder"], each["state"]) for each in listed} == {
        ("driver opcua", "own"), ("driver opcua", "trusted"), ("sink plant", "issuer"), ("sink plant", "own"),
        ("page", "own"),
    }  # fmt: skip
    assert "CN=page" in {each["subject"] for each in listed}
    one = f"{of_driver}/{added['fingerprint'][:12]}"
    assert client.post(f"{one}/reject")["fingerprint"] == added["fingerprint"]
    assert client.post(f"{one}/accept")["state"] == "trusted"
    assert refused(gateway, f"{one}/accept").code == "other-state"
    for _ in range(2):  # out of the list, out of quarantine
        client.post(f"{one}/reject")
    assert refused(gateway, f"{one}/accept").code == "no-such-certificate"
    assert refused(gateway, f"{of_driver}/{'0' * 64}/accept").code == "no-such-certificate"
    assert refused(gateway, f"{of_driver}/{own['fingerprint']}/reject").code == "other-state"
    assert refused(gateway, "/v1/certificates/modbus/renew").code == "no-such-driver"
    assert refused(gateway, f"{of_driver}/add", None, b"nonsense").code == "no-certificate"
    rows = [
        orjson.loads(line)
        for path in sorted((tmp_path / "data/audit").glob("rows-*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    told = [(row["action"], row["outcome"]) for row in rows if row["action"].startswith("certificate.")]
    assert told[:4] == [
        ("certificate.renew", "asked"), ("certificate.renew", "done"), ("certificate.add", "asked"),
        ("certificate.add", "done"),
    ]  # fmt: skip
    assert ("certificate.add", "failed") in told
