"""Releases to update to: the root that was built last under another version, signed by the key the image trusts.

It is the same system, so that a test of updates tests updates; with a flaw it doesn't work.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hil.benches.bench import BoxFailed

BROKEN = "health"
"""A flaw that ``python -m image bundle`` knows."""


class Bundles:
    """Made when they are asked for, and kept as long as the image is the same."""

    def __init__(self, image: Path, variant: str) -> None:
        self._image = image
        self._variant = variant
        self._directory = Path("build/hil").absolute()

    def get(self, version: str, *, broken: bool = False) -> Path:
        """Raises BoxFailed."""
        bundle = self._directory / f"{self._variant}-{version}.raucb"
        if not bundle.exists() or bundle.stat().st_mtime < self._image.stat().st_mtime:
            self._directory.mkdir(parents=True, exist_ok=True)
            flaw = ["--flaw", BROKEN] if broken else []
            command = [sys.executable, "-m", "image", "bundle", "--variant", self._variant, "--version", version]
            command += ["--file", str(bundle), *flaw]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            if ran.returncode != 0:
                raise BoxFailed(f"no bundle could be made: {ran.stderr.strip()}")
        return bundle
