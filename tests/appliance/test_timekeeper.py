"""On a board without a battery time never goes back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tidegate_appliance.timekeeper import restore, save

S = 1_000_000_000
RELEASE_S = 1_780_000_000


class Board:
    """One whose clock starts in 1970."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now_ns = 7 * S
        self.note("usr/lib/tidegate/appliance/release", RELEASE_S)

    def note(self, name: str, seconds: int, body: str = "") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
        os.utime(path, (seconds, seconds))

    def set(self, ns: int) -> None:
        self.now_ns = ns

    def start(self) -> int:
        return restore(self.root, lambda: self.now_ns, self.set)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_at_the_first_start_it_is_the_date_of_the_release(board: Board) -> None:
    assert board.start() == (RELEASE_S - 7) * S
    assert board.now_ns == RELEASE_S * S


@pytest.mark.parametrize(
    ("noted", "body"),
    [
        ("data/state/timesync/clock", ""),
        ("data/appliance/clock", ""),
        ("data/state/tidegate/clock", f"{(RELEASE_S + 500) * S}\n"),
    ],
)
def test_whoever_noted_the_latest_time_is_believed(board: Board, noted: str, body: str) -> None:
    board.note("data/appliance/clock", RELEASE_S + 100)
    board.note(noted, RELEASE_S + 500 if not body else 0, body)
    board.start()
    assert board.now_ns == (RELEASE_S + 500) * S


def test_a_clock_that_is_ahead_is_never_set_back(board: Board) -> None:
    board.now_ns = (RELEASE_S + 1_000_000) * S
    assert board.start() == 0
    assert board.now_ns == (RELEASE_S + 1_000_000) * S


def test_what_nobody_could_have_written_is_not_believed(board: Board) -> None:
    board.note("data/state/timesync/clock", 5_000_000_000)
    board.note("data/state/tidegate/clock", 0, "half a num")
    board.start()
    assert board.now_ns == RELEASE_S * S


def test_what_was_saved_is_restored(board: Board) -> None:
    saved_s = time.time()
    save(board.root)
    board.start()
    assert abs(board.now_ns - saved_s * S) < 60 * S


def test_it_needs_nothing_but_the_standard_library() -> None:
    """It runs before everything else, and everything else waits for it."""
    program = "import sys, tidegate_appliance.timekeeper; print([n for n in sys.modules if n.startswith('gateway')])"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
