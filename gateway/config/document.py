"""Reading `tidegate.toml` and `conf.d/*.toml` into one document that still knows where everything stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import tomli

from gateway.config.archive import Damaged
from gateway.config.names import quote
from gateway.config.places import Cell, Key, KeyPath, Place
from gateway.config.positions import scan
from gateway.config.problems import ConfigErrors, Problem
from gateway.config.reading import DiskFiles, Files, Outside, TreeFiles, marker_of, standing_change
from gateway.config.tree import Tree, csv_named_in, csv_named_in_text

_ATTEMPTS = 20
"""How often files that are replaced while they are read are read again."""
_NUMBER = re.compile(r"[+-]?[0-9_]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Source:
    """One TOML file, parsed."""

    path: Path
    text: str
    body: dict[str, Any]


class Document:
    """The merged files. Arrays of tables are concatenated in the order of files; any other key stands in one file."""

    def __init__(self, sources: list[Source], files: Files) -> None:
        self.sources = sources
        self.files = files
        self.body: dict[str, Any] = {}
        self.clashes: list[tuple[Source, Source, str]] = []
        """(first file, second file, key) of every key that stands in two files and can't be merged."""
        self._origins: dict[KeyPath, tuple[Source, KeyPath]] = {}
        self._lines: dict[Path, dict[KeyPath, int]] = {}
        for source in sources:
            for key, value in source.body.items():
                self._merge(source, key, value)

    def _merge(self, source: Source, key: str, value: Any) -> None:
        if key not in self.body:
            self.body[key] = list(value) if isinstance(value, list) else value
            self._origins[(key,)] = (source, (key,))
            if isinstance(value, list):
                for index in range(len(value)):
                    self._origins[key, index] = (source, (key, index))
            return
        known = self.body[key]
        if not isinstance(known, list) or not isinstance(value, list):
            self.clashes.append((self._origins[(key,)][0], source, key))
            return
        for index, item in enumerate(value):
            self._origins[key, len(known)] = (source, (key, index))
            known.append(item)

    def source_of(self, path: KeyPath) -> Source:
        """The file a key stands in. For the empty path the main file."""
        return self._origin(path)[0]

    def locate(self, place: Place) -> tuple[Path, int | None]:
        """File and line of a place. A key that isn't there has the line of the nearest table around it."""
        match place:
            case Key(path):
                source, local = self._origin(path)
                return source.path, self.line_in(source, local)
            case Cell(file, row):
                return file, row
        raise TypeError(f"not a place: {place!r}")

    def line_in(self, source: Source, local: KeyPath) -> int | None:
        """The line of a key, by its path within one file."""
        if source.path not in self._lines:
            self._lines[source.path] = scan(source.text)
        lines = self._lines[source.path]
        for end in range(len(local), 0, -1):
            if local[:end] in lines:
                return lines[local[:end]]
        return None

    def order(self, file: Path) -> int:
        """Position of a file among the sources; files of other kinds come last."""
        return next((index for index, source in enumerate(self.sources) if source.path == file), len(self.sources))

    def _origin(self, path: KeyPath) -> tuple[Source, KeyPath]:
        for depth in (2, 1):
            if path[:depth] in self._origins:
                source, local = self._origins[path[:depth]]
                return source, local + path[depth:]
        return self.sources[0], path


def read(path: Path, tree: Tree | None = None) -> Document:
    """Read the main file and everything in `conf.d` beside it. Raises ConfigErrors with every unreadable file.

    `tree`: read these files instead, as if they stood there. Without it, files that a change is just replacing are read
    as they all will be: a mix of old and new is never seen.
    """
    files, sources, problems = _in_tree(path, tree) if tree is not None else _in_place(path)
    if problems:
        raise ConfigErrors(tuple(problems))
    return Document(sources, files)


def in_place(path: Path) -> Tree:
    """The files of the configuration at `path`, whatever they hold. Raises ConfigErrors if one can't be read."""
    files, _, _ = _in_place(path)
    if isinstance(files, TreeFiles):
        return files.tree
    if failures := files.failures():
        raise ConfigErrors(tuple(unreadable(file, error) for file, error in failures))
    return files.tree()


_Read: TypeAlias = tuple["TreeFiles | DiskFiles", list[Source], list[Problem]]


def _in_tree(path: Path, tree: Tree) -> _Read:
    files = TreeFiles(path, tree)
    problems: list[Problem] = []
    return files, _gather(files, problems), problems


