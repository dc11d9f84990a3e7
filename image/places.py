"""Where a build reads and writes: the checkout, ``build/image`` and the cache outside the checkout."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
_HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of a build: artefacts in ``out``, what is costly and shared in ``cache``, what may go in ``work``."""

    out: Path
    cache: Path
    work: Path


def places(out: Path | None = None) -> Places:
    """The folders used where nothing else is said; ``XDG_CACHE_HOME`` moves the cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    build = CHECKOUT / "build"
    return Places((out or build / "image").resolve(), home / "tidegate" / "image", build / "image-work")


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Wait until no other build uses a folder, which is made where it doesn't exist; keep it while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def key_of(parts: Iterable[str | bytes]) -> str:
    """The name of something made from ``parts``: the first digits of a hash over all of them, in order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()[:_HASH_DIGITS]


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree_parts(folder: Path) -> list[str | bytes]:
    """Names, modes and contents of everything below ``folder``, in a fixed order: what a hash of a tree is made of."""
    parts: list[str | bytes] = []
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            parts += [f"link {name}", os.readlink(path)]
        elif path.is_file():
            parts += [f"file {name} {path.stat().st_mode & 0o111:o}", path.read_bytes()]
    return parts
