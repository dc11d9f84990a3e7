"""Tags from a CSV file: a header of tag keys, one tag a row; comma or semicolon, UTF-8."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.config.document import read_text
from gateway.config.names import quote
from gateway.config.problems import Problem
from gateway.config.words import closest


@dataclass(frozen=True, slots=True)
class Rows:
    """A readable CSV file: row *i* stands at line `lines[i]`, its empty cells left out."""

    rows: Sequence[dict[str, str]]
    lines: Sequence[int]


def read_rows(
    path: Path,
    known: Iterable[str],
    required: Iterable[str],
    problems: list[Problem],
    read: Callable[[Path], bytes] = Path.read_bytes,
) -> Rows | None:
    """Read the file. `known` are the columns there may be, `required` those that must be; `read` gives its bytes.

    Everything wrong is added to `problems`. None if the file or its header can't be used; a bad row is left out.
    """
    text = read_text(path, problems, read)
    if text is None:
        return None
    delimiter = delimiter_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[dict[str, str]] = []
    lines: list[int] = []
    columns: list[str] | None = None
    last = 0
    try:
        for cells in reader:
            line, last = last + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = [cell.strip() for cell in cells]
                if not _check_header(path, line, columns, known, required, problems):
                    return None
                continue
            if len(cells) != len(columns):
                problems.append(_ragged(path, line, len(cells), len(columns), delimiter))
                continue
            rows.append({column: cell for column, raw in zip(columns, cells, strict=True) if (cell := raw.strip())})
            lines.append(line)
    except csv.Error as error:
        message = f"the row can't be read: {error}"
        problems.append(Problem(path, last + 1, message, 'close every quoted cell; write a quote inside one as ""'))
        return None
    if columns is None:
        hint = f"give it a header, such as name{delimiter}address{delimiter}type, and a row for each tag"
        problems.append(Problem(path, None, "the file is empty", hint))
        return None
    return Rows(rows, lines)


def delimiter_of(text: str) -> str:
    """What parts the cells: comma or semicolon, whichever the header has more of."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;", key=header.count)


def _check_header(
    path: Path, line: int, columns: list[str], known: Iterable[str], required: Iterable[str], problems: list[Problem]
) -> bool:
    names = list(known)
    good = True
    for position, column in enumerate(columns, 1):
        if column in names:
            if column in columns[: position - 1]:
                problems.append(
                    Problem(path, line, f'column "{column}" stands twice in the header', "take one of them out")
                )
                good = False
            continue
        good = False
        if "\t" in column:
            message = "the columns are parted by tabs, but must be by commas or semicolons"
            problems.append(Problem(path, line, message, "save the file again as CSV (in Excel: “CSV UTF-8”)"))
            return False
        if not column:
            problems.append(Problem(path, line, f"column {position} has no name", "name it, or take it out"))
            continue
        meant = closest(column, names)
        hint = f"did you mean {quote(meant)}?" if meant else f"possible columns: {', '.join(names)}"
        problems.append(Problem(path, line, f"unknown column {quote(column)}", hint))
    if good:
        for column in required:
            if column not in columns:
                good = False
                problems.append(Problem(path, line, f'column "{column}" is missing', f"add {column} to the header"))
    return good


def _ragged(path: Path, line: int, found: int, expected: int, delimiter: str) -> Problem:
    cells = f"{found} cell{'s' if found != 1 else ''}"
    hint = f"give it {expected}; a cell that holds {quote(delimiter)} stands in double quotes"
    return Problem(path, line, f"the row has {cells}, but the header names {expected} columns", hint)
