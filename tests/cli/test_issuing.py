"""Certificates of an authority of others: the key stays, a request goes out, a certificate comes back."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.cli import main

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Plant CA")])


def signed(request: str, *, days: int = 30) -> str:
    """As an authority answers a request."""
    asked = x509.load_pem_x509_csr(request.encode())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(NAME)
        .public_key(asked.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
    )
    for extension in asked.extensions:
        certificate = certificate.add_extension(extension.value, extension.critical)
    return certificate.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def run(*words: str | Path, given: str = "") -> Result:
    return CliRunner().invoke(main, ["cert", *map(str, words)], input=given, catch_exceptions=False)


def ask(file: Path, *more: str) -> str:
    done = run("request", file, "--name", "gw1", "--host", "gw1.local", "--host", "10.0.0.7", *more, "--json")
    assert done.exit_code == 0, done.stderr
    return str(json.loads(done.stdout)["request"])


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_certificate_comes_into_use_with_its_key(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "tls" / "broker.pem"
    assert json.loads(run("inspect", file, "--json").stdout) is None
    request = ask(file, "--type", kind, "--uri", "urn:tidegate:gw1")
    assert ask(file, "--type", kind, "--uri", "urn:tidegate:gw1") is not None
    assert not file.with_suffix(".key").exists()
    done = run("install", file, "--json", given=signed(request))
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["fits_key"]
    assert told["hosts"] == ["gw1.local", "10.0.0.7"]
    assert told["uris"] == ["urn:tidegate:gw1"]
    assert stat.S_IMODE(file.with_suffix(".key").stat().st_mode) == 0o600
    assert json.loads(run("inspect", file, "--json").stdout) == told


def test_what_is_in_use_stays_until_its_successor_is_here(tmp_path: Path) -> None:
    file = tmp_path / "broker.pem"
    run("install", file, given=signed(ask(file)))
    before = file.read_bytes(), file.with_suffix(".key").read_bytes()
    request = ask(file)
    assert (file.read_bytes(), file.with_suffix(".key").read_bytes()) == before
    assert run("install", file, given=signed(request)).exit_code == 0
    assert file.with_suffix(".key").read_bytes() != before[1]
    assert not file.with_name("broker.key.next").exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda file: signed(ask(file), days=-1), "the certificate expired on"),
        (lambda file: signed(ask(file.with_name("other.pem"))), "for another key than this gateway's"),
        (lambda file: "nonsense", "holds no certificate in PEM form"),
    ],
    ids=["expired", "another key", "nonsense"],
)
def test_what_doesnt_fit_is_refused_and_nothing_changed(tmp_path: Path, given, says: str) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "broker.pem"
    run("install", file, given=signed(ask(file)))
    before = file.read_bytes(), file.with_suffix(".key").read_bytes()
    done = run("install", file, given=given(file))
    assert done.exit_code == 1
    assert says in done.stderr
    assert "→" in done.stderr
    assert (file.read_bytes(), file.with_suffix(".key").read_bytes()) == before
