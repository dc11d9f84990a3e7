"""From a grid to tags: where each belongs and which keys it has, with everything that is wrong, by row and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.config.names import Mendable, quote
from gateway.config.sheets.cells import value_of
from gateway.config.sheets.columns import OWNER_COLUMNS, Column, tag_columns
from gateway.config.sheets.present import Owner
from gateway.config.words import closest, meant_or_all
from gateway.grids import Cell, Grid, Row


@dataclass(frozen=True, slots=True)
class CellProblem:
    """One thing to mend in a table. Its text is what a user sees."""

    row: int | None
    """As a spreadsheet program counts it. None: the table as a whole."""
    column: str | None
    message: str
    hint: str

    @property
    def where(self) -> str:
        """``row 17, column address``"""
        parts = (self.row and f"row {self.row}", self.column and f"column {self.column}")
        return ", ".join(part for part in parts if part) or "the table"

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True, slots=True)
class SheetTag:
    """One row, understood."""

    row: int
    section: str
    owner: str
    group: str | None
    """None: not said, so the group in which it is, or the only one there is."""
    keys: Mapping[str, Any]
    """Every column of the header that is a key: its value, or None where the cell is empty."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where rows go that don't say so themselves."""

    section: str = "device"
    owner: str | None = None
    group: str | None = None


def read_tags(grid: Grid, owners: Sequence[Owner], target: Target, problems: list[CellProblem]) -> list[SheetTag]:
    """The rows that could be understood; what is wrong with the others is added to `problems`."""
    known = {(owner.section, owner.name): owner for owner in owners}
    headings = [str(cell) for cell in grid.header.cells]
    if not _check_header(headings, grid.header.number, known.values(), target, problems):
        return []
    tags = []
    first: dict[tuple[str, str, str], int] = {}
    for row in grid.rows:
        tag = _read_row(row, headings, known, target, problems)
        if tag is None:
            continue
        name = str(tag.keys["name"])
        earlier = first.setdefault((tag.section, tag.owner, name), row.number)
        if earlier != row.number:
            message = f"the tag {quote(name)} of {quote(tag.owner)} stands in row {earlier} already"
            problems.append(CellProblem(row.number, "name", message, "give one of them another name, or take it out"))
            continue
        tags.append(tag)
    return tags


def _check_header(
    headings: Sequence[str],
    row: int,
    owners: Any,
    target: Target,
    problems: list[CellProblem],
) -> bool:
    possible: dict[str, None] = dict.fromkeys(OWNER_COLUMNS)
    for owner in owners:
        possible |= dict.fromkeys(tag_columns(owner.kind))
    if len(possible) == len(OWNER_COLUMNS):
        possible |= dict.fromkeys(tag_columns(None))
    count = len(problems)
    for position, heading in enumerate(headings):
        if not heading:
            problems.append(CellProblem(row, _letter(position), "the column has no name", "name it, or take it out"))
        elif heading in headings[:position]:
            problems.append(CellProblem(row, heading, "the column stands twice in the header", "take one of them out"))
        elif heading not in possible:
            meant = closest(heading, possible)
            hint = f"did you mean {meant}?" if meant else f"take it out; possible are {', '.join(possible)}"
            problems.append(CellProblem(row, heading, "there is no such column", hint))
    if "name" not in headings:
        problems.append(CellProblem(row, None, "the header has no column name", "add it: every tag needs its name"))
    if target.owner is None and not {"device", "template"} & {*headings}:
        problems.append(
            CellProblem(row, None, "the header has no column device", "add it, or say for which device the table is")
        )
    return len(problems) == count


def _read_row(
    row: Row,
    headings: Sequence[str],
    known: Mapping[tuple[str, str], Owner],
    target: Target,
    problems: list[CellProblem],
) -> SheetTag | None:
    count = len(problems)
    cells = dict(zip(headings, row.cells, strict=False))
    if any(cell is not None for cell in row.cells[len(headings) :]):
        message = f"the row has {len(row.cells)} cells, but the header names {len(headings)} columns"
        problems.append(CellProblem(row.number, None, message, "put cells with delimiters in double quotes"))
    where = {name: _plain(row, name, cells.get(name), problems) for name in OWNER_COLUMNS}
    owner = _owner(row, where, known, target, problems)
    if owner is None:
        return None
    columns = tag_columns(owner.kind)
    keys: dict[str, Any] = {}
    for heading in headings:
        if heading in OWNER_COLUMNS:
            continue
        cell = cells.get(heading)
        if (column := columns.get(heading)) is None:
            if cell is not None:
                message = f"{quote(owner.name)} has no such column: it belongs to another driver"
                problems.append(CellProblem(row.number, heading, message, "leave the cell empty"))
            continue
        try:
            keys[heading] = value_of(cell, column)
        except Mendable as error:
            problems.append(CellProblem(row.number, heading, str(error), error.hint))
    if "name" in keys and keys["name"] is None:
        problems.append(CellProblem(row.number, "name", "is empty", "give the tag a name"))
    if len(problems) > count:
        return None
    return SheetTag(row.number, owner.section, owner.name, where["group"] or target.group, keys)


def _plain(row: Row, name: str, cell: Cell, problems: list[CellProblem]) -> str | None:
    try:
        text = value_of(cell, Column(name, "text"))
    except Mendable as error:
        problems.append(CellProblem(row.number, name, str(error), error.hint))
        return None
    return None if text is None else str(text)


def _owner(
    row: Row,
    where: Mapping[str, str | None],
    known: Mapping[tuple[str, str], Owner],
    target: Target,
    problems: list[CellProblem],
) -> Owner | None:
    given = [(section, name) for section in ("device", "template") if (name := where[section])]
    if len(given) > 1:
        message = "the row names a device and a template"
        problems.append(CellProblem(row.number, "template", message, "leave one of the two empty"))
        return None
    if not given and target.owner is not None:
        given = [(target.section, target.owner)]
    if not given:
        problems.append(CellProblem(row.number, "device", "is empty", "say which device the tag belongs to"))
        return None
    section, name = given[0]
    if (owner := known.get((section, name))) is None:
        names = [each for kind, each in known if kind == section]
        problems.append(
            CellProblem(row.number, section, f"there is no {section} {quote(name)}", meant_or_all(name, names, section))
        )
    return owner


def _letter(position: int) -> str:
    """What a spreadsheet program calls a column."""
    letters = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
