"""What differs, as text and in words."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.changes.diff import as_patch, conflicts, diff, merged
from gateway.changes.meaning import meanings, named
from gateway.config.document import in_place
from gateway.config.edit import Edit, edit
from gateway.config.tree import Tree

SAMPLE = Path(__file__).parents[2] / "docs" / "sample" / "tidegate.toml"


@pytest.fixture(scope="module")
def sample() -> Tree:
    return in_place(SAMPLE)


LINES = st.lists(st.sampled_from(["a", "b", "", "c\r", "\u2028", "é", "x" * 40]), max_size=12)
TEXTS = st.tuples(LINES, st.booleans()).map(lambda each: "\n".join(each[0]) + "\n" * each[1])


def tree(*texts: str | None) -> Tree:
    names = ("a.toml", "conf.d/b.toml", "c.csv")
    return Tree("a.toml", {name: text.encode() for name, text in zip(names, texts, strict=True) if text is not None})


@settings(max_examples=50)
@given(st.tuples(TEXTS, st.none() | TEXTS, st.none() | TEXTS), st.tuples(TEXTS, st.none() | TEXTS, st.none() | TEXTS))
def test_the_patch_makes_the_new_tree_of_the_old(
    before: tuple[str, str | None, str | None], after: tuple[str, str | None, str | None]
) -> None:
    """As judged by git, which takes patches by the byte."""
    # A plain unified diff can't say that an empty file came or went.
    assume(not any({was, now} == {None, ""} for was, now in zip(before, after, strict=True)))
    old, new = tree(*before), tree(*after)
    patch = as_patch(old, new)
    with tempfile.TemporaryDirectory() as name:
        for file, body in old.files.items():
            (Path(name) / file).parent.mkdir(exist_ok=True)
            (Path(name) / file).write_bytes(body)
        if patch:
            subprocess.run(["git", "apply", "-"], cwd=name, input=patch.encode(), check=True, capture_output=True)
        left = {str(p.relative_to(name)): p.read_bytes() for p in Path(name).rglob("*") if p.is_file()}
    assert left == new.files


def test_files_that_are_no_text_are_named() -> None:
    (found,) = diff(Tree("a", {"a": b"\xff"}), Tree("a", {"a": b"x"}))
    assert found.patch == "Binary files a/a and b/a differ\n"


def test_three_ways() -> None:
    base = Tree("a", {"a": b"1", "b": b"1", "c": b"1", "d": b"1", "e": b"1"})
    mine = Tree("a", {"a": b"2", "b": b"1", "c": b"2", "d": b"2", "n": b"2"})
    theirs = Tree("a", {"a": b"1", "b": b"3", "c": b"3", "d": b"2", "e": b"3"})
    found = conflicts(base, mine, theirs)
    assert [(each.name, each.base, each.mine, each.theirs) for each in found] == [
        ("c", "1", "2", "3"),
        ("e", "1", None, "3"),
    ]
    assert merged(base, mine, theirs).files == {"a": b"2", "b": b"3", "c": b"2", "d": b"2", "n": b"2"}


def said(old: Tree, *edits: Edit) -> list[str]:
    found = meanings(old, edit(old, edits))
    assert found is not None
    return [each.sentence for each in found]


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (
            Edit("set", ("device", "filler1", "group", "fast", "interval_ms"), 1000),
            ["device filler1, group fast: interval_ms 250 → 1000"],
        ),
        (Edit("set", ("gateway", "area"), "packing"), ['gateway.area "bottling" → "packing"']),
        (Edit("remove", ("gateway", "area")), ['gateway.area "bottling" removed']),
        (Edit("set", ("gateway", "line"), "l1"), ['gateway.line "l1" added']),
        (Edit("add", ("sink",), {"name": "cloud", "host": "c"}), ["sink cloud added"]),
        (Edit("remove", ("device", "filler1")), ["device filler1 removed (2 groups, 12 tags)"]),
        (
            Edit("set", ("device", "filler1", "group", "slow", "tag", "tank/level", "high"), 50),
            ["device filler1, group slow, tag tank/level: high 100 → 50"],
        ),
        (
            Edit("set", ("device", "filler1", "group", "slow", "tag", "tank/level", "report", "deadband"), 50),
            ["device filler1, group slow, tag tank/level: report.deadband 0.5 → 50"],
        ),
        (
            Edit("add", ("device", "filler1", "group", "slow", "tag"), {"name": "x", "address": "hr:1"}),
            ["device filler1, group slow, tag x added"],
        ),
        (
            Edit("set", ("template", "energy-meter", "group", "power", "interval_ms"), 5),
            ["template energy-meter, group power: interval_ms 1000 → 5"],
        ),
        (
            Edit("set", ("sink", "plant", "tls"), {"ca": "x"}),
            ['sink plant: tls.ca "/etc/tidegate/tls/plant-ca.pem" → "x"'],
        ),
        (
            Edit("set", ("link", "filler", "breaker", "failures"), 3.0),
            ["link filler: breaker.failures 3 → 3.0"],
        ),
    ],
)
def test_in_words(sample: Tree, change: Edit, sentences: list[str]) -> None:
    assert said(sample, change) == sentences


def test_layout_and_comments_mean_nothing(sample: Tree) -> None:
    other = sample.replaced({name: body.replace(b"  ", b" ") for name, body in sample.files.items()})
    assert meanings(sample, other) == []
    assert meanings(sample, sample.replaced({"tidegate.toml": b"oops"})) is None


def test_a_tag_may_move_between_a_table_and_a_file(sample: Tree) -> None:
    """It is the same tag, wherever it stands."""
    level = named(sample)["device"]["filler1"]["group"]["slow"]["tag"]["tank/level"]
    assert level["scale"] == 0.1
    assert level["clamp"] is True
    assert level["report"] == {"deadband": 0.5, "max_interval_ms": 60000}
