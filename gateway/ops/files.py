"""Small files that must be whole after a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, body: bytes, mode: int = 0o644) -> None:
    """Replace `path` so that after any crash it holds either the old bytes or the new. Raises OSError.

    The bytes are synced before the rename and the directory after it. `mode`, less the umask, holds
    from the first byte on.
    """
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)  # of a crash, perhaps with another mode
    write_synced(draft, body, mode)
    os.replace(draft, path)
    sync_directory(path.parent)


def write_synced(path: Path, body: bytes, mode: int = 0o644) -> None:
    """Write a file that isn't there yet, and sync its bytes but not its name. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        view = memoryview(body)
        while view:  # on a disk that is nearly full a part is written, and only the next call fails
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
