"""Files that become grids: what spreadsheet programs write, what attackers send, and where the limits are."""

from __future__ import annotations

import io
import zipfile

import pytest
from openpyxl import Workbook

from gateway import grids
from gateway.grids import Damage, GridError
from gateway.grids.delimited import read_delimited, write_delimited
from gateway.grids.workbook import read_workbook, write_workbook


def rows(grid: grids.Grid) -> list[list[object]]:
    return [[*row.cells] for row in (grid.header, *grid.rows)]


@pytest.mark.parametrize(
    "data",
    [
        b"name,unit\r\na,V\r\n",
        b"name;unit\na;V",
        b"name\tunit\na\tV\n",
        b"\xef\xbb\xbfname,unit\na,V\n",
        "name\tunit\r\na\tV\r\n".encode("utf-16"),
        b"sep=;\r\nname;unit\r\na;V\r\n",
        b'"name","unit"\n"a","V"\n',
        b'"na,me",unit;x\n'.replace(b'"na,me",unit;x', b"name,unit") + b"a,V\n",
    ],
)
def test_what_spreadsheet_programs_call_csv(data: bytes) -> None:
    assert rows(read_delimited(data)) == [["name", "unit"], ["a", "V"]]


def test_rows_are_numbered_as_a_spreadsheet_program_does() -> None:
    grid = read_delimited('name,text\n\n"a","two\nlines"\nb,\n')
    assert [(row.number, row.cells[0]) for row in grid.rows] == [(3, "a"), (4, "b")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b'name,unit\n"a,V\n', "row 2 can't be read"),
        (b"name,unit\nK\xfchlung,V\n", "line 2 has a character that isn't UTF-8"),
        (b"PK\x03\x04\0\0", "isn't a text file"),
        (b"name\n" + b"x" * 40_000, "over 32767 characters"),
        (b",".join([b"c%d" % each for each in range(600)]) + b"\n", "600 columns"),
        (b"x" * (grids.MAX_BYTES + 1), "larger than 16 MiB"),
        (b"name\n" + b"a\n" * (grids.MAX_ROWS + 1), "over 200000 rows"),
    ],
)
def test_what_cant_be_read_is_refused_in_one_sentence(data: bytes, message: str) -> None:
    with pytest.raises(GridError, match=message) as caught:
        read_delimited(data)
    assert caught.value.hint


def test_a_workbook_has_what_was_written() -> None:
    table = [["=1+1", 5, 0.1, True, None], ["0042", 2**60, 1e300, False, "x"]]
    grid = read_workbook(write_workbook(["a", "b", "c", "d", "e"], table))
    assert rows(grid) == [
        ["a", "b", "c", "d", "e"],
        ["=1+1", 5, 0.1, True],
        ["0042", str(2**60), "1e+300", False, "x"],
    ]
    assert grid.typed


def test_the_sheet_of_the_tags_is_taken_and_errors_are_known() -> None:
    book = Workbook()
    book.active["A1"] = "something else"
    tags = book.create_sheet("Tags")
    tags.append(["name"])
    tags.append(["#REF!"])
    file = io.BytesIO()
    book.save(file)
    assert rows(read_workbook(file.getvalue())) == [["name"], [Damage("error", "#REF!")]]


def repacked(part: str, content: bytes) -> bytes:
    """A workbook in which one part holds something else."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(write_workbook(["name"], [["a"]]))) as source,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, content if name == part else source.read(name))
    return out.getvalue()


BOMB = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><worksheet>&b;</worksheet>'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"name,unit\n", "isn't an Excel workbook"),
        (repacked("xl/worksheets/sheet1.xml", b"0" * (40 << 20)), "unpacks to far more"),
        (repacked("xl/worksheets/sheet1.xml", BOMB), "defines entities"),
        (repacked("xl/worksheets/sheet1.xml", b"<worksheet><sheetData><row"), "can't be read"),
        (repacked("xl/workbook.xml", b"<nothing/>"), "workbook"),
    ],
)
def test_a_workbook_that_isnt_one_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(GridError, match=message) as caught:
        read_workbook(data)
    assert caught.value.hint


def test_many_parts_are_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(600):
            archive.writestr(f"{number}.xml", b"")
    with pytest.raises(GridError, match="unpacks"):
        read_workbook(out.getvalue())


@pytest.mark.parametrize("body", [{}, {"rows": [["name"]]}, {"rows": [[1, ["x"]]]}, {"rows": []}, {"rows": [[True]]}])
def test_json_that_is_no_grid_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(GridError):
        grids.from_json(body)


def test_csv_is_written_as_the_standard_has_it() -> None:
    assert write_delimited(["a", "b"], [["x,y", 'q"'], [None, True], [1, 0.5]]) == (
        'a,b\r\n"x,y","q"""\r\n,true\r\n1,0.5\r\n'
    )
