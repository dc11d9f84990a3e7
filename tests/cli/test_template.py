"""``tidegate template``: what it lists, and that what it prints is a configuration."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.config import load
from tests.cli.conftest import Run

GATEWAY = '[gateway]\nid = "gw1"\nenterprise = "acme"\nsite = "plant1"\ndata_dir = "data"\n'


def test_the_list_can_be_narrowed(run: Run) -> None:
    found = json.loads(run("template", "list", "--kind", "sensor", "--search", "humidity", "--json").stdout)
    assert [each["id"] for each in found] == ["modbus/vaisala-hmp", "modbus/xy-md02"]
    assert all(each["source"] and each["checked"] for each in found)
    assert run("template", "list", "--driver", "opcua").stdout == "template\tkind\ttags\ttitle\n"


def test_what_apply_prints_is_a_configuration(run: Run, tmp_path: Path) -> None:
    done = run(
        "template", "apply", "vaisala-hmp", "--device", "hall", "--link", "rs485", "--new-link", "--set", "unit=7"
    )
    assert done.exit_code == 0
    text = done.stdout.replace('driver = "modbus"\ntransport', 'driver = "modbus"\ndevice = "/dev/ttyUSB0"\ntransport')
    file = tmp_path / "tidegate.toml"
    file.write_text(GATEWAY + text)
    (link,) = load(file, check_secrets=False).links
    (device,) = link.devices
    assert (device.name, device.options.unit, device.options.word_order) == ("hall", 7, "CDAB")
    assert [tag.path for tag in device.groups[0].poll.layout.tags][:2] == ["humidity", "temperature"]
    assert (link.options.baud, link.options.stop_bits) == (19200, 2)


def test_a_name_that_isnt_there_is_answered_with_the_one_that_was_meant(run: Run) -> None:
    done = run("template", "show", "eastron-sdm360")
    assert done.exit_code == 2
    assert "did you mean 'eastron-sdm630'?" in done.stderr


def test_a_device_must_have_a_possible_name(run: Run) -> None:
    done = run("template", "apply", "xy-md02", "--device", "hall 1", "--link", "l")
    assert done.exit_code == 2
    assert 'write "hall_1"' in done.stderr
