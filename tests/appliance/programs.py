"""Programs of a box that a test replaces: each notes how it was called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


class Programs:
    """A directory in front of all others in PATH."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._log = directory / "calls"
        directory.mkdir()
        patch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")

    def replace(self, *names: str, script: str = "") -> None:
        """`script`: what it does, as a shell script, besides noting its call."""
        for name in names:
            path = self._directory / name
            path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self._log}\n{script}\n')
            path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []
