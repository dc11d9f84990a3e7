"""Reading from a server that shares no code with the driver: libmodbus. And mbpoll as a second opinion."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from typing import Any

import pytest

from gateway.model import DataType, Quality
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.points import group, point
from tests.support.libmodbus_peer import LibmodbusPeer

pytestmark = pytest.mark.integration
T = DataType


async def test_all_tables_types_and_orders_in_one_group(plant: Plant, libmodbus: LibmodbusPeer) -> None:
    libmodbus.set_holding(0, [0x1234, 0xCCDD, 0xAABB, 0x42C8, 0x0000, 0x3C00, 0x4142, 0x4300, 0x8001])
    libmodbus.set_holding(400, struct.unpack(">4H", struct.pack(">q", -5)))
    libmodbus.set_inputs(7, [0xFFFE, 0x0123])
    libmodbus.set_coils(9, [True, False, True])
    libmodbus.set_discrete(1000, [True])
    device = await plant.device(libmodbus.port)
    wanted: list[tuple[str, DataType, dict[str, Any], object]] = [
        ("hr:0", T.UINT16, {}, 0x1234),
        ("di:1000", T.BOOL, {}, True),
        ("hr:1", T.UINT32, {"word_order": "CDAB"}, 0xAABBCCDD),
        ("hr:3", T.FLOAT32, {}, 100.0),
        ("ir:7", T.INT16, {}, -2),
        ("hr:5", T.FLOAT16, {}, 1.0),
        ("co:11", T.BOOL, {}, True),
        ("co:10", T.BOOL, {}, False),
        ("hr:6", T.STRING, {"length": 2}, "ABC"),
        ("hr:8.15", T.BOOL, {}, True),
        ("hr:8.1", T.BOOL, {}, False),
        ("hr:0", T.INT8, {"byte": "high"}, 0x12),
        ("hr:400", T.INT64, {}, -5),
        ("ir:8", T.UINT16, {"bcd": True}, 123),
        ("40001", T.UINT16, {"word_order": "DCBA"}, 0x3412),
    ]
    plan = device.plan(
        group(*(point(f"tag{at}", address, type_, **options) for at, (address, type_, options, _) in enumerate(wanted)))
    )
    assert plan.errors == ()
    batch = await device.read(plan)
    assert batch.values == tuple(value for *_, value in wanted)
    assert batch.qualities is None
    assert len(plan.describe()) == 5


@pytest.mark.parametrize("seed", range(5))
async def test_columns_land_where_the_layout_says(plant: Plant, libmodbus: LibmodbusPeer, seed: int) -> None:
    """Any mixture of registers and bits over many blocks, in any order."""
    chance = random.Random(seed)
    registers = [chance.randrange(65536) for _ in range(1000)]
    bits = [chance.random() < 0.5 for _ in range(3000)]
    libmodbus.set_holding(2000, registers)
    libmodbus.set_coils(2000, bits)
    wanted: list[tuple[str, DataType, object]] = []
    for _ in range(chance.randrange(1, 400)):
        if chance.random() < 0.5:
            at = chance.randrange(1000)
            wanted.append((f"hr:{2000 + at}", T.UINT16, registers[at]))
        else:
            at = chance.randrange(3000)
            wanted.append((f"co:{2000 + at}", T.BOOL, bits[at]))
    device = await plant.device(libmodbus.port)
    batch = await device.read(
        device.plan(group(*(point(f"tag{i}", address, type_) for i, (address, type_, _) in enumerate(wanted))))
    )
    assert batch.values == tuple(value for *_, value in wanted)
    assert [type(value) for value in batch.values] == [type(value) for *_, value in wanted]


async def test_whole_blocks_of_the_largest_size(plant: Plant, libmodbus: LibmodbusPeer) -> None:
    libmodbus.set_holding(5000, range(250))
    libmodbus.set_coils(5000, [index % 3 == 0 for index in range(2000)])
    device = await plant.device(libmodbus.port)
    plan = device.plan(
        group(
            *(point(f"r{index}", f"hr:{5000 + index}") for index in range(250)),
            *(point(f"b{index}", f"co:{5000 + index}", T.BOOL) for index in range(2000)),
        )
    )
    assert len(plan.describe()) == 3
    batch = await device.read(plan)
    assert batch.values == (*range(250), *(index % 3 == 0 for index in range(2000)))


async def test_what_cannot_be_decoded_is_bad_and_the_rest_is_not(plant: Plant, libmodbus: LibmodbusPeer) -> None:
    libmodbus.set_holding(600, [0xFFFF, 0x00AF, 7])
    device = await plant.device(libmodbus.port)
    batch = await device.read(
        device.plan(
            group(
                point("text", "hr:600", T.STRING, length=1),
                point("bcd", "hr:601", bcd=True),
                point("x", "hr:602"),
                point("wrong", "hr:602", T.BOOL),
            )
        )
    )
    assert batch.values == (None, None, 7, None)
    assert batch.qualities == (
        Quality.BAD_DECODING_ERROR,
        Quality.BAD_DECODING_ERROR,
        0,
        Quality.BAD_CONFIGURATION_ERROR,
    )
    assert all(type(quality) is int for quality in batch.qualities)


async def test_an_independent_client_reads_what_was_written(plant: Plant, libmodbus: LibmodbusPeer) -> None:
    if shutil.which("mbpoll") is None:
        pytest.skip("mbpoll isn't installed")
    device = await plant.device(libmodbus.port)
    await device.write(point("f", "hr:700", T.FLOAT32), 1.5)
    await device.write(point("i", "hr:702", T.INT32, word_order="CDAB"), -123456)
    # mbpoll: -B big-endian, else low word first; -0 protocol addresses; -1 once.
    base = ["mbpoll", "-q", "-0", "-1", "-p", str(libmodbus.port), "-c", "1"]
    as_float = subprocess.run([*base, "-t", "4:float", "-B", "-r", "700", "127.0.0.1"], capture_output=True, text=True)
    as_int = subprocess.run([*base, "-t", "4:int", "-r", "702", "127.0.0.1"], capture_output=True, text=True)
    assert as_float.stdout.split()[-1] == "1.5"
    assert as_int.stdout.split()[-1] == "-123456"
