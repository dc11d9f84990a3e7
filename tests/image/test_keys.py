"""Who signs: a development key says so, a production key is taken whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from image.errors import BuildError
from image.keys import CERTIFICATE_VARIABLE, KEY_VARIABLE, KEYRING_VARIABLE, signer


def test_a_development_key_is_made_once_and_named_so(tmp_path: Path) -> None:
    first = signer(tmp_path / "keys", {})
    assert first == signer(tmp_path / "keys", {})
    assert first.kind == "development"
    authority = x509.load_pem_x509_certificate(first.keyring.read_bytes())
    leaf = x509.load_pem_x509_certificate(first.certificate.read_bytes())
    leaf.verify_directly_issued_by(authority)
    assert "development" in leaf.subject.rfc4514_string()
    assert "development" in authority.subject.rfc4514_string()
    # RAUC's check-purpose=codesign.
    assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CODE_SIGNING
    ]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)


def test_nobody_else_can_read_the_key(tmp_path: Path) -> None:
    made = signer(tmp_path / "keys", {})
    assert Path(made.key).stat().st_mode & 0o077 == 0
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0


def test_a_production_key_comes_from_the_environment(tmp_path: Path) -> None:
    for name in ("key", "certificate", "keyring"):
        (tmp_path / name).write_text(name)
    given = {
        KEY_VARIABLE: "pkcs11:token=release",
        CERTIFICATE_VARIABLE: str(tmp_path / "certificate"),
        KEYRING_VARIABLE: str(tmp_path / "keyring"),
    }
    made = signer(tmp_path / "none", given)
    assert (made.kind, made.key) == ("production", "pkcs11:token=release")
    assert made.files == (tmp_path / "certificate", tmp_path / "keyring")
    assert not (tmp_path / "none").exists()


def test_half_a_production_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=f"{CERTIFICATE_VARIABLE}, {KEYRING_VARIABLE}"):
        signer(tmp_path, {KEY_VARIABLE: "/nowhere"})


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    given = {
        KEY_VARIABLE: "/nowhere/key",
        CERTIFICATE_VARIABLE: str(tmp_path / "x"),
        KEYRING_VARIABLE: str(tmp_path / "x"),
    }
    with pytest.raises(BuildError, match=f"{KEY_VARIABLE}: there is no file /nowhere/key"):
        signer(tmp_path, given)
