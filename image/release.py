"""What names a release: in the root, in the bundle and in the artefacts' names."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from image.errors import BuildError
from image.places import CHECKOUT

_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*([~+-][A-Za-z0-9.+~-]+)?")


@dataclass(frozen=True, slots=True)
class Release:
    """One release of one variant. ``epoch``: its date in seconds since 1970; ``commit``: empty outside a repository."""

    version: str
    variant: str
    epoch: int
    commit: str
    signing: str
    """``development`` where the key was made on the spot, else ``production``."""

    @property
    def compatible(self) -> str:
        """What a bundle and a box must have in common, and what the artefacts are called."""
        return f"tidegate-{self.variant}-arm64"

    @property
    def name(self) -> str:
        return f"{self.compatible}-{self.version}"

    def text(self) -> str:
        """The file ``/usr/lib/tidegate/appliance/release``: ``NAME=value`` lines, in the manner of os-release(5)."""
        return (
            f"VERSION={self.version}\nVARIANT={self.variant}\nCOMPATIBLE={self.compatible}\n"
            f"EPOCH={self.epoch}\nCOMMIT={self.commit}\nSIGNING={self.signing}\n"
        )


def release_of(variant: str, signing: str, version: str | None = None, checkout: Path = CHECKOUT) -> Release:
    """The release that the checkout holds, perhaps under another ``version``. Raises BuildError for what is none."""
    chosen = version or project_version(checkout)
    if not _VERSION.fullmatch(chosen):
        raise BuildError(f"{chosen!r} is no version: take one like 1.2.0 or 1.3.0~rc1")
    return Release(chosen, variant, epoch(checkout), _git(checkout, "rev-parse", "--short=12", "HEAD"), signing)


def project_version(checkout: Path = CHECKOUT) -> str:
    """The version in ``pyproject.toml``."""
    return str(tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["version"])


def epoch(checkout: Path = CHECKOUT) -> int:
    """The date of what is built: SOURCE_DATE_EPOCH, else that of the last commit. Raises BuildError without either."""
    said = os.environ.get("SOURCE_DATE_EPOCH") or _git(checkout, "log", "-1", "--format=%ct")
    if not said.isdigit():
        raise BuildError("no date can be given to the build: set SOURCE_DATE_EPOCH to seconds since 1970")
    return int(said)


def _git(checkout: Path, *arguments: str) -> str:
    done = subprocess.run(
        # Built as root from somebody else's checkout.
        ["git", "-c", f"safe.directory={checkout}", "-C", str(checkout), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""
