"""What is common to all commands."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.cli.output import fail, moment, table
from tests.support.configuration import configuration


class Terminal(io.StringIO):
    """A stream that is a terminal, as far as it says itself."""

    def isatty(self) -> bool:
        return True


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from gateway.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "late = [m for m in ('pydantic', 'pymodbus', 'starlette', 'rich', 'drivers.modbus') if m in sys.modules]\n"
        "assert not late, late"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output.startswith("tidegate, version ")


@pytest.mark.parametrize("arguments", [["frobnicate"], ["run", "--nonsense"], ["probe"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2


@pytest.mark.parametrize("columns", [40, 80])
def test_a_narrow_terminal_cuts_no_name_and_no_number_short(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", str(columns))
    row = ["filler1", "packaging", "normal", 123456, "broker.example:8883", "no answer from the device for a long time"]
    table(["device", "link", "state", "polls", "broker", "detail"], [row])
    heading, first, *_ = click.unstyle(screen.getvalue()).splitlines()
    assert heading.split() == ["device", "link", "state", "polls", "broker", "detail"]
    assert first.split()[:5] == [str(cell) for cell in row[:5]]
    assert "…" not in screen.getvalue()


@pytest.mark.parametrize(("no_color", "escapes"), [("", True), ("1", False)])
def test_an_error_on_a_terminal_is_coloured_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, no_color: str, escapes: bool
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("NO_COLOR", no_color)
    with pytest.raises(SystemExit):
        fail("it is so", "mend it")
    assert ("\x1b" in screen.getvalue()) is escapes


@pytest.mark.parametrize("command", ["check", "run", "probe dev0"])
def test_a_configuration_that_this_user_cannot_read_is_no_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    config = tmp_path / "tidegate.toml"
    config.write_text("")

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    done = CliRunner().invoke(main, [*command.split(), "--config", str(config)])
    assert (done.exit_code, done.stdout) == (3, "")
    assert "permission denied" in done.stderr


def test_a_data_directory_of_another_user_ends_with_6(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "tidegate.toml"
    config.write_text(configuration(tmp_path / "data", [502], 1883))

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    done = CliRunner().invoke(main, ["run", "--config", str(config)])
    assert done.exit_code == 6
    assert f"no permission to use {tmp_path / 'data'}" in done.stderr


def test_status_of_no_gateway_names_the_socket_without_an_errno(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["status", "--socket", str(tmp_path / "control.sock")])
    assert done.exit_code == 4
    assert f"no gateway runs: there is no socket {tmp_path / 'control.sock'}" in done.stderr
    assert "Errno" not in done.stderr


def test_a_moment_is_utc_and_says_so() -> None:
    assert moment(1_769_860_800_250) == "2026-01-31T12:00:00Z"
    assert moment(1_769_860_800_250, exact=True) == "2026-01-31T12:00:00.250Z"
