"""Instruments that speak by themselves: what arrives, what is lost, how silence and unplugging are noticed."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from drivers.serial.framing import FIRST_QUIET_S
from gateway.driver import DeviceSilent, LinkDown
from gateway.model import DataType, Quality
from tests.drivers.serial.bench import Bench, Ear, group, point

GGA = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"
LINES = {"framing": {"end": "\n"}, "message": {"m": {"pattern": r"(?P<v>\d+)"}}}


async def test_every_frame_is_a_batch_in_order(bench: Bench) -> None:
    device = bench.device(**LINES)
    await bench.connect()
    ear = await bench.listen(device, group(point("v", DataType.UINT32), subscribed=True))
    bench.far.send(b"\n" + b"".join(b"%d\n" % number for number in range(200)))
    await ear.until(lambda: len(ear.batches) == 200)
    assert ear.rows == [(number,) for number in range(200)]
    assert all(batch.columns is None and batch.qualities is None for batch in ear.batches)


async def test_a_message_fills_its_own_columns_only(bench: Bench) -> None:
    device = bench.device(preset="nmea")
    await bench.connect()
    asked = group(point("speed_kmh"), point("altitude"), point("satellites", DataType.UINT8), subscribed=True)
    ear = await bench.listen(device, asked)
    bench.far.send(GGA)
    await ear.until(lambda: ear.batches)
    assert (ear.batches[0].columns, list(ear.batches[0].values)) == ((1, 2), [545.4, 8])


async def test_what_is_unknown_is_counted(bench: Bench) -> None:
    device = bench.device(preset="nmea")
    await bench.connect()
    ear = await bench.listen(device, group(point("altitude"), subscribed=True))
    bench.far.send(b"noise" + b"$GPXXX,1*" + b"%02X" % _xor(b"GPXXX,1") + b"\r\n" + GGA.replace(b"*47", b"*48") + GGA)
    await ear.until(lambda: ear.batches)
    counters = bench.counters
    assert (counters["frames"], counters["unexpected_frames"], counters["bad_checksums"]) == (2, 1, 1)
    assert counters["skipped_bytes"] == len(b"noise") + len(GGA)
    assert ear.rows == [(545.4,)]


def _xor(data: bytes) -> int:
    check = 0
    for byte in data:
        check ^= byte
    return check


async def test_a_port_opened_in_the_middle_of_a_number_gives_no_wrong_one(bench: Bench) -> None:
    device = bench.device(**LINES)
    await bench.connect()
    ear = await bench.listen(device, group(point("v", DataType.UINT32), subscribed=True))
    bench.far.send(b"2345\n")
    bench.far.send(b"12345\n")
    await ear.until(lambda: ear.batches)
    assert ear.rows == [(12345,)]
    assert bench.counters["skipped_bytes"] == 5


async def test_the_first_scan_after_a_quiet_start_counts(bench: Bench) -> None:
    device = bench.device(preset="barcode")
    await bench.connect()
    ear = await bench.listen(device, group(point("code", DataType.STRING), subscribed=True))
    await asyncio.sleep(FIRST_QUIET_S + 0.02)
    bench.far.send(b"4006381333931\r\n")
    await ear.until(lambda: len(ear.batches) == 2)
    assert ear.rows == [(None,), ("4006381333931",)]


async def test_frames_that_a_pause_ends_arrive_without_another(bench: Bench) -> None:
    device = bench.device(framing={"gap_ms": 20}, message={"m": {"bytes": {"v": {"at": 1, "type": "uint16"}}}})
    await bench.connect()
    ear = await bench.listen(device, group(point("v", DataType.UINT16), subscribed=True))
    await asyncio.sleep(0.03)
    for number in range(3):
        bench.far.send(b"\xff\x00" + bytes((number,)))
        await ear.until(lambda number=number: len(ear.batches) == number + 1)
    assert ear.rows == [(0,), (1,), (2,)]


async def test_a_damaged_character_costs_its_frame(bench: Bench) -> None:
    """As the kernel marks a parity error: FF 00 and the character."""
    device = bench.device(**LINES)
    await bench.connect()
    ear = await bench.listen(device, group(point("v", DataType.UINT32), subscribed=True))
    assert bench.opened is not None
    bench.opened.data_received(b"\n1")
    bench.opened.line_error()
    bench.opened.data_received(b"3\n45\n")
    assert ear.rows == [(45,)]
    assert bench.counters["line_errors"] == 1


async def test_points_in_error_are_bad_at_once(bench: Bench) -> None:
    device = bench.device(**LINES, command={"zero": {"send": "Z", "ack": "Z"}})
    await bench.connect()
    only_written = point("zero", DataType.BOOL).__class__(
        "zero", DataType.BOOL, type(point("v").options)(command="zero")
    )
    wanted = group(point("v", DataType.UINT32), point("w"), only_written, subscribed=True)
    *read, written = wanted.layout.tags
    layout = replace(wanted.layout, tags=(*read, replace(written, writable=True)))
    ear = await bench.listen(device, replace(wanted, layout=layout))
    (batch,) = ear.batches
    assert list(batch.columns or ()) == [1, 2]
    assert list(batch.qualities or ()) == [int(Quality.BAD_CONFIGURATION_ERROR), int(Quality.BAD_NOT_SUPPORTED)]


# -- unplugging


async def test_a_pulled_plug_is_told_at_once_and_heals_under_another_number(bench: Bench) -> None:
    device = bench.device(**LINES)
    numbers = set()
    for life in range(3):
        await bench.connect()
        numbers.add(os.path.realpath(bench.far.device))
        ear = await bench.listen(device, group(point("v", DataType.UINT32), subscribed=True))
        bench.far.send(b"\n%d\n" % life)
        await ear.until(lambda heard=ear: heard.batches)
        assert ear.rows == [(life,)]
        bench.far.unplug()
        await ear.until(lambda heard=ear: heard.ends)
        assert ear.ends == [("down", f"{bench.far.device} is gone: check the cable")]
        with pytest.raises(LinkDown, match="there is no port"):
            await bench.connect()
        taken = os.openpty()
        bench.far.plug()
        for descriptor in taken:
            os.close(descriptor)
    assert len(numbers) > 1


async def test_a_read_that_waits_when_the_plug_is_pulled_ends_at_once(bench: Bench) -> None:
    device = bench.device(
        framing={"end": "\n"}, message={"m": {"request": "?\n", "pattern": "(?P<v>.)"}}, timeout_ms=60_000
    )
    await bench.connect()
    reading = asyncio.create_task(device.read(device.plan(group(point("v", DataType.STRING)))))
    await bench.far.until(lambda data: data == b"?\n")
    bench.far.unplug()
    async with asyncio.timeout(1):
        with pytest.raises(LinkDown, match="is gone"):
            await reading


# -- silence


async def test_an_instrument_that_falls_silent_is_said_to_be(bench: Bench) -> None:
    device = bench.device(**LINES, init=[r"GO\n"], init_pause_ms=0, listen_ms=100)
    await bench.connect()
    asked = group(point("v", DataType.UINT32), subscribed=True, stale_s=0.15)
    ear = await bench.listen(device, asked)
    bench.far.send(b"\n1\n")
    await ear.until(lambda: ear.ends)
    assert ear.rows == [(1,)]
    assert ear.ends == [("silent", f"scale1 at {bench.far.device}: nothing came for 0.15 s")]
    # It must speak before it is believed in again; what makes it talk is sent once more.
    with pytest.raises(DeviceSilent, match="nothing came within 100 ms"):
        await bench.listen(device, asked)
    await bench.far.until(lambda data: data == b"GO\nGO\n")
    bench.far.answer = lambda data: bench.far.send(b"2\n")
    again = await bench.listen(device, asked)
    bench.far.send(b"3\n")
    await again.until(lambda: (3,) in again.rows)


async def test_a_talker_that_goes_on_is_never_silent(bench: Bench) -> None:
    device = bench.device(**LINES)
    await bench.connect()
    ear = await bench.listen(device, group(point("v", DataType.UINT32), subscribed=True, stale_s=0.15))
    for number in range(12):
        bench.far.send(b"\n%d\n" % number)
        await asyncio.sleep(0.03)
    assert ear.ends == []


async def test_silence_after_an_event_means_nothing(bench: Bench) -> None:
    """A barcode reader is silent most of the time, and nothing is current about it."""
    device = bench.device(preset="barcode")
    await bench.connect()
    ear = await bench.listen(device, group(point("code", DataType.STRING), subscribed=True, stale_s=0.09))
    (waiting,) = ear.batches
    assert list(waiting.qualities or ()) == [int(Quality.BAD_WAITING_FOR_INITIAL_DATA)]
    assert not waiting.event
    await ear.until(lambda: len(ear.confirmed) >= 4)
    assert {*ear.confirmed} == {(0,)}
    bench.far.send(b"\rA1\rA1\r")
    await ear.until(lambda: len(ear.batches) == 3)
    assert ear.rows[1:] == [("A1",), ("A1",)]
    assert all(batch.event for batch in ear.batches[1:])
    assert ear.ends == []


async def test_without_a_limit_nothing_is_stale(bench: Bench) -> None:
    device = bench.device(**LINES)
    await bench.connect()
    ear = await bench.listen(device, group(point("v", DataType.UINT32), subscribed=True))
    await asyncio.sleep(0.1)
    assert ear.ends == []


# -- what is sent by itself


async def test_what_makes_it_talk_is_sent_once_in_each_life_of_the_port(bench: Bench) -> None:
    device = bench.device(**LINES, init=["SIR<CR>", "@<CR>"], init_pause_ms=1)
    for life in (1, 2):
        await bench.connect()
        for name in ("fast", "slow"):
            await bench.listen(device, group(point("v", DataType.UINT32), name=name, subscribed=True))
        await bench.far.until(lambda data, life=life: data == b"SIR\r@\r" * life)


async def test_it_is_kept_talking(bench: Bench) -> None:
    device = bench.device(**LINES, keepalive={"send": "K", "every_s": 0.02})
    await bench.connect()
    await bench.far.until(lambda data: data.count(b"K") >= 3)
    assert bench.counters["keepalives"] >= 3
    assert bench.opened is not None
    await bench.opened.close()
    sent = len(bench.far.received)
    await asyncio.sleep(0.06)
    assert len(bench.far.received) <= sent + 1
    assert device.keepalive is not None


async def test_a_request_is_not_disturbed_by_what_keeps_it_talking(bench: Bench) -> None:
    device = bench.device(
        framing={"end": "\n"},
        message={"m": {"request": "?\n", "pattern": r"(?P<v>\d+)"}},
        keepalive={"send": "K", "every_s": 0.01},
    )
    await bench.connect()
    loop = asyncio.get_running_loop()
    between: list[bytes] = []

    def answer(data: bytes) -> None:
        between.append(data)
        if b"?" in data:
            between.clear()
            loop.call_later(0.05, bench.far.send, b"1\n")

    bench.far.answer = answer
    assert (await device.read(device.plan(group(point("v", DataType.UINT8))))).values[0] == 1
    assert between == []


async def test_two_who_talk_on_one_line_are_told_apart(bench: Bench) -> None:
    shape = {"framing": {"end": "\n"}, "message": {"m": {"pattern": r"{address}:(?P<v>\d+)"}}}
    first, second = (bench.device(f"d{n}", address=str(n), **shape) for n in (1, 2))
    await bench.connect()
    ears: list[Ear] = [
        await bench.listen(device, group(point("v", DataType.UINT8), subscribed=True)) for device in (first, second)
    ]
    bench.far.send(b"\n1:11\n2:22\n3:33\n1:12\n")
    await ears[0].until(lambda: len(ears[0].batches) == 2)
    assert [ear.rows for ear in ears] == [[(11,), (12,)], [(22,)]]
    assert bench.counters["unexpected_frames"] == 1
