"""Signed configurations: what is taken, and what isn't."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from gateway.ops.pulling import Pulled, PullRefused, opened, trusted_keys
from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Authority, Mosquitto, free_port

ED25519 = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
SIGN: dict[str, tuple[Any, Callable[[bytes], bytes]]] = {
    "Ed25519": (ED25519, ED25519.sign),
    "EC": (EC, lambda body: EC.sign(body, ec.ECDSA(hashes.SHA256()))),
    "RSA": (RSA, lambda body: RSA.sign(body, padding.PKCS1v15(), hashes.SHA256())),
}
PEM, SPKI = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo


def bundle(sign: Callable[[bytes], bytes] = ED25519.sign, **wanted: Any) -> bytes:
    """Made as `tidegate_bundle` does, by other code."""
    body = json.dumps({"serial": 5, "gateways": ["gw1"], "files": {"tidegate.toml": ""}, **wanted}).encode()
    return b"TIDEGATE-CONFIGURATION 1\n" + base64.b64encode(sign(body)) + b"\n" + body


def public(path: Path, *keys: Any) -> Path:
    path.write_bytes(b"".join(key.public_key().public_bytes(PEM, SPKI) for key in keys))
    return path


@pytest.mark.parametrize("kind", SIGN)
def test_a_signature_of_each_kind_is_known(tmp_path: Path, kind: str) -> None:
    key, sign = SIGN[kind]
    keys = trusted_keys(public(tmp_path / "keys.pem", *(each for each, _ in SIGN.values())))
    assert len(keys) == 3
    assert opened(bundle(sign), keys, "gw1", None, 0.0).serial == 5
    others = [each.public_key() for each, _ in SIGN.values() if each is not key]
    with pytest.raises(PullRefused, match="its signature isn't that of anybody who is trusted"):
        opened(bundle(sign), others, "gw1", None, 0.0)


def test_a_certificate_says_whose_key_counts(tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Releases")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(RSA.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(RSA, hashes.SHA256())
    )
    (tmp_path / "keys.pem").write_bytes(certificate.public_bytes(PEM))
    assert opened(bundle(SIGN["RSA"][1]), trusted_keys(tmp_path / "keys.pem"), "gw1", None, 0.0).gateways == ["gw1"]


@pytest.mark.parametrize(
    ("body", "latest", "says"),
    [
        (b"nonsense", None, "no signed configuration"),
        (bundle(gateways=["gw2", "gw3"]), None, "it is for gw2, gw3, and this is gw1"),
        (bundle(expires_s=99.0), None, "it expired on 1970-01-01"),
        (bundle(), Pulled(6, "applied"), "it has the serial 5, and this gateway had 6 already"),
        (bundle(files={}), None, "it is signed, but can't be used: files"),
        (bundle(more=1), None, "it is signed, but can't be used: more"),
    ],
    ids=["nonsense", "for another", "expired", "an old one", "empty", "unknown key"],
)
def test_what_isnt_taken(body: bytes, latest: Pulled | None, says: str) -> None:
    with pytest.raises(PullRefused, match=says) as refused:
        opened(body, [ED25519.public_key()], "gw1", latest, 100.0)
    assert refused.value.mend


@given(st.data())
def test_one_byte_changed_is_refused(data: st.DataObject) -> None:
    body = bytearray(bundle())
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PullRefused):
        opened(bytes(body), [ED25519.public_key()], "gw1", None, 0.0)


class Server:
    """An HTTPS server that has one file, and nothing else."""

    def __init__(self, directory: Path, path: str, body: bytes) -> None:
        pair = Authority(directory / "ca").issue("server", alt="IP:127.0.0.1")
        self.ca = directory / "ca" / "ca.crt"

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = self.path == path
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write(body if found else b"")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.address = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.mark.integration
async def test_a_server_gives_each_gateway_its_own(tmp_path: Path) -> None:
    keys = public(tmp_path / "keys.pem", ED25519)
    text = configuration(tmp_path / "data", [free_port()], free_port())
    wanted = text.replace("interval_ms = 100", "interval_ms = 150")
    with (
        Server(tmp_path, "/gw1.tidegate", bundle(files={"tidegate.toml": wanted})) as server,
        GatewayProcess(tmp_path, text) as gateway,
    ):

        async def pull(address: str, **environment: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "gateway", "pull", address, "--config", str(gateway.config)]
            line = [*command, "--keys", str(keys), "--json"]
            env = {**os.environ, **environment}
            return await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, timeout=60, env=env)

        await gateway.until(lambda _: True, "it answers")
        trusting = {"SSL_CERT_FILE": str(server.ca)}
        stranger = await pull(server.address + "/{id}.tidegate")
        assert (stranger.returncode, "can't be reached: " in stranger.stderr) == (4, True)
        missing = await pull(server.address + "/nothing", **trusting)
        assert (missing.returncode, "the server answers 404 Not Found" in missing.stderr) == (1, True)
        clear = await pull("http://127.0.0.1/x")
        assert (clear.returncode, "only https:// addresses are fetched from" in clear.stderr) == (1, True)
        done = await pull(server.address + "/{id}.tidegate", **trusting)
        assert done.returncode == 0, done.stderr
        assert gateway.config.read_text() == wanted


@pytest.mark.integration
async def test_a_stick_brings_a_configuration(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    keys = public(tmp_path / "keys.pem", ED25519)
    with Field() as field, Mosquitto(tmp_path) as broker:
        ports = [field.slaves[0].port]
        text = configuration(tmp_path / "data", ports, broker.port)
        with GatewayProcess(tmp_path, text) as gateway:

            async def pull(*options: str) -> subprocess.CompletedProcess[str]:
                command = [sys.executable, "-m", "gateway", "pull", str(stick), "--config", str(gateway.config)]
                line = [*command, "--keys", str(keys), "--json", *options]
                return await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, timeout=60)

            await gateway.until(lambda body: body["sinks"]["plant"]["connected"], "it delivers")
            nothing = await pull()
            assert (nothing.returncode, "there is no gw1.tidegate" in nothing.stderr) == (1, True)

            wanted = text.replace("interval_ms = 100", "interval_ms = 150")
            (stick / "gw1.tidegate").write_bytes(bundle(files={"tidegate.toml": wanted}))
            assert "+interval_ms = 150" in json.loads((await pull("--dry-run")).stdout)["patch"]
            done = await pull()
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout) == {"serial": 5, "outcome": "applied", "why": "", "changed": True}
            assert gateway.config.read_text() == wanted
            assert json.loads((await pull()).stdout)["changed"] is False

            # A broker that isn't there: the gateway takes it back by itself, and isn't asked to try again.
            cut_off = configuration(tmp_path / "data", ports, free_port())
            (stick / "gw1.tidegate").write_bytes(bundle(serial=6, files={"tidegate.toml": cut_off}))
            back = await pull("--confirm-within", "2")
            assert back.returncode == 5, back.stderr
            assert gateway.config.read_text() == wanted
            assert json.loads((await pull()).stdout)["outcome"] == "taken back"

            (stick / "gw1.tidegate").write_bytes(bundle(serial=7, files={"tidegate.toml": "[gateway]\n"}))
            invalid = await pull()
            assert invalid.returncode == 3
            assert gateway.config.read_text() == wanted
            assert gateway.client.get("/v1/config")["draft"] is None
