"""What is served is what the sources say: nobody edits the built files, and nobody forgets to build them."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.web.assets import DIRECTORY

FRONTEND = Path(__file__).parents[2] / "gateway" / "web" / "frontend"
FIRST_LOAD_BYTES = 150_000


def _modules() -> Path:
    """Where `make packages-web` installs what the build needs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256((FRONTEND / "package-lock.json").read_bytes()).hexdigest()[:16]
    return cache / "tidegate" / "web" / f"frontend-{digest}" / "node_modules"


@pytest.mark.integration
def test_the_build_gives_what_is_committed(tmp_path: Path) -> None:
    work = tmp_path / "frontend"
    shutil.copytree(FRONTEND, work, ignore=shutil.ignore_patterns("node_modules"))
    (work / "node_modules").symlink_to(_modules())
    checked = subprocess.run(["npm", "run", "check"], cwd=work, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    subprocess.run(["node", "build.mjs", str(tmp_path / "static")], cwd=work, check=True, capture_output=True)
    built = {path.name: path.read_bytes() for path in (tmp_path / "static").iterdir()}
    kept = {path.name: path.read_bytes() for path in DIRECTORY.iterdir()}
    assert built.keys() == kept.keys(), "run: make web-assets"
    assert built == kept, "run: make web-assets"


def test_everything_that_is_served_together_is_small() -> None:
    assert sum(len(gzip.compress(path.read_bytes())) for path in DIRECTORY.iterdir()) < FIRST_LOAD_BYTES
