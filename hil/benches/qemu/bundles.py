"""Releases to update to: the root that was built last under another version, signed by the key the image trusts.

It is the same system, so that a test of updates tests updates; with a flaw it doesn't work.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hil.benches.bench import BoxFailed
from hil.benches.declaration import Release

_FLAWS = {Release.BROKEN: "health", Release.DEAD: "boot"}
"""As ``python -m image bundle`` calls them."""


class Bundles:
    """Made when they are asked for, and kept as long as the image is the same."""

    def __init__(self, image: Path, variant: str) -> None:
        self._image = image
        self._variant = variant
        self._directory = Path("build/hil").absolute()

    def get(self, release: Release) -> Path:
        """Raises BoxFailed."""
        bundle = self._directory / f"{self._variant}-{release.version}.raucb"
        if not bundle.exists() or bundle.stat().st_mtime < self._image.stat().st_mtime:
            self._directory.mkdir(parents=True, exist_ok=True)
            flaw = ["--flaw", _FLAWS[release]] if release in _FLAWS else []
            command = [sys.executable, "-m", "image", "bundle", "--variant", self._variant]
            begun = bundle.with_name(f"begun-{bundle.name}")  # whoever interrupts this leaves no half of one behind
            command += ["--version", release.version, "--file", str(begun), *flaw]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            if ran.returncode != 0:
                raise BoxFailed(f"no bundle could be made: {ran.stderr.strip()}")
            begun.replace(bundle)
        return bundle
