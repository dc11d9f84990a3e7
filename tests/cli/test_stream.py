"""Rows and progress share a terminal without spoiling each other, and no device's name moves the cursor."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from gateway.cli import stream
from gateway.cli.output import printable, table
from gateway.cli.stream import Stream
from tests.cli.test_output import Terminal


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Both streams are one terminal of 40 columns, and no progress is held back."""
    both = Terminal()
    monkeypatch.setattr(sys, "stdout", both)
    monkeypatch.setattr(sys, "stderr", both)
    monkeypatch.setattr(stream, "_REDRAW_S", -1.0)
    monkeypatch.setenv("COLUMNS", "40")
    return both


def shown(screen: Terminal) -> list[str]:
    """The lines on the screen: an erased one is gone."""
    lines = [""]
    for character in screen.getvalue().replace("\r\x1b[K", "\r"):
        if character == "\n":
            lines.append("")
        else:
            lines[-1] = "" if character == "\r" else lines[-1] + character
    return lines


def test_progress_never_stands_between_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    rows = Stream()
    rows.progress("unit 1", 1, 4)
    assert shown(screen) == ["█████░░░░░░░░░░░░░░░ 1/4  unit 1"]
    rows.row(["unit", "name"], [1, "pump"])
    rows.progress("unit 2, which has a name that is far too long for the line")
    assert shown(screen) == ["unit  name", "1     pump", "unit 2, which has a name that is far to"]
    rows.row(["unit", "name"], [1234567, "tank"])
    rows.end()
    assert shown(screen) == ["unit  name", "1     pump", "1234567  tank", ""]


def test_a_pipe_sees_rows_only(capsys: pytest.CaptureFixture[str]) -> None:
    rows = Stream()
    rows.progress("unit 1", 1, 4)
    rows.row(["unit", "name"], [1, None])
    rows.end()
    assert capsys.readouterr() == ("unit\tname\n1\t\n", "")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("\x1b[2Jgone\r\n", "\N{REPLACEMENT CHARACTER}[2Jgone" + 2 * "\N{REPLACEMENT CHARACTER}"),
        ("a\tb", "a\N{REPLACEMENT CHARACTER}b"),
        ("Füllhöhe °C", "Füllhöhe °C"),
        ((1, None, "x"), "1, , x"),
        (None, ""),
        (1.5, "1.5"),
    ],
)
def test_a_cell_is_one_line_that_moves_nothing(cell: Any, text: str) -> None:
    assert printable(cell) == text


def test_a_table_shows_brackets_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    table(["tag", "value"], [["a", "[red]x[/red]"], ["b", "[1, 2]"]])
    assert "[red]x[/red]" in screen.getvalue()
    assert "[1, 2]" in screen.getvalue()
