"""The library: what is found, what is refused, and that a configuration has its own copy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway import registry
from gateway.config import ConfigErrors, library, load
from gateway.config.library import LibraryError, read
from gateway.driver import DriverKind

MINIMAL = """
[about]
title = "Acme meter"
vendor = "Acme"
models = ["M1"]
kind = "meter"
source = "Acme, M1 manual"
checked = ["nothing yet"]
[[group]]
name = "all"
interval_ms = 1000
tag = [{ name = "v", address = "hr:0", type = "uint16" }]
"""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A third party's driver `acme` with a folder of its own, beside the built-in ones."""
    folder = tmp_path / "templates"
    folder.mkdir()
    acme = replace(registry.load_driver("modbus"), name="acme", templates=folder)
    names, load_driver = registry.driver_names, registry.load_driver
    monkeypatch.setattr(registry, "driver_names", lambda: tuple(sorted({*names(), "acme"})))

    def load_one(name: str) -> DriverKind:
        return acme if name == "acme" else load_driver(name)

    monkeypatch.setattr(registry, "load_driver", load_one)
    return folder


def test_a_third_partys_driver_brings_its_own(shelf: Path) -> None:
    (shelf / "meter.toml").write_text(MINIMAL)
    found = library.find("acme/meter")
    assert (found.driver, found.name, found.tags, found.about.vendor) == ("acme", "meter", 1, "Acme")
    assert library.has("meter")
    assert library.has("acme/meter")
    assert not library.has("modbus/meter")


def test_a_name_that_two_drivers_have_needs_the_driver(shelf: Path) -> None:
    (shelf / "xy-md02.toml").write_text(MINIMAL)
    with pytest.raises(LibraryError, match=r"acme/xy-md02, modbus/xy-md02"):
        library.find("xy-md02")
    assert library.find("acme/xy-md02").about.title == "Acme meter"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[about", "can't be read"),
        (MINIMAL.replace('source = "Acme, M1 manual"', ""), "about.source"),
        (MINIMAL.replace('"meter"', '"toaster"'), "about.kind"),
        (MINIMAL.partition("[[group]]")[0], "group"),
        (MINIMAL + "\n[extra]\n", "extra"),
    ],
)
def test_a_file_that_cant_be_used_is_named(shelf: Path, text: str, message: str) -> None:
    (shelf / "bad.toml").write_text(text)
    with pytest.raises(LibraryError) as caught:
        list(library.templates())
    assert "bad.toml" in str(caught.value)
    assert message in str(caught.value)


def test_search_wants_every_word() -> None:
    found = [each.name for each in library.templates() if each.matches("siemens DRIVE")]
    assert found == ["siemens-sinamics-g120", "siemens-sinamics-v20"]


def test_a_reference_to_the_library_says_to_copy_it(tmp_path: Path) -> None:
    config = tmp_path / "tidegate.toml"
    config.write_text(
        '[gateway]\nid = "g"\nenterprise = "e"\nsite = "s"\n[[link]]\nname = "l"\ndriver = "modbus"\nhost = "h"\n'
        '[[device]]\nname = "d"\nlink = "l"\ntemplate = "modbus/eastron-sdm630"\n'
    )
    with pytest.raises(ConfigErrors) as caught:
        load(config)
    problem = caught.value.problems[0]
    assert problem.line == 12
    assert problem.hint == "copy the library's into it: tidegate template show modbus/eastron-sdm630 --toml"


def test_the_copy_holds_what_the_file_holds(tmp_path: Path) -> None:
    template = read("modbus", Path(library.__file__).parents[2] / "drivers/modbus/templates/vaisala-hmp.toml")
    import tomli

    copied = tomli.loads(library.template_toml(template))["template"]
    assert copied == [library.template_table(template)]
