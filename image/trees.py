"""Trees of files: copied, thinned out, dated."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def copy_tree(source: Path, target: Path) -> None:
    """Copy files and links over a root; a file may be run by all if it may be by its owner, and belongs to root."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_symlink():
            place.unlink(missing_ok=True)
            place.symlink_to(os.readlink(path))
        elif path.is_dir():
            place.mkdir(exist_ok=True)
        else:
            place.unlink(missing_ok=True)
            shutil.copyfile(path, place)
            place.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def set_times(tree: Path, epoch: int) -> None:
    """Everything dates from ``epoch``, seconds since 1970."""
    for folder, names, files in os.walk(tree):
        for path in (folder, *(os.path.join(folder, name) for name in (*names, *files))):
            os.utime(path, (epoch, epoch), follow_symlinks=False)


def link(tree: Path, place: str, target: str) -> None:
    """A symbolic link at ``place``, absolute within ``tree``, instead of what is there."""
    path = tree / place.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    remove(path)
    path.symlink_to(target)


def remove(path: Path) -> None:
    """A file, link or whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
