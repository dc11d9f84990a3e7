"""Grids: what a spreadsheet file holds, before anybody asks what it means. No configuration, no drivers.

The command line and the page's process turn files into grids and back; what crosses the control API is the grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

MAX_BYTES = 16 << 20
"""Of a file, as it is sent."""
MAX_ROWS = 200_000
MAX_COLUMNS = 500
MAX_CELL = 32_767
"""Characters a cell may have: what a spreadsheet program keeps."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A cell in which a spreadsheet program put something else than what was typed, or something it works out."""

    kind: str
    """``date``, ``formula`` or ``error``."""
    shown: str
    """What the cell holds now, as text."""


Cell: TypeAlias = str | bool | int | float | Damage | None
"""None: empty. Only a typed source has other than text."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row that isn't empty."""

    number: int
    """As a spreadsheet program counts it, from 1."""
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table with its header."""

    header: Row
    """Its cells are texts; an empty one is a column without a name."""
    rows: Sequence[Row]
    typed: bool = False
    """Whether the source knows numbers from texts."""


class GridError(Exception):
    """A file that can't be read as a table. The message is one sentence, `hint` says how to mend it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def grid_of(rows: Sequence[Row], *, typed: bool) -> Grid:
    """The table of these rows, empty ones left out. Raises GridError if there is no header, or too much of it."""
    if not rows:
        raise GridError(
            "the table is empty", "give it a header, such as name, address and type, and a row for each tag"
        )
    header, *rest = rows
    names = [cell.strip() if isinstance(cell, str) else "" if cell is None else _shown(cell) for cell in header.cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > MAX_COLUMNS:
        raise GridError(f"the table has {len(names)} columns, but at most {MAX_COLUMNS} are possible", "take some out")
    return Grid(Row(header.number, names), [Row(row.number, row.cells) for row in rest], typed)


def to_json(grid: Grid) -> dict[str, Any]:
    """A grid as JSON takes it; :func:`from_json` is the inverse."""
    return {
        "typed": grid.typed,
        "rows": [[row.number, *map(_cell_to_json, row.cells)] for row in (grid.header, *grid.rows)],
    }


def from_json(body: Mapping[str, Any]) -> Grid:
    """The inverse of :func:`to_json`. Raises GridError for what is none."""
    rows = body.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, list) and row and type(row[0]) is int for row in rows):
        raise GridError("the table isn't a list of rows, each beginning with its number", "send rows as [[1, …], …]")
    if len(rows) > MAX_ROWS + 1:
        raise GridError(f"the table has over {MAX_ROWS} rows", "send it in parts")
    return grid_of([Row(row[0], [*map(_cell_from_json, row[1:])]) for row in rows], typed=body.get("typed") is True)


def _cell_to_json(cell: Cell) -> Any:
    return {"kind": cell.kind, "shown": cell.shown} if isinstance(cell, Damage) else cell


def _cell_from_json(item: Any) -> Cell:
    if item is None or isinstance(item, bool | int | float | str):
        return item
    if isinstance(item, dict) and isinstance(item.get("kind"), str) and isinstance(item.get("shown"), str):
        return Damage(item["kind"], item["shown"])
    raise GridError("a cell is neither text nor a number", "send text, numbers, true, false or null")


def _shown(cell: Cell) -> str:
    return cell.shown if isinstance(cell, Damage) else str(cell)
