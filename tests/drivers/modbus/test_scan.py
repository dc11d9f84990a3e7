"""What is there: units of an endpoint, ranges of a device, and every way to read an address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.modbus import KIND
from drivers.modbus.scan_options import ScanOptions
from gateway.config import load
from gateway.driver import Browses, Decodes, DeviceSilent, Finding, Item, LinkDown, Progress, ScanFailed
from gateway.model import DataType
from tests.drivers.modbus.conftest import Plant
from tests.support import raw_modbus as raw
from tests.support.raw_modbus import RawSlave
from tests.support.site import SITE

FAST = {"rate": 1000.0, "timeout_ms": 60}


async def scan(port: int, **options: Any) -> tuple[list[Finding], list[Progress]]:
    assert KIND.scan is not None
    assert KIND.scan.options is ScanOptions
    made = ScanOptions(host="127.0.0.1", port=port, **{**FAST, **options})
    findings, progress = [], []
    async for each in KIND.scan.run(made, SITE):
        (findings if isinstance(each, Finding) else progress).append(each)  # type: ignore[arg-type]
    return findings, progress


@pytest.fixture
async def endpoint(slave: RawSlave) -> RawSlave:
    """Units 3 and 7 behind a gateway; holding registers 0 to 199 but 50, and 4096 to 4099; 30 coils; no inputs."""
    slave.unsupported = {2, 4}
    slave.objects = {0: b"ACME", 1: b"M1", 2: b"V2"}
    slave.server_id = b"M1 \xff"
    slave.holes = {50, *range(200, 4096), *range(4100, 65536)}

    async def gateway(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        if request.unit not in (3, 7):
            await raw.exception(11)(slave, request, send)
        elif request.function == 43 and request.unit == 7:
            await raw.exception(1)(slave, request, send)
        else:
            await raw.answer(slave, request, send)

    slave.always(gateway)
    return slave


async def test_units_are_found_identified_and_measured(endpoint: RawSlave, tmp_path: Path) -> None:
    findings, progress = await scan(endpoint.port, units="1-8")
    assert [finding.row for finding in findings] == [
        {
            "unit": unit,
            "answer": "data",
            "vendor": vendor,
            "product": product,
            "revision": revision,
            "url": "",
            "name": "",
            "model": "",
            "application": "",
            "server id": server,
            "coils": "0-49, 51-199, 4096-4099",
            "discrete inputs": "",
            "holding registers": "0-49, 51-199, 4096-4099",
            "input registers": "",
        }
        for unit, vendor, product, revision, server in ((3, "ACME", "M1", "V2", ""), (7, "", "", "", "M1 "))
    ]
    assert (progress[0].done, progress[-1].done, progress[-1].total) == (0, 8, 8)
    # Nothing but reads.
    assert {request.function for request in endpoint.requests} <= {1, 2, 3, 4, 17, 43}
    file = tmp_path / "tidegate.toml"
    head = (Path(__file__).parents[3] / "drivers/modbus/sample.toml").read_text().partition("[[link]]")[0]
    for finding in findings:
        file.write_text(head + finding.config)
        settings = load(file, check_secrets=False)
        (link,) = settings.links
        assert link.devices[0].options.unit == finding.row["unit"]


async def test_a_device_with_a_small_limit_is_measured_all_the_same(endpoint: RawSlave) -> None:
    endpoint.max_count = 12
    ((finding,), _) = await scan(endpoint.port, units="3")
    assert finding.row["holding registers"] == "0-49, 51-199, 4096-4099"


async def test_the_budget_is_kept_and_said_to_be_used_up(endpoint: RawSlave) -> None:
    ((finding,), _) = await scan(endpoint.port, units="3", requests=30)
    assert len(endpoint.requests) <= 30 + 6
    assert finding.row["coils"].endswith("…")
    assert finding.row["holding registers"] == "…", "not looked for isn't the same as not there"


async def test_a_table_that_was_seen_to_its_end_is_said_to_be_whole(slave: RawSlave) -> None:
    ((finding,), _) = await scan(slave.port, units="1", requests=60)
    assert (finding.row["coils"], finding.row["discrete inputs"]) == ("0-65535", "0-50000, …")


async def test_without_ranges_a_unit_costs_few_requests(endpoint: RawSlave) -> None:
    ((finding,), _) = await scan(endpoint.port, units="7", ranges=False)
    assert finding.row["holding registers"] == ""
    assert len(endpoint.requests) == 3


async def test_silent_units_and_hang_ups_do_not_end_the_search(slave: RawSlave) -> None:
    async def moody(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        if request.unit == 2:
            await raw.hang_up(slave, request, send)
        if request.unit == 3:
            await raw.answer(slave, request, send)

    slave.always(moody)
    ((finding,), _) = await scan(slave.port, units="1-4", ranges=False)
    assert finding.row["unit"] == 3


async def test_the_rate_is_kept(endpoint: RawSlave) -> None:
    import time

    before = time.monotonic()
    await scan(endpoint.port, units="3", ranges=False, rate=50.0)
    assert time.monotonic() - before >= 0.02


async def test_a_search_can_be_left(endpoint: RawSlave) -> None:
    assert KIND.scan is not None
    options = ScanOptions(host="127.0.0.1", port=endpoint.port, **FAST)  # type: ignore[arg-type]
    found: AsyncIterator[Any] = KIND.scan.run(options, SITE)
    await anext(found)
    await found.aclose()  # type: ignore[attr-defined]


async def test_nobody_there_is_link_down(slave: RawSlave) -> None:
    await slave.stop()
    with pytest.raises(LinkDown, match="refused the connection"):
        await scan(slave.port)


@pytest.mark.parametrize(
    ("units", "numbers"), [("1-3,20", (1, 2, 3, 20)), ("7", (7,)), ("0,255", (0, 255)), ("2,1-2", (1, 2))]
)
def test_units_as_users_write_them(units: str, numbers: tuple[int, ...]) -> None:
    assert ScanOptions(host="plc", units=units).numbers == numbers


@pytest.mark.parametrize("units", ["", "1-", "a", "1..3", "256", "5-2", "1,,2", "-1"])
def test_units_that_are_none(units: str) -> None:
    with pytest.raises(ValidationError, match=f"units '{units}'"):
        ScanOptions(host="plc", units=units)


# -- browsing


async def browse(device: Browses, start: str | None = None, depth: int | None = None) -> list[Item]:
    return [item async for item in device.browse(start, depth)]


async def test_a_device_shows_its_ranges_as_tags_that_can_be_read(plant: Plant, endpoint: RawSlave) -> None:
    device = await plant.device(endpoint.port, unit=3, max_registers=100, address_offset=1)
    assert isinstance(device, Browses)
    items = await browse(device)
    assert [(item.path, item.address, item.count) for item in items if item.path.startswith("hr")] == [
        ("hr", "", None),
        ("hr/1-50", "hr:1", 50),
        ("hr/52-151", "hr:52", 100),
        ("hr/152-200", "hr:152", 49),
        ("hr/4097-4100", "hr:4097", 4),
    ]
    (vendor,) = [item for item in items if item.address == "id:vendor"]
    assert (vendor.kind, vendor.type, vendor.value) == ("value", DataType.STRING, "ACME")
    assert {item.path for item in items if item.kind == "folder"} == {"co", "di", "hr", "ir", "id"}
    assert {item.writable for item in items if item.path.startswith("co/")} == {True}


async def test_browsing_can_begin_at_a_table_and_stay_shallow(plant: Plant, endpoint: RawSlave) -> None:
    device = await plant.device(endpoint.port, unit=3)
    assert [item.path for item in await browse(device, depth=1)] == ["co", "di", "hr", "ir", "id"]
    assert [item.path for item in await browse(device, "hr")] == ["hr/0-49", "hr/51-175", "hr/176-199", "hr/4096-4099"]
    assert await browse(device, "hr", 0) == []
    with pytest.raises(ScanFailed, match="there is nothing at 'xy': start at co, di, hr, ir, id or leave it out"):
        await browse(device, "xy")


async def test_a_silent_device_is_said_to_be(plant: Plant, slave: RawSlave) -> None:
    slave.always(raw.mute)
    device = await plant.device(slave.port, link={"timeout_ms": 60})
    with pytest.raises(DeviceSilent):
        await browse(device)
    with pytest.raises(DeviceSilent):
        await device.decode("hr:100")
    assert len(slave.requests) == 2


# -- decoding


async def test_every_type_and_order_of_a_register_and_its_neighbours(plant: Plant, slave: RawSlave) -> None:
    slave.holding[99:106] = [0x1234, 0x0000, 0x42C8, 0x6B06, 0xDA7A, 0x4142, 0x4300]
    device = await plant.device(slave.port)
    assert isinstance(device, Decodes)
    found = {(one.address, one.type, one.order): one for one in await device.decode("hr:100")}
    assert found["hr:100", DataType.FLOAT32, "CDAB"].value == 100.0
    assert found["hr:100", DataType.FLOAT32, "CDAB"].raw == bytes.fromhex("000042C8")
    assert found["hr:99", DataType.UINT16, "ABCD"].value == 0x1234
    assert found["hr:99", DataType.UINT16, "BADC"].value == 0x3412
    assert found["hr:99", DataType.UINT16, "ABCD bcd"].value == 1234
    assert found["hr:101", DataType.UINT16, "ABCD bcd"].value is None
    assert found["hr:101", DataType.INT8, "low"].value == -56
    assert found["hr:101", DataType.STRING, "high-first"].raw == bytes.fromhex("42C86B06DA7A4142")
    assert found["hr:99", DataType.BOOL, "bit 4"].value is True
    types = {one.type for one in found.values()}
    assert types == {type_ for type_ in DataType if type_ not in (DataType.BYTES, DataType.JSON)}
    assert {one.address for one in found.values()} == {"hr:99", "hr:100", "hr:101"}
    # One read is enough where everything is there.
    assert len(slave.requests) == 1


async def test_what_cannot_be_read_is_left_out(plant: Plant, slave: RawSlave) -> None:
    slave.holes = {99, 103}
    device = await plant.device(slave.port, address_offset=1)
    found = await device.decode("hr:101")
    assert {one.address for one in found} == {"hr:101", "hr:102"}
    assert not [one for one in found if len(one.raw) > 6]
    with pytest.raises(ScanFailed, match="the device refuses to read 'hr:100'"):
        await device.decode("hr:100")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("nonsense", "address 'nonsense' is not a Modbus address"),
        ("co:1", "'co:1' is a single bit: there is only one way to read it"),
        ("id:vendor", "'id:vendor' is a text of the device's identification"),
    ],
)
async def test_what_cannot_be_decoded_is_explained(plant: Plant, slave: RawSlave, address: str, sentence: str) -> None:
    device = await plant.device(slave.port)
    with pytest.raises(ScanFailed, match=sentence):
        await device.decode(address)


async def test_the_first_and_the_last_register(plant: Plant, slave: RawSlave) -> None:
    slave.holding[65535] = 7
    device = await plant.device(slave.port)
    assert {one.address for one in await device.decode("hr:0") if one.type is DataType.UINT16} == {"hr:0", "hr:1"}
    last = [one for one in await device.decode("hr:65535") if one.type is DataType.UINT16]
    assert {one.address for one in last} == {"hr:65534", "hr:65535"}
