"""Replacing several files as one: after a power cut at any moment all of them are new, or none is.

1. Everything new is written beside its place and synced, the marker too, which holds the whole new tree.
2. The marker is renamed into its place. From here on the new tree is the configuration: whoever reads it finds the
   marker first (`gateway.config.document`).
3. The files are renamed into theirs, one by one, and the directories synced.
4. The marker is removed.

A gateway that starts and finds a marker does 3 and 4 again from what the marker holds.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.config.archive import pack_tree, unpack_tree
from gateway.config.reading import marker_of
from gateway.config.tree import Tree
from gateway.ops.files import sync_directory, write_synced

_DRAFT = ".tidegate-new"
"""How the name of a file ends that is about to replace another."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A change that needs nothing but renames to be in place."""

    main: Path
    drafts: tuple[Path, ...]
    """Every file that was written for it, the marker's draft last."""
    changes_nothing: bool


def prepare(main: Path, old: Tree, new: Tree) -> Prepared:
    """Write everything that turns `old`, which is in place, into `new`. Nothing counts yet. Raises OSError.

    That also finds out whether the directories can be written to and have room, before anything else is done.
    """
    removed = sorted(old.files.keys() - new.files.keys())
    changed = [name for name in new.files if _content(_target(main, name)) != new.files[name]]
    if not removed and not changed:
        return Prepared(main, (), changes_nothing=True)
    mode = _mode(main, 0o644)
    drafts: list[Path] = []
    try:
        for name in changed:
            target = _target(main, name)
            _make_directory(target.parent)
            drafts.append(_draft(target))
            _write(drafts[-1], new.files[name], mode)
            _keep_ownership(drafts[-1], target, main)
        marker = marker_of(main)
        drafts.append(_draft(marker))
        _write(drafts[-1], pack_tree(new, removed=removed), mode)
        _keep_ownership(drafts[-1], main, main)
        for directory in {path.parent for path in drafts}:
            sync_directory(directory)
    except OSError:
        _unlink_all(drafts)
        raise
    return Prepared(main, tuple(drafts), changes_nothing=False)


def commit(prepared: Prepared) -> None:
    """Make it count. Raises OSError, and then it doesn't."""
    if prepared.changes_nothing:
        return
    marker = marker_of(prepared.main)
    os.replace(prepared.drafts[-1], marker)
    sync_directory(marker.parent)


def finish(main: Path) -> bool:
    """Put in place what a marker holds, and take the marker away; False if there is none.

    Raises OSError or `gateway.config.archive.Damaged`; the marker stays, and what it holds still is the configuration.
    """
    marker = marker_of(main)
    try:
        tree, note = unpack_tree(marker.read_bytes())
    except FileNotFoundError:
        return False
    mode = _mode(main, 0o644)
    directories: set[Path] = set()
    for name, body in tree.files.items():
        target = _target(main, name)
        draft = _draft(target)
        directories.add(target.parent)
        if _content(target) != body:
            if _content(draft) != body:
                _make_directory(target.parent)
                _write(draft, body, mode)
                _keep_ownership(draft, target, main)
            os.replace(draft, target)
        else:
            draft.unlink(missing_ok=True)
    for name in note["removed"]:
        target = _target(main, name)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            target.unlink()
            directories.add(target.parent)
    for directory in directories:
        sync_directory(directory)
    marker.unlink()
    sync_directory(marker.parent)
    return True


def abandon(prepared: Prepared) -> None:
    """Take away what was prepared."""
    _unlink_all(prepared.drafts)


def clear(main: Path, tree: Tree) -> None:
    """Take away what changes that never counted have left beside the files of a tree."""
    directories = {main.parent, main.parent / "conf.d", *(_target(main, name).parent for name in tree.files)}
    _unlink_all(path for directory in directories for path in directory.glob(f".*{_DRAFT}"))


def in_the_way(main: Path, old: Tree, new: Tree) -> list[str]:
    """Files that `new` would replace although they are no part of `old`: nobody would have their content any more."""
    return [
        name
        for name in sorted(new.files.keys() - old.files.keys())
        if _content(_target(main, name)) not in (None, new.files[name])
    ]


def _target(main: Path, name: str) -> Path:
    """Where a file really stands: one behind a link is replaced where it is, and the link stays."""
    return Path(os.path.realpath(main.parent / name))


def _draft(target: Path) -> Path:
    return target.with_name(f".{target.name.removeprefix('.')}{_DRAFT}")


def _write(draft: Path, body: bytes, mode: int) -> None:
    draft.unlink(missing_ok=True)
    write_synced(draft, body, mode)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _mode(path: Path, otherwise: int) -> int:
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return otherwise


def _keep_ownership(draft: Path, target: Path, main: Path) -> None:
    """Give a new file the mode and, where that is allowed, the owner of the one it replaces, or of the main file."""
    for path in (target, main):
        with contextlib.suppress(OSError):
            known = path.stat()
            os.chmod(draft, known.st_mode & 0o777)
            with contextlib.suppress(PermissionError):
                os.chown(draft, known.st_uid, known.st_gid)
            return


def _make_directory(path: Path) -> None:
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


def _unlink_all(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
