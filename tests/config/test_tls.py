"""TLS files made by openssl, then broken one by one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.config.tls import check_tls
from gateway.settings import TlsSettings

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl isn't installed")


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two self-signed pairs, an encrypted key, and one file with certificate and key."""
    directory = tmp_path_factory.mktemp("tls")
    for name in ("a", "b"):
        pair = ("-keyout", str(directory / f"{name}.key"), "-out", str(directory / f"{name}.pem"))
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-days", "1", *pair,
        )  # fmt: skip
    locked = str(directory / "locked.key")
    openssl("pkey", "-in", str(directory / "a.key"), "-aes256", "-passout", "pass:x1234", "-out", locked)
    both = (directory / "a.pem").read_text() + (directory / "a.key").read_text()
    (directory / "both.pem").write_text(both)
    first, second, *rest = (directory / "a.pem").read_text().splitlines()
    (directory / "torn.pem").write_text("\n".join((first, second[:20], *rest)))
    (directory / "open.key").write_text((directory / "a.key").read_text())
    for path in directory.iterdir():
        path.chmod(0o600)
    (directory / "open.key").chmod(0o644)
    return directory


def findings(
    directory: Path,
    *,
    files: bool = True,
    ca: str | None = None,
    certificate: str | None = None,
    key: str | None = None,
) -> list[tuple[str, str]]:
    """(key, message without the directory) of everything wrong."""
    ours = [directory / name if name else None for name in (ca, certificate, key)]
    found = check_tls(TlsSettings(*ours), files=files)
    return [(name, message.replace(f"{directory}/", "")) for name, message, hint in found if hint]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"ca": "a.pem"},
        {"certificate": "a.pem", "key": "a.key"},
        {"certificate": "both.pem"},
        {"ca": "b.pem", "certificate": "both.pem", "key": "a.key"},
    ],
)
def test_what_is_right_is_accepted(pems: Path, given: dict[str, str]) -> None:
    assert findings(pems, **given) == []


@pytest.mark.parametrize(
    ("given", "key", "said"),
    [
        ({"ca": "absent.pem"}, "ca", "the file absent.pem doesn't exist"),
        ({"ca": "a.key"}, "ca", "a.key holds no certificate in PEM form"),
        ({"ca": "torn.pem"}, "ca", "torn.pem holds no certificate in PEM form"),
        ({"key": "a.key"}, "key", "a key is given without its certificate"),
        ({"certificate": "a.pem"}, "certificate", "a.pem holds no private key in PEM form"),
        ({"certificate": "a.pem", "key": "b.pem"}, "key", "b.pem holds no private key in PEM form"),
        ({"certificate": "a.key", "key": "a.key"}, "certificate", "a.key holds no certificate in PEM form"),
        ({"certificate": "a.pem", "key": "b.key"}, "key", "the private key in b.key doesn't belong to a.pem"),
        ({"certificate": "a.pem", "key": "locked.key"}, "key", "the private key in locked.key needs a password"),
        ({"certificate": "a.pem", "key": "open.key"}, "key", "the private key in open.key can be read by every user"),
    ],
)
def test_what_is_wrong_is_named(pems: Path, given: dict[str, str], key: str, said: str) -> None:
    assert findings(pems, **given) == [(key, said)]


def test_a_torn_certificate_cannot_be_used(pems: Path) -> None:
    ((key, message),) = findings(pems, certificate="torn.pem", key="a.key")
    assert key == "certificate"
    assert message.startswith("torn.pem and a.key can't be used: ")


def test_without_the_files_only_the_keys_are_checked(pems: Path) -> None:
    assert findings(pems, files=False, ca="absent.pem", certificate="absent.pem") == []
    assert findings(pems, files=False, key="absent.pem") == [("key", "a key is given without its certificate")]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
def test_what_has_no_end_or_keeps_one_waiting_is_no_file(tmp_path: Path, pems: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    huge = tmp_path / "huge.pem"
    with huge.open("wb") as file:
        file.truncate(5 << 20)
    for path, said in ((tmp_path / "pipe", "plain file"), (Path("/dev/zero"), "plain file"), (huge, "larger than")):
        settings = TlsSettings(**{"ca": None, "certificate": pems / "a.pem", "key": pems / "a.key", name: path})
        found = list(check_tls(settings, files=True))
        assert [each[0] for each in found] == [name]
        assert said in found[0][1]
