"""``python -m tidegate_appliance.before``: what a release needs when it runs again after another one.

Run before the gateway starts. When another release runs than the one that ran last, a copy is kept of the configuration
and the accounts as that one left them. Going on with what stands there is the rule: changes that were made meanwhile
stay. Only what this release can't read, as a newer one wrote it, is put back to what this release left behind when it
ran last; what is replaced is in the other's copy. The journal does the same for itself (`gateway.journal.schema`).

Each step is whole or not done after a power cut, and what was done isn't done again.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from gateway.ops.files import sync_directory, write_atomically
from tidegate_appliance.places import Places
from tidegate_appliance.release import release_of

log = logging.getLogger(__name__)

_CHECK_S: Final = 600.0
_INVALID: Final = 3
"""Exit code of ``tidegate check`` for a configuration that isn't valid."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What is known of the releases that ran."""

    version: str
    """Of the one that ran last."""
    kept: bool = False
    """Its copy is there already, and the change to another one was broken off."""


class Before:
    """The copies, one for each of the two releases that the slots hold."""

    def __init__(
        self,
        places: Places,
        config: Path,
        accounts: Path,
        readable: Callable[[Path], bool],
    ) -> None:
        """`config`: the directory of the configuration. `accounts`: their file. `readable`: whether this release can
        use the configuration."""
        self._places = places
        self._config = config
        self._accounts = accounts
        self._readable = readable
        self._note = places.before / "ran.json"

    def start(self) -> bool:
        """Whether another release ran last. Raises OSError."""
        version = release_of(self._places.release).version
        self._places.before.mkdir(parents=True, exist_ok=True)
        ran = self._ran()
        if ran is None or ran.version == version:
            self._done(version)
            return False
        if not ran.kept:
            self._keep(ran.version)
            self._write(Ran(ran.version, kept=True))
        copy = self._copy_of(version)
        if copy.is_dir():
            self._put_back(copy, ran.version)
        self._forget_all_but({ran.version, version})
        self._done(version)
        return True

    def _ran(self) -> Ran | None:
        try:
            return Ran(**orjson.loads(self._note.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            log.error("%s can't be read: %s", self._note, error)
            return None

    def _done(self, version: str) -> None:
        """With a copy of the release's own file beside it the unit sees without Python that nothing is to be done."""
        self._write(Ran(version))
        write_atomically(self._places.before / "release", self._places.release.read_bytes())

    def _write(self, ran: Ran) -> None:
        if self._ran() != ran:
            write_atomically(self._note, orjson.dumps(asdict(ran)), 0o600)

    def _copy_of(self, version: str) -> Path:
        return self._places.before / f"of-{version}"

    def _keep(self, version: str) -> None:
        """Copy what the release `version` left."""
        draft, copy = self._places.before / "draft", self._copy_of(version)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self._config.is_dir():
            shutil.copytree(self._config, draft / "config", symlinks=True)
        if self._accounts.exists():
            shutil.copy2(self._accounts, draft / "accounts.json")
        _sync(draft)
        shutil.rmtree(copy, ignore_errors=True)
        os.replace(draft, copy)
        sync_directory(self._places.before)
        log.info("configuration and accounts as %s left them are kept in %s", version, copy)

    def _put_back(self, copy: Path, other: str) -> None:
        """What this release can't read becomes what it was when it ran last."""
        accounts = copy / "accounts.json"
        if accounts.exists() and _format(self._accounts) > _format(accounts):
            write_atomically(self._accounts, accounts.read_bytes(), 0o600)
            log.warning("the accounts are those from before %s: this release can't read its own", other)
        if not self._readable(self._config):
            _replace(copy / "config", self._config)
            log.warning("the configuration is the one from before %s: this release can't use its own", other)

    def _forget_all_but(self, versions: set[str]) -> None:
        wanted = {self._copy_of(version).name for version in versions}
        for path in self._places.before.glob("of-*"):
            if path.name not in wanted:
                shutil.rmtree(path)


def _format(path: Path) -> int:
    """What a file of accounts says of its own format; 0: nothing."""
    try:
        return int(orjson.loads(path.read_bytes())["format"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _replace(source: Path, target: Path) -> None:
    """Make a directory's files those of another. Its own stays: it is a place of its own, mounted there."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file() and not path.is_symlink()}
    for name in sorted(wanted):
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, (source / name).read_bytes(), (source / name).stat().st_mode & 0o777)
    for path in sorted(target.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.relative_to(target) not in wanted:
            path.unlink()


def _sync(directory: Path) -> None:
    for folder, _, names in os.walk(directory):
        for name in names:
            if not (path := Path(folder) / name).is_symlink():
                handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
        sync_directory(Path(folder))


def valid(directory: Path, command: Sequence[str] = (sys.executable, "-m", "gateway")) -> bool:
    """Whether this release takes the configuration. What can't be found out counts as yes: nothing is replaced then."""
    try:
        done = subprocess.run(
            [*command, "check", "--config", str(directory / "tidegate.toml")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CHECK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("the configuration can't be checked: %s", error)
        return True
    return done.returncode != _INVALID


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        Before(Places(), Path("/etc/tidegate"), Path("/var/lib/tidegate/accounts.json"), valid).start()
    except OSError as problem:
        # The gateway starts nevertheless: it goes on with its last confirmed revision where it must.
        log.error("what ran before can't be kept: %s", problem)
