"""Editing the text of one CSV file of tags: cells and rows are put in and taken out, every other byte stays."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.config.csvtags import delimiter_of
from gateway.config.schema import ReportTable
from gateway.config.splice import CannotEdit

_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True, slots=True)
class Record:
    """One line of cells. Offsets; a cell's leave the blanks around it out."""

    start: int
    end: int
    """Behind the line break."""
    cells: tuple[tuple[int, int], ...]
    values: tuple[str, ...]


class CsvText:
    """One readable file with a header. Every edit returns a new text."""

    def __init__(self, text: str) -> None:
        """Raises CannotEdit if the file can't be read as a table."""
        self.text = text
        self._delimiter = delimiter_of(text)
        self._newline = "\r\n" if "\r\n" in text else "\n"
        records = [record for record in self._records() if any(record.values)]
        if not records or [record.values for record in records] != self._read():
            raise CannotEdit("the file isn't a table that can be edited by cells")
        self._header, *self._rows = records
        self.columns = self._header.values
        if len(set(self.columns)) < len(self.columns) or any(len(row.cells) != len(self.columns) for row in self._rows):
            raise CannotEdit("the rows don't fit the header")
        self.rows: list[dict[str, str]] = [
            {column: value for column, value in zip(self.columns, row.values, strict=True) if value}
            for row in self._rows
        ]
        """Row by row, the empty cells left out."""

    def find(self, name: str) -> int | None:
        """The row of the tag of that name."""
        return next((index for index, row in enumerate(self.rows) if row.get("name") == name), None)

    def set(self, row: int, cells: Mapping[str, str]) -> str:
        """Set cells of a row; an empty text empties one. Columns that aren't there are added. Raises CannotEdit."""
        expected = [dict(each) for each in self.rows]
        expected[row] = {key: value for key, value in (expected[row] | dict(cells)).items() if value}
        wide = self._with_columns(column for column, value in cells.items() if value)
        text = wide.text
        record = wide._rows[row]
        for column in sorted(cells.keys() & set(wide.columns), key=wide.columns.index, reverse=True):
            start, end = record.cells[wide.columns.index(column)]
            if wide.rows[row].get(column, "") != cells[column]:
                text = text[:start] + self._cell(cells[column]) + text[end:]
        return self._checked(text, expected)

    def append(self, rows: Sequence[Mapping[str, str]]) -> str:
        """Add rows at the end. Columns that aren't there are added. Raises CannotEdit."""
        expected = self.rows + [{key: value for key, value in row.items() if value} for row in rows]
        wide = self._with_columns(column for row in rows for column, value in row.items() if value)
        last = (wide._rows or [wide._header])[-1]
        missing = "" if wide.text[last.end - 1 : last.end] in ("\n", "\r") else self._newline
        lines = [self._delimiter.join(self._cell(row.get(column, "")) for column in wide.columns) for row in rows]
        if len(wide.columns) == 1 and not all(any(row.values()) for row in rows):
            raise CannotEdit("a row would be empty")
        added = missing + "".join(f"{line}{self._newline}" for line in lines)
        return self._checked(wide.text[: last.end] + added + wide.text[last.end :], expected)

    def remove(self, row: int) -> str:
        """Take a row out."""
        record = self._rows[row]
        return self._checked(
            self.text[: record.start] + self.text[record.end :], self.rows[:row] + self.rows[row + 1 :]
        )

    def _with_columns(self, columns: Iterable[str]) -> CsvText:
        """The file with these columns, those that are new at the end of every row."""
        new = [column for column in dict.fromkeys(columns) if column not in self.columns]
        if not new:
            return self
        text = self.text
        for record in reversed([self._header, *self._rows]):
            cells = new if record is self._header else [""] * len(new)
            at = record.cells[-1][1]
            text = text[:at] + "".join(self._delimiter + self._cell(cell) for cell in cells) + text[at:]
        return CsvText(text)

    def _cell(self, value: str) -> str:
        if value != value.strip() or not value.isprintable():
            raise CannotEdit("a cell can't hold control characters, or begin or end with a blank")
        if '"' not in value and self._delimiter not in value:
            return value
        doubled = value.replace('"', '""')
        return f'"{doubled}"'

    def _records(self) -> Iterator[Record]:
        """Every line of cells, found by what parts them."""
        text, at = self.text, 0
        while at < len(text):
            start, cells, values = at, list[tuple[int, int]](), list[str]()
            while True:
                while at < len(text) and text[at] in " \t":
                    at += 1
                quoted = _QUOTED.match(text, at)
                end = quoted.end() if quoted else at
                while end < len(text) and text[end] not in f"{self._delimiter}\r\n":
                    end += 1
                shown = text[at:end].rstrip()
                cells.append((at, at + len(shown)))
                values.append(shown[1:-1].replace('""', '"').strip() if quoted else shown)
                at = end
                if text[at : at + 1] != self._delimiter:
                    break
                at += 1
            if ending := _LINE_BREAK.match(text, at):
                at = ending.end()
            yield Record(start, at, tuple(cells), tuple(values))

    def _read(self) -> list[tuple[str, ...]]:
        """The cells as the gateway reads them."""
        lines = csv.reader(
            io.StringIO(self.text, newline=""), delimiter=self._delimiter, skipinitialspace=True, strict=True
        )
        try:
            return [row for line in lines if any(row := tuple(cell.strip() for cell in line))]
        except csv.Error as error:
            raise CannotEdit(f"the file can't be read: {error}") from None

    def _checked(self, text: str, expected: list[dict[str, str]]) -> str:
        if CsvText(text).rows != expected:
            raise CannotEdit("the result would say something else")
        return text


def columns_of(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of a key of a tag: ``report`` has several."""
    if keys == ("report",):
        return tuple(ReportTable.model_fields)
    return keys[-1:]


def cells_of(tag: Mapping[str, Any]) -> dict[str, str]:
    """A tag's keys as the cells of its row."""
    cells: dict[str, str] = {}
    for key, value in tag.items():
        if key == "report" and isinstance(value, dict):
            cells |= {column: _cell(part) for column, part in value.items()}
        else:
            cells[key] = _cell(value)
    return cells


def _cell(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return value
    raise CannotEdit("a cell can't hold a table, a list or null")
