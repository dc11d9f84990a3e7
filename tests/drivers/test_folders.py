"""Every driver's folder: README in the fixed shape and up to date, a sample that loads, admission rules answered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drivers.common import readme
from gateway.config import load
from gateway.config.schema import DeviceTable, LinkTable, TagTable
from gateway.registry import load_driver

ROOT = Path(__file__).parents[2]
FOLDERS = pytest.mark.parametrize("folder", readme.folders(), ids=lambda folder: folder.name)


def test_there_is_something_to_check() -> None:
    assert readme.DRIVERS / "modbus" in readme.folders()


@FOLDERS
def test_the_readme_is_up_to_date(folder: Path) -> None:
    assert (folder / "README.md").read_text() == readme.filled(folder), "run make docs"


@FOLDERS
def test_the_readme_has_the_fixed_shape(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    outside_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert tuple(re.findall(r"^## (.+)$", outside_code, re.MULTILINE)) == readme.SECTIONS
    assert set(re.findall(r"<!-- begin (\w+) -->", text)) == {"link", "device", "tag", "sample"}


@FOLDERS
def test_the_readme_names_the_tests_it_claims(folder: Path) -> None:
    for path in re.findall(r"`(tests/[\w/.]+)`", (folder / "README.md").read_text()):
        assert (ROOT / path).exists(), path


@FOLDERS
def test_the_sample_is_a_whole_configuration_without_a_fault(folder: Path) -> None:
    settings = load(folder / "sample.toml", check_secrets=False)
    kind = load_driver(folder.name)
    assert kind.name in {link.kind.name for link in settings.links}
    for link in settings.links:
        bus = link.kind.open_bus(link.name, link.options, link.site)
        for device in link.devices:
            driver = link.kind.open_device(bus, device.name, device.options)
            for group in device.groups:
                assert list(driver.plan(group.poll).errors) == []


@FOLDERS
def test_no_option_has_the_name_of_a_key_that_every_driver_has(folder: Path) -> None:
    """It could never be given: the key would be taken for the other."""
    kind = load_driver(folder.name)
    for model, table in (
        (kind.link_options, LinkTable),
        (kind.device_options, DeviceTable),
        (kind.tag_options, TagTable),
    ):
        assert not {*model.model_fields} & {*table.model_fields}, model


@FOLDERS
def test_every_admission_rule_is_done_or_exempt_with_a_reason(folder: Path) -> None:
    rules = re.findall(r"^\| (\d+) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    answers = {}
    for line in (folder / "quality.yaml").read_text().splitlines():
        if line.startswith("#"):
            continue
        match = re.fullmatch(r"(\d+): \{status: (?:done, evidence: (\S+)|exempt, reason: .{10,})\}", line)
        assert match, f"not understood: {line}"
        answers[match[1]] = match[2]
    assert list(answers) == rules
    for evidence in filter(None, answers.values()):
        assert (ROOT / evidence).exists(), evidence
