"""One gateway a data directory: two would both number from the same sequence."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path


class AlreadyRunning(Exception):
    """Another gateway owns the data directory."""


def lock_directory(data_dir: Path) -> int:
    """A handle that holds it until it is closed. Raises AlreadyRunning or OSError."""
    path = data_dir / "lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise AlreadyRunning(f"another gateway (process {owner}) uses {data_dir}") from None
    # Only for whoever finds it locked: a disk too full for it is no reason not to start. In place, for the same reason.
    with contextlib.suppress(OSError):
        os.pwrite(handle, f"{os.getpid():<10}\n".encode(), 0)
    return handle
