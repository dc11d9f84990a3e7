"""What this room keeps in the data directory: the history and the owner. Blocking; a full disk never stops a start."""

from __future__ import annotations

import logging
from pathlib import Path

from gateway.actors import Actor
from gateway.changes import commit
from gateway.changes.errors import ChangeRefused
from gateway.changes.history import History, Kind, Outcome, Revision
from gateway.changes.owner import Owner, read_owner, write_owner
from gateway.changes.start import Start, directory_of, remember_where
from gateway.config.tree import Tree

log = logging.getLogger(__name__)

ENDED = "the gateway ended before the change was confirmed"


class Records:
    """The history and the owner of one gateway, as far as the disk lets them be had."""

    def __init__(self, main: Path, data_dir: Path) -> None:
        self._main = main
        self._data_dir = data_dir
        self.directory = directory_of(data_dir)
        self._history: History | None = None
        self.owner = Owner()

    def open(self, start: Start) -> list[Revision]:
        """Take up what the last run has left, and note what runs now. The revisions that this decided or added."""
        try:
            self._history = history = History(self.directory / "revisions")
            self.owner = read_owner(self._owner_path)
        except OSError as error:
            log.error("the configuration's history can't be had, so it can't be changed: %s", error)
            return []
        told: list[Revision] = []
        try:
            commit.clear(self._main, start.tree)
            undecided = [revision for revision in history.revisions if revision.outcome == "pending"]
            told += [self._judge(history, revision, start) for revision in undecided]
            if start.origin == "files":
                told += self._note(history, start.tree, "confirmed")
            remember_where(self._main, self._data_dir)
        except OSError as error:
            log.error("the configuration's history can't be written: %s", error)
        return told

    @property
    def history(self) -> History:
        """Raises ChangeRefused where there is none."""
        if self._history is None:
            raise ChangeRefused(
                507, "no-history", f"{self.directory} can't be used, so nothing can be changed", "mend the disk"
            )
        return self._history

    @property
    def revisions(self) -> list[Revision]:
        """The newest first; none where there is no history."""
        return self._history.revisions if self._history is not None else []

    def revision(self, number: int) -> Revision:
        """Raises ChangeRefused."""
        found = self.history.get(number)
        if found is None:
            raise ChangeRefused(
                404, "no-such-revision", f"there is no revision {number}", "see: tidegate config history"
            )
        return found

    def tree(self, number: int) -> Tree:
        """Raises ChangeRefused."""
        self.revision(number)
        tree = self.history.tree(number)
        if tree is None:
            raise ChangeRefused(
                404, "revision-lost", f"the files of revision {number} can't be read any more", "take another revision"
            )
        return tree

    def note_edit(self, tree: Tree) -> None:
        """Keep what somebody put in place by hand, before it is changed. Raises OSError."""
        self._note(self.history, tree, "not run")

    def set_owner(self, owner: Owner) -> None:
        """Raises OSError."""
        write_owner(self._owner_path, owner)
        self.owner = owner

    @property
    def _owner_path(self) -> Path:
        return self.directory / "owner.json"

    def _judge(self, history: History, revision: Revision, start: Start) -> Revision:
        """What came of a change that was unconfirmed when the last run ended: the files say."""
        if start.origin == "files" and start.tree.digest == revision.digest:
            return history.decide(revision.number, "confirmed", Actor.gateway())
        log.warning("revision %d was not confirmed, so the configuration before it runs", revision.number)
        return history.decide(revision.number, "rolled back", Actor.gateway(), ENDED)

    def _note(self, history: History, tree: Tree, outcome: Outcome) -> list[Revision]:
        """A revision of what stands in place, unless that is known already."""
        known = history.in_force
        if known is not None and known.digest == tree.digest:
            return []
        newest = next(iter(history.revisions), None)
        if outcome == "not run" and newest is not None and (newest.digest, newest.outcome) == (tree.digest, outcome):
            return []
        kind: Kind = "found" if known is None else "edited outside"
        somebody = Actor("somebody", Actor.gateway().role, "the files")
        return [history.add(tree, kind, somebody, "", outcome)]
