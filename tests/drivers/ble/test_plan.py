from __future__ import annotations

from typing import Any

import pytest

from drivers.ble.options import DeviceOptions
from drivers.ble.plan import plan
from gateway.driver import Point
from gateway.model import DataType, Quality
from tests.drivers.ble.points import group, tag

RUUVI = DeviceOptions(address="C0:12:34:56:78:9A", format="ruuvi")
BTHOME = DeviceOptions(address="C0:12:34:56:78:9A", format="bthome")
PLAIN = DeviceOptions(address="C0:12:34:56:78:9A")


def test_adverts_are_one_line_and_a_characteristic_is_asked_for_once() -> None:
    made = plan(
        group(
            tag("t", "float64", field="temperature"),
            tag("r", "int8", field="rssi"),
            tag("a", "float64", characteristic="2A6E"),
            tag("b", "int16", characteristic="2A6E", encoding="int16"),
            tag("c", "uint8", characteristic="2A19"),
        ),
        RUUVI,
    )
    assert list(made.describe()) == [
        "listen for adverts (2 tags)",
        "read characteristic 2a6e (2 tags)",
        "read characteristic 2a19 (1 tag)",
    ]
    assert made.asks
    assert not plan(group(), RUUVI).asks


@pytest.mark.parametrize(
    ("options", "type_", "tag_options"),
    [
        (RUUVI, "uint32", {"field": "pressure"}),
        (RUUVI, "int64", {"field": "pressure"}),
        (BTHOME, "float64", {"field": "temperature_3"}),
        (BTHOME, "int64", {"field": "count"}),
        (PLAIN, "datetime", {"field": "last_seen"}),
        (PLAIN, "int16", {"field": "rssi"}),
        (PLAIN, "float64", {"characteristic": "2A6E"}),
        (PLAIN, "string", {"characteristic": "2A1C", "field": "site"}),
        (PLAIN, "float64", {"characteristic": "FF01", "encoding": "float32"}),
        (PLAIN, "uint32", {"characteristic": "FF01", "encoding": "uint24", "byte_order": "big"}),
    ],
)
def test_what_can_be_had(options: DeviceOptions, type_: str, tag_options: dict[str, Any]) -> None:
    assert list(plan(group(tag("x", type_, **tag_options)), options).errors) == []


@pytest.mark.parametrize(
    ("options", "type_", "tag_options", "sentence"),
    [
        (RUUVI, "float32", {"field": "temperature"}, "is float64: it can't be had as float32"),
        (RUUVI, "uint16", {"field": "pressure"}, 'write type = "uint32"'),
        (RUUVI, "float64", {"field": "co2"}, "format ruuvi has no field 'co2': it has temperature, humidity"),
        (PLAIN, "float64", {"field": "temperature"}, "write format = 'ruuvi', or what else it is, into the device"),
        (PLAIN, "uint8", {"field": "rssi"}, "is int8"),
        (PLAIN, "int16", {"characteristic": "2A6E"}, "characteristic 2a6e is float64"),
        (PLAIN, "string", {"characteristic": "2A6E", "field": "site"}, "has no part 'site': it has none"),
        (PLAIN, "string", {"characteristic": "2A1C", "field": "x"}, "it has time, site"),
        (PLAIN, "datetime", {"characteristic": "FF01"}, "give its 'encoding'"),
        (PLAIN, "uint8", {"characteristic": "FF01", "length": 2}, "'length' is for encoding utf8 and bytes"),
        (PLAIN, "uint8", {"characteristic": "FF01", "encoding": "utf-8"}, "is string"),
    ],
)
def test_what_cannot_be_had_is_explained_and_fails_only_itself(
    options: DeviceOptions, type_: str, tag_options: dict[str, Any], sentence: str
) -> None:
    made = plan(group(tag("r", "int8", field="rssi"), tag("x", type_, **tag_options)), options)
    (error,) = made.errors
    assert error.path == "x"
    assert sentence in error.message
    assert made.base_qualities == (0, Quality.BAD_CONFIGURATION_ERROR)


def test_an_event_cannot_be_polled() -> None:
    button = tag("b", "string", field="button_2")
    assert plan(group(button), BTHOME).events == {"button_2": (0,)}
    (error,) = plan(group(button, subscribed=False), BTHOME).errors
    assert "is an event, which can't be polled" in error.message


def test_arrays_are_not_for_bluetooth() -> None:
    point = Point("x", DataType.INT8, tag("x", "int8", field="rssi").options, 3)
    (error,) = plan(group(point), PLAIN).errors
    assert "single values" in error.message
