"""Texts side by side: unified diffs as lines to be shown, and two changes of one text made into one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
MOST_LINES = 2000
"""Of one diff: more nobody reads, and a browser takes long over it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a diff."""

    kind: str
    """``same``, ``add``, ``remove``, ``gap`` (lines are left out) or ``note``."""
    old: int | None
    """Its number before; None: it wasn't there."""
    new: int | None
    pieces: Sequence[tuple[str, bool]]
    """Its text, and of each piece whether just that differs."""


def lines_of(patch: str) -> list[Line]:
    """A unified diff of one file. Over `MOST_LINES` the rest is left out, and said to be."""
    found: list[Line] = []
    for line in _lines(patch):
        if len(found) == MOST_LINES:
            found.append(Line("note", None, None, [("… more lines; export the patch to see them all", False)]))
            break
        found.append(line)
    return found


def _lines(patch: str) -> Iterator[Line]:
    old = new = 0
    removed: list[str] = []
    added: list[str] = []
    begun = False
    for text in patch.split("\n"):
        sign, rest = text[:1], text[1:]
        if begun and sign in ("-", "+"):
            (removed if sign == "-" else added).append(rest)
            continue
        yield from _pairs(removed, added, old, new)
        old, new = old + len(removed), new + len(added)
        removed, added = [], []
        if hunk := _HUNK.match(text):
            if begun or int(hunk[1]) > 1:
                yield Line("gap", None, None, [("…", False)])
            old, new, begun = int(hunk[1]), int(hunk[2]), True
        elif begun and sign == " ":
            yield Line("same", old, new, [(rest, False)])
            old, new = old + 1, new + 1
        elif begun and sign == "\\":
            yield Line("note", None, None, [("No line feed at the end of the file.", False)])
        elif text.startswith("Binary"):
            yield Line("note", None, None, [("It isn't text, and it differs.", False)])


def _pairs(removed: Sequence[str], added: Sequence[str], old: int, new: int) -> Iterator[Line]:
    """Lines that went and lines that came in their stead; what just differs is marked in both."""
    before: list[Sequence[tuple[str, bool]]] = []
    after: list[Sequence[tuple[str, bool]]] = []
    for was, now in zip_longest(removed, added):
        pieces = _marked(was, now) if was is not None and now is not None else None
        if was is not None:
            before.append(pieces[0] if pieces else [(was, False)])
        if now is not None:
            after.append(pieces[1] if pieces else [(now, False)])
    yield from (Line("remove", old + at, None, each) for at, each in enumerate(before))
    yield from (Line("add", None, new + at, each) for at, each in enumerate(after))


def _marked(was: str, now: str) -> tuple[Sequence[tuple[str, bool]], Sequence[tuple[str, bool]]] | None:
    """Both lines in pieces; None where they have too little in common for that to help."""
    shorter = min(len(was), len(now))
    head = next((at for at in range(shorter) if was[at] != now[at]), shorter)
    tail = next((at for at in range(shorter - head) if was[-1 - at] != now[-1 - at]), shorter - head)
    if head + tail < 3:
        return None
    return _cut(was, head, tail), _cut(now, head, tail)


def _cut(text: str, head: int, tail: int) -> list[tuple[str, bool]]:
    end = len(text) - tail
    parts = [(text[:head], False), (text[head:end], True), (text[end:], False)]
    return [part for part in parts if part[0]]


def unified(old: str, new: str, name: str) -> str:
    """What turns one text into another, as the control API tells it of files."""
    return "".join(difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), name, name))


def merged(base: str, mine: str, theirs: str) -> str | None:
    """Both changes of a text in one; None where they are at the same place or next to each other."""
    lines = base.splitlines(keepends=True)
    edits = sorted([*_edits(lines, mine), *_edits(lines, theirs)], key=lambda edit: edit[:2])
    out: list[str] = []
    at = 0
    last: tuple[int, int, tuple[str, ...]] | None = None
    for edit in edits:
        start, end, text = edit
        if edit == last:
            continue
        if last is not None and start <= last[1]:
            return None
        out += [*lines[at:start], *text]
        at, last = end, edit
    return "".join([*out, *lines[at:]])


def _edits(base: Sequence[str], text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """(first line, line after the last, what stands there instead)."""
    other = text.splitlines(keepends=True)
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, base, other, autojunk=False).get_opcodes():
        if tag != "equal":
            yield i1, i2, tuple(other[j1:j2])
