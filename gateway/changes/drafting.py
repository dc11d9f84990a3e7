"""Working on the draft: whole files, parts of them by name, an imported tree; checked, compared, never applied here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gateway.actors import Actor
from gateway.changes.bodies import Difference
from gateway.changes.diff import FileConflict, FileDiff, as_patch, conflicts, diff, merged
from gateway.changes.draft import Draft, DraftFile, begun, changed
from gateway.changes.errors import ChangeRefused, Invalid, problem_body
from gateway.changes.meaning import meanings
from gateway.changes.start import Load
from gateway.config import ConfigErrors
from gateway.config.archive import Damaged, import_tree
from gateway.config.document import in_place
from gateway.config.edit import Edit, EditError, edit
from gateway.config.names import Mendable
from gateway.config.tree import Tree, check_file_name, check_size, trimmed
from gateway.ops.events import ConfigChanged
from gateway.settings import GatewaySettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two changes of one configuration."""

    base: str
    """The digest of what both began with."""
    in_place: str
    theirs: list[FileDiff]
    mine: list[FileDiff]
    conflicts: list[FileConflict]
    """The files that both changed."""


class Drafting:
    """The one draft of a gateway. Every change of it is on the disk when the call returns."""

    def __init__(
        self, main: Path, path: Path, load: Load, tell: Callable[[ConfigChanged], None] = lambda change: None
    ) -> None:
        self._main = main
        self._tell = tell
        self._load = load
        self._file = DraftFile(path)
        self._draft: Draft | None = None
        self._lock = asyncio.Lock()

    def open(self, running: Tree) -> None:
        """Take up the draft of the last run, unless that is what runs now. Blocking."""
        try:
            draft = self._file.read()
            if draft is not None and draft.base.digest != running.digest == trimmed(draft.tree).digest:
                self._file.remove()  # it was confirmed, and the power went before that was all
                return
            self._draft = draft
        except (OSError, Damaged) as error:
            log.error("the draft of the configuration is lost: %s", error)

    @property
    def draft(self) -> Draft | None:
        return self._draft

    def required(self, version: str | None = None) -> Draft:
        """The draft, if it still is the version that a caller saw. Raises ChangeRefused."""
        if self._draft is None:
            raise ChangeRefused(404, "no-draft", "there is no draft", "begin one by changing something")
        self._check(version)
        return self._draft

    async def put_files(self, actor: Actor, files: Mapping[str, bytes | None], version: str | None = None) -> Draft:
        """Replace, add or (by None) take out whole files. Raises ChangeRefused."""
        try:
            for name in files:
                check_file_name(name, self._main.name)
        except Mendable as error:
            raise ChangeRefused(409, "bad-file-name", f"the file name {error}", error.hint) from None
        if files.get(self._main.name, b"") is None:
            raise ChangeRefused(
                409, "main-file", f"{self._main.name} can't be taken out", "empty it, or put another in its place"
            )
        return await self._change(actor, version, lambda tree: tree.replaced(files))

    async def edit(self, actor: Actor, edits: Sequence[Edit], version: str | None = None) -> Draft:
        """Edit parts of files, all or nothing. Raises ChangeRefused."""
        return await self._change(actor, version, lambda tree: edit(tree, edits))

    async def replace(self, actor: Actor, tree: Tree, version: str | None = None) -> Draft:
        """Put a whole tree into the draft."""
        return await self._change(actor, version, lambda _: tree)

    async def import_archive(self, actor: Actor, body: bytes, version: str | None = None) -> Draft:
        """Put a tar archive into the draft. Raises ChangeRefused."""

        def unpacked(tree: Tree) -> Tree:
            try:
                return import_tree(body, tree.main, tree.outside)
            except Mendable as error:
                raise ChangeRefused(409, "bad-archive", f"the archive {error}", error.hint) from None

        return await self._change(actor, version, unpacked)

    async def rebase(self, actor: Actor, version: str | None = None) -> tuple[Draft, list[FileConflict]]:
        """Begin the draft anew from what is in place, with the files that it changed itself.

        The conflicts are those files that were changed in place as well; of them the draft's text is kept.
        """
        async with self._lock:
            draft = self.required(version)
            theirs = await self.in_place()
            found = conflicts(draft.base, draft.tree, theirs)
            fresh = replace(draft, base=theirs)
            return await self._keep(changed(fresh, merged(draft.base, draft.tree, theirs), actor)), found

    async def discard(self, version: str | None = None) -> None:
        """Throw the draft away; nothing happens if there is none."""
        async with self._lock:
            self._check(version)
            await asyncio.to_thread(self._file.remove)
            if self._draft is not None:
                self._draft = None
                self._tell(ConfigChanged("discarded", "the draft was thrown away"))

    async def settle(self, applied: Draft, tree: Tree) -> None:
        """The tree of `applied` is in place now: the draft is done with, or what was added since goes on from there."""
        async with self._lock:
            if self._draft is None or self._draft.begun_at_ms != applied.begun_at_ms:
                return
            if self._draft.version == applied.version:
                await asyncio.to_thread(self._file.remove)
                self._draft = None
            else:
                await self._keep(replace(self._draft, base=tree))

    async def in_place(self) -> Tree:
        """What stands in place. Raises ChangeRefused if it can't be read."""
        try:
            return await asyncio.to_thread(in_place, self._main)
        except ConfigErrors as errors:
            raise Invalid([problem_body(each, self._main) for each in errors.problems], "what is in place") from None

    async def check(self, tree: Tree) -> GatewaySettings:
        """What a tree resolves to. Raises Invalid."""
        try:
            return await asyncio.to_thread(self._load, tree)
        except ConfigErrors as errors:
            raise Invalid([problem_body(each, self._main) for each in errors.problems]) from None

    async def conflict(self, base: Tree, tree: Tree) -> Conflict | None:
        """What somebody else changed in place since `base`, beside what `tree` changes; None: nothing."""
        theirs = await self.in_place()
        if theirs.digest == base.digest:
            return None
        return Conflict(base.digest, theirs.digest, diff(base, theirs), diff(base, tree), conflicts(base, tree, theirs))

    async def refuse_conflict(self, base: Tree, tree: Tree) -> None:
        """Raises ChangeRefused if what is in place isn't what a change was made from."""
        found = await self.conflict(base, tree)
        if found is not None:
            raise ChangeRefused(
                409,
                "conflict",
                "the files were changed by somebody else since the draft was begun",
                "look at both changes, then take theirs in: tidegate config draft rebase",
                **asdict(found),
            )

    async def _change(self, actor: Actor, version: str | None, change: Callable[[Tree], Tree]) -> Draft:
        async with self._lock:
            self._check(version)
            draft = self._draft or begun(await self.in_place(), actor)
            try:
                tree = check_size(await asyncio.to_thread(change, draft.tree))
            except EditError as error:
                raise ChangeRefused(409, "bad-edit", error.message, error.hint, edit=error.index) from None
            except Mendable as error:
                raise ChangeRefused(413, "too-large", f"the configuration {error}", error.hint) from None
            return await self._keep(changed(draft, tree, actor))

    async def _keep(self, draft: Draft) -> Draft:
        try:
            await asyncio.to_thread(self._file.write, draft)
        except OSError as error:
            raise ChangeRefused(
                507, "disk", f"the draft can't be kept: {error.strerror or error}", "make room on the disk"
            ) from None
        self._draft = draft
        self._tell(ConfigChanged("drafted", f"{draft.changed_by} changed the draft"))
        return draft

    def _check(self, version: str | None) -> None:
        known = self._draft.version if self._draft is not None else ""
        if version is not None and version != known:
            raise ChangeRefused(
                409,
                "draft-changed",
                f"{self._draft.changed_by} changed the draft in the meantime" if self._draft else "the draft is gone",
                "look at it again, then repeat what you did",
                version=known,
            )


def differences(old: Tree, new: Tree) -> Difference:
    """As text and in words."""
    return {"files": diff(old, new), "patch": as_patch(old, new), "changes": meanings(old, new)}
