"""The trust list as ``tidegate cert`` and a link use it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from drivers.opcua import KIND
from drivers.opcua.security import files, trust
from drivers.opcua.security.certificates import fingerprint
from drivers.opcua.security.trust import QuarantineFull, TrustList
from gateway.driver import Certificate, Site
from tests.support.pki import Issued, issue, revoke


@pytest.fixture
def listed(site: Site) -> TrustList:
    assert KIND.certificates is not None
    found = KIND.certificates(site)
    assert isinstance(found, TrustList)
    return found


def _states(listed: TrustList) -> dict[str, str]:
    return {one.fingerprint: one.state for one in listed.list()}


def test_an_empty_one_is_empty_and_makes_nothing(listed: TrustList, site: Site) -> None:
    assert listed.list() == []
    assert listed.snapshot().trusted == []
    assert not site.state.exists()


def test_quarantine_accept_reject(listed: TrustList, server_certificate: Issued) -> None:
    path = listed.quarantine(server_certificate.certificate)
    written = path.stat().st_mtime_ns
    assert listed.quarantine(server_certificate.certificate) == path
    assert path.stat().st_mtime_ns == written, "what is known wears no flash"
    digits = fingerprint(server_certificate.certificate)
    assert _states(listed) == {digits: "quarantined"}

    accepted = listed.accept(digits[:8].upper())
    assert (accepted.state, accepted.fingerprint) == ("trusted", digits)
    assert accepted.file.read_bytes() == server_certificate.der
    assert _states(listed) == {digits: "trusted"}
    assert listed.snapshot().trusted == [server_certificate.certificate]

    assert listed.reject(digits).state == "quarantined"
    assert _states(listed) == {digits: "quarantined"}
    listed.reject(digits)
    assert _states(listed) == {}


def test_a_certificate_says_what_people_want_to_know(listed: TrustList, server_certificate: Issued) -> None:
    one = listed.add(server_certificate.file)
    certificate = server_certificate.certificate
    assert one == Certificate(
        fingerprint=fingerprint(certificate),
        state="trusted",
        subject="CN=peer",
        uris=["urn:tidegate:peer"],
        not_before_s=certificate.not_valid_before_utc.timestamp(),
        not_after_s=certificate.not_valid_after_utc.timestamp(),
        file=one.file,
    )
    assert one.file.name == f"peer_{one.fingerprint[:16]}.der"


def test_fingerprints_as_people_write_them(listed: TrustList, tmp_path: Path) -> None:
    certificates = [issue(tmp_path, f"plc{number}").certificate for number in range(300)]
    for certificate in certificates[:2]:
        listed.quarantine(certificate)
    digits = fingerprint(certificates[0])
    for text, words in (
        ("ab", "too short"),
        ("0000000000000000", "no quarantined certificate"),
        ("", "too short"),
    ):
        with pytest.raises(KeyError, match=words):
            listed.accept(text)
    colons = ":".join(digits[at : at + 2].upper() for at in range(0, 64, 2))
    assert listed.accept(colons).fingerprint == digits
    with pytest.raises(KeyError, match="no quarantined"):
        listed.accept(digits)


def test_an_ambiguous_beginning_is_refused(listed: TrustList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "fingerprint", lambda certificate: f"abcd{certificate.serial_number:060x}")
    for number in (1, 2):
        listed.quarantine(issue(tmp_path, f"plc{number}", serial=number).certificate)
    with pytest.raises(KeyError, match="more than one"):
        listed.accept("abcd")
    assert _states(listed) == dict.fromkeys((f"abcd{number:060x}" for number in (1, 2)), "quarantined")


def test_the_oldest_leave_a_full_quarantine(listed: TrustList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "MAX_QUARANTINED", 3)
    certificates = [issue(tmp_path, f"plc{number}").certificate for number in range(5)]
    for number, certificate in enumerate(certificates):
        path = listed.quarantine(certificate)
        os.utime(path, (number, number))
    assert set(_states(listed)) == {fingerprint(one) for one in certificates[2:]}


def test_a_flood_ends_at_a_full_quarantine(listed: TrustList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "MAX_QUARANTINED", 3)
    first, *_, last = certificates = [issue(tmp_path, f"plc{number}").certificate for number in range(4)]
    for certificate in certificates[:3]:
        listed.quarantine(certificate)
    with pytest.raises(QuarantineFull):
        listed.quarantine(last)
    assert set(_states(listed)) == {fingerprint(one) for one in certificates[:3]}
    listed.reject(fingerprint(first))
    listed.quarantine(last)
    assert set(_states(listed)) == {fingerprint(one) for one in certificates[1:]}


def test_only_the_gateway_may_look(listed: TrustList, server_certificate: Issued, site: Site) -> None:
    listed.identities()
    listed.add(server_certificate.file)
    for path in (site.state, *site.state.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_pem_and_der_are_added_and_nothing_else(listed: TrustList, server_certificate: Issued, tmp_path: Path) -> None:
    listed.quarantine(server_certificate.certificate)
    assert listed.add(server_certificate.pem_file).state == "trusted"
    assert list(_states(listed).values()) == ["trusted"], "no longer in quarantine"
    nonsense = tmp_path / "nonsense.der"
    nonsense.write_bytes(b"\x30\x03abc")
    with pytest.raises(ValueError, match="is no certificate"):
        listed.add(nonsense)
    with pytest.raises(ValueError, match="is no certificate"):
        listed.add(server_certificate.key_file)
    nonsense.write_bytes(server_certificate.pem_file.read_bytes() * 2)
    with pytest.raises(ValueError, match="holds 2 certificates"):
        listed.add(nonsense)
    nonsense.write_bytes(bytes(300 * 1024))
    with pytest.raises(ValueError, match="larger than 256 KiB"):
        listed.add(nonsense)
    with pytest.raises(FileNotFoundError):
        listed.add(tmp_path / "missing")


def test_files_by_hand_count_and_damaged_ones_are_left_out(
    listed: TrustList, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = issue(tmp_path, "Root", authority=True, number=2)
    leaf = issue(tmp_path, issuer=root)
    for folder in ("trusted/certs", "trusted/crl", "issuers/certs", "issuers/crl"):
        (listed.root / folder).mkdir(parents=True)
    (listed.root / "trusted/certs/leaf.PEM").write_bytes(leaf.pem_file.read_bytes())
    (listed.root / "trusted/certs/damaged.der").write_bytes(leaf.der[:100])
    (listed.root / "trusted/certs/readme.txt").write_text("not a certificate")
    (listed.root / "trusted/certs/.half-written").write_bytes(leaf.der[:10])
    (listed.root / "issuers/certs/root.crt").write_bytes(root.der)
    (listed.root / "issuers/crl/root.crl").write_bytes(revoke(root))
    (listed.root / "trusted/crl/damaged.crl").write_bytes(b"nonsense")
    snapshot = listed.snapshot()
    assert (snapshot.trusted, snapshot.issuers) == ([leaf.certificate], [root.certificate])
    assert len(snapshot.lists) == 1
    assert [record.message.split(" is left out")[0].rpartition("/")[2] for record in caplog.records] == [
        "damaged.der",
        "damaged.crl",
    ]


def test_rejecting_one_of_a_bundle_takes_trust_from_all_and_loses_none(listed: TrustList, tmp_path: Path) -> None:
    one, other = issue(tmp_path, "one"), issue(tmp_path, "other")
    bundle = listed.root / "trusted" / "certs" / "bundle.pem"
    files.write(bundle, one.pem_file.read_bytes() + other.pem_file.read_bytes())
    listed.reject(fingerprint(one.certificate))
    assert sorted(_states(listed).values()) == ["quarantined", "quarantined"]


def test_a_write_that_fails_leaves_what_was_there(
    listed: TrustList, server_certificate: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = listed.add(server_certificate.file).file

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(kept, b"half")
    assert kept.read_bytes() == server_certificate.der
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
