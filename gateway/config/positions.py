"""Where every key stands in a TOML file, which the TOML reader doesn't tell.

Runs only when an error must be shown or a file is edited, on text that tomli has already accepted, so it needn't judge
anything: it follows keys and values by their delimiters. Every table, key, array and array element that tomli sees gets
a position.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import tomli

from gateway.config.places import KeyPath

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACES = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
# Up to two quotes may stand directly before the closing three and belong to the text.
_MULTI_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL)
_MULTI_LITERAL = re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\n]+")


@dataclass(frozen=True, slots=True)
class Statement:
    """A [header], or a key with its value that stands in no other value. Offsets leave blanks and comments out."""

    path: KeyPath
    """Of the table or of the value. The header of an array of tables has the element's: ``("device", 0)``."""
    start: int
    end: int
    header: bool


@dataclass(slots=True)
class Outline:
    """Everything that stands in a TOML file, and where."""

    lines: dict[KeyPath, int] = field(default_factory=dict)
    """1-based. Tables have the line of their first mention."""
    statements: list[Statement] = field(default_factory=list)
    """In the order of the text."""
    values: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    """First offset and the one behind the last, of every value that is written as one."""
    keys: dict[KeyPath, int] = field(default_factory=dict)
    """Where the key of a value begins, by the value's path."""


def scan(text: str) -> dict[KeyPath, int]:
    """Key path → 1-based line, for a valid TOML document. Tables have the line of their first mention."""
    return outline(text).lines


def outline(text: str) -> Outline:
    """Everything in a valid TOML document."""
    return _Scanner(text).run()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._outline = Outline()
        self._lines = self._outline.lines
        self._counts: dict[KeyPath, int] = {}
        """How many [[tables]] each array of tables has so far."""

    def run(self) -> Outline:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            start = self._at
            header = self._text[start] == "["
            if header:
                path = table = self._header()
            else:
                path = self._assignment(table)
                self._value(path)
            end = self._at if header else self._outline.values[path][1]
            self._outline.statements.append(Statement(path, start, end, header))
            self._skip(_BLANK)
        return self._outline

    def _skip(self, pattern: re.Pattern[str]) -> str:
        """Move over a match of `pattern`, counting lines; the text moved over."""
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"not valid TOML at line {self._line}")
        self._at = match.end()
        self._line += match[0].count("\n")
        return match[0]

    def _take(self, literal: str) -> bool:
        if not self._text.startswith(literal, self._at):
            return False
        self._at += len(literal)
        return True

    def _header(self) -> KeyPath:
        line = self._line
        array = self._take("[[") or not self._take("[")
        self._skip(_SPACES)
        keys = self._dotted()
        self._take("]]" if array else "]")
        path: KeyPath = ()
        for position, key in enumerate(keys):
            path = (*path, key)
            self._lines.setdefault(path, line)
            if array and position == len(keys) - 1:
                count = self._counts.get(path, 0)
                self._counts[path] = count + 1
                path = (*path, count)
                self._lines[path] = line
            elif path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path

    def _dotted(self) -> list[str]:
        """A dotted key, with the blanks after it."""
        keys = []
        while True:
            keys.append(self._key())
            self._skip(_SPACES)
            if not self._take("."):
                return keys
            self._skip(_SPACES)

    def _key(self) -> str:
        match self._text[self._at]:
            case '"':
                quoted = self._skip(_BASIC)
            case "'":
                quoted = self._skip(_LITERAL)
            case _:
                return self._skip(_BARE_KEY)
        key: str = tomli.loads(f"key = {quoted}")["key"]
        return key

    def _assignment(self, table: KeyPath) -> KeyPath:
        """A key and its equals sign; the key's path."""
        path = table
        line, start = self._line, self._at
        for key in self._dotted():
            path = (*path, key)
            self._lines.setdefault(path, line)
        self._outline.keys[path] = start
        self._take("=")
        self._skip(_SPACES)
        return path

    def _value(self, path: KeyPath) -> None:
        """A value of any kind. Nested ones are kept on a stack, so that depth costs no recursion."""
        # (path, next element, start) of every open array; (path, None, start) of every open inline table
        open_values: list[tuple[KeyPath, int | None, int]] = []
        while True:
            start = self._at
            if self._take("["):
                open_values.append((path, 0, start))
            elif self._take("{"):
                open_values.append((path, None, start))
            else:
                self._outline.values[path] = start, self._scalar()
            while open_values:
                path, element, start = open_values[-1]
                self._skip(_BLANK)
                if self._take(","):
                    self._skip(_BLANK)
                if self._take("]" if element is not None else "}"):
                    open_values.pop()
                    self._outline.values[path] = start, self._at
                    continue
                if element is None:
                    path = self._assignment(path)
                    self._skip(_BLANK)
                else:
                    open_values[-1] = (path, element + 1, start)
                    path = (*path, element)
                    self._lines[path] = self._line
                break
            else:
                return

    def _scalar(self) -> int:
        """Move over one. Where it ends: the blanks behind a bare one don't belong to it."""
        for opening, pattern in (
            ('"""', _MULTI_BASIC),
            ("'''", _MULTI_LITERAL),
            ('"', _BASIC),
            ("'", _LITERAL),
        ):
            if self._text.startswith(opening, self._at):
                self._skip(pattern)
                return self._at
        start = self._at
        return start + len(self._skip(_SCALAR).rstrip())
