"""Editing the text of one TOML file: what is edited is cut out or put in, every other byte stays as it is.

Places are found by the scanner that also tells lines (`gateway.config.positions`). Every edit is read back: a text that
doesn't say exactly what was meant is never returned.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import tomli

from gateway import toml
from gateway.config.places import KeyPath
from gateway.config.positions import Statement, outline

Body: TypeAlias = dict[str, Any]

_COMMA = re.compile(r"[ \t]*,")
_COMMENT = re.compile(r"[ \t]*#[^\r\n]*")
_NESTED = ("group", "tag")
"""Lists that are written as [[tables]] below their table; other lists stand on one line."""


class CannotEdit(Exception):
    """The text is written in a way that this edit isn't made for. Mended by hand only."""


class TomlText:
    """One valid file. Every edit returns a new text; paths are those of the parsed body."""

    def __init__(self, text: str) -> None:
        """Raises tomli.TOMLDecodeError."""
        self.text = text
        self.body: Body = tomli.loads(text)
        self._outline = outline(text)
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def holds_one_value(self, path: KeyPath) -> bool:
        """Whether what stands at `path` is written as one value, not as tables with headers or dotted keys."""
        return path in self._outline.values

    def set(self, path: KeyPath, value: Any) -> str:
        """Set a key that is there as one value, or isn't there in a table that is. Raises CannotEdit."""
        expected = copy.deepcopy(self.body)
        node_at(expected, path[:-1])[path[-1]] = value
        if span := self._outline.values.get(path):
            return self._checked(self._splice(*span, toml.value(value)), expected)
        key = path[-1]
        assert isinstance(key, str)
        return self._checked(self._with_key(path[:-1], key, value), expected)

    def append(self, path: KeyPath, items: Sequence[Mapping[str, Any]]) -> str:
        """Add tables to the end of a list of tables, which needn't be there yet. Raises CannotEdit."""
        expected = copy.deepcopy(self.body)
        table = node_at(expected, path[:-1])
        table.setdefault(path[-1], []).extend(copy.deepcopy(list(items)))
        if span := self._outline.values.get(path):
            text = self
            for item in items:
                span = text._outline.values[path]
                text = TomlText(text._with_item(path, span, toml.value(item)))
            return self._checked(text.text, expected)
        if path[:-1] in self._outline.values:
            return self.set(path, list(items))
        return self._checked(self._with_tables(path, items), expected)

    def remove(self, path: KeyPath) -> str:
        """Take out a key, a table or an element of a list. Raises CannotEdit."""
        expected = copy.deepcopy(self.body)
        del node_at(expected, path[:-1])[path[-1]]
        # Tables that only their keys' dots or their own subtables made are gone with the last of these.
        for end in range(len(path) - 1, 0, -1):
            above = node_at(expected, path[:end])
            if above or path[:end] in self._outline.values or self._header(path[:end]):
                break
            del node_at(expected, path[: end - 1])[path[end - 1]]
        container = next(
            (path[:end] for end in range(len(path) - 1, 0, -1) if path[:end] in self._outline.values), None
        )
        text = self.text
        if container is not None:
            items = [index for index, item in enumerate(self._items(container)) if item[: len(path)] == path]
            for index in reversed(items):
                text = TomlText(text)._without_item(container, index)
        else:
            for first, last in reversed(self._runs(path)):
                text = text[: self._from(first)] + text[self._upto(first, last) :]
        return self._checked(text, expected)

    # --- keys ---

    def _with_key(self, table: KeyPath, key: str, value: Any) -> str:
        if span := self._outline.values.get(table):
            return self._with_item(table, span, f"{toml.key(key)} = {toml.value(value)}")
        header = self._header(table)
        if not table and isinstance(value, dict):
            return self._with_block(len(self.text), self._block((key,), value, "", array=False))
        if not table:
            return self._with_line(self._last_value(None), key, value)
        if header is not None:
            return self._with_line(self._last_value(header), key, value)
        dotted = [each for each in self._outline.statements if each.path[: len(table)] == table and not each.header]
        if dotted:
            last = dotted[-1]
            home = next((path for path in self._headers_before(last) if path == last.path[: len(path)]), ())
            spelt = ".".join(toml.key(str(part)) for part in (*table[len(home) :], key))
            return self._insert_line(last, f"{spelt} = {toml.value(value)}")
        raise CannotEdit("the table has no place of its own in the file")

    def _with_line(self, last: Statement | None, key: str, value: Any) -> str:
        line = f"{toml.key(key)} = {toml.value(value)}"
        if last is not None:
            return self._insert_line(last, line)
        first = next((each for each in self._outline.statements), None)
        at = self._from(first) if first is not None else len(self.text)
        return self._splice(at, at, f"{line}{self._newline}")

    def _insert_line(self, after: Statement, line: str) -> str:
        at = self._line_end(after.end)
        missing = "" if self.text[at - 1 : at] == "\n" else self._newline
        return self._splice(at, at, f"{missing}{self._indent(after)}{line}{self._newline}")

    # --- tables with headers ---

    def _with_tables(self, path: KeyPath, items: Sequence[Mapping[str, Any]]) -> str:
        """[[tables]] behind the last one of their list, or at the end of the table they belong to."""
        names = tuple(part for part in path if isinstance(part, str))
        siblings = [each for each in self._outline.statements if each.header and each.path[:-1] == path]
        if siblings:
            indent = self._indent(siblings[-1])
        else:
            above = self._header(path[:-1])
            if above is None and len(path) > 1:
                raise CannotEdit("the table above has no header of its own")
            indent = self._indent(above) + self._step() if above is not None else ""
        belonging = [each for each in self._outline.statements if each.path[: len(path) - 1] == path[:-1]]
        if siblings:
            inner = siblings[-1].path
            belonging = [each for each in belonging if each.path[: len(inner)] == inner]
        at = self._line_end(belonging[-1].end) if (belonging and len(path) > 1) or siblings else len(self.text)
        blocks = self._newline.join(self._block(names, item, indent, array=True) for item in items)
        return self._with_block(at, blocks)

    def _with_block(self, at: int, block: str) -> str:
        """The text with a block in it that has a blank line before it."""
        before = self.text[:at]
        if before and not before.endswith("\n"):
            before += self._newline
        gap = self._newline if before.strip() and not before.endswith(("\n\n", "\n\r\n")) else ""
        return before + gap + block + self.text[at:]

    def _block(self, names: tuple[str, ...], item: Mapping[str, Any], indent: str, *, array: bool) -> str:
        """One table with its header and everything below it."""
        name = ".".join(map(toml.key, names))
        lines = [f"{indent}[[{name}]]" if array else f"{indent}[{name}]"]
        below: list[str] = []
        for key, value in item.items():
            if key in _NESTED and value and isinstance(value, list) and all(isinstance(each, dict) for each in value):
                inner = indent + self._step()
                below += [self._block((*names, key), each, inner, array=True) for each in value]
            else:
                lines.append(f"{indent}{toml.key(key)} = {toml.value(value)}")
        return self._newline.join(["".join(f"{line}{self._newline}" for line in lines), *below])

    def _step(self) -> str:
        """By how much a table stands further right than the one above it, in this file."""
        for header in self._outline.statements:
            if not header.header or not isinstance(header.path[-1], int) or len(header.path) < 3:
                continue
            above = self._header(header.path[:-2])
            if above is not None:
                wider, narrower = self._indent(header), self._indent(above)
                return wider.removeprefix(narrower) if len(wider) > len(narrower) else ""
        return "  " if not self._outline.statements else ""

    def _runs(self, path: KeyPath) -> list[tuple[Statement, Statement]]:
        """(first, last) of every run of statements that belong to what stands at `path`."""
        runs: list[list[Statement]] = []
        inside = False
        for each in self._outline.statements:
            belongs = each.path[: len(path)] == path
            if belongs and inside:
                runs[-1].append(each)
            elif belongs:
                runs.append([each])
            inside = belongs
        return [(run[0], run[-1]) for run in runs]

    def _from(self, first: Statement) -> int:
        """Where what begins with a statement begins: a header's with the comment that stands directly above it."""
        start = at = self._line_start(first.start)
        if not first.header:
            return start
        while at > 0:
            above = self._line_start(at - 1)
            if not self.text[above:at].lstrip().startswith("#"):
                return at
            at = above
        return start  # the comment at the very top is about the whole file

    def _upto(self, first: Statement, last: Statement) -> int:
        """Where what ends with a statement ends, with the comments directly below it unless they are the next table's,
        and with the blank lines behind it if there are some before it."""
        end = self._line_end(last.end)
        if not first.header:
            return end
        at = end
        while _COMMENT.match(self.text, at):
            at = self._line_end(at)
        if not self.text[at:].lstrip(" \t").startswith("["):
            end = at
        before = self.text[: self._from(first)]
        if not before.strip() or before.endswith(("\n\n", "\n\r\n")):
            while end < len(self.text) and not self.text[end : self._line_end(end)].strip():
                end = self._line_end(end)
        return end

    def _header(self, path: KeyPath) -> Statement | None:
        return next((each for each in self._outline.statements if each.header and each.path == path), None)

    def _headers_before(self, statement: Statement) -> list[KeyPath]:
        """The paths of headers above a statement, the nearest one first."""
        return [
            each.path for each in reversed(self._outline.statements) if each.header and each.start < statement.start
        ]

    def _last_value(self, header: Statement | None) -> Statement | None:
        """The last statement directly under a header, or the header itself; None stands for the top of the file."""
        last = header
        statements = self._outline.statements
        for each in statements[statements.index(header) + 1 if header is not None else 0 :]:
            if each.header:
                break
            last = each
        return last

    # --- what stands in brackets and braces ---

    def _items(self, container: KeyPath) -> list[KeyPath]:
        """What is written directly in an array or inline table, in order."""
        if isinstance(node_at(self.body, container), list):
            return [(*container, index) for index in range(len(node_at(self.body, container)))]
        values = self._outline.values
        return [
            path
            for path in self._outline.keys
            if path[: len(container)] == container
            and len(path) > len(container)
            and not any(path[:end] in values for end in range(len(container) + 1, len(path)))
        ]

    def _with_item(self, container: KeyPath, span: tuple[int, int], item: str) -> str:
        items = self._items(container)
        if not items:
            return self._splice(span[0] + 1, span[0] + 1, item)
        start, end = self._span(items[-1])
        own_line = not self.text[self._line_start(start) : start].strip()
        gap = f"{self._newline}{self.text[self._line_start(start) : start]}" if own_line else " "
        comma = _COMMA.match(self.text, end)
        at = comma.end() if comma else end
        comment = _COMMENT.match(self.text, at)
        rest = comment.end() if own_line and comment else at
        between = self.text[at:rest] if comma else f",{self.text[at:rest]}"
        return self._splice(at, rest, f"{between}{gap}{item}{',' if comma else ''}")

    def _without_item(self, container: KeyPath, index: int) -> str:
        items = self._items(container)
        start, end = self._span(items[index])
        if index + 1 < len(items):
            return self._splice(start, self._span(items[index + 1])[0], "")
        if index and isinstance(node_at(self.body, container), dict):
            return self._splice(self._span(items[index - 1])[1], end, "")
        comma = _COMMA.match(self.text, end)
        return self._splice(start, comma.end() if comma else end, "")

    def _span(self, item: KeyPath) -> tuple[int, int]:
        start, end = self._outline.values[item]
        return self._outline.keys.get(item, start), end

    # --- text ---

    def _splice(self, start: int, end: int, piece: str) -> str:
        return self.text[:start] + piece + self.text[end:]

    def _line_start(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        """Behind the line break of the line that `at` stands in."""
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end + 1

    def _indent(self, statement: Statement) -> str:
        return self.text[self._line_start(statement.start) : statement.start]

    def _checked(self, text: str, expected: Body) -> str:
        try:
            got = tomli.loads(text)
        except tomli.TOMLDecodeError as error:
            raise CannotEdit(f"the result wouldn't be valid TOML ({error})") from None
        if not same(got, expected):
            raise CannotEdit("the result would say something else")
        return text


def same(one: Any, other: Any) -> bool:
    """Whether two parsed values are the same to TOML: 1, 1.0 and true differ, NaN equals itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(item, other[key]) for key, item in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


def node_at(body: Any, path: KeyPath) -> Any:
    for key in path:
        body = body[key]
    return body
