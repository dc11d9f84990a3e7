"""Every template of the library against a simulated device that is filled by its document, not by the template.

Addresses stand here as in the makers' documents and are turned into those of the wire by hand; where a document has a
worked example (ABB, Vaisala, XY-MD02, Danfoss), its bytes and its results are used.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.config import library, load
from gateway.config.library import LibraryTemplate
from gateway.model import Quality, Value
from gateway.southbound.probe import plan_of, probe
from gateway.toml import table as toml_table
from tests.support.libmodbus_peer import LibmodbusPeer

pytestmark = pytest.mark.integration

ALL = [each for each in library.templates() if each.driver == "modbus"]


def words(data: bytes, *, low_first: bool = False) -> list[int]:
    registers = list(struct.unpack(f">{len(data) // 2}H", data))
    return registers[::-1] if low_first else registers


def f32(value: float, *, low_first: bool = False) -> list[int]:
    return words(struct.pack(">f", value), low_first=low_first)


def u32(value: int, *, low_first: bool = False) -> list[int]:
    return words(struct.pack(">I", value & 0xFFFFFFFF), low_first=low_first)


def u64(value: int) -> list[int]:
    return words(struct.pack(">Q", value))


def hexed(text: str) -> list[int]:
    return words(bytes.fromhex(text))


IR, HR = "ir", "hr"
Row = tuple[str, int, Sequence[int], str, Any]
"""(table, address on the wire, its registers, tag, what is to be published; None: bad)"""
DEVICES: dict[str, list[Row]] = {
    "eastron-sdm630": [
        (IR, 30001 - 30001, f32(230.5), "voltage/l1", 230.5),
        (IR, 30005 - 30001, f32(231.25), "voltage/l3", 231.25),
        (IR, 30009 - 30001, f32(4.5), "current/l2", 4.5),
        (IR, 30013 - 30001, f32(1037.25), "power/active/l1", 1037.25),
        (IR, 30019 - 30001, f32(1040.5), "power/apparent/l1", 1040.5),
        (IR, 30053 - 30001, f32(-3100.0), "power/active/total", -3100.0),
        (IR, 30061 - 30001, f32(12.5), "power/reactive/total", 12.5),
        (IR, 30071 - 30001, f32(49.98), "frequency", 49.98),
        (IR, 30073 - 30001, f32(1234.5), "energy/active/import", 1234.5),
        (IR, 30075 - 30001, f32(77.25), "energy/active/export", 77.25),
        (IR, 30343 - 30001, f32(1311.75), "energy/active/total", 1311.75),
    ],
    "eastron-sdm120": [
        (IR, 0x00, f32(229.0), "voltage", 229.0),
        (IR, 0x06, f32(0.75), "current", 0.75),
        (IR, 0x0C, f32(171.0), "power/active", 171.0),
        (IR, 0x46, f32(50.02), "frequency", 50.02),
        (IR, 0x48, f32(12.0), "energy/active/import", 12.0),
        (IR, 0x156, f32(12.5), "energy/active/total", 12.5),
    ],
    # The example of a whole reading in the user manual of the A43/A44, page 170.
    "abb-b23": [
        (HR, 0x5B0C, hexed("00000065"), "current/l1", 1.01),
        (HR, 0x5B12, hexed("00000086"), "current/neutral", 1.34),
        (HR, 0x5B14, hexed("0001E8E4"), "power/active/total", 1251.56),
        (HR, 0x5B1A, hexed("0000DD6B"), "power/active/l3", 566.83),
        (HR, 0x5B20, hexed("FFFFD04A"), "power/reactive/l2", -122.14),
        (HR, 0x5B24, hexed("000225C3"), "power/apparent/total", 1407.39),
        (HR, 0x5B2C, hexed("1383"), "frequency", 49.95),
        (HR, 0x5B2D, hexed("0087"), "phase_angle/total", 13.5),
        (HR, 0x5B3A, hexed("03CC"), "power_factor/total", 0.972),
        (HR, 0x5000, u64(201362), "energy/active/import", 2013.62),
        (HR, 0x5010, hexed("FFFFFFFFFFFFFFFF"), "energy/reactive/export", None),
        (HR, 0x5B04, hexed("FFFFFFFF"), "voltage/l3", None),
    ],
    "schneider-iem3000": [
        (HR, 3000 - 1, f32(10.5), "current/l1", 10.5),
        (HR, 3028 - 1, f32(230.0), "voltage/l1", 230.0),
        (HR, 3060 - 1, f32(7.25), "power/active/total", 7.25),
        (HR, 3110 - 1, f32(50.0), "frequency", 50.0),
        (HR, 3204 - 1, u64(9_876_543_210), "energy/active/import", 9_876_543_210),
        (HR, 3208 - 1, u64(42), "energy/active/export", 42),
    ],
    "siemens-pac3200": [
        (HR, 1, f32(230.25), "voltage/l1", 230.25),
        (HR, 17, f32(3.5), "current/l3", 3.5),
        (HR, 55, f32(50.0), "frequency", 50.0),
        (HR, 65, f32(-1500.0), "power/active/total", -1500.0),
        (HR, 801, words(struct.pack(">d", 123456.789)), "energy/active/import_tariff1", 123456.789),
        (HR, 809, words(struct.pack(">d", 0.5)), "energy/active/export_tariff1", 0.5),
    ],
    "janitza-umg96rm": [
        (HR, 19000, f32(231.0), "voltage/l1", 231.0),
        (HR, 19012, f32(12.25), "current/l1", 12.25),
        (HR, 19026, f32(8400.0), "power/active/total", 8400.0),
        (HR, 19050, f32(49.99), "frequency", 49.99),
        (HR, 19068, f32(5000.0), "energy/active/import", 5000.0),
        (HR, 19076, f32(3.0), "energy/active/export", 3.0),
    ],
    "carlo-gavazzi-em340": [
        (IR, 300001 - 300001, u32(2305, low_first=True), "voltage/l1", 230.5),
        (IR, 300013 - 300001, u32(12345, low_first=True), "current/l1", 12.345),
        (IR, 300041 - 300001, u32(-98765, low_first=True), "power/active/total", -9876.5),
        (IR, 300052 - 300001, [500], "frequency", 50.0),
        (IR, 300050 - 300001, [0xFC2F], "power_factor/total", -0.977),
        (IR, 300053 - 300001, u32(1234567, low_first=True), "energy/active/import", 123456.7),
        (IR, 300079 - 300001, u32(10, low_first=True), "energy/active/export", 1.0),
    ],
    "peacefair-pzem-016": [
        (IR, 0, [2301], "voltage", 230.1),
        (IR, 1, [0x1170, 0x0001], "current", 70.0),
        (IR, 3, [0x7530, 0x0002], "power/active", 16107.2),
        (IR, 5, [1234, 0], "energy/active", 1234),
        (IR, 7, [500], "frequency", 50.0),
        (IR, 8, [97], "power_factor", 0.97),
    ],
    "fronius-sunspec-float": [
        (HR, 40005 - 1, words(b"Fronius".ljust(32, b"\0")), "id/manufacturer", "Fronius"),
        (HR, 40072 - 1, f32(8.5), "ac/current/total", 8.5),
        (HR, 40092 - 1, f32(5850.0), "ac/power/active", 5850.0),
        (HR, 40094 - 1, f32(50.01), "ac/frequency", 50.01),
        (HR, 40102 - 1, f32(1.5e7), "ac/energy/lifetime", 1.5e7),
        (HR, 40108 - 1, f32(math.nan), "dc/power", None),
        (HR, 40118 - 1, [4], "state", 4),
    ],
    "huawei-sun2000": [
        (HR, 30000, words(b"SUN2000-10KTL-M1".ljust(30, b"\0")), "id/model", "SUN2000-10KTL-M1"),
        (HR, 32064, u32(5120), "dc/power", 5120),
        (HR, 32069, [2345], "ac/voltage/l1", 234.5),
        (HR, 32072, u32(-7250), "ac/current/l1", -7.25),
        (HR, 32080, u32(4990), "ac/power/active", 4990),
        (HR, 32085, [4998], "ac/frequency", 49.98),
        (HR, 32087, [0xFFF6], "temperature", -1.0),
        (HR, 32106, u32(1234567), "ac/energy/lifetime", 12345.67),
        (HR, 32114, u32(0xFFFFFFFF), "ac/energy/today", None),
        (HR, 32082, u32(0x7FFFFFFF), "ac/power/reactive", None),
    ],
    "sma-sunny": [
        (HR, 30775, u32(0x80000000), "ac/power/active", None),
        (HR, 30803, u32(5001), "ac/frequency", 50.01),
        (HR, 30769, u32(6543), "dc/1/current", 6.543),
        (HR, 30771, u32(41050), "dc/1/voltage", 410.5),
        (HR, 30773, u32(2685), "dc/1/power", 2685),
        (HR, 30953, u32(-55), "temperature", -5.5),
        (HR, 30513, u64(23_456_789), "ac/energy/lifetime", 23_456_789),
        (HR, 30535, u32(0xFFFFFFFF), "ac/energy/today", None),
    ],
    "victron-gx-system": [
        (HR, 808, [1500], "pv/on_output/l1", 1500),
        (HR, 820, [0xFF38], "grid/l1", -200),
        (HR, 840, [522], "battery/voltage", 52.2),
        (HR, 841, [0xFFCE], "battery/current", -5.0),
        (HR, 843, [87], "battery/soc", 87),
        (HR, 850, [3200], "pv/dc_power", 3200),
    ],
    "danfoss-vlt-fc": [
        (HR, 1614 * 10 - 1, u32(524), "motor/current", 5.24),  # the design guide's example
        (HR, 1610 * 10 - 1, u32(750), "power", 7.5),
        (HR, 1612 * 10 - 1, [3985], "motor/voltage", 398.5),
        (HR, 1613 * 10 - 1, [498], "frequency", 49.8),
        (HR, 1617 * 10 - 1, u32(-1450), "motor/speed", -1450),
        (HR, 1630 * 10 - 1, [565], "dc_link/voltage", 565),
        (HR, 1634 * 10 - 1, [41], "heatsink/temperature", 41),
    ],
    "siemens-sinamics-g120": [
        (HR, 40110 - 40001, [0xEF37], "status_word", 0xEF37),
        (HR, 40341 - 40001, [0xFA24], "speed/actual", -1500),
        (HR, 40342 - 40001, [4985], "frequency", 49.85),
        (HR, 40345 - 40001, [1234], "motor/current", 12.34),
        (HR, 40346 - 40001, [0xFF38], "motor/torque", -2.0),
        (HR, 40348 - 40001, [777], "energy", 777),
    ],
    "siemens-sinamics-v20": [
        (HR, 23, [5000], "frequency", 50.0),
        (HR, 24, [1480], "motor/speed", 1480),
        (HR, 25, [215], "motor/current", 2.15),
        (HR, 28, [12], "energy", 12),
        (HR, 29, [540], "dc_link/voltage", 540),
    ],
    # 0x41F47AE1, low word first, is 30.56 %RH: the Indigo500's user guide, page 118.
    "vaisala-hmp": [
        (HR, 0x0000, [0x7AE1, 0x41F4], "humidity", 30.56),
        (HR, 0x0002, f32(21.5, low_first=True), "temperature", 21.5),
        (HR, 0x0006, f32(math.nan, low_first=True), "dew_point", None),
        (HR, 0x0012, f32(12.75, low_first=True), "wet_bulb", 12.75),
    ],
    "xy-md02": [
        (IR, 1, [0xFF33], "temperature", -20.5),
        (IR, 2, [0x0222], "humidity", 54.6),
    ],
}


@pytest.fixture
def device() -> Iterator[LibmodbusPeer]:
    with LibmodbusPeer() as peer:
        yield peer


def configured(path: Path, template: LibraryTemplate, link: dict[str, Any]) -> Path:
    file = path / "tidegate.toml"
    file.write_text(
        "\n".join(
            [
                '[gateway]\nid = "gw1"\nenterprise = "acme"\nsite = "plant1"\ndata_dir = "data"\n',
                library.template_toml(template),
                toml_table("link", {"name": "line", "driver": template.driver, **link}),
                toml_table("device", library.device_table(template, "d1", "line", {})),
            ]
        )
    )
    return file


def test_each_template_has_a_device_here() -> None:
    assert sorted(DEVICES) == sorted(each.name for each in ALL)
    assert len(ALL) >= 12


@pytest.mark.parametrize("template", ALL, ids=lambda each: each.name)
async def test_a_device_is_read_as_its_document_has_it(
    template: LibraryTemplate, device: LibmodbusPeer, tmp_path: Path
) -> None:
    rows = DEVICES[template.name]
    for table, address, registers, _, _ in rows:
        (device.set_inputs if table == IR else device.set_holding)(address, registers)
    settings = load(configured(tmp_path, template, {"host": "127.0.0.1", "port": device.port}))
    result = await probe(settings.links[0], "d1")
    assert not [error for group in result.groups for error in group.errors]
    read: dict[str, tuple[Value, int]] = {}
    for group in result.groups:
        batch = group.published
        qualities = batch.qualities or [Quality.GOOD] * len(batch)
        for tag, value, quality in zip(group.layout.tags, batch.values, qualities, strict=True):
            read[tag.path] = value, quality
    for *_, path, expected in rows:
        value, quality = read[path]
        if expected is None:
            assert value is None
            assert quality & 0x80000000
        else:
            assert quality == Quality.GOOD, path
            assert value == (pytest.approx(expected, rel=1e-6) if isinstance(expected, float) else expected), path


@pytest.mark.parametrize("template", ALL, ids=lambda each: each.name)
def test_it_is_checked_and_planned_with_its_own_link(template: LibraryTemplate, tmp_path: Path) -> None:
    """As a user would have it: the link's own defaults, and every group planned within the device's limits."""
    far_end = {"device": "/dev/ttyUSB0"} if template.link["transport"] == "rtu" else {"host": "192.168.1.20"}
    settings = load(configured(tmp_path, template, {**template.link, **far_end}), check_secrets=False)
    plans = plan_of(settings.links[0], "d1")
    assert set(plans) == {group["name"] for group in template.groups}
    assert all(plans.values())


@pytest.mark.parametrize("template", ALL, ids=lambda each: each.name)
def test_it_says_where_its_figures_come_from(template: LibraryTemplate) -> None:
    about = template.about
    assert about.vendor in about.source or about.vendor in ("Fronius", "Peacefair", "various")
    assert len(about.source) > 40
    assert about.checked
