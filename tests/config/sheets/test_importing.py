"""Importing tags: what a spreadsheet program did is told by row and column, and nothing is guessed."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from gateway.config.document import read
from gateway.config.edit import edit
from gateway.config.sheets.importing import Trial, try_import
from gateway.config.sheets.reading import Target
from gateway.config.tree import Tree
from gateway.grids import Grid
from gateway.grids.delimited import read_delimited
from gateway.grids.workbook import read_workbook

CONFIG = """
[gateway]
id = "g"
enterprise = "e"
site = "s"
[[link]]
name = "l"
driver = "modbus"
host = "10.0.0.1"
[[device]]
name = "d1"
link = "l"
  [[device.group]]
  name = "fast"
  interval_ms = 100
    [[device.group.tag]]
    name = "speed"
    address = "hr:1"
    type = "uint16"
    original_name = "DB1.Speed"
    [[device.group.tag]]
    name = "level"
    address = "hr:2"
    type = "uint16"
    scale = 0.1
    unit = "%"
    report = { deadband = 0.5 }
  [[device.group]]
  name = "slow"
  interval_ms = 1000
  tags_csv = "slow.csv"
[[device]]
name = "d2"
link = "l"
unit = 2
  [[device.group]]
  name = "all"
  interval_ms = 1000
    [[device.group.tag]]
    name = "x"
    address = "hr:9"
    type = "uint16"
