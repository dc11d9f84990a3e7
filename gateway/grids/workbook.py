"""Tables in Excel workbooks (.xlsx). Importing this imports openpyxl: for client processes, never the data plane."""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font

from gateway.grids import MAX_BYTES, MAX_CELL, MAX_COLUMNS, MAX_ROWS, Cell, Damage, Grid, GridError, Row, grid_of

MAX_UNPACKED = 128 << 20
MAX_PARTS = 500
_MAX_RATIO = 400
"""How much smaller than its content a part may be; real sheets stay below 60."""
_SHEET = "Tags"
_EXCEL_DIGITS = 15


def read_workbook(data: bytes) -> Grid:
    """The table of the sheet "Tags", or else of the first one. Raises GridError."""
    _check_archive(data)
    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=False, keep_links=False)
    except Exception as error:  # noqa: BLE001 - openpyxl raises whatever the file's XML makes it raise
        raise GridError(f"the workbook can't be read: {error}", "save it again as an Excel workbook (.xlsx)") from None
    try:
        names = [sheet.title for sheet in book.worksheets]
        if not names:
            raise GridError("the workbook has no sheet with cells", "put the table into a sheet")
        sheet: Any = book[_SHEET if _SHEET in names else names[0]]
        sheet.reset_dimensions()  # what a file says of its size may be wrong
        return grid_of([*_rows(sheet)], typed=True)
    except GridError:
        raise
    except Exception as error:  # noqa: BLE001 - rows are parsed as they are taken
        raise GridError(f"the workbook can't be read: {error}", "save it again as an Excel workbook (.xlsx)") from None
    finally:
        book.close()


def write_workbook(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """A workbook with one sheet. Its text columns are formatted as text, so that what is typed there stays as typed."""
    listed = [*rows]
    book = Workbook(write_only=True)
    sheet: Any = book.create_sheet(_SHEET)
    sheet.freeze_panes = "A2"
    for position, name in enumerate(header):
        letter = _letter(position)
        cells = [row[position] for row in listed]
        if all(cell is None or isinstance(cell, str) for cell in cells):
            sheet.column_dimensions[letter].number_format = "@"
        widest = max([len(name), *(len(str(cell)) for cell in cells if cell is not None)])
        sheet.column_dimensions[letter].width = min(60, widest + 3)
    bold = Font(bold=True)
    head = [WriteOnlyCell(sheet, value=name) for name in header]
    for cell in head:
        cell.font = bold
    sheet.append(head)
    for row in listed:
        sheet.append([_written(sheet, cell) for cell in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _written(sheet: Any, cell: Cell) -> Any:
    if not isinstance(cell, bool | str | Damage | None) and not _is_kept(cell):
        cell = repr(cell)  # as a number it would lose its last digits
    if not isinstance(cell, str):
        return cell
    written = WriteOnlyCell(sheet, value=cell)
    written.data_type = "s"  # also what begins like a formula
    written.number_format = "@"
    return written


def _is_kept(number: int | float) -> bool:
    """Whether a spreadsheet program keeps every digit."""
    if abs(number) >= 10**_EXCEL_DIGITS:
        return False
    return isinstance(number, int) or float(f"{number:.{_EXCEL_DIGITS}g}") == number


def _rows(sheet: Any) -> Iterable[Row]:
    for number, cells in enumerate(sheet.iter_rows(), 1):
        if number > MAX_ROWS:
            raise GridError(f"the sheet has over {MAX_ROWS} rows", "import it in parts")
        if len(cells) > MAX_COLUMNS:
            cells = cells[: MAX_COLUMNS + 1]
        row = [_read(cell, number) for cell in cells]
        if any(cell is not None for cell in row):
            yield Row(number, row)


def _read(cell: Any, number: int) -> Cell:
    value, kind = cell.value, cell.data_type
    if value is None:
        return None
    if kind == "f":
        return Damage("formula", str(value))
    if kind == "e":
        return Damage("error", str(value))
    if isinstance(value, datetime.datetime | datetime.date | datetime.time | datetime.timedelta):
        return Damage("date", str(value))
    if isinstance(value, bool | int | float):
        return value
    text = str(value)
    if len(text) > MAX_CELL:
        raise GridError(f"row {number} has a cell with over {MAX_CELL} characters", "shorten it")
    return text if text.strip() else None


def _check_archive(data: bytes) -> None:
    """Refuse what would grow beyond all bounds, before anything of it is parsed."""
    if len(data) > MAX_BYTES:
        raise GridError(f"the file is larger than {MAX_BYTES >> 20} MiB", "import it in parts")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            unpacked = sum(part.file_size for part in parts)
            bloated = any(part.file_size > _MAX_RATIO * max(part.compress_size, 1024) for part in parts)
            if len(parts) > MAX_PARTS or unpacked > MAX_UNPACKED or bloated:
                raise GridError("the workbook unpacks to far more than its size", "save a copy with the table alone")
            for part in parts:
                if part.filename.endswith((".xml", ".rels")) and b"<!DOCTYPE" in archive.open(part).read(4096):
                    raise GridError("the workbook defines entities, which no spreadsheet program does", "save it again")
    except zipfile.BadZipFile:
        hint = "save it as an Excel workbook (.xlsx); the old .xls and .xlsb can't be read"
        raise GridError("the file isn't an Excel workbook (.xlsx)", hint) from None


def _letter(position: int) -> str:
    letters = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
