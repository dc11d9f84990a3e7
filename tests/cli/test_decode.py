"""``tidegate decode`` over a third party's driver."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from gateway.cli import decode, main
from gateway.diagnostics.plausible import is_plausible
from gateway.driver import Decoding
from gateway.model import DataType, Value
from tests.cli import acme
from tests.cli.conftest import Run
from tests.cli.test_output import Terminal

Write = Callable[..., Path]
THIS_YEAR = time.gmtime().tm_year


@pytest.fixture(autouse=True)
def _first_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acme.Able, "reads", 0)


@pytest.fixture
def three_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes after the third read."""

    async def sleep(_: float) -> None:
        if acme.Able.reads == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(decode.asyncio, "sleep", sleep)


def test_types_and_orders_stand_down_and_addresses_across(run: Run, config: Write) -> None:
    done = run("decode", "d1", "100", "-c", config())
    assert done.exit_code == 0, done.stderr
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        ["type", "order", "99", "100", "101"],
        ["bytes", "", *["0001 41ac"] * 3],
        ["uint16", "", *["1 *"] * 3],
        ["float32", "ABCD", *["1.15394e-40"] * 3],
        ["float32", "CDAB", *["21.500002 *"] * 3],
        ["string", "", *["–"] * 3],
    ]


def test_json_says_the_same(run: Run, config: Write) -> None:
    body = json.loads(run("decode", "d1", "100", "--json", "-c", config()).stdout)
    assert len(body) == 12
    assert body[2] == {
        "address": "99",
        "type": "float32",
        "order": "CDAB",
        "raw": "000141ac",
        "value": 21.500001907348633,
        "plausible": True,
    }


@pytest.mark.usefixtures("three_reads")
def test_live_is_a_line_of_json_for_each_read(run: Run, config: Write) -> None:
    done = run("decode", "d1", "100", "--live", "-c", config('trouble = "silent"'))
    first, second, third = map(json.loads, done.stdout.splitlines())
    assert first["decodings"][0]["raw"] == "0001"
    assert second["error"] == "d1 at 10.0.0.1: no answer within 1 s"
    assert third["decodings"][0]["raw"] == "0003"
    assert done.exit_code == 0


@pytest.mark.usefixtures("three_reads", "installed")
def test_live_on_a_terminal_is_one_table(monkeypatch: pytest.MonkeyPatch, config: Write) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    main(["decode", "d1", "100", "--live", "-c", str(config('trouble = "silent"'))], standalone_mode=False)
    text = click.unstyle(screen.getvalue())
    assert "0001 41ac" in text
    assert "no answer within 1 s" in text
    assert "0003 41ac" in text
    assert "\x1b[1;7m" in screen.getvalue(), "what changed and is plausible stands out"


@pytest.mark.parametrize(
    ("link", "arguments", "code", "told"),
    [
        ('trouble = "refused"', "d1 1", 4, "10.0.0.1 refused the connection\n  → check power"),
        ("", "d1 x", 1, "x is no address\n  → "),
        ("", "d3 1", 2, "the configuration has no device 'd3'"),
    ],
)
def test_what_goes_wrong_is_told(run: Run, config: Write, link: str, arguments: str, code: int, told: str) -> None:
    done = run("decode", *arguments.split(), "-c", config(link))
    assert (done.exit_code, done.stdout) == (code, "")
    assert f"tidegate: {told}" in done.stderr


def test_a_driver_that_cannot_is_told(run: Run, config: Write) -> None:
    done = run("decode", "d1", "1", "-c", config(driver="plain"))
    assert done.exit_code == 2
    assert done.stderr == "tidegate: the driver 'plain' of 'd1' has nothing to decode\n"


@pytest.mark.parametrize(
    ("kind", "size", "value", "plausible"),
    [
        (DataType.UINT16, 2, 215, True),
        (DataType.UINT16, 2, 0, False),
        (DataType.UINT16, 2, 60_000, False),
        (DataType.INT32, 4, -250_000, True),
        (DataType.INT32, 4, 1_091_567_617, False),
        (DataType.FLOAT32, 4, 21.5, True),
        (DataType.FLOAT32, 4, -0.25, True),
        (DataType.FLOAT32, 4, 0.0, False),
        (DataType.FLOAT32, 4, 1.5e-40, False),
        (DataType.FLOAT32, 4, 3e12, False),
        (DataType.FLOAT64, 8, math.nan, False),
        (DataType.FLOAT64, 8, math.inf, False),
        (DataType.STRING, 4, "Pump", True),
        (DataType.STRING, 4, "P\x00", False),
        (DataType.STRING, 4, "  ", False),
        (DataType.DATETIME, 4, f"{THIS_YEAR}-01-31T12:00:00Z", True),
        (DataType.DATETIME, 4, f"{THIS_YEAR - 5}-01-31T12:00:00Z", True),
        (DataType.DATETIME, 4, "1970-01-01T00:00:00Z", False),
        (DataType.DATETIME, 4, f"{THIS_YEAR + 40}-01-31T12:00:00Z", False),
        (DataType.DATETIME, 4, "0001-01-01T00:00:00Z", False),
        (DataType.BOOL, 1, True, False),
        (DataType.BYTES, 2, "00ff", False),
        (DataType.FLOAT32, 4, None, False),
    ],
)
def test_what_is_plausible(kind: DataType, size: int, value: Value, plausible: bool) -> None:
    assert is_plausible(Decoding("1", kind, "", bytes(size), value)) is plausible
