"""The gateway's own certificate: what is in it, and that it is neither lost nor made anew without need."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from drivers.opcua.security import identity
from drivers.opcua.security.identity import Identity, from_files, identities, renew
from drivers.opcua.security.trust import TrustList
from tests.support.pki import issue


class _Clock(datetime):
    """A clock that says what it is told."""

    moment = datetime.now(UTC)

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return cls.moment


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[_Clock]:
    monkeypatch.setattr(_Clock, "moment", datetime.now(UTC))
    monkeypatch.setattr(identity, "datetime", _Clock)
    return _Clock


@pytest.fixture
def own(tmp_path: Path) -> Identity:
    (made,) = identities(tmp_path / "pki", "works-7")
    return made


def test_it_is_what_the_standard_wants(own: Identity) -> None:
    extensions = own.certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uri = f"urn:{socket.gethostname().lower()}:tidegate:works-7"
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [uri]
    assert names.get_values_for_type(x509.DNSName) == [socket.gethostname()]
    assert own.application_uri == uri
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    for wanted in ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_cert_sign"):
        assert getattr(usage, wanted), wanted
    assert not usage.crl_sign
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert own.key.key_size == 2048
    assert own.certificate.signature_hash_algorithm is not None
    assert own.certificate.signature_hash_algorithm.name == "sha256"
    own.certificate.verify_directly_issued_by(own.certificate)


def test_openssl_understands_it(own: Identity) -> None:
    shown = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-in", own.file, "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "URI:urn:" in shown
    assert "TLS Web Client Authentication" in shown
    assert "Digital Signature, Non Repudiation, Key Encipherment, Data Encipherment, Certificate Sign" in shown


def test_it_is_made_once(tmp_path: Path, own: Identity) -> None:
    assert [one.fingerprint for one in identities(tmp_path / "pki", "works-7")] == [own.fingerprint]


def test_links_that_start_together_get_the_same(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.extend(one.fingerprint for one in identities(tmp_path, "works-7")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_it_is_renewed_in_time_and_the_old_one_is_used_until_it_ends(
    tmp_path: Path, own: Identity, clock: type[_Clock], caplog: pytest.LogCaptureFixture
) -> None:
    root, end = tmp_path / "pki", own.certificate.not_valid_after_utc
    clock.moment = end - timedelta(days=91)
    assert [one.fingerprint for one in identities(root, "works-7")] == [own.fingerprint]
    clock.moment = end - timedelta(days=89)
    newest, before = identities(root, "works-7")
    assert before.fingerprint == own.fingerprint
    assert newest.certificate.not_valid_after_utc > end + timedelta(days=3000)
    assert newest.application_uri == own.application_uri
    assert newest.key.public_key() != own.key.public_key()
    assert str(newest.file) in caplog.text
    assert [one.fingerprint for one in identities(root, "works-7")] == [newest.fingerprint, own.fingerprint]
    clock.moment = end + timedelta(days=1)
    assert [one.fingerprint for one in identities(root, "works-7")] == [newest.fingerprint]


def test_what_cannot_be_renewed_is_used_to_its_end(
    tmp_path: Path,
    own: Identity,
    clock: type[_Clock],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(path: Path, body: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(identity.files, "write", full)
    clock.moment = own.certificate.not_valid_after_utc - timedelta(days=1)
    assert [one.fingerprint for one in identities(tmp_path / "pki", "works-7")] == [own.fingerprint]
    assert "can't be renewed" in caplog.text


def test_renewing_keeps_two_and_no_more(tmp_path: Path, own: Identity) -> None:
    root = tmp_path / "pki"
    second, third = renew(root, "works-7"), renew(root, "works-7")
    assert [one.fingerprint for one in identities(root, "works-7")] == [third.fingerprint, second.fingerprint]
    assert len(list((root / "own" / "private").iterdir())) == 2


def test_made_at_1970_it_is_good_when_the_time_is_known(tmp_path: Path, clock: type[_Clock]) -> None:
    clock.moment = datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)
    (made,) = identities(tmp_path, "works-7")
    clock.moment = datetime(2030, 1, 1, tzinfo=UTC)
    assert [one.fingerprint for one in identities(tmp_path, "works-7")] == [made.fingerprint]
    assert made.certificate.not_valid_before_utc < clock.moment < made.certificate.not_valid_after_utc


def test_a_clock_that_fell_back_renews_nothing(tmp_path: Path, own: Identity, clock: type[_Clock]) -> None:
    clock.moment = datetime(1970, 1, 2, tzinfo=UTC)
    assert [one.fingerprint for one in identities(tmp_path / "pki", "works-7")] == [own.fingerprint]


@pytest.mark.parametrize("lost", ["certs", "private"])
def test_half_a_pair_is_no_pair(tmp_path: Path, own: Identity, lost: str) -> None:
    """What a power cut between the two files leaves, whichever came first."""
    root = tmp_path / "pki"
    for path in (root / "own" / lost).iterdir():
        path.unlink()
    (made,) = identities(root, "works-7")
    assert made.fingerprint != own.fingerprint
    assert [one.fingerprint for one in identities(root, "works-7")] == [made.fingerprint]


@pytest.mark.parametrize("folder", ["certs", "private"])
def test_a_damaged_pair_falls_back_to_the_one_before(tmp_path: Path, own: Identity, folder: str) -> None:
    root = tmp_path / "pki"
    newest = renew(root, "works-7")
    (path,) = (root / "own" / folder).glob(f"{newest.file.stem}.*")
    path.write_bytes(path.read_bytes()[:100])
    assert [one.fingerprint for one in identities(root, "works-7")] == [own.fingerprint]


@pytest.mark.fault
def test_kills_while_it_is_made_leave_none_or_a_whole_one(tmp_path: Path) -> None:
    """Every system call that changes a file is a place to die at."""
    code = (
        "import os, sys, json\n"
        "from pathlib import Path\n"
        "from drivers.opcua.security import identity\n"
        "left = int(sys.argv[2])\n"
        "def dying(call):\n"
        "    def wrapper(*a, **k):\n"
        "        global left\n"
        "        if left == 0: os._exit(9)\n"
        "        left -= 1\n"
        "        return call(*a, **k)\n"
        "    return wrapper\n"
        "for name in ('mkdir', 'replace', 'fsync', 'unlink'): setattr(os, name, dying(getattr(os, name)))\n"
        "os.open = dying(os.open)\n"
        "identity.KEY_BITS = 1024\n"
        "identity.renew(Path(sys.argv[1]), 'works-7')\n"
        "print(json.dumps(left))\n"
    )
    root = tmp_path / "pki"
    (first,) = identities(root, "works-7")
    deaths = 0
    for calls in range(60):
        done = subprocess.run(
            [sys.executable, "-c", code, str(root), str(calls)], capture_output=True, text=True, env=_environment()
        )
        found = identities(root, "works-7")
        assert found, "there is always one"
        if done.returncode == 9:
            deaths += 1
            assert all(one.key.public_key() == one.certificate.public_key() for one in found)
            continue
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) >= 0
        break
    assert deaths > 5
    assert found[0].fingerprint != first.fingerprint


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}


def test_a_pair_from_elsewhere(tmp_path: Path) -> None:
    made = issue(tmp_path, "works", uri="urn:acme:gateway")
    found = from_files(made.pem_file, made.key_file)
    assert found.application_uri == "urn:acme:gateway"
    other = issue(tmp_path / "other", number=1)
    with pytest.raises(ValueError, match="isn't the key of"):
        from_files(made.file, other.key_file)
    with pytest.raises(ValueError, match="names no application URI"):
        from_files(issue(tmp_path / "bare", uri=None).file, made.key_file)
    with pytest.raises(ValueError, match="are no certificate and its key"):
        from_files(made.key_file, made.file)


def test_renewing_through_the_trust_list(trust: TrustList) -> None:
    (first,) = trust.identities()
    renewed = trust.renew()
    own = [one.fingerprint for one in trust.list() if one.state == "own"]
    assert own == [renewed.fingerprint, first.fingerprint]
