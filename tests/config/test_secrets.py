"""Where secrets come from, and what is said when they don't."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.secrets import Secret, SecretError, keep_to_itself, resolve


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_TEST", "s3cret")
    assert resolve(Secret("env", "TIDEGATE_TEST")) == "s3cret"


@pytest.mark.parametrize(
    ("content", "secret"), [("s3cret\n", "s3cret"), ("a b\r\n", "a b"), (" x\n\n", " x\n"), ("ü", "ü")]
)
def test_from_a_file_without_its_final_newline(tmp_path: Path, content: str, secret: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content.encode())
    path.chmod(0o640)
    assert resolve(Secret("file", str(path))) == secret


def test_from_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "broker").write_text("s3cret\n")
    assert resolve(Secret("credential", "broker")) == "s3cret"
    with pytest.raises(SecretError, match="doesn't exist"):
        resolve(Secret("credential", "other"))


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0, "doesn't exist"),
        (b"s3cret", 0o644, "can be read by every user: run chmod o-rwx"),
        (b"", 0o600, "is empty"),
        (b"\n", 0o600, "is empty"),
        (b"\xff\xfe", 0o600, "isn't UTF-8 text"),
        (b"x" * 70_000, 0o600, "larger than 64 KiB"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, mode: int, said: str) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(SecretError, match=said) as caught:
        resolve(Secret("file", str(path)))
    assert "s3cret" not in str(caught.value)


def test_a_directory_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="can't be read"):
        resolve(Secret("file", str(tmp_path)))


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (Secret("env", "TIDEGATE_UNSET"), "TIDEGATE_UNSET isn't set"),
        (Secret("credential", "x"), "CREDENTIALS_DIRECTORY isn't set"),
        (Secret("vault", "x"), "can't be read from 'vault'"),
    ],
)
def test_what_is_missing_is_named(secret: Secret, said: str) -> None:
    with pytest.raises(SecretError, match=said):
        resolve(secret)


@pytest.mark.timeout(10)
def test_what_would_keep_a_reader_waiting_is_no_secret(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(SecretError, match=r"can't be read \(it isn't a plain file"):
            resolve(Secret("file", str(path)))


def test_the_gateways_own_files_are_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else who configures a broker gets every user's password hash as its password."""
    monkeypatch.setattr("gateway.secrets._own_places", set())
    data = tmp_path / "data"
    keep_to_itself(data)
    for name in ("accounts.json", "claim-code", "drivers/opcua/own/key.pem", "web/sessions.json"):
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        path.chmod(0o600)
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(path)
        for way in (path, tmp_path / "link", data / ".." / "data" / name):
            with pytest.raises(SecretError, match="the gateway's own"):
                resolve(Secret("file", str(way)))
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        with pytest.raises(SecretError, match="the gateway's own"):
            resolve(Secret("credential", f"data/{name}"))
    kept = data / "secrets" / "plant-password-0123"
    kept.parent.mkdir()
    kept.write_text("s3cret")
    kept.chmod(0o600)
    assert resolve(Secret("file", str(kept))) == "s3cret"
