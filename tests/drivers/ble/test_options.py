from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from drivers.ble import KIND
from drivers.ble.options import DeviceOptions, LinkOptions, ScanOptions, TagOptions
from gateway.config import load
from gateway.registry import load_driver

ADDRESS = "C0:12:34:56:78:9A"


def test_the_registry_finds_it() -> None:
    assert load_driver("ble") is KIND
    assert KIND.subscribes
    assert KIND.describe_link(LinkOptions()) == "hci0"


@pytest.mark.parametrize("model", [LinkOptions, DeviceOptions, TagOptions, ScanOptions])
def test_every_option_is_described_and_nothing_else_is_taken(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    assert schema["additionalProperties"] is False
    for name, option in schema["properties"].items():
        assert option.get("description", "").endswith("."), name


@pytest.mark.parametrize("text", ["c0:12:34:56:78:9a", "C0-12-34-56-78-9A", "c0123456789a", ADDRESS])
def test_addresses_are_taken_as_people_write_them(text: str) -> None:
    assert DeviceOptions(address=text).address == ADDRESS


@pytest.mark.parametrize(
    ("text", "uuid"),
    [
        ("2A6E", "00002a6e-0000-1000-8000-00805f9b34fb"),
        ("0x2a6e", "00002a6e-0000-1000-8000-00805f9b34fb"),
        ("12340001-0000-1000-8000-00805F9B34FB", "12340001-0000-1000-8000-00805f9b34fb"),
    ],
)
def test_uuids_are_taken_as_people_write_them(text: str, uuid: str) -> None:
    assert TagOptions(characteristic=text).characteristic == uuid


@pytest.mark.parametrize(
    ("model", "given", "sentence"),
    [
        (LinkOptions, {"adapter": "bluetooth0"}, "'bluetooth0' is no radio: write 'hci0'"),
        (DeviceOptions, {}, "or the other, not both"),
        (DeviceOptions, {"address": ADDRESS, "local_name": "x"}, "or the other, not both"),
        (DeviceOptions, {"address": "C0:12"}, "write six bytes such as 'C0:12:34:56:78:9A'"),
        (DeviceOptions, {"address": ADDRESS, "format": "mibeacon"}, "Input should be 'bthome'"),
        (DeviceOptions, {"address": ADDRESS, "bindkey": {"env": "K"}}, "drop it"),
        (DeviceOptions, {"address": ADDRESS, "format": "ruuvi", "bindkey": {"env": "K"}}, "drop it"),
        (TagOptions, {}, "write field = 'rssi', or characteristic = '2A6E'"),
        (TagOptions, {"field": "rssi", "start": 1}, "'start' belongs to a 'characteristic'"),
        (TagOptions, {"characteristic": "temperature"}, "is not a UUID: write four hexadecimal digits"),
        (TagOptions, {"characteristic": "2A6E", "encoding": "word"}, "Input should be 'bool'"),
    ],
)
def test_a_wrong_option_is_explained(model: type[BaseModel], given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given)
    (error,) = caught.value.errors()
    assert sentence in error["msg"]


def test_a_bindkey_file_is_found_beside_the_configuration(tmp_path: Path) -> None:
    sample = (Path(__file__).parents[3] / "drivers/ble/sample.toml").read_text()
    (tmp_path / "key").write_text("00" * 16)
    (tmp_path / "key").chmod(0o600)
    file = tmp_path / "tidegate.toml"
    file.write_text(re.sub(r"bindkey = .*", 'bindkey = {file = "key"}', sample))
    (link,) = load(file).links
    options = next(device.options for device in link.devices if device.name == "dock-door")
    assert options.bindkey.read() == "00" * 16


def test_a_device_without_a_lasting_address_is_configured_by_what_it_sends(tmp_path: Path) -> None:
    """The key was once `name`, which every device has: there was no way to say it in a configuration."""
    sample = (Path(__file__).parents[3] / "drivers/ble/sample.toml").read_text()
    file = tmp_path / "tidegate.toml"
    file.write_text(sample.replace('address = "CB:B8:33:4C:88:4F"', 'local_name = "Ruuvi 884F"'))
    (link,) = load(file, check_secrets=False).links
    options = next(device.options for device in link.devices if device.name == "cold-store")
    assert (options.address, options.identity) == (None, "Ruuvi 884F")


def test_the_readme_names_every_field() -> None:
    from drivers.ble.adverts import FORMATS
    from drivers.ble.hearing import COMMON

    words = set(re.findall(r"\w+", (Path(__file__).parents[3] / "drivers/ble/README.md").read_text()))
    for each in FORMATS.values():
        assert words >= {each.name, *each.fields}, each.name
    assert words >= COMMON.keys()
