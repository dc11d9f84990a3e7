"""``tidegate scan`` over a third party's driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run

Write = Callable[..., Path]


def test_without_a_driver_it_lists_those_that_can(run: Run) -> None:
    done = run("scan")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "driver\tsearch"
    assert "acme\tSearch a network for nothing." in lines
    assert not any(line.startswith("plain") for line in lines)
    assert "the driver 'broken' can't be loaded" in done.stderr
    assert {"driver": "acme", "summary": "Search a network for nothing."} in json.loads(run("scan", "--json").stdout)


def test_every_option_of_the_driver_is_one_of_the_command(run: Run) -> None:
    text = " ".join(run("scan", "acme", "--help").stdout.split())
    for piece in (
        "--network TEXT Where to search, such as 10.0.0.0/24. [required]",
        "--port INTEGER TCP port. Default: 502.",
        "--timeout-s FLOAT Longest wait. Default: 0.5.",
        "--units INTEGER,… Units to ask. Default: 1.",
        "--speed [slow|fast] How fast. Default: slow.",
        "--parity [even|odd] Parity. Default: any.",
        "--deep / --no-deep Look deeper. Default: no.",
        "--acme-toml / --no-acme-toml A name that the command has, too.",
        "--password ENV:…|FILE:…|CREDENTIAL:… A secret.",
        "--toml",
    ):
        assert piece in text, piece


def test_findings_are_rows(run: Run, tmp_path: Path) -> None:
    done = run("scan", "acme", "--network", "n", "--units", "1,2", "--units", "3")
    assert done.exit_code == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0] == ["network", "unit", "gateway", "state"]
    assert [row[:2] for row in rows[1:]] == [["n", "1"], ["n", "2"], ["n", "3"]]
    assert rows[1][3] == str(tmp_path / "state" / "tidegate" / "drivers" / "acme")
    assert done.stderr.splitlines() == [
        "done: 3 found",
        "  → the configuration for it: the same command with --toml",
    ]


def test_findings_are_lines_of_json(run: Run) -> None:
    done = run("scan", "acme", "--network", "n", "--units", "7", "--json")
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["row"]["unit"] == 7
    assert "[[device]]" in json.loads(line)["config"]


def test_findings_are_configuration_with_each_link_once(run: Run) -> None:
    done = run("scan", "acme", "--network", "n", "--units", "1,2", "--toml")
    body = tomllib.loads(done.stdout)
    assert [link["name"] for link in body["link"]] == ["found"]
    assert [device["name"] for device in body["device"]] == ["unit1", "unit2"]


def test_options_reach_the_driver_as_they_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.cli import acme

    seen: list[acme.Search] = []

    async def search(options: acme.Search, site: object):  # type: ignore[no-untyped-def]
        seen.append(options)
        return
        yield

    monkeypatch.setattr(acme, "KIND", acme._kind("acme", acme.Able, scan=acme.Scan("It looks.", acme.Search, search)))
    arguments = "--network n --timeout-s 2 --speed fast --parity odd --deep --acme-toml --even 4 --password env:PW"
    done = run("scan", "acme", *arguments.split())
    assert done.stderr == "done: nothing found\n"
    (options,) = seen
    assert options.model_dump(exclude_defaults=True) == {
        "network": "n",
        "timeout_s": 2.0,
        "speed": acme.Speed.FAST,
        "parity": "odd",
        "deep": True,
        "toml": True,
        "even": 4,
        "password": {"env": "PW"},
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "Missing option '--network'"),
        ("--network n --port x", "'x' is not a valid integer"),
        ("--network n --port 0", "--port is 0, but must be at least 1\n  → write a number that is at least 1"),
        ("--network n --units 1,x", "'x' is not a valid integer"),
        ("--network n --even 3", "3 is odd\n  → write an even number"),
        ("--network n --speed quick", "is not one of 'slow', 'fast'"),
        ("--network n --password hunter2", "a secret is given by reference: env:NAME"),
        ("--network n --json --toml", "choose one"),
    ],
)
def test_what_is_wrong_is_told_with_exit_code_2(run: Run, arguments: str, told: str) -> None:
    done = run("scan", "acme", *arguments.split())
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr


def test_every_wrong_option_is_told_at_once(run: Run) -> None:
    done = run("scan", "acme", "--network", "n", "--port", "0", "--even", "3")
    assert "--port is 0" in done.stderr
    assert "3 is odd" in done.stderr


@pytest.mark.parametrize(
    ("driver", "told"),
    [
        ("acne", "there is no driver 'acne'\n  → did you mean 'acme'?"),
        ("plain", "the driver 'plain' can't search for devices\n  → drivers that can: acme"),
    ],
)
def test_a_driver_that_cannot_is_told(run: Run, driver: str, told: str) -> None:
    done = run("scan", driver)
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_broken_driver_is_told(run: Run) -> None:
    done = run("scan", "broken")
    assert done.exit_code == 1
    assert "the driver 'broken' can't be loaded: No module named 'tests.cli.nothing'" in done.stderr


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        ("down", 4, "tidegate: the network is unreachable\n  → "),
        ("failed", 1, "tidegate: no interface has that network\n  → "),
        ("denied", 6, "tidegate: no permission to /dev/acme: Permission denied\n  → "),
    ],
)
def test_a_search_that_ends_badly_keeps_what_it_found(run: Run, end: str, code: int, told: str) -> None:
    done = run("scan", "acme", "--network", "n", "--end", end)
    assert done.exit_code == code
    assert len(done.stdout.splitlines()) == 2
    assert told in done.stderr


def test_it_works_where_the_named_gateway_does(run: Run, config: Write, tmp_path: Path) -> None:
    done = run("scan", "acme", "--network", "n", "--config", config())
    assert done.stdout.splitlines()[1].split("\t")[2:] == ["gw1", str(tmp_path / "data" / "drivers" / "acme")]


def test_a_named_configuration_must_be_right(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "tidegate.toml"
    path.write_text("nonsense")
    done = run("scan", "acme", "--network", "n", "--config", path)
    assert (done.exit_code, done.stdout) == (3, "")


def test_ctrl_c_ends_the_search_and_keeps_what_it_found(installed: Path, tmp_path: Path) -> None:
    state = tmp_path / "state" / "tidegate" / "drivers" / "acme"
    state.mkdir(parents=True)
    command = [sys.executable, "-m", "gateway", "scan", "acme", "--network", "n", "--end", "never"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), os.getcwd()])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as found:
        assert found.stdout is not None
        found.stdout.readline()
        assert found.stdout.readline().startswith("n\t1\t")
        found.send_signal(signal.SIGINT)
        _, told = found.communicate(timeout=20)
    assert found.returncode == 0, told
    assert "stopped: 1 found" in told
    assert "Traceback" not in told
    assert (state / "closed").exists()
