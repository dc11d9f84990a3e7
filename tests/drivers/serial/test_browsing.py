"""What an instrument has is found by asking it once, and can be configured as it is shown."""

from __future__ import annotations

import asyncio

import pytest

from drivers.serial import KIND
from drivers.serial.device import SerialDevice
from drivers.serial.presets import names
from gateway.driver import Browses, DeviceSilent, Item, Point, ScanFailed
from gateway.model import DataType
from tests.drivers.serial.bench import Bench, group

SCALE = {b"SI\r\n": b"S D      12.340 kg\r\n", b"TA\r\n": b"TA A      0.500 kg\r\n", b"I4\r\n": b'I4 A "0012"\r\n'}


async def browse(device: SerialDevice, start: str | None = None, depth: int | None = None) -> list[Item]:
    assert isinstance(device, Browses)
    return [item async for item in device.browse(start, depth)]


async def browse_while_it_says(bench: Bench, device: SerialDevice, data: bytes) -> list[Item]:
    asked = asyncio.create_task(browse(device))
    while not asked.done():
        bench.far.send(data)
        await asyncio.sleep(0.02)
    return await asked


def as_tags(items: list[Item]) -> tuple[list[Point], list[str | None]]:
    """The values as `tidegate browse --csv` writes them."""
    found = [item for item in items if item.kind == "value" and item.type is not None]
    points = [
        Point(item.path, item.type, KIND.tag_options(field=item.address, **item.options))
        for item in found
        if item.type is not None
    ]
    return points, [item.unit for item in found]


async def test_a_scale_is_asked_for_each_of_its_messages_once(bench: Bench) -> None:
    device = bench.device(preset="sics")
    bench.answer(SCALE)
    await bench.connect()
    items = await browse(device)
    assert [(item.path, item.type, item.value, item.unit) for item in items if item.kind == "value"] == [
        ("weight/state", DataType.STRING, "D", None),
        ("weight/weight", DataType.FLOAT64, 12.34, "kg"),
        ("weight/unit", DataType.STRING, "kg", None),
        ("weight/stable", DataType.BOOL, False, None),
        ("tare/tare", DataType.FLOAT64, 0.5, "kg"),
        ("tare/tare_unit", DataType.STRING, "kg", None),
        ("serial/serial_number", DataType.STRING, "0012", None),
    ]
    assert [item.path for item in items if item.kind == "method"][:2] == ["command/zero", "command/zero_now"]
    assert bench.far.received == b"SI\r\nTA\r\nI4\r\n"
    points, units = as_tags(items)
    plan = device.plan(group(*points, units=units))
    assert list(plan.errors) == []
    batch = await device.read(plan)
    assert list(batch.values) == [item.value for item in items if item.kind == "value"]


async def test_what_several_messages_say_is_taken_from_its_own(bench: Bench) -> None:
    device = bench.device(preset="nmea")
    await bench.connect()
    items = await browse_while_it_says(
        bench,
        device,
        b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"
        b"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n",
    )
    latitudes = {item.path: item for item in items if item.address == "latitude"}
    assert latitudes["GGA/latitude"].value == latitudes["RMC/latitude"].value == pytest.approx(48.1173)
    assert latitudes["RMC/latitude"].options == {"message": "RMC"}
    (moment,) = (item for item in items if item.path == "RMC/datetime")
    assert (moment.type, moment.value) == (DataType.DATETIME, "1994-03-23T12:35:19Z")
    (altitude,) = (item for item in items if item.address == "altitude")
    assert (altitude.type, altitude.value, altitude.options) == (DataType.FLOAT64, 545.4, {})


async def test_a_message_that_only_its_frames_explain_is_listened_to(bench: Bench) -> None:
    device = bench.device(preset="key-value")
    await bench.connect()
    items = await browse_while_it_says(bench, device, b"T=21.5,batch=0012,Drehzahl n=7\r\n")
    assert {item.address: (item.path.partition("/")[2], item.type) for item in items if item.kind == "value"} == {
        "T": ("T", DataType.FLOAT64),
        "batch": ("batch", DataType.STRING),  # the zeros in front may matter
        "Drehzahl n": ("Drehzahl_n", DataType.FLOAT64),
    }


async def test_a_scanned_code_is_a_text_though_it_has_digits_only(bench: Bench) -> None:
    device = bench.device(preset="barcode")
    await bench.connect()
    (code,) = (item for item in await browse_while_it_says(bench, device, b"4711\r\n") if item.kind == "value")
    assert (code.type, code.value) == (DataType.STRING, "4711")


@pytest.mark.parametrize("preset", names())
async def test_what_is_shown_of_any_preset_can_be_configured(bench: Bench, preset: str) -> None:
    device = bench.device(preset=preset, timeout_ms=20, listen_ms=20)
    bench.answer({**SCALE, b"Q\r\n": b"ST,+00123.45  kg\r\n"})
    await bench.connect()
    points, _ = as_tags(await browse(device))
    for wrong in device.plan(group(*points, subscribed=True)).errors:
        # Without a frame nobody knows the unit; what is asked for isn't subscribed to.
        assert "comes with its unit" in wrong.message or "on request only" in wrong.message


@pytest.mark.parametrize("preset", ["sics", "and"])
async def test_a_silent_instrument_is_said_to_be(bench: Bench, preset: str) -> None:
    device = bench.device(preset=preset, timeout_ms=30)
    await bench.connect()
    with pytest.raises(DeviceSilent, match="no answer within 30 ms"):
        await browse(device)


async def test_folders_alone_cost_no_request(bench: Bench) -> None:
    device = bench.device(preset="sics")
    await bench.connect()
    assert [item.path for item in await browse(device, depth=1)] == ["weight", "tare", "serial", "command"]
    assert bench.far.received == b""


async def test_browsing_can_begin_at_a_message(bench: Bench) -> None:
    device = bench.device(preset="sics")
    bench.answer(SCALE)
    await bench.connect()
    assert [item.path for item in await browse(device, "tare")] == ["tare", "tare/tare", "tare/tare_unit"]
    assert bench.far.received == b"TA\r\n"
    with pytest.raises(ScanFailed, match="start at weight, tare, serial, command or leave it out"):
        await browse(device, "wieght")
