"""A configuration as a tree of files: the main file, ``conf.d/*.toml`` beside it, and the CSV files that these name.

Names are relative to the main file's directory, with slashes: ``tidegate.toml``, ``conf.d/line1.toml``, ``filler.csv``.
Only such names are part of a tree. A CSV file elsewhere, which a configuration written by hand may name, is read where
it stands and never written.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli

from gateway.config.names import Mendable, quote

MAX_FILES = 500
MAX_BYTES = 16 << 20
"""Of all files together: over a hundred thousand tags."""
_MAX_NAME = 200
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\:]")
_NAMED_IN_BROKEN_TEXT = re.compile(r"""tags_csv\s*=\s*(?:"([^"\n]*)"|'([^'\n]*)')""")


@dataclass(frozen=True, slots=True)
class Tree:
    """Every file of one configuration, as bytes."""

    main: str
    """The main file's name."""
    files: Mapping[str, bytes]
    outside: frozenset[str] = field(default=frozenset(), compare=False)
    """Absolute paths of the CSV files elsewhere that it may name, because somebody at the machine did."""

    @property
    def digest(self) -> str:
        """SHA-256 over names and bytes, in hexadecimal."""
        digest = hashlib.sha256()
        for name in sorted(self.files):
            body = self.files[name]
            digest.update(f"{len(name.encode())} {name} {len(body)}\n".encode())
            digest.update(body)
        return digest.hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))

    @property
    def tables(self) -> list[str]:
        """The names of its TOML files, in the order in which they are read."""
        return [self.main, *sorted(name for name in self.files if name.startswith("conf.d/") and name[-5:] == ".toml")]

    def replaced(self, files: Mapping[str, bytes | None]) -> Tree:
        """The tree with these files instead, None taking one out."""
        kept = {name: body for name, body in self.files.items() if name not in files}
        added = {name: body for name, body in files.items() if body is not None}
        return Tree(self.main, kept | added, self.outside)


def check_file_name(name: str, main: str) -> str:
    """The name of a file that may be part of a tree. Raises Mendable, worded to follow "the file name"."""
    hint = f"use {main}, conf.d/NAME.toml or NAME.csv"
    parts = name.split("/")
    if not name or len(name.encode()) > _MAX_NAME or _FORBIDDEN.search(name):
        raise Mendable(f"{quote(name)} can't be used", hint)
    if any(not part or part.startswith(".") or part != part.strip() for part in parts):
        raise Mendable(f"{quote(name)} leads out of the configuration's directory, or is hidden", hint)
    if name == main or (len(parts) == 2 and parts[0] == "conf.d" and name.endswith(".toml")):
        return name
    if not name.lower().endswith(".csv"):
        raise Mendable(f"{quote(name)} is no part of a configuration", hint)
    return name


def check_size(tree: Tree) -> Tree:
    """The tree, if it isn't too large. Raises Mendable, worded to follow "the configuration"."""
    if len(tree.files) > MAX_FILES:
        raise Mendable(f"has {len(tree.files)} files, but at most {MAX_FILES} are possible", "join some of them")
    if tree.size > MAX_BYTES:
        raise Mendable(
            f"has {tree.size >> 20} MiB, but at most {MAX_BYTES >> 20} are possible", "use templates for equal devices"
        )
    return tree


def trimmed(tree: Tree) -> Tree:
    """The tree without the CSV files that nothing in it names: the files of a configuration, as they are read."""
    named = set(tree.tables)
    for name in tree.tables:
        text = tree.files.get(name, b"").decode("utf-8-sig", "replace")
        try:
            found = csv_named_in(tomli.loads(text))
        except (ValueError, RecursionError):
            found = csv_named_in_text(text)
        named |= {posixpath.normpath(posixpath.join(posixpath.dirname(name), each)) for each in found}
    return tree.replaced(dict.fromkeys(tree.files.keys() - named))


def name_in(directory: Path, path: Path, main: str) -> str | None:
    """The name in the tree of a file by its path, or None if it is outside."""
    relative = os.path.relpath(os.path.normpath(path), directory)
    try:
        return check_file_name(relative, main)
    except Mendable:
        return None


def csv_named_in(body: Mapping[str, Any]) -> Iterator[str]:
    """Every ``tags_csv`` of one parsed TOML file, however wrong the rest of it may be."""
    for section in ("device", "template"):
        for table in _tables(body.get(section)):
            for group in _tables(table.get("group")):
                name = group.get("tags_csv")
                if isinstance(name, str) and name and "\0" not in name:
                    yield name


def csv_named_in_text(text: str) -> Iterator[str]:
    """The same of a file that isn't valid TOML, as well as can be told."""
    for match in _NAMED_IN_BROKEN_TEXT.finditer(text):
        if name := match[1] or match[2]:
            yield name


def _tables(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
