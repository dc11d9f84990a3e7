from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.driver import DeviceSilent, LinkDown, NotWritten, Previews, WriteFailed, Writes
from gateway.model import DataType, Value
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.points import group, point
from tests.support import raw_modbus as raw
from tests.support.libmodbus_peer import LibmodbusPeer
from tests.support.raw_modbus import RawSlave

T = DataType


@pytest.mark.integration
@pytest.mark.parametrize(
    ("address", "type_", "options", "value", "registers"),
    [
        ("hr:300", T.UINT16, {}, 0x1234, [0x1234]),
        ("hr:300", T.INT16, {"word_order": "DCBA"}, -2, [0xFEFF]),
        ("hr:300", T.FLOAT32, {"word_order": "CDAB"}, 100.0, [0x0000, 0x42C8]),
        ("hr:300", T.UINT64, {}, 2**64 - 2, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE]),
        ("hr:300", T.FLOAT64, {"word_order": "BADC"}, 123.456, [0x5E40, 0x2FDD, 0x9F1A, 0x77BE]),
        ("hr:300", T.STRING, {"length": 3}, "Abc", [0x4162, 0x6300, 0]),
        ("hr:300", T.UINT32, {"bcd": True}, 12345678, [0x1234, 0x5678]),
        ("40301", T.UINT16, {}, 7, [7]),
    ],
)
@pytest.mark.parametrize("write_multiple", [False, True])
async def test_registers_are_written_and_read_back(
    plant: Plant,
    libmodbus: LibmodbusPeer,
    address: str,
    type_: DataType,
    options: dict[str, Any],
    value: Value,
    registers: list[int],
    write_multiple: bool,
) -> None:
    device = await plant.device(libmodbus.port, write_multiple=write_multiple)
    assert isinstance(device, Writes)
    libmodbus.set_holding(300, [0xAAAA] * 6)
    target = point("set/point", address, type_, **options)
    assert await device.write(target, value) == value
    assert libmodbus.holding(300, len(registers) + 1) == [*registers, 0xAAAA]
    batch = await device.read(device.plan(group(target)))
    assert batch.values == (value,)


@pytest.mark.integration
@pytest.mark.parametrize("mask_write", [True, False])
async def test_a_bit_or_byte_is_written_without_touching_the_rest(
    plant: Plant, libmodbus: LibmodbusPeer, mask_write: bool
) -> None:
    device = await plant.device(libmodbus.port, mask_write=mask_write)
    libmodbus.set_holding(310, [0b1010_0000_0000_0101])
    assert await device.write(point("run", "hr:310.1", T.BOOL), True) is True
    assert libmodbus.holding(310) == [0b1010_0000_0000_0111]
    assert await device.write(point("run", "hr:310.15", T.BOOL), False) is False
    assert libmodbus.holding(310) == [0b0010_0000_0000_0111]
    assert await device.write(point("run", "hr:310.0", T.BOOL, word_order="BADC"), True) is True
    assert libmodbus.holding(310) == [0b0010_0001_0000_0111]
    assert await device.write(point("level", "hr:310", T.INT8, byte="high"), -2) == -2
    assert libmodbus.holding(310) == [0xFE07]


@pytest.mark.integration
@pytest.mark.parametrize("write_multiple", [True, False])
async def test_coils(plant: Plant, libmodbus: LibmodbusPeer, write_multiple: bool) -> None:
    device = await plant.device(libmodbus.port, write_multiple=write_multiple)
    libmodbus.set_coils(20, [False, False, True])
    assert await device.write(point("pump", "co:21", T.BOOL), True) is True
    assert libmodbus.coils(20, 3) == [False, True, True]
    assert await device.write(point("pump", "co:21", T.BOOL), False) is False
    assert libmodbus.coils(20, 3) == [False, False, True]


async def test_a_device_without_mask_write_is_asked_for_it_once(plant: Plant, slave: RawSlave) -> None:
    slave.unsupported = {22}
    slave.holding[5] = 0xFF00
    device = await plant.device(slave.port)
    for bit in range(2):
        assert await device.write(point("bit", f"hr:5.{bit}", T.BOOL), True) is True
    assert slave.holding[5] == 0xFF03
    assert [request.function for request in slave.requests] == [22, 3, 6, 3, 3, 6, 3]


