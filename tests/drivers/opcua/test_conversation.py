"""Messages to chunks and back, between two ends of one channel; and nothing that was tampered with."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from drivers.opcua.binary import Malformed
from drivers.opcua.conversation import Conversation
from drivers.opcua.security.policies import POLICIES, WEAK_ENCRYPTION, Policy, Security
from drivers.opcua.status import ServiceFailed
from tests.support.pki import Issued, issue, key

CHANNEL = 7
LIFETIME_MS = 60_000
NONCES = (b"a" * 32, b"b" * 32)
MODES = [None, *((policy, encrypts) for policy in POLICIES for encrypts in (False, True))]
SIZES = (1, 15, 16, 17, 5000, 65_000, 70_000, 300_000)


def _security(own: Issued, peer: Issued, policy: str, encrypts: bool) -> Security:
    return Security(
        POLICIES[policy], encrypts, own.certificate, own.key, own.der, peer.certificate, peer.key.public_key()
    )


def pair(folder: Path, mode: tuple[str, bool] | None, bits: tuple[int, int] = (2048, 2048)) -> list[Conversation]:
    """Two ends that have opened a channel."""
    if mode is None:
        ends = [Conversation(None, 1 << 20) for _ in range(2)]
    else:
        one = issue(folder / "one", bits=bits[0], number=0)
        two = issue(folder / "two", bits=bits[1], number=1)
        ends = [
            Conversation(_security(one, two, *mode), 1 << 20),
            Conversation(_security(two, one, *mode), 1 << 20),
        ]
    for sender, receiver in (ends, reversed(ends)):
        message = receiver.unwrap(sender.wrap_open(5, b"open" * 100))
        assert message == (5, b"open" * 100)
    renew(ends, 1)
    return ends


def renew(ends: list[Conversation], token: int) -> None:
    for end, (own, peer) in zip(ends, (NONCES, NONCES[::-1]), strict=True):
        end.renew(CHANNEL, token, LIFETIME_MS, own, peer)


def chunks(data: bytes) -> Iterator[bytes]:
    while data:
        size = struct.unpack_from("<I", data, 4)[0]
        assert size <= 65_536
        yield data[:size]
        data = data[size:]


def arrives(sender: Conversation, receiver: Conversation, body: bytes, request: int = 9) -> None:
    results = [receiver.unwrap(chunk) for chunk in chunks(sender.wrap(b"MSG", request, body))]
    assert results[:-1] == [None] * (len(results) - 1)
    assert results[-1] == (request, body)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_sent_arrives(tmp_path: Path, mode: tuple[str, bool] | None) -> None:
    one, two = pair(tmp_path, mode)
    for size in SIZES:
        body = random.Random(size).randbytes(size)
        arrives(one, two, body)
        arrives(two, one, body)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("bits", [(2048, 3072), (3072, 2048), (4096, 4096)])
def test_keys_whose_padding_takes_two_bytes(tmp_path: Path, policy: str, bits: tuple[int, int]) -> None:
    one, two = pair(tmp_path, (policy, True), bits)
    arrives(one, two, b"body")


@pytest.mark.parametrize("mode", MODES)
def test_a_new_token_takes_over_and_the_old_one_is_over(tmp_path: Path, mode: tuple[str, bool] | None) -> None:
    one, two = pair(tmp_path, mode)
    late = list(chunks(two.wrap(b"MSG", 1, b"still the old one")))
    renew([one, two], 2)
    assert one.unwrap(late[0]) == (1, b"still the old one")
    arrives(two, one, b"the new one")
    older, _ = pair(tmp_path, mode)
    with pytest.raises(Malformed, match="token 1 that isn't in use"):
        one.unwrap(older.wrap(b"MSG", 1, b"the old one again"))


@pytest.mark.parametrize("mode", MODES[1:])
def test_nothing_that_was_tampered_with_is_believed(tmp_path: Path, mode: tuple[str, bool]) -> None:
    one, two = pair(tmp_path, mode)
    whole = one.wrap(b"MSG", 1, b"a body of some length, which is longer than a block")
    for at in (*range(8, 16), *range(16, len(whole), 7), len(whole) - 1):
        broken = bytearray(whole)
        broken[at] ^= 0x10
        with pytest.raises(Malformed):
            two.unwrap(bytes(broken))
    assert two.unwrap(whole) == (1, b"a body of some length, which is longer than a block")


@pytest.mark.parametrize("mode", [("Basic256Sha256", True), ("Aes256_Sha256_RsaPss", True)])
def test_an_answer_to_opening_by_somebody_else_is_not_believed(tmp_path: Path, mode: tuple[str, bool]) -> None:
    one, _ = pair(tmp_path, mode)
    thief, own = issue(tmp_path / "thief", number=3), issue(tmp_path / "one", number=0)
    forged = Conversation(_security(thief, own, *mode), 1 << 20).wrap_open(5, b"open")
    with pytest.raises(Malformed, match="wrong signature"):
        one.unwrap(forged)
    clear = Conversation(None, 1 << 20).wrap_open(5, b"open")
    with pytest.raises(Malformed, match="which wasn't asked for"):
        one.unwrap(clear)


@pytest.mark.parametrize("mode", MODES)
def test_what_was_said_is_not_taken_twice(tmp_path: Path, mode: tuple[str, bool] | None) -> None:
    one, two = pair(tmp_path, mode)
    said = one.wrap(b"MSG", 1, b"body")
    two.unwrap(said)
    with pytest.raises(Malformed, match="sequence number"):
        two.unwrap(said)


def test_sequence_numbers_begin_anew_near_their_end(tmp_path: Path) -> None:
    one, two = pair(tmp_path, None)
    one._sent = two._received = 0xFFFF_FFFF - 1025
    before = []
    while not before or one._sent > 1024:
        before.append(one._sent)
        arrives(one, two, b"body")
    assert before[-1] > 4_294_966_271, "OPC 10000-6 §6.7.2.4: not until it is greater"
    assert one._sent == 1


def test_a_token_is_not_taken_beyond_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = pair(tmp_path, None)
    now = 0.0
    monkeypatch.setattr("drivers.opcua.conversation.time.monotonic", lambda: now)
    renew([one, two], 2)
    now = 1.25 * LIFETIME_MS / 1000 - 1
    arrives(one, two, b"body")
    now += 2
    with pytest.raises(Malformed, match="that is over"):
        two.unwrap(one.wrap(b"MSG", 1, b"body"))


def test_a_nonce_that_is_too_short_is_refused(tmp_path: Path) -> None:
    one, _ = pair(tmp_path, ("Basic256Sha256", False))
    with pytest.raises(Malformed, match="a nonce of 1 bytes"):
        one.renew(CHANNEL, 2, LIFETIME_MS, NONCES[0], b"x")


def test_a_token_of_another_channel_is_refused(tmp_path: Path) -> None:
    one, _ = pair(tmp_path, None)
    for channel in (0, CHANNEL + 1):
        with pytest.raises(Malformed, match="a token of channel"):
            one.renew(channel, 2, LIFETIME_MS, *NONCES)


@pytest.mark.parametrize("policy", [*POLICIES.values(), *WEAK_ENCRYPTION.values()], ids=lambda policy: policy.name)
def test_a_key_too_short_to_encrypt_for_is_refused(policy: Policy) -> None:
    """Who hasn't proved anything may show any certificate."""
    enough = RSAPublicNumbers(65537, key().public_key().public_numbers().n).public_key()
    assert len(policy.encrypt(enough, b"secret" * 100)) % 256 == 0
    short = RSAPublicNumbers(65537, (1 << 80) + 1).public_key()
    with pytest.raises(Malformed, match="an RSA key of 81 bits"):
        policy.encrypt(short, b"secret")


