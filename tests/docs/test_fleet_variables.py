"""The variables of the Ansible collection: documented, used, and their defaults as the documentation says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = ROOT / "ansible" / "roles"
SPECIFICATIONS = sorted(ROLES.glob("*/meta/argument_specs.yml"))


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fleet_reference", ROOT / "ansible" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_roles_say() -> None:
    assert (ROOT / "docs/reference/fleet-variables.md").read_text() == reference().page(), "run make docs"


@pytest.mark.parametrize("file", SPECIFICATIONS, ids=lambda file: file.parents[1].name)
def test_a_default_is_documented_as_it_is(file: Path) -> None:
    options = yaml.safe_load(file.read_text())["argument_specs"]["main"]["options"]
    kept = file.parents[1] / "defaults" / "main.yml"
    defaults = yaml.safe_load(kept.read_text()) if kept.exists() else {}
    assert {name: options[name]["default"] for name in defaults} == defaults


@pytest.mark.parametrize("file", SPECIFICATIONS, ids=lambda file: file.parents[1].name)
def test_every_variable_is_used(file: Path) -> None:
    texts = [path for path in (ROOT / "ansible").rglob("*.yml") if path.parent.name in ("tasks", "vars", "playbooks")]
    used = "".join(path.read_text() for path in texts)
    options = yaml.safe_load(file.read_text())["argument_specs"]["main"]["options"]
    assert [name for name in options if name not in used] == []
