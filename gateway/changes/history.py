"""What the configuration was, who changed it, why, and what came of it: plain files, the newest hundred.

A revision is two files: ``000012.json`` says what happened, ``000012.tar`` is the tree, to be read with tar. Every
file is replaced as a whole; one that a power cut left half written is never seen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import orjson

from gateway.actors import Actor
from gateway.config.archive import Damaged, pack_tree, unpack_tree
from gateway.config.tree import Tree
from gateway.ops.files import write_atomically

log = logging.getLogger(__name__)

MAX_REVISIONS = 100
MAX_BYTES = 64 << 20

Kind = Literal["found", "edited outside", "change", "rollback"]
Outcome = Literal["pending", "confirmed", "rolled back", "not run"]
"""``not run``: it stood in the files, and was changed again before a start."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One configuration that ran, or was tried."""

    number: int
    at_ms: int
    """When it came, Unix time."""
    kind: Kind
    """``found``: at the first start; ``edited outside``: by hand, seen at a start or before a change."""
    author: str
    role: str
    via: str
    reason: str
    digest: str
    outcome: Outcome
    decided_by: str | None = None
    """Who confirmed it or took it back; the gateway itself is ``gateway``."""
    why: str | None = None
    """Why it was taken back."""
    changes: tuple[str, ...] = ()
    """What it changed, a sentence each; the first ones."""


class History:
    """The revisions in one directory. Blocking; one owner."""

    def __init__(self, directory: Path, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        """Raises OSError."""
        self._directory = directory
        self._now_ms = now_ms
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._revisions: dict[int, Revision] = {}
        for path in sorted(directory.glob("*.json")):
            try:
                body = orjson.loads(path.read_bytes())
                revision = Revision(**{**body, "changes": tuple(body["changes"])})
                self._revisions[revision.number] = revision
            except (OSError, ValueError, TypeError, KeyError) as error:
                log.warning("the revision %s can't be read and is left out: %s", path, error)
        for path in directory.glob("*.new"):
            path.unlink(missing_ok=True)

    @property
    def revisions(self) -> list[Revision]:
        """The newest first."""
        return sorted(self._revisions.values(), key=lambda revision: -revision.number)

    def get(self, number: int) -> Revision | None:
        return self._revisions.get(number)

    def tree(self, number: int) -> Tree | None:
        """The files of a revision; None if they aren't there or aren't what was written."""
        try:
            return unpack_tree(self._path(number, "tar").read_bytes())[0]
        except OSError:
            return None
        except Damaged as error:
            log.warning("the files of revision %d are damaged: %s", number, error)
            return None

    @property
    def in_force(self) -> Revision | None:
        """The newest one that was confirmed."""
        return next((each for each in self.revisions if each.outcome == "confirmed"), None)

    @property
    def previous(self) -> Revision | None:
        """The one that was in force before."""
        confirmed = [each for each in self.revisions if each.outcome == "confirmed"]
        return next((each for each in confirmed[1:] if each.digest != confirmed[0].digest), None)

    def add(
        self,
        tree: Tree,
        kind: Kind,
        actor: Actor,
        reason: str,
        outcome: Outcome,
        changes: tuple[str, ...] = (),
    ) -> Revision:
        """Keep a revision; when this returns it is on the disk. Raises OSError."""
        revision = Revision(
            max(self._revisions, default=0) + 1,
            self._now_ms(),
            kind,
            actor.name,
            actor.role.value,
            actor.via,
            reason,
            tree.digest,
            outcome,
            changes=changes,
        )
        write_atomically(self._path(revision.number, "tar"), pack_tree(tree))
        self._write(revision)
        self._bound()
        return revision

    def decide(self, number: int, outcome: Outcome, by: Actor, why: str | None = None) -> Revision:
        """Say what came of a revision. Raises OSError, KeyError."""
        revision = replace(self._revisions[number], outcome=outcome, decided_by=by.name, why=why)
        self._write(revision)
        return revision

    def _write(self, revision: Revision) -> None:
        write_atomically(self._path(revision.number, "json"), orjson.dumps(revision, option=orjson.OPT_INDENT_2))
        self._revisions[revision.number] = revision

    def _bound(self) -> None:
        """Drop the oldest, but never what is in force and never the newest."""
        force = self.in_force
        size = sum(path.stat().st_size for path in self._directory.iterdir())
        for number in sorted(self._revisions)[:-1]:
            if len(self._revisions) <= MAX_REVISIONS and size <= MAX_BYTES:
                return
            if force is not None and number == force.number:
                continue
            # What is said of it goes first: files of which nothing is said are no revision.
            for suffix in ("json", "tar"):
                path = self._path(number, suffix)
                size -= path.stat().st_size if path.exists() else 0
                path.unlink(missing_ok=True)
            del self._revisions[number]

    def _path(self, number: int, suffix: str) -> Path:
        return self._directory / f"{number:06d}.{suffix}"
