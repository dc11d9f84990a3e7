"""Characteristics over a connection, the peripheral in another process."""

from __future__ import annotations

import asyncio

import pytest

from drivers.ble.gatt.errors import BAD_USER_ACCESS_DENIED
from gateway.driver import DeviceSilent, LinkDown, ScanFailed, WriteFailed
from gateway.model import Quality
from hil.radio.world import BONDED, CLAMPED, CUSTOM, HANGING, LONG, PROTECTED, SETPOINT
from tests.drivers.ble.conftest import Site
from tests.drivers.ble.points import tag
from tests.support.stopwatch import loop_clock

pytestmark = pytest.mark.integration

TEMPERATURE = tag("temperature", "float64", characteristic="2A6E")
HUMIDITY = tag("humidity", "float64", characteristic="2a6f")
BATTERY = tag("battery", "uint8", characteristic="2A19")
MEASURED = tag("measured", "float64", characteristic="2A1C")
SET = tag("setpoint", "uint16", characteristic=SETPOINT)
SOON = 3.0


async def test_standard_and_custom_characteristics_are_read(site: Site) -> None:
    device = site.device()
    batch = await site.read(
        device,
        TEMPERATURE,
        HUMIDITY,
        BATTERY,
        tag("maker", "string", characteristic="2A29"),
        SET,
        tag("low", "uint8", characteristic=SETPOINT, start=1),
        tag("raw", "bytes", characteristic=LONG, start=254, length=3),
        tag("wide", "uint32", characteristic=LONG, byte_order="big", start=1),
        tag("scoped", "uint16", characteristic=SETPOINT, service=CUSTOM, encoding="uint16"),
    )
    assert batch.qualities is None
    assert list(batch.values) == [21.5, 45.5, 87, "ACME", 900, 3, "feff00", 0x01020304, 900]


async def test_a_characteristic_is_read_once_for_all_its_tags(site: Site) -> None:
    device = site.device()
    points = (
        SET,
        tag("low", "uint8", characteristic=SETPOINT, start=0),
        tag("high", "uint8", characteristic=SETPOINT, start=1),
    )
    assert list((await site.read(device, *points)).values) == [900, 0x84, 3]
    assert await site.world.do("sensor.requests") == 1


async def test_one_bad_characteristic_spoils_no_other(site: Site) -> None:
    device = site.device()
    points = (
        tag("protected", "bytes", characteristic=PROTECTED),
        tag("absent", "uint8", characteristic="2A76"),
        tag("elsewhere", "uint16", characteristic=SETPOINT, service="180F"),
        tag("short", "uint64", characteristic=SETPOINT),
        TEMPERATURE,
    )
    batch = await site.read(device, *points)
    assert list(batch.values) == [None, None, None, None, 21.5]
    assert list(batch.qualities or ()) == [
        BAD_USER_ACCESS_DENIED,
        Quality.BAD_NODE_ID_UNKNOWN,
        Quality.BAD_NODE_ID_UNKNOWN,
        Quality.BAD_DECODING_ERROR,
        0,
    ]


async def test_a_characteristic_that_hangs_is_found_out_and_left_alone(site: Site) -> None:
    """A protected one hangs for ever where nobody can be asked for a code."""
    device = site.device()
    plan = (tag("hanging", "bytes", characteristic=HANGING), TEMPERATURE, BATTERY)
    with pytest.raises(DeviceSilent, match="see 'pair'"):
        await site.read(device, *plan)
    for _ in range(3):
        batch = await site.read(device, *plan)
        assert list(batch.values) == [None, 21.5, 87]
        assert list(batch.qualities or ()) == [Quality.BAD_TIMEOUT, 0, 0]
    assert site.bus.counters["device_connects"] == 3, "the last reads shared one connection"


async def test_pairing_opens_what_is_protected(site: Site) -> None:
    secret = tag("secret", "uint8", characteristic=BONDED)
    refused = await site.read(site.device(), secret)
    assert list(refused.qualities or ()) == [BAD_USER_ACCESS_DENIED]
    batch = await site.read(site.device(pair=True), secret)
    assert list(batch.values) == [42]


