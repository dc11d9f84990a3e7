"""Going on under another release: what a schema that is newer, or becomes it, leaves beside the journal's file.

- Before the file is brought to a newer schema, a copy of it as it is is kept: ``NAME.before-SCHEMA``.
- A release that finds a schema it can't use sets the file aside as ``NAME.newer-SCHEMA-N``, and goes on with the copy
  that it left itself, or with a fresh file. Nothing of what was set aside is lost: a release that knows its schema
  brings it in again, as it salvages what was corrupt.

Every step is a rename, so that after a power cut it is done or not.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from gateway.ops.files import sync_directory

_log = logging.getLogger(__name__)

_PARTS: Final = ("-wal", "-shm", "")
_KEPT_S: Final = 14 * 86_400.0
"""Nobody goes back by itself later than that."""


def keep(connection: sqlite3.Connection, path: Path, schema: int, min_free_bytes: int) -> None:
    """Copy an open journal that is about to get a newer schema. Raises OSError or sqlite3.Error.

    Where the disk has no room for it there is no copy: what is pending then waits, set aside, for the newer release.
    """
    copy, draft = _copy_of(path, schema), path.with_name(f"{path.name}.before.new")
    used = path.stat().st_size + _size(path.with_name(f"{path.name}-wal"))
    if shutil.disk_usage(path.parent).free < used + min_free_bytes:
        _log.warning("the disk has no room for a copy of the journal as it was before this release")
        return
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(draft, isolation_level=None)) as target:
        connection.backup(target)
    handle = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(draft, copy)
    sync_directory(path.parent)


def take_back(path: Path, schema: int) -> bool:
    """Go on with the copy that a release of `schema` left, where there is no journal. Raises OSError."""
    copy = _copy_of(path, schema)
    if path.exists() or not copy.exists():
        return False
    os.replace(copy, path)
    sync_directory(path.parent)
    return True


def set_aside(path: Path, schema: int) -> Path:
    """Put a closed journal of another schema aside. Returns where it is now. Raises OSError."""
    number = 1
    while (aside := path.with_name(f"{path.name}.newer-{schema}-{number}")).exists():
        number += 1
    for suffix in _PARTS:  # the file last: until then it is still there
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.replace(part, aside.with_name(aside.name + suffix))
    sync_directory(path.parent)
    return aside


def asides(path: Path) -> Sequence[tuple[int, Path]]:
    """(schema, file) of what was set aside, oldest first."""
    pattern = re.compile(re.escape(path.name) + r"\.newer-(\d+)-(\d+)")
    found = [
        (match, each) for each in path.parent.glob(f"{path.name}.newer-*") if (match := pattern.fullmatch(each.name))
    ]
    found.sort(key=lambda pair: (int(pair[0][1]), int(pair[0][2])))
    return [(int(match[1]), each) for match, each in found]


def is_newer(aside: Path) -> bool:
    """Whether a file was set aside for a later release, and not for being corrupt."""
    return ".newer-" in aside.name


def forget_old_copies(path: Path) -> None:
    """Those that nobody goes back to any more. Raises OSError."""
    for copy in path.parent.glob(f"{path.name}.before-*"):
        if time.time() - copy.stat().st_mtime > _KEPT_S:
            copy.unlink()


def _copy_of(path: Path, schema: int) -> Path:
    return path.with_name(f"{path.name}.before-{schema}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
