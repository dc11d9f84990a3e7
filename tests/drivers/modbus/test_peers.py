"""Every type in every order, single and as an array, against two servers that share no code with the driver or with
each other: libmodbus in C, and modbus-serial on Node.js, which puts values into registers by itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from drivers.common.words import WordOrder
from gateway.driver import DeviceSilent, LinkDown, Point
from gateway.model import DataType, Quality, Value
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.points import group, point
from tests.support.libmodbus_peer import LibmodbusPeer
from tests.support.node import NodePeer

pytestmark = pytest.mark.integration
T = DataType

IDENTIFICATION = {0: "ACME", 1: "M1", 2: "V2.11", 3: "u" * 200, 4: "n" * 200, 5: "Model"}
NUMBERS: dict[DataType, tuple[str, str, list[Any]]] = {
    T.INT16: ("Int16BE", ">h", [-2, 32767]),
    T.UINT16: ("UInt16BE", ">H", [0x1234, 65535]),
    T.INT32: ("Int32BE", ">i", [-123456, 2**31 - 1]),
    T.UINT32: ("UInt32BE", ">I", [0xAABBCCDD, 1]),
    T.INT64: ("BigInt64BE", ">q", [-(2**63), 2**53 + 1]),
    T.UINT64: ("BigUInt64BE", ">Q", [2**64 - 1, 0x0102030405060708]),
    T.FLOAT32: ("FloatBE", ">f", [100.0, -0.5]),
    T.FLOAT64: ("DoubleBE", ">d", [123.456, 1e300]),
}


@pytest.fixture(scope="module")
def node() -> Iterator[NodePeer]:
    with NodePeer("modbus", objects=IDENTIFICATION) as peer:
        yield peer


def ordered(data: bytes, order: WordOrder) -> list[int]:
    """Registers of one big-endian number, by the definition of the order."""
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


def both(address: str, type_: DataType, order: WordOrder) -> tuple[Point, Point]:
    single = point("one", address, type_, word_order=str(order))
    return single, point("all", address, type_, count=2, word_order=str(order))


@pytest.mark.parametrize("order", WordOrder)
@pytest.mark.parametrize("type_", NUMBERS)
async def test_node_and_the_driver_agree_in_both_directions(
    plant: Plant, node: NodePeer, type_: DataType, order: WordOrder
) -> None:
    kind, _, values = NUMBERS[type_]
    device = await plant.device(node.ready["port"], link={"timeout_ms": 2000})
    for table in ("hr", "ir"):
        node.ask(do="put", table=table, address=200, kind=kind, order=str(order), values=[str(v) for v in values])
        batch = await device.read(device.plan(group(*both(f"{table}:200", type_, order))))
        assert (batch.values, batch.qualities) == ((values[0], tuple(values)), None)
        assert type(batch.values[0]) is type(values[0])
    single, array = both("hr:200", type_, order)
    written = tuple(reversed(values))
    assert await device.write(array, written) == written
    got = node.ask(do="get", address=200, kind=kind, order=str(order), count=2)["values"]
    assert [type(value)(text) for value, text in zip(written, got, strict=True)] == list(written)
    assert await device.write(single, values[0]) == values[0]


@pytest.mark.parametrize("order", WordOrder)
@pytest.mark.parametrize("type_", NUMBERS)
@pytest.mark.parametrize("options", [{}, {"read_write_multiple": True}, {"write_multiple": True}], ids=str)
async def test_libmodbus_and_the_driver_agree_in_both_directions(
    plant: Plant, libmodbus: LibmodbusPeer, type_: DataType, order: WordOrder, options: dict[str, Any]
) -> None:
    _, code, values = NUMBERS[type_]
    registers = [word for value in values for word in ordered(struct.pack(code, value), order)]
    libmodbus.set_holding(800, registers)
    device = await plant.device(libmodbus.port, **options)
    single, array = both("hr:800", type_, order)
    batch = await device.read(device.plan(group(single, array)))
    assert (batch.values, batch.qualities) == ((values[0], tuple(values)), None)
    libmodbus.set_holding(800, [0] * 8)
    before = libmodbus.requests()
    assert await device.write(array, tuple(values)) == tuple(values)
    assert libmodbus.holding(800, len(registers)) == registers
    # Function 23 is one transaction, the others are two.
    assert libmodbus.requests() - before == (1 if "read_write_multiple" in options else 2)
    assert await device.write(single, values[1]) == values[1]


@pytest.mark.parametrize(
    ("address", "type_", "count", "options", "registers", "value"),
    [
        ("hr:900", T.STRING, None, {"length": 2}, [0x4142, 0x4300], "ABC"),
        ("hr:900", T.STRING, None, {"length": 2, "text_order": "low-first"}, [0x4241, 0x0043], "ABC"),
        ("hr:900", T.STRING, None, {"length": 3, "text_order": "low-only"}, [0x41, 0x42, 0], "AB"),
        ("hr:900", T.STRING, None, {"length": 3, "text_order": "high-only"}, [0x4100, 0x4200, 0], "AB"),
        ("hr:900", T.STRING, None, {"length": 2, "encoding": "utf-16"}, [0x0041, 0x2082], "A₂"),
        ("hr:900", T.STRING, None, {"length": 2, "encoding": "latin-1"}, [0xE941, 0], "éA"),
        ("hr:900", T.STRING, 2, {"length": 1}, [0x4142, 0x4300], ("AB", "C")),
        ("hr:900", T.BYTES, None, {"length": 2}, [0x00FF, 0xAB01], "00ffab01"),
        ("hr:900", T.DATETIME, None, {"time": "unix-u32"}, [0x6B06, 0xDA7A], "2026-11-25T12:54:18Z"),
        (
            "hr:900",
            T.DATETIME,
            None,
            {"time": "cp56time2a"},
            [0x001A, 0x0B19, 0x0C36, 0x474A],
            "2026-11-25T12:54:18.250Z",
        ),
        ("hr:900", T.DATETIME, None, {"time": "Y M D h m s"}, [2026, 11, 25, 12, 54, 18], "2026-11-25T12:54:18Z"),
        ("hr:900", T.UINT32, None, {"bcd": True, "word_order": "CDAB"}, [0x5678, 0x1234], 12345678),
        ("hr:900", T.INT16, 2, {"bcd": True}, [0xF123, 0x0007], (-123, 7)),
        ("hr:900", T.FLOAT16, 2, {}, [0x3C00, 0xC000], (1.0, -2.0)),
        ("hr:900", T.INT8, 3, {"byte": "both"}, [0x01FE, 0x03AA], (1, -2, 3)),
        ("hr:900", T.UINT8, 2, {"byte": "high"}, [0x01AA, 0x02AA], (1, 2)),
        ("hr:900.12", T.BOOL, 8, {}, [0xAAAA, 0xAAA5], (False, True, False, True, True, False, True, False)),
    ],
)
async def test_texts_times_bits_and_bytes(
    plant: Plant,
    libmodbus: LibmodbusPeer,
    address: str,
    type_: DataType,
    count: int | None,
    options: dict[str, Any],
    registers: list[int],
    value: Value,
) -> None:
    """What shares its registers with others leaves them alone: 0xAA stands all around."""
    device = await plant.device(libmodbus.port)
    target = point("it", address, type_, count, **options)
    libmodbus.set_holding(900, registers)
    batch = await device.read(device.plan(group(target)))
    assert (batch.values, batch.qualities) == ((value,), None)
    shared = 0xAAAA if type_ in (T.BOOL, T.INT8, T.UINT8) else 0
    libmodbus.set_holding(900, [shared] * 8)
    assert await device.write(target, value) == value
    assert libmodbus.holding(900, len(registers) + 1) == [*registers, shared]


async def test_consecutive_coils_are_one_value(plant: Plant, node: NodePeer, libmodbus: LibmodbusPeer) -> None:
    pattern = tuple(index % 3 == 0 for index in range(20))
    target = point("coils", "co:101", T.BOOL, 20)
    inputs = point("inputs", "di:7", T.BOOL, 20)
    node.ask(do="bits", table="co", address=100, values=[True, *pattern, True])
    node.ask(do="bits", table="di", address=7, values=pattern)
    device = await plant.device(node.ready["port"], link={"timeout_ms": 2000})
    batch = await device.read(device.plan(group(target, inputs)))
    assert batch.values == (pattern, pattern)
    other = tuple(not bit for bit in pattern)
    assert await device.write(target, other) == other
    assert node.ask(do="coils", address=100, count=22)["values"] == [True, *other, True]
    libmodbus.set_coils(100, [True] * 22)
    device = await plant.device(libmodbus.port)
    assert await device.write(target, pattern) == pattern
    assert libmodbus.coils(100, 22) == [True, *pattern, True]


async def test_identification_over_several_replies(plant: Plant, node: NodePeer) -> None:
    device = await plant.device(node.ready["port"], link={"timeout_ms": 2000})
    names = ("vendor", "product", "revision", "url", "name", "model", "application")
    plan = device.plan(group(*(point(f"id/{name}", f"id:{name}", T.STRING) for name in names)))
    batch = await device.read(plan)
    assert batch.values == (*IDENTIFICATION.values(), None)
    assert batch.qualities == (*[0] * 6, Quality.BAD_NODE_ID_INVALID)


async def test_a_text_that_node_wrote(plant: Plant, node: NodePeer) -> None:
    node.ask(do="text", address=400, encoding="utf-8", value="Zähler 7\0\0")
    device = await plant.device(node.ready["port"], link={"timeout_ms": 2000})
    batch = await device.read(device.plan(group(point("name", "hr:400", T.STRING, length=6))))
    assert batch.values == ("Zähler 7",)


async def test_a_server_that_leaves_the_question_unanswered_is_read_all_the_same(
    plant: Plant, libmodbus: LibmodbusPeer
) -> None:
    """libmodbus doesn't know function 43, and says nothing."""
    libmodbus.set_holding(950, [7])
    device = await plant.device(libmodbus.port)
    plan = device.plan(group(point("id/vendor", "id:vendor", T.STRING), point("a", "hr:950")))
    asked = 0
    for _ in range(20):
        try:
            batch = await device.read(plan)
            asked += 1
        except DeviceSilent:
            # It takes half a second to get over what it didn't understand.
            continue
        except LinkDown:
            await plant.buses[-1].connect()
    assert asked >= 2
    assert (batch.values[1], batch.qualities and batch.qualities[1]) == (7, 0)
