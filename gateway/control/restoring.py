"""What a restore goes through: the configuration as a transaction, the accounts, and both where no gateway runs."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway import __version__
from gateway.accounts import Accounts
from gateway.accounts.accounts import FILE
from gateway.accounts.model import Damaged
from gateway.accounts.model import load as load_accounts
from gateway.actors import Actor
from gateway.changes import commit
from gateway.changes.changes import Changes
from gateway.changes.errors import ChangeRefused
from gateway.changes.ports import How
from gateway.config import ConfigErrors, Tree, load
from gateway.config.document import in_place
from gateway.config.names import Mendable
from gateway.config.tree import check_file_name, check_size
from gateway.ops.backup.archive import Backup, LeftOut, pack
from gateway.ops.backup.contents import Places, contents
from gateway.ops.backup.restore import NotApplied, Restorer, resume
from gateway.ops.lock import lock_directory
from gateway.settings import GatewaySettings

log = logging.getLogger(__name__)


def places_of(config: Path, data_dir: Path) -> Places:
    return Places(config, data_dir, data_dir / FILE, data_dir / "audit")


def made(config: Path, settings: GatewaySettings, passphrase: str | None, made_ms: int) -> bytes:
    """A backup of what stands now. Blocking. Raises BackupRefused, ConfigErrors or OSError."""
    tree = in_place(config)
    pieces, left_out = contents(settings, places_of(config, settings.data_dir), tree.files)
    outside = [
        LeftOut(name=path, why="it stands outside the configuration's directory") for path in sorted(tree.outside)
    ]
    return pack(
        pieces,
        gateway=settings.id,
        software=__version__,
        main=tree.main,
        made_ms=made_ms,
        passphrase=passphrase,
        left_out=[*left_out, *outside],
    )


def standing(config: Path) -> Mapping[str, bytes]:
    """The configuration's files; none where there is no configuration yet. Raises OSError."""
    try:
        return in_place(config).files
    except ConfigErrors as errors:
        if not os.path.lexists(config):
            return {}
        raise OSError(str(errors.problems[0])) from None


class ConfigurationOnDisk:
    """The configuration where no gateway runs: checked, then all its files replaced as one."""

    def __init__(self, config: Path) -> None:
        self._config = config

    def read(self) -> Mapping[str, bytes]:
        return standing(self._config)

    def check(self, files: Mapping[str, bytes]) -> Sequence[str]:
        return problems_of(self._config, files)

    async def apply(self, files: Mapping[str, bytes], actor: Actor, reason: str) -> None:
        old = Tree(self._config.name, dict(self.read()))
        try:
            self._config.parent.mkdir(parents=True, exist_ok=True)
            commit.commit(commit.prepare(self._config, old, Tree(self._config.name, files)))
            commit.finish(self._config)
        except OSError as error:
            raise NotApplied(
                f"the configuration can't be written: {error}", "mend the disk or its permissions"
            ) from None


class RunningConfiguration(ConfigurationOnDisk):
    """The configuration of a running gateway: as every change of it, confirmed at once for it is meant as a whole."""

    def __init__(self, config: Path, changes: Changes) -> None:
        super().__init__(config)
        self._changes = changes

    async def apply(self, files: Mapping[str, bytes], actor: Actor, reason: str) -> None:
        drafting = self._changes.drafting
        try:
            if drafting.draft is not None:
                raise ChangeRefused(409, "draft", "there is a draft of another change", "apply or discard it first")
            present = await drafting.in_place()
            await drafting.replace(actor, Tree(present.main, files, present.outside))
            try:
                await self._changes.apply(actor, How(reason, confirm_within_s=0))
            except ChangeRefused:
                await drafting.discard()
                raise
        except ChangeRefused as error:
            raise NotApplied(error.message, error.mend) from None


class AccountsOnDisk:
    """The accounts where no gateway runs."""

    def check(self, body: bytes) -> str | None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(body)
            file.flush()
            try:
                load_accounts(Path(file.name))
            except Damaged as error:
                return f"it is no accounts file: {error}"
        return None

    async def reload(self) -> None:
        """They are read at the next start."""


class RunningAccounts(AccountsOnDisk):
    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def reload(self) -> None:
        await self._accounts.open()


def problems_of(config: Path, files: Mapping[str, bytes]) -> list[str]:
    """Everything wrong with a configuration's files, as if they stood there. Secrets may come with them."""
    tree = Tree(config.name, files)
    try:
        for name in files:
            check_file_name(name, config.name)
        load(config, tree=check_size(tree), check_secrets=False)
    except Mendable as error:
        return [f"the configuration's file {error}: {error.hint}"]
    except ConfigErrors as errors:
        return [str(problem).replace("\n  → ", ": ") for problem in errors.problems]
    return []


@contextlib.contextmanager
def on_disk(config: Path, backup: Backup) -> Iterator[Restorer]:
    """What restores where no gateway runs, and keeps one from starting meanwhile.

    Raises AlreadyRunning, OSError, or ConfigErrors if neither what stands nor the backup says where the data is.
    """
    told = resume(config, lambda: standing(config))
    if told is not None:
        log.warning("%s", told)
    settings = _settings(config, backup)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    handle = lock_directory(settings.data_dir)
    try:
        places = places_of(config, settings.data_dir)
        yield Restorer(places, ConfigurationOnDisk(config), AccountsOnDisk())
    finally:
        os.close(handle)


def _settings(config: Path, backup: Backup) -> GatewaySettings:
    """Those of the configuration that stands; where there is none, those of the backup's."""
    if os.path.lexists(config):
        return load(config, check_secrets=False, unfinished=True)
    main = backup.manifest.main
    files = {config.name if name == main else name: body for name, body in backup.of("configuration").items()}
    return load(config, tree=Tree(config.name, files), check_secrets=False, unfinished=True)
