"""The bill of materials names everything, in the form that scanners read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from image.inventory import Item, bill_of_materials, inventory, table
from image.release import Release

RELEASE = Release("1.2.0~rc1", "rpi", 1_800_000_000, "0123456789ab", "development")
_TEXT = {"type": "string", "minLength": 1}
# What CycloneDX 1.6 demands of the parts that are used here.
_SCHEMA = {
    "type": "object",
    "required": ["bomFormat", "specVersion", "serialNumber", "version", "metadata", "components", "dependencies"],
    "additionalProperties": False,
    "properties": {
        "bomFormat": {"const": "CycloneDX"},
        "specVersion": {"const": "1.6"},
        "serialNumber": {"pattern": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
        "version": {"type": "integer", "minimum": 1},
        "metadata": {
            "required": ["timestamp", "component"],
            "properties": {
                "timestamp": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
                "component": {"$ref": "#/$defs/component"},
            },
        },
        "components": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/component"}},
        "dependencies": {"type": "array", "items": {"required": ["ref"], "properties": {"ref": _TEXT}}},
    },
    "$defs": {
        "component": {
            "required": ["type", "name"],
            "additionalProperties": False,
            "properties": {
                "type": {"enum": ["application", "library", "firmware", "operating-system"]},
                "bom-ref": _TEXT,
                "name": _TEXT,
                "version": _TEXT,
                "purl": {"pattern": "^pkg:(deb|pypi|generic)/"},
                "licenses": {"items": {"properties": {"license": {"properties": {"name": _TEXT}}}}},
                "properties": {"items": {"required": ["name", "value"]}},
            },
        }
    },
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(
        "Package: libc6\nStatus: install ok installed\nArchitecture: arm64\nSource: glibc (2.41-12)\n"
        "Version: 2.41-12+deb13u1\n"
        "Description: one\n two\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: arm64\nVersion: 1\n\n"
        "Package: tidegate\nStatus: install ok installed\nArchitecture: arm64\nVersion: 1.2.0~rc1\n"
    )
    info = tmp_path / "usr/lib/tidegate/lib/python3.13/site-packages/Dbus_Fast-5.2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: dbus_fast\nVersion: 5.2.0\nLicense-Expression: MIT\n\nText"
    )
    return tmp_path


def test_everything_that_is_installed_is_listed(tree: Path) -> None:
    items = inventory(tree, ["Package: u-boot-rpi\nVersion: 1:2025.01-3\nArchitecture: arm64\nSource: u-boot\n"])
    assert [item.purl for item in items] == [
        "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=arm64&distro=debian-13",
        "pkg:deb/tidegate/tidegate@1.2.0~rc1?arch=arm64",
        "pkg:deb/debian/u-boot-rpi@1%3A2025.01-3?arch=arm64&distro=debian-13",
        "pkg:pypi/dbus-fast@5.2.0",
    ]
    assert table(items).splitlines()[0].split("\t") == ["kind", "name", "version", "architecture", "licence"]
    assert "pypi\tdbus_fast\t5.2.0\t\tMIT" in table(items)


def test_the_bill_is_a_cyclonedx_document(tree: Path) -> None:
    bill = json.loads(bill_of_materials(inventory(tree, []), RELEASE))
    Draft7Validator(_SCHEMA).validate(bill)
    references = {component["bom-ref"] for component in bill["components"]}
    assert set(bill["dependencies"][0]["dependsOn"]) == references
    assert len(references) == len(bill["components"])


def test_the_same_contents_give_the_same_bill() -> None:
    items = [Item("pypi", "x", "1")]
    assert bill_of_materials(items, RELEASE) == bill_of_materials(items, RELEASE)
    assert bill_of_materials(items, RELEASE) != bill_of_materials([Item("pypi", "x", "2")], RELEASE)


def test_a_licence_in_full_is_no_name_of_one(tree: Path) -> None:
    info = tree / "usr/lib/tidegate/lib/python3.13/site-packages/y-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: y\nVersion: 1\nLicense: Copyright\n        all of it\n\n")
    assert next(item for item in inventory(tree, []) if item.name == "y").licence == ""
