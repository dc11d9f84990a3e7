"""Tables as text: CSV with commas or semicolons, and what is pasted from a spreadsheet program, with tabs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from gateway.grids import MAX_BYTES, MAX_CELL, MAX_ROWS, Cell, Grid, GridError, Row, grid_of

_DELIMITERS = "\t;,"


def read_delimited(data: bytes | str) -> Grid:
    """A table from a file's bytes or from pasted text. Raises GridError.

    The delimiter is what the header has most of. UTF-8, or UTF-16 with a byte order mark, as Excel's "Unicode text" is.
    """
    if len(data) > MAX_BYTES:
        raise GridError(f"the file is larger than {MAX_BYTES >> 20} MiB", "import it in parts")
    text = data if isinstance(data, str) else _decoded(data)
    lines = text.removeprefix("\ufeff")
    skipped = 0
    if lines[:4].lower() == "sep=":  # Excel's own way of saying it
        said, _, lines = lines.partition("\n")
        delimiter, skipped = said.strip()[4:5] or ",", 1
    else:
        delimiter = _delimiter(lines)
    reader = csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter, strict=True)
    csv.field_size_limit(MAX_BYTES)
    rows: list[Row] = []
    number = skipped
    try:
        for cells in reader:
            number += 1
            if number > MAX_ROWS:
                raise GridError(f"the table has over {MAX_ROWS} rows", "import it in parts")
            if any(len(cell) > MAX_CELL for cell in cells):
                raise GridError(f"row {number} has a cell with over {MAX_CELL} characters", "shorten it")
            if any(cell.strip() for cell in cells):
                rows.append(Row(number, [cell if cell.strip() else None for cell in cells]))
    except csv.Error as error:
        raise GridError(
            f"row {number + 1} can't be read: {error}", 'close every quoted cell; write a quote inside one as ""'
        ) from None
    return grid_of(rows, typed=False)


def write_delimited(header: Sequence[str], rows: Iterable[Sequence[Cell]], delimiter: str = ",") -> str:
    """A table as CSV (RFC 4180)."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([*map(_text, row)] for row in rows)
    return out.getvalue()


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case int() | float():
            return repr(cell)
        case str():
            return cell
    raise TypeError(f"a {type(cell).__name__} isn't written")


def _decoded(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif b"\0" in data[:1000]:
        raise GridError("this isn't a text file", "save it as “CSV UTF-8” or as an Excel workbook (.xlsx)")
    else:
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise GridError(
            f"line {line} has a character that isn't {encoding.removesuffix('-sig').upper()}",
            "save the file again as “CSV UTF-8”, or as an Excel workbook (.xlsx)",
        ) from None


def _delimiter(text: str) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count) if any(each in outside for each in _DELIMITERS) else ","