async def test_notifications_and_indications_arrive_in_order(site: Site) -> None:
    listener = await site.listen(site.device(), TEMPERATURE, MEASURED, HUMIDITY)
    await listener.until(lambda: listener.values == (21.5, None, 45.5), SOON)
    for hundredths in range(2151, 2171):
        await site.world.do("sensor.set_temperature", hundredths)
    await site.world.do("sensor.measure", bytes.fromhex("006C0100FF"))
    await listener.until(lambda: listener.values == (21.7, 36.4, 45.5), SOON)
    seen = [
        value
        for batch in listener.batches
        for column, value in zip(batch.columns or (), batch.values, strict=True)
        if column == 0
    ]
    assert seen == sorted(seen)
    assert len(seen) == 21
    assert listener.ends == []


async def test_what_is_not_notified_is_asked_for_at_the_interval(site: Site) -> None:
    quiet = tag("temperature", "float64", characteristic="2A6E", notify=False)
    listener = await site.listen(site.device(), quiet, BATTERY, interval_s=0.1)
    await listener.until(lambda: listener.values == (21.5, 87), SOON)
    await site.world.do("sensor.set_temperature", 2200)
    await listener.until(lambda: listener.values == (22.0, 87), SOON)


async def test_on_demand_lets_go_after_every_read(site: Site) -> None:
    device = site.device(connection="on_demand")
    listener = await site.listen(device, TEMPERATURE, interval_s=0.1)
    await listener.until(lambda: len(listener.batches) >= 3, SOON)
    assert site.bus.counters["device_connects"] >= 3
    assert listener.ends == []


# -- writing


async def test_a_write_is_read_back(site: Site) -> None:
    device = site.device()
    assert await device.write(SET, 1234) == 1234
    assert await site.world.do("sensor.setpoint") == 1234
    assert await site.world.do("sensor.writes") == 1


async def test_a_write_the_device_changes_is_said_to_have_failed(site: Site) -> None:
    with pytest.raises(WriteFailed, match="was written as c8 but reads 64 now"):
        await site.device().write(tag("clamped", "uint8", characteristic=CLAMPED), 200)


@pytest.mark.parametrize(
    ("point", "value", "sentence"),
    [
        (SET, 70000, "doesn't fit 16 bits"),
        (TEMPERATURE, 21.5, "is read-only"),
        (tag("rssi", "int8", field="rssi"), 1, "it is a field of an advert"),
        (tag("part", "uint8", characteristic=SETPOINT, start=1), 1, "only a part"),
        (tag("absent", "uint8", characteristic="2A76"), 1, "has no characteristic 2a76"),
    ],
)
async def test_what_cannot_be_written_is_refused_before_the_air(
    site: Site, point: object, value: object, sentence: str
) -> None:
    with pytest.raises(WriteFailed, match=sentence):
        await site.device().write(point, value)  # type: ignore[arg-type]
    assert await site.world.do("sensor.writes") == 0


# -- what goes wrong


async def test_a_peer_that_hangs_up_is_told_and_comes_back(site: Site) -> None:
    device = site.device()
    for _ in range(3):
        listener = await site.listen(device, TEMPERATURE)
        await listener.until(lambda heard=listener: heard.values == (21.5,), SOON)
        await site.world.do("sensor.drop")
        await listener.until(lambda heard=listener: heard.ends, SOON)
        assert listener.ends[0][0] == "silent"
        assert "was lost" in listener.ends[0][1]
    assert list((await site.read(device, TEMPERATURE)).values) == [21.5]


async def test_a_peer_out_of_range_is_silent_and_comes_back(site: Site) -> None:
    device = site.device()
    listener = await site.listen(device, TEMPERATURE)
    await listener.until(lambda: listener.values == (21.5,), SOON)
    await site.world.do("sensor.vanish")
    await listener.until(lambda: listener.ends, SOON)
    assert listener.ends[0][0] == "silent"
    with pytest.raises(DeviceSilent, match="out of range or off"):
        await site.read(device, TEMPERATURE)
    await site.world.do("sensor.come_back")
    assert list((await site.read(device, TEMPERATURE)).values) == [21.5]


async def test_a_peer_that_goes_unnoticed_costs_one_timeout(site: Site) -> None:
    """No event of the link layer says that it is gone."""
    device = site.device()
    await site.read(device, TEMPERATURE)
    await site.world.do("sensor.go_deaf")
    async with loop_clock() as passed_s:
        with pytest.raises(DeviceSilent, match="unanswered for 300 ms"):
            await site.read(device, TEMPERATURE)
        assert passed_s() < 1.0
    await site.world.do("sensor.come_back")
    assert list((await site.read(device, TEMPERATURE)).values) == [21.5]


