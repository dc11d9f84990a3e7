"""``tidegate tags``: out as CSV and workbook, back in with a dry run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openpyxl import load_workbook

from tests.cli.conftest import Run
from tests.config.sheets.test_importing import CONFIG, SLOW


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "tidegate.toml"
    file.write_text(CONFIG)
    (tmp_path / "slow.csv").write_bytes(SLOW)
    return file


@pytest.mark.parametrize("name", ["tags.csv", "tags.xlsx"])
def test_what_was_exported_imports_as_nothing_changed(run: Run, config: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    assert run("tags", "export", "-c", config, "-o", file).exit_code == 0
    done = run("tags", "import", "-c", config, file, "--dry-run", "--remove")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "4 rows: 0 added, 0 changed, 0 removed, 4 unchanged\n"


def test_one_device_on_stdout(run: Run, config: Path) -> None:
    done = run("tags", "export", "-c", config, "d2", "--semicolon")
    assert done.stdout_bytes == b"device;group;name;address;type;scale;unit;description\r\nd2;all;x;hr:9;uint16;;;\r\n"


def test_text_columns_of_a_workbook_are_formatted_as_text(run: Run, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "tags.xlsx"
    run("tags", "export", "-c", config, "-o", file)
    sheet = load_workbook(file)["Tags"]
    header = [cell.value for cell in sheet[1]]
    assert sheet.column_dimensions["ABCDEFGHIJ"[header.index("address")]].number_format == "@"
    assert sheet.freeze_panes == "A2"


def test_problems_are_told_by_row_and_column(run: Run, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("device;name;address;type;scale\nd2;x;hr:9;uint16;0,1\n")
    done = run("tags", "import", "-c", config, file, "--dry-run")
    assert done.exit_code == 3
    assert 'row 2, column scale: is "0,1", with a comma' in done.stderr
    assert "→ write 0.1" in done.stderr


def test_changes_are_told_and_given_as_edits(run: Run, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("name,address,type,unit\nx,hr:8,uint16,V\ny,hr:9,uint16,\n")
    done = run("tags", "import", "-c", config, file, "--dry-run", "--device", "d2")
    assert done.stdout == "~ d2/all: x: address = 'hr:8', unit = 'V'\n+ d2/all: y\n"
    body = json.loads(run("tags", "import", "-c", config, file, "--dry-run", "--device", "d2", "--json").stdout)
    assert [each["path"] for each in body["edits"]] == [
        ["device", "d2", "group", "all", "tag", "x"],
        ["device", "d2", "group", "all", "tag"],
    ]


def test_files_that_cant_be_read(run: Run, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "t.xlsx"
    file.write_bytes(b"PK\x03\x04rubbish")
    done = run("tags", "import", "-c", config, file, "--dry-run")
    assert done.exit_code == 3
    assert "isn't an Excel workbook" in done.stderr
    assert run("tags", "export", "-c", config, "-o", tmp_path / "tags.ods").exit_code == 2
    assert "no device or template 'd3'" in run("tags", "export", "-c", config, "d3").stderr
