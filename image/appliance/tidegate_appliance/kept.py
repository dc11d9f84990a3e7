"""The release that was kept last, in one small file that is whole after a power cut.

A boot loader that runs out of attempts goes to the other slot, whatever that holds: only by this is it known afterwards
that another release was meant to run. Who may write it: the gateway when it is told to, and the health check.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from gateway.ops.files import write_atomically
from tidegate_appliance.trial import Start

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """One release that is meant to run."""

    version: str
    """Empty: nobody knows."""
    slot: str
    """Name of its slot in the boot loader."""
    boot_id: str
    """Of the start in which that was settled; what runs until its end may be another."""

    def gave_way(self, start: Start) -> bool:
        """Another slot runs in `start`, and nobody has asked for it."""
        return bool(start.slot) and start.slot != self.slot and start.id != self.boot_id

    def sentence(self, running: str) -> str:
        """That, for people. `running`: the version that does."""
        name = self.version or f"slot {self.slot}"
        return f"{name} had proved itself, but its latest starts were cut off or failed; {running} runs again"


def read_kept(path: Path) -> Kept | None:
    """None: there is none, or it can't be read, which is logged."""
    try:
        return Kept(**orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        _log.error("%s can't be read, so nothing is known of what was kept: %s", path, error)
        return None


def write_kept(path: Path, kept: Kept) -> None:
    """Raises OSError."""
    write_atomically(path, orjson.dumps(asdict(kept)))
