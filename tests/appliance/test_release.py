"""Versions, what a slot says of itself, the trial's file, and what RAUC says."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from tidegate_appliance.refusals import refused
from tidegate_appliance.release import Release, floor_of, is_older, release_of
from tidegate_appliance.trial import Attempt, Start, TrialFile


def test_versions_have_an_order() -> None:
    rising = ["", "0.1.0-alpha", "0.1.0-alpha.2", "0.1.0-alpha.10", "0.1.0~rc1", "0.1.0", "0.1.1", "0.2", "0.10.0", "1"]
    for older, newer in pairwise(rising):
        assert is_older(older, newer)
        assert not is_older(newer, older)
    assert not is_older("1.0", "1.0.0+build")
    assert not is_older("1.0.0+build", "1")
    assert is_older("main", "0.0.1")


def test_what_a_slot_says_of_itself(tmp_path: Path) -> None:
    (tmp_path / "release").write_text("VERSION=0.2.0\nVARIANT=rpi\nCOMPATIBLE=tidegate-rpi-arm64\n")
    assert release_of(tmp_path / "release") == Release("0.2.0", "tidegate-rpi-arm64")
    shipped = Path(__file__).parents[2] / "image/appliance/files/etc/rauc/system.conf"
    assert floor_of(shipped) == "0.1.0"
    assert floor_of(tmp_path / "nothing") == ""
    (tmp_path / "torn").write_text("[system")
    assert floor_of(tmp_path / "torn") == ""


def test_phases_of_an_attempt() -> None:
    attempt = Attempt("0.2.0", "B", "0.1.0", (), "first")
    installed = Attempt("0.2.0", "B", "0.1.0", (), "first", "installed")
    assert attempt.phase(Start("A", "first")) == "none", "it is being written"
    assert attempt.phase(Start("A", "second")) == "cut"
    assert attempt.phase(Start("B", "second")) == "running", "nobody saw the end of its installation, and it is there"
    assert installed.phase(Start("A", "first")) == "waiting"
    assert installed.phase(Start("B", "second")) == "running"
    assert installed.phase(Start("A", "second")) == "fallen"
    assert {attempt.sentence("none"), attempt.sentence("cut")} == {""}


def test_a_trial_that_cant_be_read_is_none(tmp_path: Path) -> None:
    file = TrialFile(tmp_path / "trial.json")
    file.forget()
    assert file.read() is None
    begun = file.begin("0.2.0", "B", "0.1.0", {"sink b", "sink a"}, Start("A", "first"))
    assert file.read() == begun
    assert file.change(begun, state="fallen", failure="no device answered").phase(Start("A", "second")) == "fallen"
    for torn in (b"", b"[]", b"{}", b'{"well": 1}', b'{"well": [], "unknown": 1}'):
        (tmp_path / "trial.json").write_bytes(torn)
        assert file.read() is None
        assert file.lost, "something may be on trial"
    file.forget()
    assert not file.lost
    assert not (tmp_path / "trial.json").exists()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("Slot (100 bytes) is too small for image (200 bytes).", "has 200 bytes, and the slot only 100"),
        ("Failed updating slot rootfs.1: No space left on device", "the disk is full"),
        ("failed to write: Input/output error", "may be worn out"),
        ("Bundle format 'plain' not allowed", "bundles of the format plain aren't taken here"),
        ("signature verification failed: Verify error: certificate is not yet valid", "wasn't valid yet"),
        ("Destination device '/dev/x' already mounted", "the other slot can't be written"),
        ("Something new.", "the update service says: Something new"),
        ("", "the update service says: nothing"),
    ],
)
def test_what_rauc_says_is_one_sentence(said: str, sentence: str) -> None:
    assert sentence in str(refused(said))