@pytest.mark.parametrize(
    ("address", "type_", "options", "value", "sentence"),
    [
        ("ir:1", T.UINT16, {}, 1, "set can't be written: input registers are read-only"),
        ("di:1", T.BOOL, {}, True, "set can't be written: discrete inputs are read-only"),
        ("hr:1", T.UINT16, {}, 70000, "set can't be written: 70000 is outside uint16, which holds 0 to 65535"),
        ("hr:1", T.UINT16, {}, None, "set can't be written: None is not a number"),
        ("co:1", T.BOOL, {}, 1, "set can't be written: 1 is not a bool"),
        ("hr:1", T.BOOL, {}, True, "set can't be written: 'hr:1' is a whole register"),
        ("hr:1", T.STRING, {"length": 124}, "x", "it takes 124 registers, one write holds 123"),
        ("hr:1", T.UINT16, {"count": 2}, (1,), "set can't be written: (1,) is not an array of 2 elements"),
        ("hr:1", T.UINT16, {"count": 2}, (1, 70000), "set can't be written: element 1: 70000 is outside uint16"),
        ("co:1", T.BOOL, {"count": 2}, True, "set can't be written: True is not an array of 2 elements"),
        ("co:1", T.BOOL, {"count": 2}, (True, 0), "set can't be written: 0 is not a bool"),
        ("co:1", T.BOOL, {"count": 1969}, (True,) * 1969, "it takes 1969 coils, one write holds 1968"),
        ("hr:1", T.DATETIME, {"time": "unix-u32"}, "noon", "set can't be written: 'noon' is not a moment"),
        ("hr:1", T.STRING, {"length": 2}, "A ", "set can't be written: 'A ' would be read back as 'A'"),
        ("id:vendor", T.STRING, {}, "x", "set can't be written: identification objects are read-only"),
    ],
)
async def test_what_cannot_be_written_never_reaches_the_wire(
    plant: Plant, slave: RawSlave, address: str, type_: DataType, options: dict[str, Any], value: Value, sentence: str
) -> None:
    device = await plant.device(slave.port)
    with pytest.raises(WriteFailed) as caught:
        await device.write(point("set", address, type_, **options), value)
    assert sentence in str(caught.value)
    assert slave.requests == []


@pytest.mark.parametrize(
    ("behaviours", "error", "sentence"),
    [
        ([raw.mute], DeviceSilent, "no answer within 100 ms; whether set was written is unknown"),
        ([raw.exception(2)], WriteFailed, "set: the device refused the write with exception 2 (illegal data address)"),
        ([raw.exception(11)], DeviceSilent, "whether set was written is unknown"),
        ([raw.wrong_echo], WriteFailed, "set: the device confirmed another write than this one"),
        ([raw.wrong_unit], LinkDown, "whether set was written is unknown"),
        ([raw.hang_up], LinkDown, "whether set was written is unknown"),
        ([raw.answer, raw.mute], DeviceSilent, "set was written, what it is now is unknown"),
        ([raw.answer, raw.hang_up], LinkDown, "set was written, what it is now is unknown"),
        ([raw.answer, raw.exception(4)], WriteFailed, "set was written but can't be read back: exception 4"),
        ([raw.answer, raw.wrong_echo], WriteFailed, "set was written but reads 6 now"),
    ],
)
async def test_a_write_is_sent_once_whatever_comes_of_it(
    plant: Plant, slave: RawSlave, behaviours: list[raw.Behaviour], error: type[Exception], sentence: str
) -> None:
    device = await plant.device(slave.port)
    slave.then(*behaviours)
    with pytest.raises(error) as caught:
        await device.write(point("set", "hr:1"), 7)
    assert sentence in str(caught.value)
    assert [request.function for request in slave.requests].count(6) == 1