def _in_place(path: Path) -> _Read:
    """What stands at `path`, all of it at one moment. Raises ConfigErrors if a change's marker can't be read."""
    for _ in range(_ATTEMPTS):
        try:
            change = standing_change(path)
        except OSError as error:
            raise ConfigErrors((unreadable(marker_of(path), error),)) from None
        except Damaged as error:
            hint = "look the files over, which may be half changed, then remove this one"
            message = f"the marker of a change is damaged: {error}"
            raise ConfigErrors((Problem(marker_of(path), None, message, hint),)) from None
        if change is not None:
            return _in_tree(path, change)
        files, problems = DiskFiles(path), list[Problem]()
        sources = _gather(files, problems)
        # In this order: a change that ended before the marker is looked for has replaced a file that was read.
        if not marker_of(path).exists() and files.unchanged():
            break
    return files, sources, problems


def _gather(files: Files, problems: list[Problem]) -> list[Source]:
    """Every TOML file, parsed; the CSV files that they name are read with them."""
    try:
        tables = files.tables()
    except OSError as error:
        problems.append(unreadable(files.main.parent / "conf.d", error))
        tables = [files.main]
    sources = []
    for table in tables:
        text = read_text(table, problems, files.read)
        if text is None:
            continue
        source = _parse(table, text, problems)
        for name in csv_named_in(source.body) if source else csv_named_in_text(text):
            files.exists(table.parent / name)
        if source:
            sources.append(source)
    return sources


def _parse(path: Path, text: str, problems: list[Problem]) -> Source | None:
    try:
        return Source(path, text, tomli.loads(text))
    except tomli.TOMLDecodeError as error:
        problems.append(_syntax(path, text, error))
    except ValueError:  # CPython refuses to read longer integers, and tomli passes that on
        digits = re.search(r"[0-9_]{4300,}", text)
        line = text.count("\n", 0, digits.start()) + 1 if digits else None
        problems.append(Problem(path, line, "a number has over 4300 digits", "mend the number"))
    except RecursionError:
        problems.append(Problem(path, None, "arrays or tables are nested too deeply", "take nesting out"))
    return None


def read_text(path: Path, problems: list[Problem], read: Callable[[Path], bytes]) -> str | None:
    """A text file's content, or None and one problem more. A byte order mark is left off. `read` may raise OSError."""
    try:
        body = read(path)
    except OSError as error:
        problems.append(unreadable(path, error))
        return None
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
            problems.append(Problem(path, 1, "the file is UTF-16, but must be UTF-8", "save it again as UTF-8"))
        else:
            line = body.count(b"\n", 0, error.start) + 1
            message = f"the byte 0x{body[error.start]:02X} isn't UTF-8 text"
            problems.append(Problem(path, line, message, "save the file again as UTF-8 (in Excel: “CSV UTF-8”)"))
        return None


def unreadable(path: Path, error: OSError) -> Problem:
    """One sentence for a file that can't be opened."""
    match error:
        case Outside():
            hint = "name one there, such as filler.csv, and add it to the draft"
            return Problem(path, None, f"the file can't be part of the configuration: {error.strerror}", hint)
        case FileNotFoundError():
            return Problem(path, None, "the file doesn't exist", "create it, or mend the path")
        case PermissionError():
            return Problem(path, None, "the file can't be read: permission denied", f"run chmod a+r {path}")
        case IsADirectoryError():
            inside = next(iter(sorted(path.glob("*.toml"))), None)
            hint = f"did you mean {inside}?" if inside else "mend the path"
            return Problem(path, None, "this is a directory, but must be a file", hint)
        case _:
            return Problem(path, None, f"the file can't be read: {error.strerror or error}", "mend the path")


def _syntax(path: Path, text: str, error: tomli.TOMLDecodeError) -> Problem:
    line = min(error.lineno, text.count("\n") + 1)
    content = text.split("\n")[line - 1].strip()
    if error.msg.startswith(("Cannot declare", "Cannot overwrite", "Cannot mutate", "Cannot redefine")):
        what = content if content.startswith("[") else f"the key {quote(content.partition('=')[0].strip())}"
        hint = "give every key and [table] once; a list of tables is written with [[double brackets]]"
        return Problem(path, line, f"{what} is defined twice", hint)
    message = error.msg[:1].lower() + error.msg[1:]
    return Problem(path, line, f"not valid TOML: {message} (column {error.colno})", _syntax_hint(content))


def _syntax_hint(line: str) -> str:
    key, equals, value = (part.strip() for part in line.partition("="))
    if line.startswith("["):
        return "write a table as [name] and a list of tables as [[name]]"
    if line and not equals:
        return "write key = value, with the value on the same line"
    if not value:
        return f"give {key} a value, or take the line out"
    if value.lower() in ("true", "yes", "on", "false", "no", "off"):
        return f"write {key} = {'true' if value.lower() in ('true', 'yes', 'on') else 'false'}"
    if value.count('"') % 2 or value.count("'") % 2:
        return "close the quotes at the end of the text"
    if value[0] not in "\"'[{" and not _NUMBER.fullmatch(value):
        return f'put text in quotes: {key} = "{value}"'
    return "mend the line; text stands in double quotes, tables in { }, lists in [ ]"
