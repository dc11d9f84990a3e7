from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from drivers.modbus import KIND
from drivers.modbus.link import LinkOptions
from drivers.modbus.options import DeviceOptions, TagOptions
from gateway.driver import DriverKind
from gateway.registry import load_driver
from tests.drivers.modbus.points import point


def test_the_registry_finds_it() -> None:
    assert load_driver("modbus") is KIND
    assert isinstance(KIND, DriverKind)


@pytest.mark.parametrize("model", [LinkOptions, DeviceOptions, TagOptions])
def test_every_option_is_described_and_nothing_else_is_taken(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    assert schema["additionalProperties"] is False
    for name, option in schema["properties"].items():
        assert option.get("description", "").endswith("."), name


def test_the_schema_knows_what_an_address_looks_like() -> None:
    address = TagOptions.model_json_schema()["properties"]["address"]
    assert address["type"] == "string"
    for text in ("hr:100", "IR:5", "co:0", "di:7", "hr:100.3", "40001", "400001.3"):
        assert re.search(address["pattern"], text), text
        TagOptions(address=text)  # type: ignore[arg-type]
    for text in ("hr:", "4001", "20001"):
        assert not re.search(address["pattern"], text), text


def test_options_survive_a_round_trip_through_json() -> None:
    options = TagOptions.model_validate({"address": "hr:100.3", "word_order": "CDAB"})
    assert options.model_dump(mode="json", exclude_unset=True) == {"address": "hr:100.3", "word_order": "CDAB"}
    assert TagOptions.model_validate(options.model_dump(mode="json")) == options


@pytest.mark.parametrize(
    ("model", "given", "where", "sentence"),
    [
        (TagOptions, {"address": "hr:70000"}, ("address",), "address 'hr:70000' is beyond 65535"),
        (TagOptions, {"address": 40001}, ("address",), "address 40001 needs quotes: write '40001'"),
        (TagOptions, {"address": 1.5}, ("address",), "an address is a string such as 'hr:100' or '40001'"),
        (TagOptions, {"address": "hr:1", "word_order": "ABDC"}, ("word_order",), "'ABCD', 'CDAB', 'BADC' or 'DCBA'"),
        (TagOptions, {"address": "hr:1", "lenght": 2}, ("lenght",), "Extra inputs are not permitted"),
        (TagOptions, {"address": "co:1", "length": 2}, (), "address 'co:1' is a single bit: drop 'length'"),
        (DeviceOptions, {"unit": 256}, ("unit",), "less than or equal to 255"),
        (DeviceOptions, {"address_offset": 2}, ("address_offset",), "Input should be 0 or 1"),
        (LinkOptions, {}, (), "transport 'tcp' needs 'host'"),
        (LinkOptions, {"host": "x", "transport": "serial"}, ("transport",), "Input should be 'tcp', 'rtu'"),
        (LinkOptions, {"transport": "rtu"}, (), "transport 'rtu' needs 'device': name the serial port"),
        (LinkOptions, {"transport": "tls", "host": "x"}, (), "transport 'tls' needs 'ca'"),
        (
            LinkOptions,
            {"host": "x", "baud": 9600},
            (),
            "'baud' has no meaning for transport 'tcp': it is for 'rtu' and 'ascii'",
        ),
        (
            LinkOptions,
            {"transport": "rtu", "device": "/dev/ttyS0", "host": "x"},
            (),
            "'host' has no meaning for transport 'rtu'",
        ),
        (LinkOptions, {"transport": "rtu", "device": "ttyS0"}, ("device",), "write '/dev/ttyS0'"),
        (LinkOptions, {"transport": "rtu", "device": "socket://x:1"}, ("device",), "take transport 'rtu-over-tcp'"),
        (LinkOptions, {"transport": "rtu", "device": "/dev/ttyS0", "data_bits": 7}, (), "needs 8 data bits"),
        (LinkOptions, {"transport": "udp", "host": "x", "dial": "in"}, (), "can't be dialled in to"),
        (LinkOptions, {"transport": "tls", "host": "x", "ca": "c", "dial": "in"}, (), "can't be dialled in to"),
        (LinkOptions, {"transport": "tls", "host": "x", "ca": "c", "key": "k"}, (), "add 'certificate'"),
        (LinkOptions, {"host": "x", "registration": "r"}, (), "'registration' is for dial = \"in\" only: drop it"),
        (
            LinkOptions,
            {"host": "x", "dial": "in", "backup_host": "y"},
            (),
            "'backup_host' is for dial = \"out\" only",
        ),
        (LinkOptions, {"host": "x", "failback_s": 5}, (), "'failback_s' has no meaning without 'backup_host'"),
        (LinkOptions, {"host": "x", "backup_host": "x"}, (), "'backup_host' is the same endpoint as 'host'"),
        (LinkOptions, {"host": "x", "dial": "in", "allow": []}, (), "so nobody could call: name networks, or drop it"),
        (LinkOptions, {"host": "x", "dial": "in", "allow": ["10.8.0.1/16"]}, ("allow", 0), "is not a network"),
        (LinkOptions, {"host": "x", "dial": "in", "heartbeat": "€"}, ("heartbeat",), "beyond U+00FF"),
        (LinkOptions, {"host": "x", "port": 0}, ("port",), "greater than or equal to 1"),
        (LinkOptions, {"host": "http://plc"}, ("host",), "write 'plc'"),
        (LinkOptions, {"host": "10.0.0.1:502"}, ("host",), "write '10.0.0.1'; a port has a key of its own"),
        (LinkOptions, {"host": "two words"}, ("host",), "write the name or the address alone"),
    ],
)
def test_a_wrong_option_is_named_and_explained(
    model: type[BaseModel], given: dict[str, Any], where: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given)
    (error,) = caught.value.errors()
    assert error["loc"] == where
    assert sentence in error["msg"]


def test_the_far_end_is_named_as_users_write_it() -> None:
    assert KIND.describe_link(LinkOptions(host="192.168.1.20")) == "192.168.1.20:502"
    assert KIND.describe_link(LinkOptions(host="fe80::1", port=1502)) == "[fe80::1]:1502"
    assert KIND.describe_link(LinkOptions(transport="rtu", device="/dev/ttyS0")) == "/dev/ttyS0"
    assert KIND.describe_link(LinkOptions(host="0.0.0.0", port=5020, dial="in")) == "0.0.0.0:5020 (dials in)"
    assert KIND.describe_link(LinkOptions(host="a", backup_host="b", backup_port=503)) == "a:502, backup b:503"
    assert KIND.describe_link(LinkOptions(transport="tls", host="plc", ca=Path("/ca"))) == "plc:802"


def test_points_carry_validated_options() -> None:
    assert str(point("speed", "hr:100").options.address) == "hr:100"
