"""The reference page says what the models take, and its example is taken."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel
from tidegate_appliance.places import Places
from tidegate_appliance.provisioning import MachineTables
from tidegate_appliance.tables import MachineTable, NetworkTable, SshTable, TimeTable, UpdateTable

from tests.appliance.programs import Programs

PAGE = (Path(__file__).parents[2] / "docs/reference/provisioning.md").read_text()
MODELS: dict[str, type[BaseModel]] = {
    "`[machine]`": MachineTable,
    "`[time]`": TimeTable,
    "`[[network]]`": NetworkTable,
    "`[ssh]`": SshTable,
    "`[update]`": UpdateTable,
}


def section(heading: str) -> str:
    return PAGE.split(f"### {heading}\n", 1)[1].split("\n#", 1)[0]


@pytest.mark.parametrize("heading", MODELS)
def test_every_key_is_described_in_the_words_of_its_model(heading: str) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section(heading).splitlines()[2:] if line]
    described = {row[0].strip("`"): row[3] for row in rows}
    required = {row[0].strip("`") for row in rows if row[2] == "**required**"}
    fields = MODELS[heading].model_fields
    assert described == {name: field.description for name, field in fields.items()}
    assert required == {name for name, field in fields.items() if field.is_required()}


def test_all_tables_of_the_machine_are_there() -> None:
    headings = set(re.findall(r"^### `\[+(\w+)\]+`$", PAGE, re.MULTILINE))
    assert headings == {*MachineTables().tables, "user", "tls", "configuration"}


def test_the_example_is_taken(places: Places, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    programs.replace("busctl", "systemctl", "hostnamectl")
    example = tomllib.loads(PAGE.split("```toml\n", 1)[1].split("```", 1)[0])
    found = {setting.name: (setting.outcome, setting.said) for setting in MachineTables(places).provision(example)}
    assert {outcome for outcome, _ in found.values()} == {"applied"}, found