async def test_a_write_into_the_void_is_not_repeated_and_said_to_be_unknown(site: Site) -> None:
    device = site.device()
    await site.read(device, SET)
    await site.world.do("sensor.go_deaf")
    with pytest.raises(DeviceSilent, match="whether setpoint was written is unknown"):
        await device.write(SET, 7)
    await site.world.do("sensor.come_back")
    assert list((await site.read(device, SET)).values) == [900]
    assert await site.world.do("sensor.writes") == 0


async def test_a_radio_that_is_pulled_out_is_link_down_for_all(site: Site) -> None:
    device = site.device()
    listener = await site.listen(device, TEMPERATURE)
    beacon = await site.listen(site.device("beacon", address="C0:00:00:00:00:77"), tag("rssi", "int8", field="rssi"))
    await listener.until(lambda: listener.values == (21.5,), SOON)
    await site.world.do("reset")
    for each in (listener, beacon):
        await each.until(lambda told=each: told.ends, SOON)
        assert each.ends[0] == ("down", "Bluetooth adapter hci0 was taken away")
    with pytest.raises(LinkDown):
        await site.read(device, TEMPERATURE)
    await site.bus.close()
    await site.bus.connect()
    assert list((await site.read(device, TEMPERATURE)).values) == [21.5]


# -- sharing the radio


@pytest.mark.parametrize("site", [{"max_connections": 1}], indirect=True)
async def test_connections_are_counted(site: Site) -> None:
    first = site.device(connect_timeout_ms=200)
    await site.read(first, TEMPERATURE)
    await site.world.do("add_sensor", "C0:00:00:00:00:02", "ESS-2")
    second = site.device("second", address="C0:00:00:00:00:02", connect_timeout_ms=200)
    with pytest.raises(DeviceSilent, match="all 1 connections of hci0 were in use"):
        await site.read(second, TEMPERATURE)
    await site.world.do("sensor.vanish")
    assert list((await site.read(second, TEMPERATURE)).values) == [21.5]


async def test_an_absent_device_delays_nobody(site: Site) -> None:
    """Nor is the radio ever kept busy for it."""
    absent = site.device("absent", address="C0:00:00:00:00:99")
    gone = await site.listen(absent, TEMPERATURE)
    async with loop_clock() as passed_s:
        listener = await site.listen(site.device(), TEMPERATURE)
        await listener.until(lambda: listener.values == (21.5,), SOON)
        assert passed_s() < 1.0
    await gone.until(lambda: gone.ends, SOON)
    assert gone.ends[0][0] == "silent"
    assert site.bus.counters["failed_connects"] == 0


async def test_a_device_that_cannot_be_connected_to_delays_connections_by_its_timeout_at_most(site: Site) -> None:
    await site.world.do("beacon", "C0:00:00:00:00:99", bytes.fromhex("020106"))
    hopeless = await site.listen(
        site.device("hopeless", address="C0:00:00:00:00:99", connect_timeout_ms=500), TEMPERATURE
    )
    while not site.bus.connecting.locked():  # noqa: ASYNC110 - nothing tells when it begins
        await asyncio.sleep(0.01)
    adverts = site.bus.counters["adverts"]
    listener = await site.listen(site.device(), TEMPERATURE)
    await listener.until(lambda: listener.values == (21.5,), SOON)
    assert site.bus.counters["adverts"] > adverts, "adverts go on"
    await hopeless.until(lambda: hopeless.ends, SOON)
    assert "took longer than 500 ms, though it is in range" in hopeless.ends[0][1]


# -- browsing


async def test_browsing_shows_services_and_what_their_characteristics_read(site: Site) -> None:
    device = site.device()
    items = {item.path: item for item in [each async for each in device.browse(None, None)]}
    temperature = items["environmental_sensing/temperature"]
    assert (temperature.address, temperature.type, temperature.unit, temperature.value) == (
        "2a6e",
        "float64",
        "Cel",
        21.5,
    )
    assert items["environmental_sensing"].kind == "folder"
    assert items[f"{CUSTOM}/{SETPOINT}"].writable
    assert "pairing is wanted" in items[f"{CUSTOM}/{PROTECTED}"].description
    assert "unanswered" in items[f"{CUSTOM}/{HANGING}"].description
    assert [item.path async for item in device.browse("battery_service", None)] == ["battery_service/battery_level"]
    assert {item.kind async for item in device.browse(None, 1)} == {"folder"}
    with pytest.raises(ScanFailed, match="there is no service 'nothing'"):
        await anext(device.browse("nothing", None))
