"""Every unit of the checkout: sound, and as closed as it can be."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = sorted(ROOT.glob("systemd/*/*.service")) + sorted(ROOT.glob("systemd/*/*.socket"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]

LIMIT = 1.5


@dataclass(frozen=True)
class Exemption:
    """A service whose exposure, as ``systemd-analyze security`` counts it, may differ from the limit for all."""

    limit: float
    why: str


EXCEPTIONS: dict[str, Exemption] = {
    "tidegate-web.service": Exemption(1.3, "it is the one that strangers reach"),
}


def test_there_are_units() -> None:
    assert {unit.name for unit in UNITS} >= {"tidegate.service", "tidegate-web.service", "tidegate-web.socket"}


def test_every_exception_is_of_a_unit_and_says_why() -> None:
    assert all(each.why for each in EXCEPTIONS.values())


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_can_do_little_harm(unit: Path) -> None:
    limit = EXCEPTIONS[unit.name].limit if unit.name in EXCEPTIONS else LIMIT
    said = _analyze("security", "--offline=true", str(unit))
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", said)
    assert found, said
    open_ends = "\n".join(line for line in said.splitlines() if "✗" in line)
    assert float(found[1]) <= limit, f"{unit.name} is exposed by {found[1]}, more than {limit}:\n{open_ends}"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    """Beside all others, the programs that they start being there."""
    for each in UNITS:
        (tmp_path / each.name).write_text(_with_programs(each.read_text(), tmp_path))
    said = _analyze("verify", "--man=no", "--recursive-errors=no", str(tmp_path / unit.name), path=tmp_path)
    told = [line for line in said.splitlines() if not _known(line)]
    assert not told, "\n".join(told)


def test_it_would_find_something(tmp_path: Path) -> None:
    unit = tmp_path / "tidegate.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nFoo=1\n")
    assert "Unknown key 'Foo'" in _analyze("verify", "--man=no", "--recursive-errors=no", str(unit))


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_core_dump_can_not_give_secrets_away(unit: Path) -> None:
    if "User=tidegate" in unit.read_text():
        assert "LimitCORE=0" in unit.read_text()


def _analyze(*arguments: str, path: Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    if path is not None:
        environment["SYSTEMD_UNIT_PATH"] = f"{path}:"
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    return done.stdout + done.stderr


def _with_programs(text: str, directory: Path) -> str:
    """`text`, its programs replaced by one that exists: they are installed with the packages, not here."""
    program = directory / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return re.sub(r"^(Exec\w+=[-@:+!|]*)\S+", rf"\g<1>{program}", text, flags=re.MULTILINE)


def _known(line: str) -> bool:
    """About units that aren't ours."""
    return not any(unit.name in line for unit in UNITS) and "tidegate" not in line
