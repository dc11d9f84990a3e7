"""Every folder of `bad/` is a configuration with one kind of mistake, and what the user is told, word for word.

To take over changed words after reading them: ``REWRITE=1 pytest tests/config/test_bad.py``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ConfigErrors, Problem, load

BAD = Path(__file__).parent / "bad"
CASES = sorted(path for path in BAD.iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_user_is_told(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(case, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.rglob("*.txt"):
        file.chmod(0o600)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigErrors) as caught:
        load(Path("tidegate.toml"))
    told = f"{caught.value}\n"
    expected = case / "expected.txt"
    if os.environ.get("REWRITE"):
        expected.write_text(told, "utf-8")
    assert told == expected.read_text("utf-8")


def all_expected() -> str:
    return "".join((case / "expected.txt").read_text("utf-8") for case in CASES)


def test_every_problem_says_how_to_mend_it() -> None:
    lines = all_expected().splitlines()
    problems, mends = lines[::2], lines[1::2]
    assert len(problems) == len(mends)
    assert all(mend.startswith("  → ") for mend in mends)
    assert not any(problem.startswith(" ") for problem in problems)


def test_no_secret_is_repeated() -> None:
    assert "hunter2" in (BAD / "secret_in_clear" / "tidegate.toml").read_text()
    assert "hunter2" not in all_expected()


def test_an_unreadable_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tidegate.toml"
    open_any = Path.open

    def refuse(self: Path, *args: Any, **named: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return open_any(self, *args, **named)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigErrors) as caught:
        load(path)
    assert caught.value.problems == (
        Problem(path, None, "the file can't be read: permission denied", f"run chmod a+r {path}"),
    )


def test_a_directory_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "tidegate.toml").mkdir()
    with pytest.raises(ConfigErrors, match="is a directory, but must be a file\n  → mend the path"):
        load(tmp_path / "tidegate.toml")
    with pytest.raises(ConfigErrors, match=r"did you mean .*/tidegate.toml"):
        load(tmp_path)