async def test_a_device_that_ignores_a_write_is_found_out(plant: Plant, slave: RawSlave) -> None:
    async def pretend(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        send(raw.frame(request.transaction, request.unit, request.pdu))

    device = await plant.device(slave.port)
    slave.then(pretend)
    with pytest.raises(WriteFailed, match="set was written but reads 1001 now"):
        await device.write(point("set", "hr:1"), 7)


async def test_a_late_echo_is_not_taken_for_the_next_one(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port, link={"timeout_ms": 80})
    for value in range(5):
        slave.then(raw.late(0.1))
        with pytest.raises(DeviceSilent):
            await device.write(point("set", "hr:1"), value)
        slave.then(raw.late(0.04))
        assert await device.write(point("set", "hr:1"), value + 100) == value + 100
    assert plant.counters["late_replies"] == 5


async def test_the_read_back_can_wait(plant: Plant, slave: RawSlave) -> None:
    async def slowly(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        send(raw.frame(request.transaction, request.unit, request.pdu))
        asyncio.get_running_loop().call_later(0.01, slave.reply, request)

    device = await plant.device(slave.port, read_back_delay_ms=30)
    slave.then(slowly)
    assert await device.write(point("set", "hr:1"), 7) == 7


async def test_function_23_writes_and_reads_back_at_once(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port, read_write_multiple=True)
    assert await device.write(point("set", "hr:1", T.UINT32), 0xAABBCCDD) == 0xAABBCCDD
    assert slave.holding[1:3] == [0xAABB, 0xCCDD]
    # A part of a register is no business of function 23, nor is a coil.
    await device.write(point("bit", "hr:1.0", T.BOOL), False)
    await device.write(point("coil", "co:1", T.BOOL), True)
    assert [request.function for request in slave.requests] == [23, 22, 3, 5, 1]
    with pytest.raises(WriteFailed, match="it takes 122 registers, one write holds 121"):
        await device.write(point("set", "hr:1", T.STRING, length=122), "x")


@pytest.mark.parametrize(
    ("address", "type_", "options", "value", "device_options"),
    [
        ("hr:1", T.UINT16, {}, 7, {}),
        ("hr:1", T.UINT16, {}, 7, {"write_multiple": True}),
        ("hr:1", T.FLOAT32, {"word_order": "CDAB"}, 100.0, {}),
        ("hr:1", T.UINT32, {}, 7, {"read_write_multiple": True}),
        ("co:9", T.BOOL, {}, True, {}),
        ("co:9", T.BOOL, {"count": 11}, (True,) * 11, {}),
        ("hr:1.3", T.BOOL, {}, True, {}),
    ],
)
async def test_a_preview_is_what_goes_out(
    plant: Plant,
    slave: RawSlave,
    address: str,
    type_: DataType,
    options: dict[str, Any],
    value: Value,
    device_options: dict[str, Any],
) -> None:
    device = await plant.device(slave.port, **device_options)
    assert isinstance(device, Previews)
    target = point("set", address, type_, **options)
    (line,) = device.preview(target, value)
    assert slave.requests == []
    await device.write(target, value)
    request = slave.requests[0]
    frame = raw.frame(request.transaction, request.unit, request.pdu)
    assert line == f"function {request.function}: .. .. {frame[2:].hex(' ')}"


async def test_a_preview_of_what_takes_reading_first(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port, mask_write=False)
    assert isinstance(device, Previews)
    assert list(device.preview(point("set", "hr:1.3", T.BOOL), True)) == [
        "function 3: .. .. 00 00 00 06 01 03 00 01 00 01",
        "function 6: the same registers with 00 08 under the mask 00 08",
    ]
    with pytest.raises(NotWritten, match="input registers are read-only"):
        device.preview(point("set", "ir:1"), 1)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [(raw.exception(code), NotWritten if code in (1, 2, 3, 6, 7) else WriteFailed) for code in range(1, 10)],
)
async def test_only_a_refusal_before_anything_was_done_is_certain(
    plant: Plant, slave: RawSlave, behaviour: raw.Behaviour, error: type[Exception]
) -> None:
    device = await plant.device(slave.port)
    slave.then(behaviour)
    with pytest.raises(WriteFailed) as caught:
        await device.write(point("set", "hr:1"), 7)
    assert type(caught.value) is error
    assert ("unknown" in str(caught.value)) == (error is WriteFailed)


@pytest.mark.parametrize(
    ("behaviour", "error", "sentence"),
    [
        (raw.mute, DeviceSilent, "no answer within 100 ms; whether set was written is unknown"),
        (raw.exception(1), WriteFailed, "the device refused the write with exception 1"),
        (raw.wrong_byte_count, LinkDown, "whether set was written is unknown"),
        (raw.wrong_echo, WriteFailed, "set was written but reads 6 now"),
    ],
)
async def test_function_23_is_sent_once_whatever_comes_of_it(
    plant: Plant, slave: RawSlave, behaviour: raw.Behaviour, error: type[Exception], sentence: str
) -> None:
    device = await plant.device(slave.port, read_write_multiple=True)
    slave.then(behaviour)
    with pytest.raises(error) as caught:
        await device.write(point("set", "hr:1"), 7)
    assert sentence in str(caught.value)
    assert [request.function for request in slave.requests] == [23]


async def test_parts_of_several_registers_are_read_changed_and_written_once(plant: Plant, slave: RawSlave) -> None:
    slave.holding[5:8] = [0xAAAA, 0xAAAA, 0xAAAA]
    device = await plant.device(slave.port)
    ones = (True,) * 12
    assert await device.write(point("bits", "hr:5.12", T.BOOL, 12), ones) == ones
    assert slave.holding[5:8] == [0xFAAA, 0xAAFF, 0xAAAA]
    assert [request.function for request in slave.requests] == [3, 16, 3]


async def test_a_whole_run_of_bits_needs_no_reading_first(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port)
    bits = tuple(index % 2 == 0 for index in range(32))
    assert await device.write(point("bits", "hr:5.0", T.BOOL, 32), bits) == bits
    assert [request.function for request in slave.requests] == [16, 3]


async def test_a_write_from_a_table_that_is_read_from_zero(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port, read_from_zero=True)
    assert await device.write(point("set", "hr:9", T.UINT32), 77) == 77
    assert await device.write(point("coils", "co:11", T.BOOL, 3), (True, False, True)) == (True, False, True)
    assert [(r.function, r.address, r.count) for r in slave.requests if r.function < 5] == [(3, 0, 11), (1, 0, 14)]


async def test_the_day_of_the_week_is_the_devices_own(plant: Plant, slave: RawSlave) -> None:
    """It isn't written, so it may come back as the device makes it out."""

    async def own_weekday(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        pdu = slave.reply(request)
        slave.holding[2] |= 0x60
        send(raw.frame(request.transaction, request.unit, pdu))

    device = await plant.device(slave.port)
    slave.then(own_weekday)
    text = "2026-11-25T12:54:18.250Z"
    assert await device.write(point("clock", "hr:1", T.DATETIME, time="cp56time2a"), text) == text


async def test_unit_0_over_tcp_is_a_unit_like_any_other(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port, unit=0)
    assert await device.write(point("set", "hr:1"), 7) == 7
    assert {request.unit for request in slave.requests} == {0}
