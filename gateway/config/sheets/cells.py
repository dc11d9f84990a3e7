"""One cell and one value: each way exact, and what a spreadsheet program did to a cell is told, not repaired.

A text that wouldn't come back as it is (empty, a space at its end, something that Excel takes for a number, a date or a
formula) stands in a cell as JSON has it: ``"0042"``, with its quotes.
"""

from __future__ import annotations

import json
import re
from typing import Any

from gateway.config.names import Mendable, quote
from gateway.config.sheets.columns import Column
from gateway.grids import Cell, Damage

_EXCEL_DIGITS = 15
_MONTH = (
    r"(?:jan|feb|m[aä]r|mrz|apr|ma[iy]|may|jun|jul|aug|sep|o[ck]t|nov|de[cz]|ene|abr|ago|dic|f[eé]v|avr|juin|juil|ao[uû]|"
    r"d[eé]c|gen|mag|giu|lug|set|ott)[a-zéû]*\.?"
)
_DATE = re.compile(
    r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?:[ T].*)?|\d{1,2}[-./]\d{1,2}\.?"
    rf"|\d{{1,2}}\.?[-./ ]?{_MONTH}(?:[-./ ]?\d{{2,4}})?|{_MONTH}[-./ ]?\d{{1,4}}",
    re.IGNORECASE,
)
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d+|0[xX][0-9a-fA-F]+")
_PLAIN_INTEGER = re.compile(r"0|[1-9]\d{0,14}")
_COMMA = re.compile(r"[+-]?\d*,\d+")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[.,' ]\d{3})+(?:[.,]\d+)?")
_ERROR = re.compile(r"#(?:REF|NAME|VALUE|DIV/0|NULL|NUM|BEZUG|WERT|NOMBRE|NOM|VALEUR)[!?]|#N/A|#NV|#{3,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]|_x[0-9A-Fa-f]{4}_")
_TRUTHS = {
    **dict.fromkeys(("wahr", "vrai", "vero", "verdadero", "waar", "yes", "ja", "on", "1", "x"), "true"),
    **dict.fromkeys(("falsch", "faux", "falso", "onwaar", "no", "nein", "off", "0"), "false"),
}


def cell_of(value: Any, column: Column) -> Cell:
    """A value for a cell; `value_of` reads the same value back from it, from a workbook as from CSV."""
    if value is None:
        return None
    if column.kind == "json" or isinstance(value, list | dict):
        return _quoted(value)
    if isinstance(value, str):
        return _quoted(value) if _needs_quotes(value, column) else value
    if isinstance(value, bool | int | float):
        return value
    return str(value)


def _quoted(value: Any) -> str:
    """As JSON, in plain ASCII if there is something that a file or a program may not keep."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value).replace("_x", "\\u005fx") if _CONTROL.search(text) else text


def value_of(cell: Cell, column: Column) -> Any:
    """The value a cell means; None if it is empty. Raises Mendable, worded to follow the column's name."""
    if isinstance(cell, Damage):
        raise _damaged(cell, column)
    if isinstance(cell, str):
        cell = cell.strip()
        if not cell:
            return None
        if _ERROR.fullmatch(cell.upper()):
            raise Mendable(f"is {quote(cell)}, an error of the spreadsheet program", "put the value itself there")
        if cell.startswith("=") and column.kind != "json":
            raise Mendable(f"is the formula {quote(cell)}", "copy the cells and paste them as values")
    if cell is None:
        return None
    match column.kind:
        case "text":
            return _text(cell)
        case "boolean":
            return _boolean(cell)
        case "json":
            return _json(cell)
        case kind:
            return _number(cell, whole=kind == "integer")


def _needs_quotes(text: str, column: Column) -> bool:
    if not text or text != text.strip() or text[0] in "\"'=+-@" or _CONTROL.search(text):
        return True
    if column.kind != "text":
        return False
    if text.lower() in ("true", "false") or text.lower() in _TRUTHS.keys() - {"0", "1", "x", "no", "on", "ja"}:
        return True
    number = _NUMBER.fullmatch(text) and not _PLAIN_INTEGER.fullmatch(text)
    return bool(
        number
        or _COMMA.fullmatch(text)
        or _GROUPED.fullmatch(text)
        or _SCIENTIFIC.fullmatch(text)
        or _DATE.fullmatch(text)
        or _ERROR.fullmatch(text.upper())
    )


def _text(cell: str | bool | int | float) -> str:
    if isinstance(cell, bool):
        meant = "true" if cell else "false"
        raise Mendable(f"is the truth value {meant}, but must be text", f'write "{meant}" with the quotes')
    if isinstance(cell, int | float):
        if float(cell).is_integer() and abs(cell) < 10**_EXCEL_DIGITS and cell >= 0:
            return str(int(cell))
        raise Mendable(
            f"is the number {cell!r}, but must be text: a spreadsheet program may have changed its digits",
            "format the column as text, then type it again",
        )
    if cell.startswith('"'):
        try:
            text = json.loads(cell)
        except ValueError:
            raise Mendable(f"is {cell}, which begins with a quote and isn't closed as JSON has it", "mend it") from None
        if not isinstance(text, str):
            raise Mendable(f"is {cell}, but must be text", "mend it")
        return text
    if _SCIENTIFIC.fullmatch(cell):
        raise Mendable(
            f"is {quote(cell)}, which looks like a long number that a spreadsheet program shortened",
            f'format the column as text and type it again; if it is right, write it with quotes: "{cell}"',
        )
    if _DATE.fullmatch(cell):
        raise Mendable(
            f"is {quote(cell)}, which looks like a date that a spreadsheet program made of it",
            f'format the column as text and type it again; if it is right, write it with quotes: "{cell}"',
        )
    return cell


def _number(cell: str | bool | int | float, *, whole: bool) -> int | float:
    expected = "a whole number" if whole else "a number"
    if isinstance(cell, bool):
        raise Mendable(f"is {str(cell).lower()}, but must be {expected}", f"write {expected}, such as 10")
    if isinstance(cell, int | float):
        if whole and not float(cell).is_integer():
            raise Mendable(f"is {cell!r}, but must be a whole number", f"write a whole number, such as {round(cell)}")
        if isinstance(cell, int) and len(str(abs(cell))) > _EXCEL_DIGITS:
            raise Mendable(
                f"is {cell}, a number of which a spreadsheet program keeps {_EXCEL_DIGITS} digits only",
                "format the column as text and type it again",
            )
        return int(cell) if whole else cell
    if _INTEGER.fullmatch(cell):
        return int(cell, 16) if cell[:2] in ("0x", "0X") else int(cell)
    if _NUMBER.fullmatch(cell):
        if whole:
            raise Mendable(f"is {quote(cell)}, but must be a whole number", "write it without a point")
        return float(cell)
    if _COMMA.fullmatch(cell):
        point = cell.replace(",", ".")
        where = f"write {point}" + (f", or {cell.replace(',', '')} if it is that" if _GROUPED.fullmatch(cell) else "")
        raise Mendable(f"is {quote(cell)}, with a comma, but decimals are written with a point", where)
    if _GROUPED.fullmatch(cell):
        raise Mendable(f"is {quote(cell)}, with digits in groups", "write the digits without anything between them")
    raise Mendable(f"is {quote(cell)}, but must be {expected}", f"write {expected}, such as 10")


def _boolean(cell: str | bool | int | float) -> bool:
    if isinstance(cell, bool):
        return cell
    text = str(cell).lower()
    if text in ("true", "false"):
        return text == "true"
    meant = _TRUTHS.get(text)
    raise Mendable(f"is {quote(str(cell))}, but must be true or false", f"write {meant or 'true or false'}")


def _json(cell: str | bool | int | float) -> Any:
    try:
        value = json.loads(cell) if isinstance(cell, str) else None
    except ValueError:
        value = None
    if not isinstance(value, list | dict):
        raise Mendable(f"is {quote(str(cell))}, but must be a list", 'write it as JSON: ["first", "second"]')
    return value


def _damaged(cell: Damage, column: Column) -> Mendable:
    match cell.kind:
        case "date":
            return Mendable(
                f"is the date {quote(cell.shown)}, which a spreadsheet program made of what was typed",
                "format the column as text, then type it again",
            )
        case "formula":
            return Mendable(f"is the formula {quote(cell.shown)}", "copy the cells and paste them as values")
    return Mendable(f"is {quote(cell.shown)}, an error of the spreadsheet program", "put the value itself there")
