"""Adverts and attribute requests, put together from what BlueZ reports and taken apart again."""

from __future__ import annotations

from bleak.backends.scanner import AdvertisementData

from drivers.ble.tracing import Tracer, dissect
from gateway.wire import Direction, Frame

ADDRESS = "AA:BB:CC:DD:EE:FF"


def test_an_advert_is_its_structures() -> None:
    frames: list[Frame] = []
    advert = AdvertisementData(
        local_name="Ruuvi 1234",
        manufacturer_data={0x0499: bytes.fromhex("0512fc")},
        service_data={"0000fcd2-0000-1000-8000-00805f9b34fb": bytes.fromhex("40025c08")},
        service_uuids=["0000181a-0000-1000-8000-00805f9b34fb", "6e400001-b5a3-f393-e0a9-e50e24dcca9e"],
        tx_power=-4,
        rssi=-60,
        platform_data=(),
    )
    Tracer(frames.append).advert(ADDRESS, advert)
    (frame,) = frames
    assert (frame.unit, frame.direction) == (ADDRESS, Direction.RECEIVED)
    assert frame.note == "-60 dBm, rebuilt from what BlueZ reports"
    found = dissect(frame, None)
    assert not found.fault
    assert {part.name: part.text for part in found.parts} == {
        "16-bit services": "181a",
        "128-bit services": "6e400001-b5a3-f393-e0a9-e50e24dcca9e",
        "name": "Ruuvi 1234",
        "power": "-4 dBm",
        "service data": "fcd2: 40 02 5c 08",
        "manufacturer data": "company 0x0499: 05 12 fc",
    }
    assert sum(part.length for part in found.parts) == len(frame.data)


def test_a_read_its_answer_a_write_and_a_notification() -> None:
    frames: list[Frame] = []
    tracer = Tracer(frames.append)
    tracer.reading(ADDRESS, 0x21)
    tracer.was_read(ADDRESS, b"\x2a\x00")
    tracer.writing(ADDRESS, 0x21, b"\x01", answered=True)
    tracer.was_written(ADDRESS)
    tracer.writing(ADDRESS, 0x21, b"\x02", answered=False)
    tracer.notified(ADDRESS, 0x30, b"\x07")
    asked: Frame | None = None
    summaries = []
    for frame in frames:
        summaries.append(dissect(frame, asked).summary)
        if frame.direction is Direction.SENT:
            asked = frame
    assert summaries == [
        "read request handle 0x0021",
        "read response handle 0x0021 2a 00",
        "write request handle 0x0021 01",
        "write response handle 0x0021",
        "write command handle 0x0021 02",
        "notification handle 0x0030 07",
    ]


def test_a_structure_that_is_longer_than_its_advert() -> None:
    found = dissect(Frame(0, 0, Direction.RECEIVED, b"\x09\x09abc", "advert"), None)
    assert found.fault
    assert found.summary == "advert, cut short"
