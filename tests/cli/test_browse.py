"""``tidegate browse`` over a third party's driver."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import load
from tests.cli.conftest import Run

Write = Callable[..., Path]


def test_what_a_device_has_is_a_table(run: Run, config: Write) -> None:
    done = run("browse", "d1", "-c", config())
    assert done.exit_code == 0
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        ["kind", "path", "type", "value", "unit", "address"],
        ["folder", "tank", "", "", "", ""],
        ["value", "tank/level", "float32", "1.5", "m", "t:1"],
        ["value", "tank/wave", "int16[8]", "1, 2", "", "t:2"],
        ["value", "tank/picture", "?", "", "", "t:3"],
        ["method", "tank/reset", "json rw", "", "", "t:4"],
    ]
    assert done.stderr.splitlines() == [
        "done: 5 of 5 shown",
        "1 of them hold values that no type of Tidegate can carry",
        "  → rows for tags_csv: the same command with --csv; tables: --toml",
    ]


def test_it_can_be_narrowed(run: Run, config: Write) -> None:
    done = run("browse", "d1", "*/[lw]*", "-c", config())
    assert [line.split("\t")[1] for line in done.stdout.splitlines()[1:]] == ["tank/level", "tank/wave"]
    assert "done: 2 of 5 shown" in done.stderr
    assert len(run("browse", "d1", "--depth", "1", "-c", config()).stdout.splitlines()) == 2
    assert run("browse", "d1", "--from", "t:1", "-c", config()).exit_code == 0


def test_items_are_lines_of_json(run: Run, config: Write) -> None:
    done = run("browse", "d1", "tank/wave", "--json", "-c", config())
    assert json.loads(done.stdout) == {
        "kind": "value",
        "path": "tank/wave",
        "address": "t:2",
        "type": "int16",
        "count": 8,
        "writable": False,
        "name": "Wave, \x1b[31m8",
        "unit": None,
        "description": 'a "wave"',
        "value": [1, 2],
        "options": {},
    }


def test_rows_are_ready_for_tags_csv(run: Run, config: Write, tmp_path: Path) -> None:
    done = run("browse", "d1", "tank/[lr]*", "--csv", "-c", config())
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert rows[0] == {"name": "tank/level", "spot": "t:1", "type": "float32", "unit": "m", "swap": ""}
    assert rows[1] == {"name": "tank/reset", "spot": "t:4", "type": "json", "unit": "", "swap": "true"}
    (tmp_path / "tags.csv").write_text(done.stdout)
    path = config()
    path.write_text(path.read_text() + '[[device.group]]\nname = "g"\ninterval_ms = 1000\ntags_csv = "tags.csv"\n')
    (group,) = load(path).links[0].devices[0].groups
    assert [point.options.spot for point in group.poll.points] == ["t:1", "t:4"]


def test_tables_are_ready_to_be_pasted(run: Run, config: Write) -> None:
    done = run("browse", "d1", "--toml", "-c", config())
    path = config()
    path.write_text(path.read_text() + '[[device.group]]\nname = "g"\ninterval_ms = 1000\n' + done.stdout)
    body = tomllib.loads(path.read_text())
    assert body["device"][0]["group"][0]["tag"] == [
        {"name": "tank/level", "spot": "t:1", "type": "float32", "unit": "m"},
        {
            "name": "tank/wave",
            "spot": "t:2",
            "type": "int16",
            "count": 8,
            "description": 'a "wave"',
            "original_name": "Wave, \x1b[31m8",
        },
        {"name": "tank/reset", "spot": "t:4", "type": "json", "swap": True},
    ]


@pytest.mark.parametrize("form", ["--csv", "--toml"])
def test_nothing_found_is_nothing_printed(run: Run, config: Write, form: str) -> None:
    done = run("browse", "d1", "nothing", form, "-c", config())
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "done: 0 of 5 shown\n"


@pytest.mark.parametrize(
    ("link", "arguments", "code", "told"),
    [
        ('trouble = "refused"', "d1", 4, "10.0.0.1 refused the connection\n  → check power, wiring and the address"),
        ('trouble = "silent"', "d1", 4, "d1 at 10.0.0.1: no answer within 1 s\n  → check power"),
        ('trouble = "forbidden"', "d1", 6, "no permission to /dev/acme: Permission denied"),
        ("", "d1 --from x", 1, "there is no x\n  → see what it has: tidegate browse d1"),
        ("", "d2", 2, "the configuration has no device 'd2'\n  → there are: d1"),
    ],
)
def test_what_goes_wrong_is_told(run: Run, config: Write, link: str, arguments: str, code: int, told: str) -> None:
    done = run("browse", *arguments.split(), "-c", config(link))
    assert done.exit_code == code
    assert f"tidegate: {told}" in done.stderr


def test_a_driver_that_says_the_mend_itself_is_not_given_another(run: Run, config: Write) -> None:
    done = run("browse", "d1", "--from", "", "-c", config())
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (1, "tidegate: there is no : leave it out")


def test_half_a_list_is_no_configuration(run: Run, config: Write) -> None:
    done = run("browse", "d1", "--csv", "-c", config('trouble = "silent"'))
    assert (done.exit_code, done.stdout) == (4, "")


def test_a_driver_that_cannot_is_told(run: Run, config: Write) -> None:
    done = run("browse", "d1", "-c", config(driver="plain"))
    assert done.exit_code == 2
    assert done.stderr == "tidegate: the driver 'plain' of 'd1' can't browse\n"
