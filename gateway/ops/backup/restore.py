"""Restoring a backup: everything is looked at first; then all of it is put in place, or nothing.

Files are replaced by a durable plan, then the configuration goes the way every change of it goes. If that refuses, the
files are taken back. After a power cut :func:`resume` decides by the configuration that stands: with the new one the
files are the new ones, else the old.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from gateway.actors import Actor
from gateway.ops.backup.archive import Backup, Part
from gateway.ops.backup.contents import Places, is_public
from gateway.ops.backup.replacing import Plan, Replacement

_log = logging.getLogger(__name__)

PARTS: tuple[Part, ...] = ("configuration", "accounts", "drivers", "files", "audit")
_OWN_NAMES = re.compile(
    r"(?:accounts|audit|changes|claim-code|clock|control|drivers|journal|lock|restore|web|writes)\b.*"
)
"""What the gateway itself keeps in its data directory: no file of a backup takes such a place."""


class NotApplied(Exception):
    """The configuration wasn't taken. One sentence, and what to do."""

    def __init__(self, message: str, mend: str | None = None) -> None:
        super().__init__(message)
        self.mend = mend


class ConfigurationDoor(Protocol):
    """The configuration as a transaction."""

    def read(self) -> Mapping[str, bytes]:
        """The files that stand now. Blocking. Raises OSError."""
        ...

    def check(self, files: Mapping[str, bytes]) -> Sequence[str]:
        """What is wrong with these, each in one sentence. Blocking."""
        ...

    async def apply(self, files: Mapping[str, bytes], actor: Actor, reason: str) -> None:
        """Make them what stands and what runs. Raises NotApplied; then all is as before."""
        ...


class AccountsDoor(Protocol):
    def check(self, body: bytes) -> str | None:
        """Why this can't be an accounts file, in one sentence."""
        ...

    async def reload(self) -> None:
        """The file was replaced."""
        ...


@dataclass(frozen=True, slots=True)
class RestoredItem:
    part: Part
    name: str
    outcome: Literal["restored", "unchanged", "refused"]
    """Of a dry run, or if anything is refused: what would become of it."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RestoreReport:
    gateway: str
    """Whose backup it is."""
    made_ms: int
    software: str
    applied: bool
    """Whether anything was changed. Nothing is if anything is refused."""
    items: list[RestoredItem]
    left_out: list[str]
    """What the backup itself lacks."""


class Restorer:
    """Restores into one gateway. Call from the event loop; one restore at a time."""

    def __init__(self, places: Places, configuration: ConfigurationDoor, accounts: AccountsDoor) -> None:
        self._places = places
        self._configuration = configuration
        self._accounts = accounts
        self._busy = asyncio.Lock()

    async def restore(
        self, backup: Backup, actor: Actor, *, dry_run: bool, parts: Sequence[Part] = PARTS
    ) -> RestoreReport:
        """Raises OSError if the disk can't take it; then all is as before."""
        async with self._busy:
            items, replacements = await asyncio.to_thread(self._look, backup, parts)
            applied = False
            if not dry_run and not any(item.outcome == "refused" for item in items):
                try:
                    # Whoever called may leave; what has begun goes on.
                    applied = await asyncio.shield(self._apply(backup, actor, parts, items, replacements))
                except NotApplied as error:
                    items = _refused(items, error)
        manifest = backup.manifest
        left_out = [f"{each.name}: {each.why}" for each in manifest.left_out]
        return RestoreReport(manifest.gateway, manifest.made_ms, manifest.software, applied, items, left_out)

    async def _apply(
        self,
        backup: Backup,
        actor: Actor,
        parts: Sequence[Part],
        items: Sequence[RestoredItem],
        replacements: Sequence[Replacement],
    ) -> bool:
        changed = {item.part for item in items if item.outcome == "restored"}
        if not changed:
            return False
        files = self._tree(backup)
        new = digest(files) if "configuration" in changed else None
        plan = await asyncio.to_thread(
            Plan.make, plan_of(self._places.config), replacements, {"configuration": new, "by": actor.name}
        )
        try:
            await asyncio.to_thread(plan.put)
            if new is not None:
                reason = f"restored from the backup of {backup.manifest.gateway}"
                await self._configuration.apply(files, actor, reason)
        except Exception:
            await asyncio.to_thread(_taken_back, plan)
            raise
        await asyncio.to_thread(plan.end)
        if "accounts" in changed:
            await self._accounts.reload()
        _log.info("a backup of %s was restored by %s: %s", backup.manifest.gateway, actor.name, ", ".join(parts))
        return True

    def _look(self, backup: Backup, parts: Sequence[Part]) -> tuple[list[RestoredItem], list[Replacement]]:
        """(what becomes of each thing, what is replaced by files)."""
        items: list[RestoredItem] = []
        replacements: list[Replacement] = []
        if "configuration" in parts:
            items += self._look_at_configuration(self._tree(backup))
        for part, look in self._looks().items():
            if part not in parts:
                continue
            for name, body in backup.of(part).items():
                item, target = look(name, body)
                if item.outcome == "restored":
                    if target.is_file() and target.read_bytes() == body:
                        item = RestoredItem(part, name, "unchanged")
                    else:
                        replacements.append(Replacement(target, body))
                items.append(item)
        return items, replacements

    def _tree(self, backup: Backup) -> dict[str, bytes]:
        """The configuration's files, the main one by the name that it has here."""
        main = backup.manifest.main
        return {
            self._places.config.name if name == main else name: body
            for name, body in backup.of("configuration").items()
        }

    def _look_at_configuration(self, files: Mapping[str, bytes]) -> Iterator[RestoredItem]:
        standing = self._configuration.read()
        problems = [] if files == standing else self._configuration.check(files)
        for problem in problems:
            yield RestoredItem("configuration", self._places.config.name, "refused", problem)
        if problems:
            return
        for name in sorted(files.keys() | standing.keys()):
            if name not in files:
                yield RestoredItem("configuration", name, "restored", "it is removed")
            else:
                same = files[name] == standing.get(name)
                yield RestoredItem("configuration", name, "unchanged" if same else "restored")

    def _looks(self) -> dict[Part, Callable[[str, bytes], tuple[RestoredItem, Path]]]:
        return {
            "accounts": self._look_at_accounts,
            "drivers": self._look_at_driver,
            "files": self._look_at_file,
            "audit": self._look_at_audit,
        }

    def _look_at_accounts(self, name: str, body: bytes) -> tuple[RestoredItem, Path]:
        target = self._places.accounts
        wrong = "no such file belongs to the accounts" if name != target.name else self._accounts.check(body)
        return _item("accounts", name, wrong), target

    def _look_at_driver(self, name: str, body: bytes) -> tuple[RestoredItem, Path]:
        target = self._places.drivers / name
        wrong = _leads_out(target, self._places.drivers)
        if wrong is None and target.suffix in (".der", ".crt", ".cer", ".crl") and not is_public(body):
            wrong = "it holds no certificate"
        return _item("drivers", name, wrong), target

    def _look_at_file(self, name: str, body: bytes) -> tuple[RestoredItem, Path]:
        root, _, rest = name.partition("/")
        directory = self._places.roots().get(root)
        if directory is None:
            return _item("files", name, "nothing stands there"), Path(name)
        target = directory / rest
        hidden = any(part.startswith(".") for part in target.relative_to(directory).parts)
        own = hidden or target.suffix == ".toml" if root == "config" else bool(_OWN_NAMES.fullmatch(rest))
        wrong = "that is the gateway's own place" if own else _leads_out(target, directory)
        return _item("files", name, wrong), target

    def _look_at_audit(self, name: str, body: bytes) -> tuple[RestoredItem, Path]:
        wrong = None if re.fullmatch(r"rows-[0-9]{12}\.jsonl", name) else "no such file belongs to the audit log"
        target = self._places.restored_audit / hashlib.sha256(body).hexdigest()[:16] / name
        detail = f"kept beside the gateway's own, in {target.parent}"
        return (_item("audit", name, wrong) if wrong else RestoredItem("audit", name, "restored", detail)), target


