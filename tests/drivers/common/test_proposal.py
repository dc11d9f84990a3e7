"""What a scan proposes is TOML, whatever a device calls itself."""

from __future__ import annotations

import pytest
import tomli

from drivers.common.proposal import name_from, proposal
from gateway.config.names import check_name


def test_a_proposal_is_a_link_its_device_and_a_group_of_tags() -> None:
    text = proposal(
        "modbus",
        {"name": "line1", "host": "192.168.1.20"},
        {"name": "meter", "unit": 3},
        [{"name": "hr/0", "address": "hr:0"}, {"name": "hr/1", "address": "hr:1"}],
        remark="It serves all units at this endpoint.",
    )
    assert text.startswith("[[link]]\n# It serves all units at this endpoint.\nname = ")
    assert tomli.loads(text) == {
        "link": [{"name": "line1", "driver": "modbus", "host": "192.168.1.20"}],
        "device": [
            {
                "name": "meter",
                "link": "line1",
                "unit": 3,
                "group": [
                    {
                        "name": "found",
                        "interval_ms": 1000,
                        "tag": [{"name": "hr/0", "address": "hr:0"}, {"name": "hr/1", "address": "hr:1"}],
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize("said", ['a"b\\', "two\nlines\x7f", "\N{SNOWMAN}\N{GRINNING FACE}"])
def test_what_a_device_says_of_itself_stays_a_value(said: str) -> None:
    link = {"name": "line1", "url": said, "password": {"file": said}, "bauds": [9600], "pair": True}
    (read,) = tomli.loads(proposal("ble", link))["link"]
    assert read == {"driver": "ble", **link}


@pytest.mark.parametrize("text", ["modbus-/dev/ttyUSB0", "opcua-fe80::1-4840", "Wärme " * 40])
def test_a_name_made_of_an_address_is_legal(text: str) -> None:
    assert check_name(name_from(text))


def test_there_may_be_nothing_to_make_a_name_of() -> None:
    assert name_from("\N{SNOWMAN}/") == ""
