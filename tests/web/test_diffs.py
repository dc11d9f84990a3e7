"""Diffs as lines, and two changes of one text made into one."""

from __future__ import annotations

import pytest

from gateway.changes.diff import diff
from gateway.config.tree import Tree
from gateway.web.diffs import MOST_LINES, lines_of, merged, unified

BASE = "[a]\nx = 1\n\n[b]\ny = 2\n\n[c]\nz = 3\n"


def shown(patch: str) -> list[tuple[str, int | None, int | None, str]]:
    return [(line.kind, line.old, line.new, "".join(text for text, _ in line.pieces)) for line in lines_of(patch)]


def test_lines_have_their_numbers_on_both_sides() -> None:
    old, new = Tree("t.toml", {"t.toml": BASE.encode()}), Tree("t.toml", {"t.toml": BASE.replace("2", "20").encode()})
    [file] = diff(old, new)
    assert shown(file.patch) == [
        ("gap", None, None, "…"),
        ("same", 2, 2, "x = 1"),
        ("same", 3, 3, ""),
        ("same", 4, 4, "[b]"),
        ("remove", 5, None, "y = 2"),
        ("add", None, 5, "y = 20"),
        ("same", 6, 6, ""),
        ("same", 7, 7, "[c]"),
        ("same", 8, 8, "z = 3"),
    ]
    assert lines_of(file.patch)[5].pieces == [("y = 2", False), ("0", True)]


def test_lines_that_look_like_a_patch_stay_text() -> None:
    patch = unified("--- a\n", "+++ b\n@@ -1 +1 @@\n", "t")
    assert shown(patch) == [
        ("remove", 1, None, "--- a"),
        ("add", None, 1, "+++ b"),
        ("add", None, 2, "@@ -1 +1 @@"),
    ]


def test_a_file_that_ends_without_a_line_feed_and_one_that_is_no_text() -> None:
    [file] = diff(Tree("t", {"t": b"a\n"}), Tree("t", {"t": b"a"}))
    assert [line.kind for line in lines_of(file.patch)] == ["remove", "add", "note"]
    [file] = diff(Tree("t", {"t": b"\xff"}), Tree("t", {"t": b"\xfe"}))
    assert [line.kind for line in lines_of(file.patch)] == ["note"]


def test_what_nobody_reads_to_its_end_is_cut_and_says_so() -> None:
    lines = lines_of(unified("", "x\n" * (MOST_LINES + 5), "t"))
    assert len(lines) == MOST_LINES + 1
    assert lines[-1].kind == "note"


@pytest.mark.parametrize(
    ("mine", "theirs", "both"),
    [
        ("x = 1>x = 9", "z = 3>z = 7", "[a]\nx = 9\n\n[b]\ny = 2\n\n[c]\nz = 7\n"),
        ("x = 1>x = 9", "x = 1>x = 9", "[a]\nx = 9\n\n[b]\ny = 2\n\n[c]\nz = 3\n"),
        ("x = 1>x = 9", "x = 1>x = 8", None),
        ("x = 1\n>", "y = 2>y = 4", "[a]\n\n[b]\ny = 4\n\n[c]\nz = 3\n"),
        ("z = 3\n>z = 3\n[d]\n", "z = 3\n>z = 3\n[e]\n", None),
        ("[b]>[bb]", "y = 2>y = 4", None),
    ],
)
def test_both_changes_of_a_text(mine: str, theirs: str, both: str | None) -> None:
    assert merged(BASE, BASE.replace(*mine.split(">")), BASE.replace(*theirs.split(">"))) == both
