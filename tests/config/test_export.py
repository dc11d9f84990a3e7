"""The JSON Schema and the reference page: valid, complete, current, and in agreement with the loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli

from gateway.config.export import json_schema
from gateway.config.reference import files, main, markdown
from tests.config.text import DEVICE, GOOD, HEAD, LINK, TAG

SAMPLE = Path(__file__).parents[2] / "docs" / "sample"
BAD = Path(__file__).parent / "bad"


@pytest.fixture
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema(["fake", "modbus"])
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("file", sorted(SAMPLE.rglob("*.toml")), ids=lambda path: path.name)
def test_the_sample_fits_the_schema(file: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(tomli.loads(file.read_text("utf-8")))


def test_a_good_configuration_fits(validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(tomli.loads(GOOD))


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("interval_ms", "intervall_ms"),
        GOOD.replace("1000", '"1000"'),
        GOOD.replace('"uint16"', '"uint61"'),
        GOOD.replace('"fake"', '"modbus"').replace('host = "192.168.1.20"', 'host = "h"\ntransport = "serial"'),
        GOOD.replace("gw1", "gw 1"),
        GOOD.replace("gw1", "_gw1"),
        GOOD.replace("motor/speed", "motor//speed"),
        HEAD + 'password = "hunter2"\n',
        HEAD + 'password = {env = "A", file = "B"}\n',
        HEAD + "port = 0\n",
        HEAD + LINK + DEVICE + TAG.replace('    address = "a:100"\n', ""),
        "[logging]\n",
        "[[gateway]]\n",
    ],
)
def test_a_bad_one_does_not(text: str, validator: jsonschema.Draft202012Validator) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(tomli.loads(text))


def keys_of(node: Any) -> set[str]:
    """Every key that some table of the schema names."""
    found: set[str] = set()
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "properties":
                found |= set(value)
                for item in value.values():
                    found |= keys_of(item)
            else:
                found |= keys_of(value)
    elif isinstance(node, list):
        for item in node:
            found |= keys_of(item)
    return found


def test_every_key_is_described_in_the_reference() -> None:
    schema = json_schema(["modbus"])
    page = markdown()
    keys = keys_of(schema) - set(schema["properties"])
    assert len(keys) > 60
    assert [key for key in sorted(keys) if f"| `{key}` |" not in page] == []
    for section in schema["properties"]:
        assert f"[{section}]" in page


def test_every_key_has_a_description() -> None:
    def bare(node: Any, path: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        found = [f"{path}.{key}" for key, item in node.get("properties", {}).items() if not item.get("description")]
        for key, item in {**node.get("properties", {}), **node.get("$defs", {})}.items():
            found += bare(item, f"{path}.{key}")
        return found

    assert bare(json_schema(["modbus"]), "") == []


def test_what_is_committed_is_current() -> None:
    for path, content in files().items():
        assert path.read_text("utf-8") == content, "run: python -m gateway.config.reference --write"


def test_the_generator_writes_and_finds_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gateway.config.reference.DIRECTORY", tmp_path)
    assert main([]) == 1
    assert "configuration.md is stale" in capsys.readouterr().err
    assert main(["--write"]) == 0
    assert main([]) == 0
    (tmp_path / "configuration.md").write_text("old")
    assert main([]) == 1
