"""Where the bytes of a configuration come from: the disk, never in the midst of a change, or a tree in memory.

A change replaces several files one by one. While it does, its marker stands beside the main file and holds the whole
new tree; whoever finds the marker reads that instead of the files. The marker is put there by one rename, so there is
no moment at which a reader can get a mix (`gateway.changes.commit` is the writer).
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Protocol, TypeAlias

from gateway.config.archive import unpack_tree
from gateway.config.tree import Tree, name_in


class Files(Protocol):
    """The files of one configuration."""

    main: Path

    def tables(self) -> list[Path]:
        """The main file and those of ``conf.d``, in the order in which they are read. Raises OSError."""
        ...

    def read(self, path: Path) -> bytes:
        """Raises OSError."""
        ...

    def exists(self, path: Path) -> bool: ...


class Outside(OSError):
    """A file that isn't there for this configuration, whatever stands at its path."""


class TreeFiles:
    """A tree in memory. Its files have the paths they would have in place."""

    def __init__(self, main: Path, tree: Tree) -> None:
        self.main = main
        self.tree = tree

    def tables(self) -> list[Path]:
        return [self.main.parent / name for name in self.tree.tables]

    def read(self, path: Path) -> bytes:
        name = name_in(self.main.parent, path, self.tree.main)
        if name is None:
            if os.path.abspath(path) in self.tree.outside:
                return path.read_bytes()
            raise Outside(errno.EACCES, "it isn't a .csv file in the configuration's directory", str(path))
        if name not in self.tree.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self.tree.files[name]

    def exists(self, path: Path) -> bool:
        name = name_in(self.main.parent, path, self.tree.main)
        if name is None:
            # What it mustn't read it mustn't tell either; reading says why.
            return os.path.abspath(path) not in self.tree.outside or path.exists()
        return name in self.tree.files


class DiskFiles:
    """The files in place. Every one is read once and kept, so that all of them can be looked at again together."""

    def __init__(self, main: Path) -> None:
        self.main = main
        self._read: dict[Path, bytes | OSError] = {}
        self._seen: dict[Path, _Signature | None] = {}
        self._listing: list[Path] | None = None

    def tables(self) -> list[Path]:
        try:
            self._listing = _conf_d(self.main)
        except OSError as error:
            self._read[self.main.parent / "conf.d"] = error
            raise
        return [self.main, *self._listing]

    def read(self, path: Path) -> bytes:
        if path not in self._read:
            try:
                with path.open("rb") as file:
                    self._seen[path] = _signature(os.fstat(file.fileno()))
                    self._read[path] = file.read()
            except OSError as error:
                self._seen[path] = _stat(path)
                self._read[path] = error
        body = self._read[path]
        if isinstance(body, OSError):
            raise body
        return body

    def exists(self, path: Path) -> bool:
        with contextlib.suppress(OSError):
            self.read(path)
        return not isinstance(self._read[path], FileNotFoundError | NotADirectoryError)

    def unchanged(self) -> bool:
        """Whether everything that was read still stands there: then all of it stood there together."""
        return all(_stat(path) == seen for path, seen in self._seen.items()) and (
            self._listing is None or self._listing == _conf_d(self.main)
        )

    def failures(self) -> list[tuple[Path, OSError]]:
        """What couldn't be read. A CSV file that isn't there is no failure of reading: who names it says so."""
        tables = {self.main, *(self._listing or ())}
        return [
            (path, error)
            for path, error in self._read.items()
            if isinstance(error, OSError)
            and (path in tables or not isinstance(error, FileNotFoundError | NotADirectoryError))
        ]

    def tree(self) -> Tree:
        """What was read."""
        files: dict[str, bytes] = {}
        outside: set[str] = set()
        for path, body in self._read.items():
            name = name_in(self.main.parent, path, self.main.name)
            if name is None:
                outside.add(os.path.abspath(path))
            elif isinstance(body, bytes):
                files[name] = body
        return Tree(self.main.name, files, frozenset(outside))


_Signature: TypeAlias = tuple[int, int, int, int, int]


def marker_of(main: Path) -> Path:
    """Where the marker of a change stands."""
    return main.with_name(f".{main.name}.change")


def standing_change(main: Path) -> Tree | None:
    """The tree that a change is just putting in place, or None. Raises OSError or Damaged."""
    try:
        body = marker_of(main).read_bytes()
    except FileNotFoundError:
        return None
    return unpack_tree(body)[0]


def _conf_d(main: Path) -> list[Path]:
    try:
        entries = list((main.parent / "conf.d").iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(entry for entry in entries if entry.suffix == ".toml" and entry.name[0] != ".")


def _stat(path: Path) -> _Signature | None:
    try:
        return _signature(path.stat())
    except OSError:
        return None


def _signature(found: os.stat_result) -> _Signature:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