def plan_of(config: Path) -> Path:
    """Where the plan of a restore stands, so that it is found before anything is read."""
    return config.with_name(f".{config.name}.restore")


def digest(files: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{len(name.encode())} {name} {len(files[name])}\n".encode())
        total.update(files[name])
    return total.hexdigest()


def resume(config: Path, standing: Callable[[], Mapping[str, bytes]]) -> str | None:
    """Bring a restore that was cut off to its end, before anything is read. Returns what was done, in one sentence.

    `standing`: the configuration's files. Blocking. Raises OSError or ValueError.
    """
    plan = Plan.standing(plan_of(config))
    if plan is None:
        return None
    wanted = plan.note.get("configuration")
    if wanted is None or digest(standing()) == wanted:
        plan.put()
        said = "a restore that was cut off was brought to its end"
    else:
        plan.take_back()
        said = "a restore that was cut off was taken back: all is as before it"
    plan.end()
    return said


def _taken_back(plan: Plan) -> None:
    plan.take_back()
    plan.end()


def _refused(items: Sequence[RestoredItem], error: NotApplied) -> list[RestoredItem]:
    detail = f"{error}: {error.mend}" if error.mend else str(error)
    return [
        RestoredItem(item.part, item.name, "refused", detail)
        if item.part == "configuration" and item.outcome == "restored"
        else item
        for item in items
    ]


def _item(part: Part, name: str, wrong: str | None) -> RestoredItem:
    return RestoredItem(part, name, "restored") if wrong is None else RestoredItem(part, name, "refused", wrong)


def _leads_out(target: Path, directory: Path) -> str | None:
    """Why a file can't be written there: links may lead anywhere, and something else may be in the way."""
    if not os.path.realpath(target).startswith(os.path.realpath(directory) + os.sep):
        return "it would lead out of the gateway's directory"
    if target.exists() and not target.is_file():
        return "something that isn't a file stands there"
    return None
