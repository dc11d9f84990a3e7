"""Structured edits of a configuration: things are named as people name them, files change only where they must.

A path names tables and keys: ``("device", "filler1", "group", "fast", "interval_ms")``. An element of a list of tables
is named by its ``name``; one without a name by its position. Which file a named thing stands in is found out here; a
tag that stands in its group's CSV file is edited there.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.config.csvedit import CsvText, cells_of, columns_of
from gateway.config.names import Mendable, quote
from gateway.config.places import KeyPath
from gateway.config.schema import SECTIONS, ReportTable
from gateway.config.splice import CannotEdit, TomlText, node_at, same
from gateway.config.tree import Tree, check_file_name, check_size
from gateway.config.words import closest

_BOM = "\ufeff"
_BY_HAND = "edit the file's text instead"
_TABLES = {"device", "link", "sink", "template", "group", "tag"}
"""Lists of named tables."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit. `set` a key or a whole table, `add` a table (or several) to a list of them, `remove` either."""

    op: Literal["set", "add", "remove"]
    path: tuple[str, ...]
    value: Any = None
    file: str | None = None
    """Where to add a table of the top level. Default: the main file."""


class EditError(Exception):
    """An edit that can't be done: which one, why, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.index = 0
        """Position among the edits that were asked for."""


def edit(tree: Tree, edits: Iterable[Edit]) -> Tree:
    """The tree after these edits, one after the other. All or none: raises EditError.

    Bytes that an edit doesn't speak of stay as they are, comments too. The comment directly above a table and those in
    it go with it when it is removed.
    """
    editor = _Editor(tree)
    for index, each in enumerate(edits):
        try:
            editor.do(each)
        except EditError as error:
            error.index = index
            raise
        except (CannotEdit, TypeError, UnicodeEncodeError) as error:
            failed = EditError(f"{label(each.path)} can't be edited by itself: {error}", "edit the file's text instead")
            failed.index = index
            raise failed from None
    try:
        return check_size(editor.tree)
    except Mendable as error:
        raise EditError(f"the configuration {error}", error.hint) from None


@dataclass(frozen=True, slots=True)
class _Spot:
    """As far as a path leads: what stands there, and the names that lead further."""

    file: str
    local: KeyPath
    node: Any
    rest: tuple[str, ...]


class _Editor:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._parsed: dict[str, TomlText] = {}

    def do(self, each: Edit) -> None:
        if not each.path or not all(each.path):
            raise EditError("an edit names nothing", 'give a path, such as ["device", "filler1", "asset"]')
        match each.op:
            case "set":
                self._set(each.path, each.value)
            case "add":
                self._add(each.path, each.value, each.file)
            case "remove":
                self._remove(each.path)

    # --- the three edits ---

    def _set(self, path: tuple[str, ...], value: Any) -> None:
        spot = self._spot(path)
        if not spot.rest:
            self._conform(spot.file, spot.local, spot.node, value)
            return
        if (sheet := self._sheet(spot)) and len(spot.rest) > 1:
            self._set_cells(spot, *sheet, value)
            return
        if not isinstance(spot.node, dict) or (spot.rest[0] in _TABLES and len(spot.rest) > 1):
            raise self._missing(path, spot)
        for name in reversed(spot.rest[1:]):
            value = {name: value}
        key = spot.rest[0]
        if key in ("group", "tag") and _is_tables(value):
            self._write(spot.file, self._text(spot.file).append((*spot.local, key), value))
        else:
            self._write(spot.file, self._text(spot.file).set((*spot.local, key), value))

    def _add(self, path: tuple[str, ...], value: Any, file: str | None) -> None:
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in items):
            raise EditError(f"what is added to {label(path)} must be a table with a name", 'give it {"name": …, …}')
        names = [item["name"] for item in items]
        if len(path) == 1:
            self._add_at_top(path[0], items, file)
            return
        spot = self._spot(path)
        sheet = self._sheet(spot)
        if spot.rest and (
            len(spot.rest) > 1 or spot.rest[0] not in ("group", "tag") or not isinstance(spot.node, dict)
        ):
            raise self._missing(path, spot)
        if not spot.rest and not isinstance(spot.node, list):
            raise EditError(f"{label(path)} is no list of tables", "set it instead")
        known = spot.node if not spot.rest else []
        self._refuse_known(path, names, [item.get("name") for item in known if isinstance(item, dict)])
        if sheet and spot.rest:
            name, csv = sheet
            self._refuse_known(path, names, [row.get("name") for row in csv.rows])
            self._write(name, csv.append([cells_of(item) for item in items]))
            return
        local = (*spot.local, *spot.rest)
        self._write(spot.file, self._text(spot.file).append(local, items))

    def _add_at_top(self, section: str, items: list[dict[str, Any]], file: str | None) -> None:
        if section not in SECTIONS or not SECTIONS[section][1]:
            lists = ", ".join(name for name, (_, array) in SECTIONS.items() if array)
            raise EditError(f"nothing can be added to {section}", f"add to one of {lists}; set the keys of a table")
        known = [
            item.get("name")
            for name in self.tree.tables
            for item in self._text(name).body.get(section, [])
            if isinstance(item, dict)
        ]
        self._refuse_known((section,), [item["name"] for item in items], known)
        name = file or self.tree.main
        try:
            check_file_name(name, self.tree.main)
        except Mendable as error:
            raise EditError(f"the file name {error}", error.hint) from None
        if not name.endswith(".toml"):
            raise EditError(f"the file {quote(name)} can't hold tables", "name a file such as conf.d/line1.toml")
        if name not in self.tree.files:
            self.tree = self.tree.replaced({name: b""})
        self._write(name, self._text(name).append((section,), items))

    def _remove(self, path: tuple[str, ...]) -> None:
        spot = self._spot(path)
        if not spot.rest:
            self._write(spot.file, self._text(spot.file).remove(spot.local))
            return
        sheet = self._sheet(spot)
        if sheet is None or len(spot.rest) < 2:
            raise self._missing(path, spot)
        name, csv = sheet
        row = self._row(spot, csv)
        if len(spot.rest) == 2:
            self._write(name, csv.remove(row))
            return
        columns = columns_of(spot.rest[2:])
        if not csv.rows[row].keys() & set(columns):
            raise self._missing(path, spot)
        self._write(name, csv.set(row, dict.fromkeys(columns, "")))

    # --- making a table say what it shall ---

    def _conform(self, file: str, local: KeyPath, node: Any, value: Any) -> None:
        """Change as little as makes what stands at a place say `value`."""
        if same(node, value):
            return
        text = self._text(file)
        if text.holds_one_value(local):
            self._write(file, text.set(local, value))
        elif isinstance(node, dict) and isinstance(value, dict):
            for key in node:
                if key not in value:
                    self._write(file, self._text(file).remove((*local, key)))
            for key, part in value.items():
                if key in node:
                    self._conform(file, (*local, key), node[key], part)
                elif _is_tables(part) and key in ("group", "tag"):
                    self._write(file, self._text(file).append((*local, key), part))
                else:
                    self._write(file, self._text(file).set((*local, key), part))
        elif _is_tables(node) and _is_tables(value):
            self._conform_list(file, local, node, value)
        else:
            # A table becomes something else, or the other way round.
            self._write(file, self._text(file).remove(local))
            self._write(file, self._text(file).set(local, value))

    def _conform_list(self, file: str, local: KeyPath, node: list[Any], value: list[Any]) -> None:
        wanted = {item["name"]: item for item in value}
        if len(wanted) < len(value):
            raise EditError("two tables of a list have the same name", "give each its own")
        for index in range(len(node) - 1, -1, -1):
            if node[index]["name"] not in wanted:
                self._write(file, self._text(file).remove((*local, index)))
        kept = [item for item in node if item["name"] in wanted]
        names = [item["name"] for item in kept]
        if names != [item["name"] for item in value[: len(names)]]:
            raise EditError(
                "the order of a list's tables can't be changed by setting it", "edit the file's text instead"
            )
        for index, item in enumerate(kept):
            self._conform(file, (*local, index), item, wanted[item["name"]])
        if added := value[len(names) :]:
            self._write(file, self._text(file).append(local, added))

    # --- tags in CSV files ---

    def _sheet(self, spot: _Spot) -> tuple[str, CsvText] | None:
        """The CSV file of a group, where a path leads to a tag that stands in no table."""
        node, rest = spot.node, spot.rest
        if isinstance(node, list) and spot.local[-1] == "tag":
            node = node_at(self._text(spot.file).body, spot.local[:-1])
        elif not rest or rest[0] != "tag":
            return None
        if not isinstance(node, dict) or not isinstance(node.get("tags_csv"), str):
            return None
        name = posixpath.normpath(posixpath.join(posixpath.dirname(spot.file), node["tags_csv"]))
        if name not in self.tree.files:
            message = f"the tags stand in {quote(node['tags_csv'])}, which isn't part of the configuration"
            raise EditError(message, "edit that file where it stands, or add it to the draft")
        return name, CsvText(self._decoded(name))

    def _row(self, spot: _Spot, csv: CsvText) -> int:
        name = spot.rest[0] if isinstance(spot.node, list) else spot.rest[1]
        row = csv.find(name)
        if row is None:
            meant = closest(name, [each.get("name", "") for each in csv.rows])
            raise EditError(f"there is no tag {quote(name)}", f"did you mean {quote(meant)}?" if meant else "add it")
        return row

    def _set_cells(self, spot: _Spot, name: str, csv: CsvText, value: Any) -> None:
        row = self._row(spot, csv)
        if len(spot.rest) == 2:
            if not isinstance(value, dict):
                raise EditError("a tag must be a table", 'give it {"name": …, …}')
            cells = dict.fromkeys(csv.columns, "") | cells_of(value)
        else:
            for key in reversed(spot.rest[2:]):
                value = {key: value}
            cells = cells_of(value)
            if spot.rest[2:] == ("report",):
                cells = dict.fromkeys((set(csv.columns) & set(ReportTable.model_fields)), "") | cells
        self._write(name, csv.set(row, cells))

    # --- finding ---

    def _spot(self, path: tuple[str, ...]) -> _Spot:
        """The file and place that a path leads to, or as far as it leads."""
        best: _Spot | None = None
        for name in self.tree.tables:
            spot = _walk(name, self._text(name).body, path)
            if best is None or len(spot.rest) < len(best.rest):
                best = spot
        assert best is not None  # there always is a main file
        return best

    def _missing(self, path: tuple[str, ...], spot: _Spot) -> EditError:
        found = path[: len(path) - len(spot.rest)]
        name = spot.rest[0]
        if isinstance(spot.node, list):
            names = [item["name"] for item in spot.node if isinstance(item, dict) and isinstance(item.get("name"), str)]
            message = f"there is no {found[-1]} {quote(name)}"
            if above := label(found[:-1]):
                message += f" in {above}"
        else:
            if name in _TABLES and len(spot.rest) > 1:
                name, names = spot.rest[1], []
                message = f"{label(found) or 'the configuration'} has no {spot.rest[0]} {quote(name)} of its own"
            else:
                names = [*spot.node] if isinstance(spot.node, dict) else []
                message = f"{label(found) or 'the configuration'} has no {quote(name)}"
        meant = closest(name, names)
        template = spot.node.get("template") if isinstance(spot.node, dict) else None
        if isinstance(template, str):
            return EditError(message, f"edit the template {quote(template)}, or add it here to override that")
        return EditError(message, f"did you mean {quote(meant)}?" if meant else "add it first")

    def _refuse_known(self, path: tuple[str, ...], names: Sequence[str], known: Sequence[Any]) -> None:
        taken = {name.lower() for name in known if isinstance(name, str)}
        for name in names:
            if name.lower() in taken:
                message = f"there already is a {path[-1]} {quote(name)}"
                raise EditError(message, "give the new one another name, or set the one that is there")
            taken.add(name.lower())

    # --- files ---

    def _decoded(self, name: str) -> str:
        try:
            return self.tree.files[name].decode("utf-8-sig")
        except UnicodeDecodeError:
            raise EditError(f"{name} isn't UTF-8 text, so it can't be edited by parts", "replace the file") from None
        except KeyError:
            raise EditError(f"there is no file {name}", "add it to the draft") from None

    def _text(self, name: str) -> TomlText:
        if name not in self._parsed:
            try:
                self._parsed[name] = TomlText(self._decoded(name))
            except (ValueError, RecursionError):
                message = f"{name} isn't valid TOML, so it can't be edited by parts"
                raise EditError(message, "mend the file's text first") from None
        return self._parsed[name]

    def _write(self, name: str, text: str) -> None:
        bom = self.tree.files[name].startswith(_BOM.encode())
        self.tree = self.tree.replaced({name: (_BOM + text if bom else text).encode()})
        self._parsed.pop(name, None)


def _walk(file: str, body: Mapping[str, Any], path: tuple[str, ...]) -> _Spot:
    local: list[str | int] = []
    node: Any = body
    for position, name in enumerate(path):
        if isinstance(node, list):
            index = _element(node, name)
            if index is None:
                return _Spot(file, tuple(local), node, path[position:])
            local.append(index)
            node = node[index]
        elif isinstance(node, dict) and name in node:
            local.append(name)
            node = node[name]
        else:
            return _Spot(file, tuple(local), node, path[position:])
    return _Spot(file, tuple(local), node, ())


def _element(items: list[Any], name: str) -> int | None:
    """The position of the element of that name; of that position, where elements have no names."""
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("name") == name:
            return index
    named = any(isinstance(item, dict) and "name" in item for item in items)
    if not named and name.isascii() and name.isdigit() and int(name) < len(items):
        return int(name)
    return None


def _is_tables(value: Any) -> bool:
    """Whether it is a list of named tables."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in value)
    )


def label(path: Sequence[str]) -> str:
    """``device filler1, group fast: interval_ms``, as people say it."""
    parts, rest = [], list(path)
    while len(rest) > 1 and rest[0] in _TABLES:
        parts.append(f"{rest[0]} {rest[1]}")
        rest = rest[2:]
    tail = ".".join(rest)
    return ": ".join(filter(None, [", ".join(parts), tail]))
