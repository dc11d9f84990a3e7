"""What differs between two trees in the words of the plant: ``device filler1, group fast: interval_ms 1000 → 250``."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import tomli

from gateway import toml
from gateway.config.csvtags import delimiter_of
from gateway.config.edit import label
from gateway.config.schema import ReportTable
from gateway.config.splice import same
from gateway.config.tree import Tree

MAX_CHANGES = 1000
"""How many are told at most."""
_LISTS = {"device", "link", "sink", "template", "group", "tag"}
_LONGEST = 60

Named: TypeAlias = dict[str, Any]
"""A configuration with its lists of tables as tables by name."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """One difference. `old` or `new` is None where something was added or removed."""

    what: Literal["added", "removed", "changed"]
    path: tuple[str, ...]
    """As `gateway.config.edit` takes it."""
    old: Any
    new: Any
    sentence: str


def meanings(old: Tree, new: Tree) -> list[Meaning] | None:
    """Every difference in the order of the configuration; None if one of the trees can't be read.

    Of a table that is new or gone one difference is told, not one for each of its keys.
    """
    try:
        before, after = named(old), named(new)
    except (ValueError, RecursionError):
        return None
    found: list[Meaning] = []
    for each in _compare((), before, after):
        if len(found) == MAX_CHANGES:
            break
        found.append(each)
    return found


def named(tree: Tree) -> Named:
    """The whole configuration as one table, the tags of CSV files among the others. Raises ValueError if it isn't TOML.

    A cell is a number or true or false where it reads like one, as if it stood in TOML.
    """
    body: Named = {}
    for file in tree.tables:
        for key, value in tomli.loads(tree.files.get(file, b"").decode("utf-8-sig")).items():
            value = _by_name(value, tree, file) if key in _LISTS else value
            known = body.get(key)
            if isinstance(known, dict) and isinstance(value, dict):
                known.update(value)
            else:
                body[key] = value
    return body


def _by_name(items: Any, tree: Tree, file: str) -> Any:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return items
    tables: Named = {}
    for position, item in enumerate(items):
        table = {key: _by_name(value, tree, file) if key in ("group", "tag") else value for key, value in item.items()}
        if isinstance(name := table.get("tags_csv"), str):
            rows = _rows(tree.files.get(posixpath.normpath(posixpath.join(posixpath.dirname(file), name)), b""))
            own = table.get("tag", {})
            table["tag"] = rows | own if isinstance(own, dict) else own
        tables[str(table.get("name", position))] = table
    return tables


def _rows(body: bytes) -> Named:
    text = body.decode("utf-8-sig", "replace")
    rows: Named = {}
    try:
        for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter_of(text), skipinitialspace=True):
            cells = {
                key.strip(): _value(cell.strip())
                for key, cell in row.items()
                if key and isinstance(cell, str) and cell.strip()
            }
            report = {key: cells.pop(key) for key in ReportTable.model_fields if key in cells}
            if cells:
                rows[str(cells.get("name", len(rows)))] = cells | ({"report": report} if report else {})
    except csv.Error:
        pass  # what can't be read further is told by the text's own diff
    return rows


def _value(cell: str) -> Any:
    if cell in ("true", "false"):
        return cell == "true"
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def _compare(path: tuple[str, ...], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Meaning]:
    for key in [*old, *(key for key in new if key not in old)]:
        here = (*path, key)
        if key not in new:
            yield from _whole("removed", here, old[key])
        elif key not in old:
            yield from _whole("added", here, new[key])
        elif isinstance(old[key], dict) and isinstance(new[key], dict):
            yield from _compare(here, old[key], new[key])
        elif not same(old[key], new[key]):
            yield Meaning("changed", here, old[key], new[key], f"{label(here)} {_shown(old[key])} → {_shown(new[key])}")


def _whole(what: Literal["added", "removed"], path: tuple[str, ...], value: Any) -> Iterator[Meaning]:
    """A thing that is there on one side only. A list of tables is told table by table."""
    if path[-1] in _LISTS and isinstance(value, dict) and len(path) % 2:
        for name, item in value.items():
            yield from _whole(what, (*path, name), item)
        return
    old, new = (value, None) if what == "removed" else (None, value)
    shown = "" if isinstance(value, dict) else f" {_shown(value)}"
    yield Meaning(what, path, old, new, f"{label(path)}{shown} {what}{_extent(value)}")


def _extent(value: Any) -> str:
    """How much there is to a table: `` (2 groups, 14 tags)``."""
    if not isinstance(value, dict):
        return ""
    groups = value.get("group")
    groups = groups if isinstance(groups, dict) else {}
    tables = [value, *(group for group in groups.values() if isinstance(group, dict))]
    tags = sum(len(table["tag"]) for table in tables if isinstance(table.get("tag"), dict))
    counts = [
        f"{count} {word}{'s' if count != 1 else ''}" for count, word in ((len(groups), "group"), (tags, "tag")) if count
    ]
    return f" ({', '.join(counts)})" if counts else ""


def _shown(value: Any) -> str:
    try:
        text = toml.value(value)
    except TypeError:
        text = str(value)  # a date or a time
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
