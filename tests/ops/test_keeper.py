"""Secrets in files of their own: private, one for each text, none ever replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.ops import keeper
from gateway.ops.keeper import Full, Keeper


def test_a_secret_is_a_private_file(tmp_path: Path) -> None:
    path = Keeper(tmp_path / "secrets").keep("plant-password", "tide")
    assert path.read_text() == "tide"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_another_text_is_another_file_and_the_same_the_same(tmp_path: Path) -> None:
    first, again = (Keeper(tmp_path).keep("plant-password", "tide") for _ in range(2))
    other = Keeper(tmp_path).keep("plant-password", "ebb")
    assert first == again
    assert first != other
    assert first.read_text() == "tide"


def test_a_files_name_says_nothing_about_what_is_in_it(tmp_path: Path) -> None:
    assert Keeper(tmp_path / "a").keep("x", "tide").name != Keeper(tmp_path / "b").keep("x", "tide").name


def test_there_is_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "MOST", 3)
    for text in ("a", "b", "c"):
        Keeper(tmp_path).keep("x", text)
    with pytest.raises(Full, match="3 secrets"):
        Keeper(tmp_path).keep("x", "d")
    Keeper(tmp_path).keep("x", "a")
