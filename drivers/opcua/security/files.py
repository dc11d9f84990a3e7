"""Files that a power cut leaves either as they were or as they should be, and that nobody else may read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PRIVATE_DIRECTORY = 0o700


def make_private(directory: Path) -> None:
    """Make a directory, and those above it that are missing, for this user alone. Raises OSError."""
    missing = [path for path in (directory, *directory.parents) if not path.is_dir()]
    for path in reversed(missing):
        path.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        sync(path.parent)


def write(path: Path, body: bytes) -> None:
    """Write a file of mode 0600 as a whole, durably. Raises OSError."""
    make_private(path.parent)
    # mkstemp makes files of mode 0600, and a name beginning with a dot is never taken for a certificate.
    number, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with open(number, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)


def move(path: Path, target: Path) -> None:
    """Move a file within the file system, durably. Raises OSError."""
    make_private(target.parent)
    os.replace(path, target)
    sync(target.parent)
    sync(path.parent)


def remove(path: Path) -> None:
    """Raises OSError, but not for a file that is gone already."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync(path.parent)


def sync(directory: Path) -> None:
    """Make what was renamed in a directory durable."""
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
