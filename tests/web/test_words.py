"""Figures and states in words, and what may be taken for a password."""

from __future__ import annotations

import pytest

from gateway.model import Quality
from gateway.web.passwords import Passwords, complaint
from gateway.web.words import FILTERS, count, quality, size


def test_counts_and_sizes() -> None:
    assert count(1234567) == "1\u202f234\u202f567"
    assert count(None) == size(None) == FILTERS["duration"](None) == "–"
    assert [size(n) for n in (0, 999, 1000, 3_400_000, 512_000_000)] == ["0 B", "999 B", "1.0 kB", "3.4 MB", "512 MB"]


def test_a_quality_has_a_kind_and_the_standards_name() -> None:
    assert quality(0) == {"kind": "good", "word": "Good"}
    assert quality(int(Quality.BAD_TIMEOUT))["kind"] == "bad"
    assert quality(0x40940000)["kind"] == "uncertain"


@pytest.mark.parametrize(
    "password", ["short", "password123!", "Qwertz12345", "aaaaaaaaaaaa", "adalovelace1", "x" * 300]
)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    assert complaint(password, "ada")


@pytest.mark.parametrize("password", ["nine vexing quokkas", "Zq8#Zq8#tt", "pässwörter sind läng"])
def test_what_isnt_is_taken(password: str) -> None:
    assert complaint(password, "ada") is None


async def test_a_password_fits_its_own_hash_and_nobodys_fits_none() -> None:
    passwords = Passwords()
    verifier = await passwords.hash("nine vexing quokkas")
    assert verifier.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.fits("nine vexing quokkas", verifier)
    assert not await passwords.fits("nine vexing quokka", verifier)
    assert not await passwords.fits("nine vexing quokkas", None)
    assert not await passwords.fits("", "not a hash")
