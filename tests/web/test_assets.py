"""What is served is what the sources say: nobody edits the built files, and nobody forgets to build them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.web.assets import DIRECTORY

FRONTEND = Path(__file__).parents[2] / "gateway" / "web" / "frontend"
FIRST_LOAD_BYTES = 60_000
ALL_BYTES = 250_000


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


def test_what_every_page_loads_is_small_and_all_of_it_too() -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in DIRECTORY.iterdir()}
    names = json.loads((DIRECTORY / "manifest.json").read_text())
    first, waiting = set(), [names[name] for name in ("app.js", "app.css", "icons.svg", "mark.svg")]
    while waiting:
        name = waiting.pop()
        if name not in first:
            first.add(name)
            # What is imported as a whole; `import(...)` is what a page asks for that needs it.
            waiting += re.findall(r'(?:from|import)"\./([\w.-]+)"', (DIRECTORY / name).read_text())
    assert not [name for name in first if name.startswith(("toml-editor", "trend-plot"))]
    assert sum(sizes[name] for name in first) < FIRST_LOAD_BYTES
    assert sum(sizes.values()) < ALL_BYTES