"""
SLOW = b"name;address;type;unit\nenergy;hr:10;uint32;kW.h\n"
MAIN = Path("/etc/tidegate/tidegate.toml")
TREE = Tree("tidegate.toml", {"tidegate.toml": CONFIG.encode(), "slow.csv": SLOW})
Try = Callable[..., Trial]


@pytest.fixture
def attempt() -> Try:
    document = read(MAIN, TREE)

    def call(table: str | bytes | Grid, *, remove: bool = False, **target: str) -> Trial:
        grid = table if isinstance(table, Grid) else read_delimited(table)
        return try_import(grid, document, Target(**target), remove=remove)

    return call


def told(trial: Trial) -> list[str]:
    return [str(problem) for problem in trial.problems]


def test_cells_that_excel_damaged_are_told_by_row_and_column(attempt: Try) -> None:
    table = (
        "device\tgroup\tname\taddress\ttype\tscale\tdescription\n"
        "d1\tfast\tspeed\thr:1\tuint16\t0,1\t\n"
        "d1\tfast\tlevel\thr:2\tuint16\t1.234,5\t\n"
        "d1\tfast\t01. Feb\thr:3\tuint16\t1\t\n"
        "d1\tfast\tc\t4.01E+04\tuint16\t1\t\n"
        "d1\tfast\te\thr:5\tuint16\t1\t#REF!\n"
        "d1\tfast\tf\thr:6\tuint16\t=A1*2\t\n"
    )
    assert told(attempt(table)) == [
        'row 2, column scale: is "0,1", with a comma, but decimals are written with a point',
        'row 3, column scale: is "1.234,5", with digits in groups',
        'row 4, column name: is "01. Feb", which looks like a date that a spreadsheet program made of it',
        'row 5, column address: is "4.01E+04", which looks like a long number that a spreadsheet program shortened',
        'row 6, column description: is "#REF!", an error of the spreadsheet program',
        'row 7, column scale: is the formula "=A1*2"',
    ]
    assert attempt(table).problems[0].hint == "write 0.1"


def test_a_workbooks_dates_formulas_and_numbers_are_known_for_what_they_are(attempt: Try) -> None:
    book = Workbook()
    sheet: Any = book.active
    sheet.append(["device", "group", "name", "address", "type", "scale", "writable"])
    sheet.append(["d1", "fast", datetime(2024, 2, 1), "hr:3", "uint16", 1, None])
    sheet.append(["d1", "fast", "a", 1.1, "uint16", 1, None])
    sheet.append(["d1", "fast", "b", "hr:4", "uint16", "=1+1", None])
    sheet.append([])
    sheet.append(["d1", "fast", "c", 40101, "uint16", 0.5, True])
    sheet.append(["d1", "fast", "d", "hr:5", "uint16", 1, "WAHR"])
    file = io.BytesIO()
    book.save(file)
    grid = read_workbook(file.getvalue())
    lines = told(attempt(grid))
    assert lines[0].startswith('row 2, column name: is the date "2024-02-01 00:00:00"')
    assert lines[1].startswith("row 3, column address: is the number 1.1, but must be text")
    assert lines[2] == 'row 4, column scale: is the formula "=1+1"'
    assert lines[3] == 'row 7, column writable: is "WAHR", but must be true or false'
    assert attempt(grid).problems[3].hint == "write true"
    assert len(lines) == 4  # 40101 is an address, whatever a spreadsheet program takes it for


def test_what_is_quoted_is_text_whatever_it_looks_like(attempt: Try) -> None:
    trial = attempt('device,group,name,address,type,original_name\nd1,fast,n,hr:3,uint16,"""4E5"""\n')
    assert told(trial) == []
    assert trial.difference.operations[0].set["original_name"] == "4E5"


def test_the_header_must_be_understood(attempt: Try) -> None:
    lines = told(attempt("device,name,adress,type,,name\nd1,a,hr:1,uint16,,\n"))
    assert lines == [
        "row 1, column adress: there is no such column",
        "row 1, column E: the column has no name",
        "row 1, column name: the column stands twice in the header",
    ]
    assert attempt("device,adress\n").problems[0].hint == "did you mean address?"
    assert told(attempt("name,address\nspeed,hr:1\n"))[0].startswith("row 1: the header has no column device")


def test_rows_must_say_where_they_belong(attempt: Try) -> None:
    table = "device,group,name,address,type\nd3,fast,a,hr:1,uint16\nd1,,a,hr:3,uint16\nd1,quick,b,hr:4,uint16\n,,c,,\n"
    assert told(attempt(table)) == [
        'row 2, column device: there is no device "d3"',
        'row 3, column group: "d1" has 2 groups, and the row names none',
        'row 4, column group: "d1" has no group "quick"',
        "row 5, column device: is empty",
    ]
    trial = attempt("name,address,type\ny,hr:5,uint16\n", owner="d2")
    assert [(each.action, each.owner, each.group) for each in trial.difference.operations] == [("add", "d2", "all")]


def test_a_name_that_stands_twice_is_told_with_the_first_row(attempt: Try) -> None:
    lines = told(attempt("device,name,address,type\nd2,a,hr:1,uint16\nd2,a,hr:2,uint16\n"))
    assert lines == ['row 3, column name: the tag "a" of "d2" stands in row 2 already']


def test_what_a_check_of_the_configuration_finds_is_told_by_row_and_column(attempt: Try) -> None:
    table = (
        "device,name,address,type,scale,unit,deadband_percent,low\n"
        "d2,a,hr:70000,uint16,,,,\n"
        "d2,b,hr:2,real,,,,\n"
        "d2,c,hr:3,uint16,0,,,\n"
        "d2,d,hr:4,uint16,,kWh,,\n"
        "d2,e/f,hr:5,string,,,,\n"
        "d2,g,hr:6,uint16,,,10,\n"
        "d2,X,hr:7,uint16,,,,\n"
    )
    lines = told(attempt(table))
    assert [line.partition(":")[0] for line in lines] == [
        "row 2, column address",
        "row 3, column type",
        "row 4, column scale",
        "row 5, column unit",
        "row 6",
        "row 7, column deadband_percent",
        "row 8, column name",
    ]
    problems = attempt(table).problems
    assert problems[1].hint == 'did you mean "float32"?'
    assert problems[3].hint == 'write "kW.h"'


def test_only_what_differs_becomes_an_operation(attempt: Try) -> None:
    trial = attempt("device,name,address,type,scale,unit\nd1,speed,hr:1,uint16,,\nd1,level,hr:2,uint16,0.2,\n")
    (change,) = trial.difference.operations
    assert (change.action, change.name, change.set, change.unset) == ("change", "level", {"scale": 0.2}, ["unit"])
    assert trial.difference.unchanged == 1
    assert change.row == 3


def test_a_column_that_isnt_there_changes_nothing(attempt: Try) -> None:
    assert attempt("device,name,unit\nd1,level,%\n").difference.operations == []


def test_a_tag_under_another_name_is_known_by_its_source_name_or_its_address(attempt: Try) -> None:
    trial = attempt(
        "device,group,name,address,type,original_name\n"
        "d1,fast,motor/speed,hr:77,uint16,DB1.Speed\n"
        "d1,fast,tank/level,hr:2,uint16,\n"
    )
    assert told(trial) == []
    assert trial.renamed == [("d1", "speed", "motor/speed"), ("d1", "level", "tank/level")]
    assert trial.count("add") == trial.count("remove") == 0
    assert trial.difference.operations[0].set == {"name": "motor/speed", "address": "hr:77"}


def test_a_tag_can_change_its_group(attempt: Try) -> None:
    (move,) = attempt("device,group,name\nd1,slow,level\n").difference.operations
    assert (move.action, move.group, move.to_group, move.set) == ("change", "fast", "slow", {})


def test_tags_that_arent_in_the_table_stay_unless_told_otherwise(attempt: Try) -> None:
    table = "device,name\nd1,speed\n"
    assert attempt(table).difference.absent == [("device", "d1", "fast", "level")]
    assert attempt(table).difference.operations == []
    (removed,) = attempt(table, remove=True).difference.operations
    assert (removed.action, removed.name) == ("remove", "level")  # of the groups the table is about, not of others


def test_tags_of_a_csv_file_are_compared_like_the_others(attempt: Try) -> None:
    assert attempt("device,name,address,type,unit\nd1,energy,hr:10,uint32,kW.h\n").difference.unchanged == 1
    (change,) = attempt("device,name,unit\nd1,energy,W.h\n").difference.operations
    assert (change.group, change.set) == ("slow", {"unit": "W.h"})


@pytest.mark.parametrize(
    ("table", "remove"),
    [
        ("device,group,name,address,type,deadband\nd1,fast,speed,hr:1,int16,\nd1,fast,new,hr:3,int16,0.5\n", False),
        ("device,group,name,address\nd1,fast,level,hr:1\nd1,fast,speed,hr:2\n", False),
        ("device,group,name,address,type\nd1,slow,level,hr:2,uint16\nd1,slow,energy,hr:11,uint32\n", False),
        ("device,name\nd1,speed\n", True),
        ("device,group,name,original_name,address,type\nd1,fast,motor/speed,DB1.Speed,hr:1,uint16\n", False),
    ],
)  # fmt: skip
def test_the_edits_make_the_configuration_say_what_the_table_says(table: str, remove: bool) -> None:
    trial = try_import(read_delimited(table), read(MAIN, TREE), Target(), remove=remove)
    assert told(trial) == []
    assert trial.edits
    new = edit(TREE, trial.edits)
    again = try_import(read_delimited(table), read(MAIN, new), Target(), remove=remove)
    assert told(again) == []
    assert (again.difference.operations, again.edits) == ([], [])


def test_a_table_with_a_problem_makes_no_edits(attempt: Try) -> None:
    assert attempt("device,name,address,type\nd2,a,hr:1,uint16\nd2,b,hr:x,uint16\n").edits == []
