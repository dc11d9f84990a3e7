"""The release that was installed last, in one small file that is whole after a power cut.

It is written before RAUC begins, so that a release which was installed is on trial even if whatever watched the
installation was killed meanwhile. Who may write it: the gateway when it installs, and the health check.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from gateway.ops.files import sync_directory, write_atomically
from tidegate_appliance.places import Places

_log = logging.getLogger(__name__)

_LOST: Final = (OSError, ValueError, KeyError, TypeError)

State = Literal["writing", "installed", "fallen", "dropped"]
"""``dropped``: nobody waits for it, and it is no news. It hasn't proved itself, which counts if it runs after all."""
Phase = Literal["none", "waiting", "running", "fallen", "cut"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One release that was to take over."""

    version: str
    slot: str
    """Name of its slot in the boot loader."""
    before: str
    """Version of what ran when it was installed."""
    well: tuple[str, ...]
    """What worked then: ``sink plant``, ``device oven``."""
    boot_id: str
    """Of the start in which it was installed, or chosen or left since."""
    state: State = "writing"
    failure: str = ""
    """What its health check missed, if it got so far."""

    def phase(self, start: Start) -> Phase:
        """What is the case in `start`. The boot loader comes to a slot that failed as well, once the other fails."""
        if start.id == self.boot_id:
            return "waiting" if self.state == "installed" else "none"
        if start.slot == self.slot:
            return "running"  # also if it fell back before, or nobody was there to see the end of its installation
        match self.state:
            case "installed" | "fallen":
                return "fallen"
            case "dropped":
                return "none"
            case _:
                return "cut"

    def sentence(self, phase: Phase) -> str:
        """That, for people; empty if there is nothing to say."""
        match phase:
            case "waiting":
                return f"{self.version} is installed in slot {self.slot} and runs after the next restart"
            case "running":
                return f"{self.version} is on trial: unless it shows that it works, {self.before} comes back"
            case "fallen":
                return f"{self.version} didn't work: {self.failure or 'it didn’t start'}; {self.before} runs again"
            case _:
                return ""


class TrialFile:
    """``trial.json``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Attempt | None:
        """None: there is none, or it can't be read, which is logged."""
        try:
            return self._load()
        except _LOST as error:
            _log.error("%s can't be read, so what is on trial isn't known: %s", self._path, error)
            return None

    @property
    def lost(self) -> bool:
        """There is one, and it can't be read: something may be on trial."""
        try:
            self._load()
        except _LOST:
            return True
        return False

    def begin(self, version: str, slot: str, before: str, well: Collection[str], start: Start) -> Attempt:
        """Raises OSError."""
        return self._write(Attempt(version, slot, before, tuple(sorted(well)), start.id))

    def change(self, attempt: Attempt, **values: Any) -> Attempt:
        """Raises OSError."""
        return self._write(replace(attempt, **values))

    def forget(self) -> None:
        """Raises OSError."""
        if self._path.exists():
            self._path.unlink()
            sync_directory(self._path.parent)

    def _load(self) -> Attempt | None:
        try:
            told = orjson.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        return Attempt(**{**told, "well": tuple(told["well"])})

    def _write(self, attempt: Attempt) -> Attempt:
        write_atomically(self._path, orjson.dumps(asdict(attempt)))
        return attempt


@dataclass(frozen=True, slots=True)
class Start:
    """This start of the machine."""

    slot: str
    """Name in the boot loader of what runs; empty if nothing says so."""
    id: str


def start_of(places: Places) -> Start:
    """Raises OSError."""
    said = [word.partition("=") for word in places.cmdline.read_text().split()]
    slot = next((value for name, _, value in said if name == "rauc.slot"), "")
    return Start(slot, places.boot_id.read_text().strip())
