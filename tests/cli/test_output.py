"""What is common to all commands."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from gateway.cli import main


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
