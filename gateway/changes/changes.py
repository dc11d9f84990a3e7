"""The configuration as a transaction: apply, then confirm, or it comes back by itself.

While a change is unconfirmed it only runs; the files in place are still the old ones. So whatever ends the process
before the confirmation, the next start finds the old configuration. The confirmation puts the files in place, all of
them or none (`gateway.changes.commit`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from gateway.actors import Actor
from gateway.changes import commit
from gateway.changes.bodies import Change, Overview, PendingBody, Trouble
from gateway.changes.diary import Diary
from gateway.changes.draft import Draft
from gateway.changes.drafting import Drafting
from gateway.changes.errors import ChangeRefused, Invalid, problem_body
from gateway.changes.history import Kind, Revision
from gateway.changes.meaning import meanings
from gateway.changes.owner import new_owner
from gateway.changes.pending import Pending
from gateway.changes.ports import Audit, How, Plant
from gateway.changes.records import Records
from gateway.changes.start import Start
from gateway.config.archive import Damaged
from gateway.config.tree import Tree, trimmed
from gateway.delta import Applied, ApplyFailed, Delta, NothingRuns
from gateway.ops.events import ConfigChanged
from gateway.ops.wellness import configured
from gateway.settings import GatewaySettings

log = logging.getLogger(__name__)

LOOK_S = 0.25
"""How often it is looked at whether all is well again."""
SETTLE_S = 2.0
"""For so long it must be."""
_CHANGES_KEPT = 20

T = TypeVar("T")


class Changes:
    """The configuration of a running gateway, and every change of it. Methods raise ChangeRefused."""

    def __init__(
        self, start: Start, plant: Plant, audit: Audit, tell: Callable[[ConfigChanged], None] = lambda change: None
    ) -> None:
        """`tell` is told what becomes of drafts and changes; it must not raise."""
        self.main = start.main
        """The main file."""
        self._start = start
        self._plant = plant
        self._tell = tell
        self.records = Records(start.main, start.settings.data_dir)
        self._diary = Diary(self.records, audit)
        self.drafting = Drafting(start.main, self.records.directory / "draft.tar", start.load, tell)
        self._running = start.tree
        self._settings = start.settings
        self._problems = start.problems
        self._pending: Pending | None = None
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._broken: asyncio.Future[None] | None = None

    # --- life ---

    async def open(self) -> None:
        """Take up what the last run has left. Call it when the data directory is this process's own."""
        self._broken = asyncio.get_running_loop().create_future()
        told = await asyncio.to_thread(self.records.open, self._start)
        await asyncio.to_thread(self.drafting.open, self._start.tree)
        for revision in told:
            action = {"confirmed": "config.confirm", "rolled back": "config.rollback"}[revision.outcome]
            if revision.kind in ("found", "edited outside"):
                action = "config.found"
            await self._diary.ended(Actor.gateway(), action, revision, "done", why=revision.why, kind=revision.kind)

    async def close(self) -> None:
        """End in order. A change that is unconfirmed is taken back by the next start."""
        if self._pending is not None:
            log.warning("revision %d is not confirmed: the next start takes it back", self._pending.revision.number)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def failed(self) -> None:
        """Return only if a change can be neither made nor taken back: then a new start must put things right."""
        assert self._broken is not None, "open() comes first"
        await asyncio.shield(self._broken)

    # --- looking ---

    @property
    def settings(self) -> GatewaySettings:
        """What runs."""
        return self._settings

    @property
    def running(self) -> Tree:
        """The files of what runs."""
        return self._running

    @property
    def pending(self) -> PendingBody | None:
        """The change that is unconfirmed."""
        return None if self._pending is None else self._pending.body(self._plant.well())

    @property
    def seconds_left(self) -> float | None:
        """Until the change that is unconfirmed is taken back; None: there is none."""
        return None if self._pending is None else self._pending.seconds_left

    def trouble(self) -> Trouble | None:
        """What is wrong with the files in place: why something else than they runs. None: nothing."""
        if not self._problems:
            return None
        return {
            "runs": self._start.origin,
            "revision": self._start.revision,
            "problems": [problem_body(problem, self.main) for problem in self._problems],
        }

    async def overview(self) -> Overview:
        """Everything about the configuration but its content."""
        try:
            tree = await self.drafting.in_place()
        except Invalid:
            tree = Tree(self.main.name, {})
        draft = self.drafting.draft
        before = self._pending.before if self._pending is not None else self._running
        return {
            "main": str(self.main),
            "digest": tree.digest if tree.files else None,
            "running_digest": self._running.digest,
            "files": [{"name": name, "bytes": len(tree.files[name])} for name in sorted(tree.files)],
            "edited_outside": tree.digest != before.digest,
            "owner": self.records.owner.body(),
            "pending": self.pending,
            "draft": None if draft is None else draft.body(),
            "trouble": self.trouble(),
            "needs_restart": list(self._plant.compare(self._start.settings, self._settings).needs_restart),
        }

    async def tree_of(self, what: str) -> Tree:
        """The files of ``files`` (what is in place), ``running``, ``draft``, or a revision by its number."""
        match what:
            case "files":
                return await self.drafting.in_place()
            case "running":
                return self._running
            case "draft":
                return await asyncio.to_thread(trimmed, self.drafting.required().tree)
        if not (what.isascii() and what.isdigit()):
            raise ChangeRefused(
                409, "bad-name", f"{what} names no configuration", "name files, running, draft, or a revision's number"
            )
        return await asyncio.to_thread(self.records.tree, int(what[:9]))

    async def effect(self, tree: Tree) -> Delta:
        """What applying a tree would restart. Raises ChangeRefused with the problems of an invalid one."""
        return self._plant.compare(self._settings, await self.drafting.check(tree))

    async def try_out(self, tree: Tree) -> Sequence[Any]:
        """Read once what a tree would change or add, without applying anything."""
        return await self._plant.try_out(await self.drafting.check(tree))

    # --- changing ---

    async def apply(self, actor: Actor, how: How, version: str | None = None) -> Change:
        """Run the draft. It is confirmed in time, or the old configuration comes back."""
        draft = self.drafting.required(version)
        tree = await asyncio.to_thread(trimmed, draft.tree)
        return await self._in_whole(self._apply(actor, how, "change", draft.base, tree, draft))

    async def rollback(self, actor: Actor, how: How, to: int | None = None) -> Change:
        """Go back: from the unconfirmed change to what ran before, or as a new change to an earlier revision.

        `to`: that revision. None: whatever was before. Answers as :meth:`apply` does; ``revision`` is the one taken
        back if a change was unconfirmed.
        """
        return await self._in_whole(self._go_back(actor, how, to))

    async def confirm(self, actor: Actor) -> Revision:
        """Make the change that runs permanent."""
        return await self._in_whole(self._confirm(actor))

    async def set_owner(self, actor: Actor, name: str) -> None:
        """Give the configuration to somebody: from then on only they change it."""
        async with self._lock:
            before, owner = self.records.owner.name, new_owner(name, actor)
            await self._diary.begin(actor, "config.owner", name, before=before)
            await self._diary.on_disk(self.records.set_owner, owner)
            await self._diary.ended_with(actor, "config.owner", name, "done", before=before)

    async def _apply(self, actor: Actor, how: How, kind: Kind, base: Tree, tree: Tree, draft: Draft | None) -> Change:
        async with self._lock:
            self.records.owner.admit(actor, how.acting_as)
            if self._pending is not None:
                number = self._pending.revision.number
                raise ChangeRefused(
                    409,
                    "pending",
                    f"revision {number} by {self._pending.revision.author} waits for its confirmation",
                    "confirm it or take it back first: tidegate config confirm, tidegate config rollback",
                    pending=self.pending,
                )
            await self.drafting.refuse_conflict(base, tree)
            if tree.digest == base.digest == self._running.digest:
                raise ChangeRefused(409, "no-change", "this is what runs already", "change something first")
            settings = await self.drafting.check(tree)
            prepared = await self._prepared(base, tree)
            try:
                return await self._run(actor, how, kind, base, tree, settings, prepared, draft)
            except BaseException:
                await asyncio.to_thread(commit.abandon, prepared)
                raise

    async def _run(
        self,
        actor: Actor,
        how: How,
        kind: Kind,
        base: Tree,
        tree: Tree,
        settings: GatewaySettings,
        prepared: commit.Prepared,
        draft: Draft | None,
    ) -> Change:
        told = meanings(self._running, tree) or []
        sentences = tuple(each.sentence for each in told[:_CHANGES_KEPT])
        history = self.records.history
        if base.digest != self._running.digest:
            await self._diary.on_disk(self.records.note_edit, base)
        revision = await self._diary.on_disk(history.add, tree, kind, actor, how.reason, "pending", sentences)
        before = self._plant.well()
        try:
            await self._diary.begin(
                actor,
                "config.apply",
                f"revision {revision.number}",
                reason=how.reason,
                changes=list(sentences),
                digest=tree.digest,
                confirm_within_s=how.confirm_within_s,
            )
            effect = await self._plant.apply(settings)
        except Exception as error:
            await self._diary.decide(revision, "rolled back", Actor.gateway(), str(error) or repr(error))
            if isinstance(error, ChangeRefused):
                raise
            await self._diary.ended(actor, "config.apply", revision, "failed", why=str(error))
            if isinstance(error, NothingRuns):
                self._give_up(error, revision)
                raise ChangeRefused(
                    409, "nothing-runs", str(error), "the gateway ends, to start anew with the configuration before"
                ) from None
            if isinstance(error, ApplyFailed):
                message = f"the configuration can't be applied: {error}"
                raise ChangeRefused(409, "apply-failed", message, "the one before runs; mend the draft") from None
            # A flaw, and nobody knows in the midst of what.
            await self._restore(self._settings, revision)
            raise
        awaited = before & configured(settings)
        pending = Pending(
            revision, tree, settings, self._running, self._settings, base, prepared, draft,
            how.confirm_by, how.confirm_within_s, awaited,
        )  # fmt: skip
        self._running, self._settings, self._pending = tree, settings, pending
        log.info("revision %d by %s runs, unconfirmed", revision.number, actor.name)
        self._tell(
            ConfigChanged("pending", f"a change by {actor.name} runs and waits to be confirmed", revision.number)
        )
        if how.confirm_within_s == 0:
            try:
                revision = await self._make_permanent(actor, pending)
            except ChangeRefused as error:
                await self._take_back(pending, Actor.gateway(), error.message)
                raise
        else:
            self._spawn(self._await_decision(pending))
        return {"revision": revision, "effect": effect, "pending": self.pending}

    async def _go_back(self, actor: Actor, how: How, to: int | None) -> Change:
        async with self._lock:
            pending = self._pending
            if pending is not None and to is None:
                effect = await self._take_back(pending, actor, how.reason or f"{actor.name} took it back")
                return {"revision": self.records.revision(pending.revision.number), "effect": effect, "pending": None}
        history = self.records.history
        if to is None:
            previous = history.previous
            if previous is None:
                raise ChangeRefused(404, "no-revision", "nothing ran before this", "see: tidegate config history")
            to = previous.number
        tree = await asyncio.to_thread(self.records.tree, to)
        base = await self.drafting.in_place()
        tree = Tree(base.main, tree.files, tree.outside | base.outside)
        how = How(how.reason or f"back to revision {to}", how.confirm_within_s, how.confirm_by, how.acting_as)
        return await self._apply(actor, how, "rollback", base, tree, None)

    async def _confirm(self, actor: Actor) -> Revision:
        async with self._lock:
            if self._pending is None:
                raise ChangeRefused(
                    409, "nothing-pending", "no change waits for a confirmation", "see: tidegate config history"
                )
            return await self._make_permanent(actor, self._pending)

    async def _make_permanent(self, actor: Actor, pending: Pending) -> Revision:
        """Put the files in place; the lock is held."""
        await self.drafting.refuse_conflict(pending.in_place, pending.tree)
        number = pending.revision.number
        await self._diary.begin(actor, "config.confirm", f"revision {number}")
        try:
            await asyncio.to_thread(commit.commit, pending.prepared)
        except OSError as error:
            await self._diary.ended(actor, "config.confirm", pending.revision, "failed", why=str(error))
            raise ChangeRefused(
                507,
                "disk",
                f"the files can't be put in place: {error.strerror or error}",
                "mend that before the time is up, then confirm again",
            ) from None
        # From here on the change is the configuration, whatever happens.
        pending.decided.set()
        self._pending = None
        self._problems = ()
        try:
            await asyncio.to_thread(commit.finish, self.main)
        except (OSError, Damaged) as error:
            log.error("the configuration is confirmed, but its files aren't all in place yet: %s", error)
        await self._plant.settle()
        revision = await self._diary.decide(pending.revision, "confirmed", actor)
        if pending.draft is not None:
            await self.drafting.settle(pending.draft, pending.tree)
        self._tell(ConfigChanged("confirmed", f"confirmed by {actor.name}", number))
        await self._diary.ended(actor, "config.confirm", revision, "done")
        log.info("revision %d is confirmed by %s", number, actor.name)
        return revision

    async def _await_decision(self, pending: Pending) -> None:
        """Wait for the confirmation of a change, give it if the gateway may, and take the change back without."""
        if pending.confirm_by == "hand":
            await _within(pending.within_s, pending.decided.wait())
        elif await _within(pending.within_s, self._until_well(pending)):
            async with self._lock:
                if not pending.decided.is_set():
                    try:
                        await self._make_permanent(Actor.gateway(), pending)
                    except ChangeRefused as error:
                        await self._take_back(pending, Actor.gateway(), error.message)
        async with self._lock:
            if not pending.decided.is_set():
                missing = sorted(pending.awaited - self._plant.well())
                why = f"nobody confirmed it within {pending.within_s:g} s"
                if missing:
                    verb = "isn't" if len(missing) == 1 else "aren't"
                    why += f"; {', '.join(missing)} {verb} back"
                await self._take_back(pending, Actor.gateway(), why)

    async def _until_well(self, pending: Pending) -> bool:
        """True once all is well again, and has been for a while; also if somebody decides before."""
        looks = 0
        while looks * LOOK_S < SETTLE_S and not pending.decided.is_set():
            await _within(LOOK_S, pending.decided.wait())
            looks = looks + 1 if pending.awaited <= self._plant.well() else 0
        return True

    async def _take_back(self, pending: Pending, actor: Actor, why: str) -> Applied:
        """Run what ran before; the lock is held."""
        number = pending.revision.number
        log.warning("taking revision %d back: %s", number, why)
        pending.decided.set()
        self._pending = None
        self._running, self._settings = pending.before, pending.before_settings
        try:
            applied = await self._restore(pending.before_settings, pending.revision)
            await self._plant.settle()
            return applied
        finally:
            await asyncio.to_thread(commit.abandon, pending.prepared)
            revision = await self._diary.decide(pending.revision, "rolled back", actor, why)
            self._tell(ConfigChanged("rolled-back", why, number))
            await self._diary.ended(actor, "config.rollback", revision, "done", why=why)

    async def _restore(self, settings: GatewaySettings, revision: Revision) -> Applied:
        try:
            return await self._plant.apply(settings)
        except Exception as error:
            self._give_up(error, revision)
            raise

    def _give_up(self, error: Exception, revision: Revision) -> None:
        """The files in place are those from before, so a new start runs them."""
        log.critical("revision %d can't be taken back (%s): a new start must do it", revision.number, error)
        assert self._broken is not None
        if not self._broken.done():
            self._broken.set_exception(error)

    # --- small parts ---

    async def _prepared(self, base: Tree, tree: Tree) -> commit.Prepared:
        """Everything written that the confirmation will only rename."""
        if taken := await asyncio.to_thread(commit.in_the_way, self.main, base, tree):
            raise ChangeRefused(
                409,
                "file-in-the-way",
                f"{taken[0]} stands in the configuration's directory, though nothing names it, and would be lost",
                "give the new file another name, or take that one away",
            )
        try:
            return await asyncio.to_thread(commit.prepare, self.main, base, tree)
        except OSError as error:
            raise ChangeRefused(
                507,
                "disk",
                f"the files can't be written: {error.filename}: {error.strerror}",
                "give the gateway's user the right to write there, or make room",
            ) from None

    async def _in_whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it to its end even if the caller goes away."""
        return await asyncio.shield(self._spawn(work))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name="change of configuration")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ChangeRefused):
            log.error("a change of the configuration failed: %s", error, exc_info=error)


async def _within(limit_s: float, work: Awaitable[T]) -> T | None:
    """What it gives, or None if it takes longer."""
    try:
        async with asyncio.timeout(limit_s):
            return await work
    except TimeoutError:
        return None
