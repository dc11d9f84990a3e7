"""The one draft: a tree that somebody is working on, and the tree they started from. It survives restarts."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.actors import Actor
from gateway.changes.bodies import DraftBody
from gateway.config.archive import Damaged, pack, unpack
from gateway.config.tree import Tree
from gateway.ops.files import sync_directory, write_atomically

_BASE, _MINE = "base/", "mine/"


@dataclass(frozen=True, slots=True)
class Draft:
    base: Tree
    """What was in place when it was begun."""
    tree: Tree
    author: str
    """Who began it."""
    changed_by: str
    """Who changed it last."""
    changed_at_ms: int
    begun_at_ms: int

    @property
    def version(self) -> str:
        """Tells whether it is still what somebody saw."""
        return hashlib.sha256(f"{self.base.digest} {self.tree.digest}".encode()).hexdigest()[:16]

    def body(self) -> DraftBody:
        """Without the files."""
        return {
            "version": self.version,
            "base": self.base.digest,
            "digest": self.tree.digest,
            "author": self.author,
            "changed_by": self.changed_by,
            "changed_at_ms": self.changed_at_ms,
            "begun_at_ms": self.begun_at_ms,
        }


def begun(base: Tree, actor: Actor) -> Draft:
    """A draft in which nothing has changed yet."""
    now_ms = _now_ms()
    return Draft(base, base, actor.name, actor.name, now_ms, now_ms)


def changed(draft: Draft, tree: Tree, actor: Actor) -> Draft:
    return replace(draft, tree=tree, changed_by=actor.name, changed_at_ms=_now_ms())


class DraftFile:
    """Where the draft is kept. Blocking."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Draft | None:
        """Raises OSError, Damaged."""
        try:
            files, note = unpack(self._path.read_bytes())
        except FileNotFoundError:
            return None
        try:
            outside = frozenset(note["outside"])
            base, mine = (
                Tree(note["main"], {n.removeprefix(top): b for n, b in files.items() if n.startswith(top)}, outside)
                for top in (_BASE, _MINE)
            )
            if (base.digest, mine.digest) != (note["base"], note["mine"]):
                raise Damaged("its content isn't what was written")
            return Draft(base, mine, note["author"], note["changed_by"], note["changed_at_ms"], note["begun_at_ms"])
        except (KeyError, TypeError) as error:
            raise Damaged(f"not a draft of ours: {error!r}") from None

    def write(self, draft: Draft) -> None:
        """Raises OSError."""
        files = {_BASE + name: body for name, body in draft.base.files.items()}
        files |= {_MINE + name: body for name, body in draft.tree.files.items()}
        note = {
            "main": draft.base.main,
            "outside": sorted(draft.base.outside),
            "base": draft.base.digest,
            "mine": draft.tree.digest,
            "author": draft.author,
            "changed_by": draft.changed_by,
            "changed_at_ms": draft.changed_at_ms,
            "begun_at_ms": draft.begun_at_ms,
        }
        write_atomically(self._path, pack(files, note))

    def remove(self) -> None:
        """Raises OSError."""
        self._path.unlink(missing_ok=True)
        sync_directory(self._path.parent)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