def test_a_lifetime_of_nothing_is_a_second(tmp_path: Path) -> None:
    one, two = pair(tmp_path, None)
    for end in (one, two):
        assert end.renew(CHANNEL, 2, 0, b"", b"") == 1.0
    arrives(one, two, b"body")


def test_opening_costs_a_bounded_number_of_decryptions(tmp_path: Path) -> None:
    """Anyone can encrypt for a certificate that is shown to everybody."""
    one, two = pair(tmp_path, ("Basic256Sha256", True))
    with pytest.raises(Malformed, match="bytes to open a channel"):
        one.unwrap(two.wrap_open(6, b"x" * 20_000))


def test_a_message_that_the_other_side_would_not_take_is_not_sent(tmp_path: Path) -> None:
    one, two = pair(tmp_path, None)
    one.max_send_message_bytes = 1000
    arrives(one, two, b"x" * 1000)
    with pytest.raises(ServiceFailed, match="BadRequestTooLarge"):
        one.wrap(b"MSG", 1, b"x" * 1001)
    one.max_send_message_bytes, one.max_send_chunks = 0, 2
    one.max_send_bytes = 8192
    arrives(one, two, b"x" * 16_000)
    with pytest.raises(ServiceFailed, match="BadRequestTooLarge"):
        one.wrap(b"MSG", 1, b"x" * 17_000)
    one.max_send_chunks = 0
    arrives(one, two, b"x" * 17_000)  # what wasn't sent took no sequence number


def test_keys_are_not_shown(tmp_path: Path) -> None:
    one, _ = pair(tmp_path, ("Basic256Sha256", True))
    keys = one._token.ours
    assert keys is not None
    assert repr(keys.signing) not in repr(one._token)
