"""The history keeps what matters, within bounds, and reads what a power cut left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.changes import history as room
from gateway.changes.draft import DraftFile, begun, changed
from gateway.changes.history import History
from gateway.config.archive import Damaged
from gateway.config.tree import Tree
from tests.changes.conftest import ANNA


def tree(text: str) -> Tree:
    return Tree("a.toml", {"a.toml": text.encode()}, frozenset({"/x.csv"}))


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    history = History(tmp_path, lambda: 7)
    first = history.add(tree("1"), "found", ANNA, "", "confirmed")
    second = history.add(tree("2"), "change", ANNA, "why not", "pending", ("a 1 → 2",))
    decided = history.decide(2, "rolled back", ANNA, "nobody was there")
    again = History(tmp_path)
    assert again.revisions == [decided, first]
    assert (decided.number, decided.at_ms, decided.author, decided.reason) == (2, 7, "anna", "why not")
    assert (decided.why, decided.changes, decided.digest) == ("nobody was there", second.changes, tree("2").digest)
    assert again.in_force == first
    assert again.previous is None
    found = again.tree(2)
    assert found == tree("2")
    assert found is not None
    assert found.outside == {"/x.csv"}
    assert again.tree(9) is None


def test_it_is_bounded_and_never_forgets_what_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_REVISIONS", 5)
    history = History(tmp_path)
    history.add(tree("first"), "found", ANNA, "", "confirmed")
    for number in range(20):
        history.add(tree(str(number)), "change", ANNA, "", "rolled back")
    assert [each.number for each in history.revisions] == [21, 20, 19, 18, 1]
    assert sorted(path.name for path in tmp_path.iterdir())[::2] == [f"{n:06d}.json" for n in (1, 18, 19, 20, 21)]
    monkeypatch.setattr(room, "MAX_BYTES", 200_000)
    for number in range(3):
        history.add(tree("x" * 90_000 + str(number)), "change", ANNA, "", "rolled back")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 300_000
    assert History(tmp_path).revisions == history.revisions
    assert history.revisions[-1].number == 1


def test_what_can_not_be_read_is_left_out(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add(tree("1"), "found", ANNA, "", "confirmed")
    history.add(tree("2"), "change", ANNA, "", "confirmed")
    (tmp_path / "000002.json").write_bytes(b"{")
    (tmp_path / "000003.json").write_bytes(b'{"number": 3}')
    (tmp_path / "000004.json.new").write_bytes(b"")
    (tmp_path / "000001.tar").write_bytes((tmp_path / "000001.tar").read_bytes().replace(b"1", b"2"))
    history = History(tmp_path)
    assert [each.number for each in history.revisions] == [1]
    assert history.tree(1) is None
    assert not (tmp_path / "000004.json.new").exists()
    assert history.add(tree("3"), "change", ANNA, "", "confirmed").number == 2


def test_the_draft_is_kept(tmp_path: Path) -> None:
    file = DraftFile(tmp_path / "draft.tar")
    assert file.read() is None
    draft = changed(begun(tree("1"), ANNA), tree("2").replaced({"conf.d/x.toml": b"\xff"}), ANNA)
    file.write(draft)
    assert file.read() == draft
    assert draft.version != begun(tree("1"), ANNA).version
    (tmp_path / "draft.tar").write_bytes((tmp_path / "draft.tar").read_bytes().replace(b"\xff", b"\xfe"))
    with pytest.raises(Damaged):
        file.read()
    file.remove()
    assert file.read() is None
