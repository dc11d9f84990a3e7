"""Several files replaced together or not at all, whatever moment the power fails at.

A plan with the new files and copies of the old ones is made durable first; only then is anything replaced. Whoever
finds a plan after a crash either puts everything in place or takes everything back. Blocking.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gateway.ops.files import sync_directory, write_atomically

_INDEX = "plan.json"


@dataclass(frozen=True, slots=True)
class Replacement:
    target: Path
    body: bytes
    mode: int = 0o600


class Plan:
    """A durable one. Every step may be repeated."""

    def __init__(self, directory: Path, index: Mapping[str, Any]) -> None:
        self._directory = directory
        self._files: Sequence[Mapping[str, Any]] = index["files"]
        self.note: Mapping[str, Any] = index["note"]
        """What whoever made it wanted to know after a crash."""

    @classmethod
    def make(cls, directory: Path, replacements: Sequence[Replacement], note: Mapping[str, Any]) -> Plan:
        """Durable when this returns; nothing is replaced yet. Raises OSError, then nothing is left behind."""
        draft = directory.with_name(f"{directory.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        try:
            files = []
            for number, each in enumerate(replacements):
                write_atomically(draft / f"{number}.new", each.body, 0o600)
                old_mode = None
                if each.target.exists():
                    old_mode = each.target.stat().st_mode & 0o777
                    write_atomically(draft / f"{number}.old", each.target.read_bytes(), 0o600)
                files.append({"target": str(each.target), "mode": each.mode, "old_mode": old_mode})
            index = {"files": files, "note": dict(note)}
            write_atomically(draft / _INDEX, orjson.dumps(index), 0o600)
            os.rename(draft, directory)
            sync_directory(directory.parent)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return cls(directory, index)

    @classmethod
    def standing(cls, directory: Path) -> Plan | None:
        """What a crash left. Raises OSError or ValueError."""
        try:
            return cls(directory, orjson.loads((directory / _INDEX).read_bytes()))
        except FileNotFoundError:
            return None

    def put(self) -> None:
        """Everything new in place. Raises OSError."""
        for number, each in enumerate(self._files):
            target = Path(each["target"])
            target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            write_atomically(target, (self._directory / f"{number}.new").read_bytes(), each["mode"])

    def take_back(self) -> None:
        """Everything as it was. Raises OSError."""
        for number, each in enumerate(self._files):
            target = Path(each["target"])
            if each["old_mode"] is None:
                target.unlink(missing_ok=True)
            else:
                write_atomically(target, (self._directory / f"{number}.old").read_bytes(), each["old_mode"])

    def end(self) -> None:
        """Forget it. Raises OSError."""
        gone = self._directory.with_name(f"{self._directory.name}.done")
        shutil.rmtree(gone, ignore_errors=True)
        os.rename(self._directory, gone)
        sync_directory(gone.parent)
        shutil.rmtree(gone, ignore_errors=True)
