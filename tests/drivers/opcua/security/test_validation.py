"""What is found wrong with a server's certificate, case by case."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from drivers.opcua.security.certificates import parse_chain, parse_crl
from drivers.opcua.security.options import SecurityOptions
from drivers.opcua.security.trust import Trusted
from drivers.opcua.security.validation import Verdict, judge, withdrawn
from tests.support.pki import DAY, Issued, issue, revoke


def _judge(
    chain: Sequence[x509.Certificate],
    *,
    trusted: Sequence[x509.Certificate] = (),
    issuers: Sequence[x509.Certificate] = (),
    lists: Sequence[bytes] = (),
    host: str = "127.0.0.1",
    uri: str = "urn:tidegate:peer",
    now: datetime | None = None,
    **options: Any,
) -> Verdict:
    return judge(
        chain,
        Trusted(trusted, issuers, [parse_crl(body) for body in lists]),
        SecurityOptions(**options),
        host=host,
        application_uri=uri,
        now=now or datetime.now(UTC),
    )


@pytest.fixture
def root(tmp_path: Path) -> Issued:
    return issue(tmp_path, "Root", authority=True, number=2)


@pytest.fixture
def works(tmp_path: Path, root: Issued) -> Issued:
    return issue(tmp_path, "Works", authority=True, issuer=root, number=3)


def test_a_certificate_of_its_own_is_trusted_by_being_listed(tmp_path: Path) -> None:
    one, other = issue(tmp_path, "one").certificate, issue(tmp_path, "other").certificate
    assert _judge([one], trusted=[one]) == Verdict(True, [])
    assert _judge([one], trusted=[other]) == Verdict(False, [])
    assert _judge([one], issuers=[one]) == Verdict(False, [])


def test_a_chain_up_to_an_authority_that_is_trusted(tmp_path: Path, root: Issued, works: Issued) -> None:
    leaf = issue(tmp_path, issuer=works).certificate
    known, sent = works.certificate, [leaf, works.certificate]
    assert _judge([leaf], trusted=[root.certificate], issuers=[known]) == Verdict(True, [])
    assert _judge(sent, trusted=[root.certificate]) == Verdict(True, [])
    assert _judge([leaf], trusted=[known]) == Verdict(True, [])
    assert _judge([leaf], trusted=[root.certificate]) == Verdict(False, [])
    assert _judge(sent, issuers=[root.certificate]) == Verdict(False, [])


def test_listed_itself_it_needs_no_chain(tmp_path: Path, works: Issued) -> None:
    leaf = issue(tmp_path, issuer=works).certificate
    assert _judge([leaf], trusted=[leaf]) == Verdict(True, [])


def test_only_an_authority_can_issue(tmp_path: Path, root: Issued) -> None:
    server = issue(tmp_path, "server", issuer=root, number=4)
    forged = issue(tmp_path, "forged", issuer=server).certificate
    assert not _judge([forged, server.certificate], trusted=[root.certificate]).trusted


def test_an_authority_of_the_same_name_is_another(tmp_path: Path, root: Issued) -> None:
    impostor = issue(tmp_path / "impostor", "Root", authority=True, number=4)
    forged = issue(tmp_path, issuer=impostor).certificate
    assert not _judge([forged, impostor.certificate], trusted=[root.certificate]).trusted


def test_a_loop_of_issuers_ends(tmp_path: Path) -> None:
    a = issue(tmp_path / "1", "A", authority=True, number=2)
    b = issue(tmp_path / "1", "B", authority=True, issuer=a, number=3)
    crossed = issue(tmp_path / "2", "A", authority=True, issuer=b, number=2)
    leaf = issue(tmp_path, issuer=b).certificate
    assert not _judge([leaf, b.certificate, crossed.certificate]).trusted


@pytest.mark.parametrize(
    ("begin", "end", "words"),
    [(-3 * DAY, -2 * DAY, "expired on"), (2 * DAY, 3 * DAY, "this gateway's clock says")],
)
def test_outside_its_time(tmp_path: Path, begin: timedelta, end: timedelta, words: str) -> None:
    leaf = issue(tmp_path, begin=begin, end=end).certificate
    (problem,) = _judge([leaf], trusted=[leaf]).problems
    assert words in problem
    assert "verify_time = false" in problem
    assert not _judge([leaf], trusted=[leaf], verify_time=False).problems


def test_a_gateway_without_a_clock_says_so(tmp_path: Path) -> None:
    leaf = issue(tmp_path).certificate
    (problem,) = _judge([leaf], trusted=[leaf], now=datetime(1970, 1, 1, tzinfo=UTC)).problems
    assert "clock says 1970-01-01: set the clock" in problem


def test_an_issuer_outside_its_time(tmp_path: Path, root: Issued) -> None:
    old = issue(tmp_path, "Works", authority=True, issuer=root, number=3, begin=-3 * DAY, end=-2 * DAY)
    leaf = issue(tmp_path, issuer=old).certificate
    (problem,) = _judge([leaf], trusted=[root.certificate], issuers=[old.certificate]).problems
    assert problem.startswith("'s issuer Works expired on")
    renewed = issue(tmp_path, "Works", authority=True, issuer=root, number=3)
    both = [old.certificate, renewed.certificate]
    assert not _judge([leaf], trusted=[root.certificate], issuers=both).problems


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST", "localhost."])
def test_hosts_that_are_named(tmp_path: Path, host: str) -> None:
    leaf = issue(tmp_path).certificate
    assert not _judge([leaf], trusted=[leaf], host=host).problems


def test_a_host_that_is_not_named(tmp_path: Path) -> None:
    leaf = issue(tmp_path).certificate
    (problem,) = _judge([leaf], trusted=[leaf], host="plc1").problems
    assert "doesn't name plc1 but localhost, 127.0.0.1" in problem
    assert not _judge([leaf], trusted=[leaf], host="plc1", verify_host=False).problems
    assert not _judge([issue(tmp_path, hosts=["::1"]).certificate], host="0:0:0:0:0:0:0:1").problems


@pytest.mark.parametrize("uri", [None, "urn:another"])
def test_another_application(tmp_path: Path, uri: str | None) -> None:
    leaf = issue(tmp_path, uri=uri).certificate
    (problem,) = _judge([leaf], trusted=[leaf]).problems
    assert f"is that of {uri or 'no application'}" in problem
    assert not _judge([leaf], trusted=[leaf], verify_application_uri=False).problems


def test_another_use(tmp_path: Path) -> None:
    leaf = issue(tmp_path, purposes=[ExtendedKeyUsageOID.CLIENT_AUTH]).certificate
    (problem,) = _judge([leaf], trusted=[leaf]).problems
    assert "wasn't issued for an OPC UA server" in problem
    assert not _judge([leaf], trusted=[leaf], verify_usage=False).problems


def test_keys_that_are_too_weak_or_of_another_kind(tmp_path: Path) -> None:
    weak = issue(tmp_path, bits=1024).certificate
    (problem,) = _judge([weak], trusted=[weak]).problems
    assert "a key of 1024 bits" in problem
    elliptic = _elliptic()
    assert "has no RSA key" in _judge([elliptic], trusted=[elliptic]).problems[0]


def _elliptic() -> x509.Certificate:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + DAY)
    return builder.sign(key, hashes.SHA256())


# -- revocation


def test_revoked(tmp_path: Path, root: Issued, works: Issued) -> None:
    leaf, fine = issue(tmp_path, issuer=works).certificate, issue(tmp_path, issuer=works).certificate
    trusted, issuers = [root.certificate], [works.certificate]
    lists = [revoke(works, leaf)]
    (problem,) = _judge([leaf], trusted=trusted, issuers=issuers, lists=lists).problems
    assert "was revoked by Works" in problem
    assert not _judge([fine], trusted=trusted, issuers=issuers, lists=lists).problems
    (problem,) = _judge([fine], trusted=trusted, issuers=issuers, lists=[revoke(root, works.certificate)]).problems
    assert "'s issuer Works was revoked by Root" in problem


def test_a_list_past_its_date_still_revokes(tmp_path: Path, root: Issued) -> None:
    leaf = issue(tmp_path, issuer=root).certificate
    lists = [revoke(root, leaf, end=-DAY / 2)]
    assert _judge([leaf], trusted=[root.certificate], lists=lists).problems


def test_revoked_although_it_is_listed_itself(tmp_path: Path, root: Issued) -> None:
    leaf = issue(tmp_path, issuer=root).certificate
    assert _judge([leaf], trusted=[leaf], issuers=[root.certificate], lists=[revoke(root, leaf)]).problems


def test_a_forged_list_revokes_nothing(tmp_path: Path, root: Issued, works: Issued) -> None:
    leaf = issue(tmp_path, issuer=root).certificate
    assert not _judge([leaf], trusted=[root.certificate], lists=[revoke(root, leaf, signer=works)]).problems


def test_the_number_of_a_certificate_of_another_authority_revokes_nothing(tmp_path: Path, root: Issued) -> None:
    other = issue(tmp_path, "Other", authority=True, number=3)
    leaf = issue(tmp_path, issuer=root, serial=4711).certificate
    namesake = issue(tmp_path, "namesake", issuer=other, serial=4711).certificate
    trusted = [root.certificate, other.certificate]
    assert not _judge([leaf], trusted=trusted, lists=[revoke(other, namesake)]).problems


def test_belief_is_withdrawn_from_who_is_revoked_or_listed_no_more(tmp_path: Path, root: Issued) -> None:
    leaf, options, now = issue(tmp_path, issuer=root).certificate, SecurityOptions(), datetime.now(UTC)
    revoked = [parse_crl(revoke(root, leaf))]
    assert withdrawn([leaf], Trusted([root.certificate], [], []), options, now) == []
    assert withdrawn([leaf], Trusted([leaf], [], []), options, now) == []
    assert withdrawn([leaf], Trusted([], [root.certificate], []), options, now) == [" isn't trusted here any more"]
    (problem,) = withdrawn([leaf], Trusted([root.certificate], [], revoked), options, now)
    assert "revoked" in problem
    late = now + 5 * DAY
    assert withdrawn([leaf], Trusted([leaf], [], []), options, late) == [], "that it expires is no reason to stop"


def test_a_list_can_be_demanded(tmp_path: Path, root: Issued) -> None:
    leaf = issue(tmp_path, issuer=root).certificate
    for lists in ([], [revoke(root, end=-DAY / 2)]):
        (problem,) = _judge([leaf], trusted=[root.certificate], lists=lists, require_crl=True).problems
        assert "Root has no current revocation list" in problem
    assert not _judge([leaf], trusted=[root.certificate], lists=[revoke(root)], require_crl=True).problems


# -- what servers send


def test_a_chain_is_taken_apart(tmp_path: Path, root: Issued, works: Issued) -> None:
    leaf = issue(tmp_path, issuer=works)
    assert parse_chain(leaf.der + works.der + root.der) == [leaf.certificate, works.certificate, root.certificate]


def test_garbage_is_a_value_error_and_nothing_else(tmp_path: Path, root: Issued) -> None:
    body = issue(tmp_path, issuer=root).der + root.der
    chance = random.Random(1)
    legible = 0
    for _ in range(3000):
        garbled = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            garbled[chance.randrange(len(garbled))] = chance.randrange(256)
        try:
            chain = parse_chain(bytes(garbled[: chance.randint(0, len(garbled))]))
            _judge(chain, trusted=[root.certificate], lists=[revoke(root)] if legible < 10 else [])
        except ValueError:
            continue
        legible += 1
    assert legible
    for nonsense in (b"", b"0", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", body * 20):
        with pytest.raises(ValueError):  # noqa: PT011 - the words are cryptography's
            parse_chain(nonsense)
