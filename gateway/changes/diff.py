"""What differs between two trees as text: unified diffs that ``patch -p1`` takes, and three-way comparisons."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gateway.config.tree import Tree

_NO_NEWLINE = "\\ No newline at end of file\n"


@dataclass(frozen=True, slots=True)
class FileDiff:
    name: str
    what: Literal["added", "removed", "changed"]
    patch: str
    """A unified diff; for a file that isn't UTF-8 text one sentence."""


@dataclass(frozen=True, slots=True)
class FileConflict:
    """A file of which two people made different things."""

    name: str
    base: str | None
    """Its text when the draft was begun. None: it wasn't there."""
    mine: str | None
    """In the draft."""
    theirs: str | None
    """In place now."""


def diff(old: Tree, new: Tree) -> list[FileDiff]:
    """Every file that differs, in the order of names, the main file first."""
    found = []
    for name in _names(old, new):
        before, after = old.files.get(name), new.files.get(name)
        if before == after:
            continue
        what: Literal["added", "removed", "changed"] = (
            "added" if before is None else "removed" if after is None else "changed"
        )
        found.append(FileDiff(name, what, _unified(name, before, after)))
    return found


def as_patch(old: Tree, new: Tree) -> str:
    """All of it in one text, for ``patch -p1`` or ``git apply`` in the configuration's directory."""
    return "".join(each.patch for each in diff(old, new))


def conflicts(base: Tree, mine: Tree, theirs: Tree) -> list[FileConflict]:
    """The files that both sides changed, and not to the same."""
    found = []
    for name in sorted(base.files.keys() | mine.files.keys() | theirs.files.keys()):
        was, own, other = (tree.files.get(name) for tree in (base, mine, theirs))
        if own not in (was, other) and other != was:
            found.append(FileConflict(name, _shown(was), _shown(own), _shown(other)))
    return found


def merged(base: Tree, mine: Tree, theirs: Tree) -> Tree:
    """What is in place, with the files that only the draft changed. Of a file that both changed it has the draft's."""
    own = {
        name: mine.files.get(name)
        for name in base.files.keys() | mine.files.keys()
        if mine.files.get(name) != base.files.get(name)
    }
    return theirs.replaced(own)


def _names(old: Tree, new: Tree) -> Iterator[str]:
    names = old.files.keys() | new.files.keys()
    yield from sorted(names, key=lambda name: (name != new.main, name))


def _unified(name: str, before: bytes | None, after: bytes | None) -> str:
    try:
        old, new = ((body or b"").decode() for body in (before, after))
    except UnicodeDecodeError:
        return f"Binary files a/{name} and b/{name} differ\n"
    # By line feeds alone: a carriage return belongs to its line, and so do the other marks that Python would split at.
    lines = difflib.unified_diff(
        _lines(old),
        _lines(new),
        f"a/{name}" if before is not None else "/dev/null",
        f"b/{name}" if after is not None else "/dev/null",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}" for line in lines)


def _lines(text: str) -> list[str]:
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _shown(body: bytes | None) -> str | None:
    return None if body is None else body.decode("utf-8", "replace")
