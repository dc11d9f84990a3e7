"""Requests and answers: what counts as one, and what becomes of those that come late, twice or never."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import Any

import pytest

from gateway.driver import DeviceSilent, LinkDown
from gateway.model import DataType, Quality
from tests.drivers.serial.bench import Bench, group, point

TIMEOUT = int(Quality.BAD_TIMEOUT)

METER: dict[str, Any] = {
    "framing": {"end": "\n"},
    "message": {
        "volts": {
            "request": "U?\n",
            "pattern": r"U=(?P<volts>[\d.]+)",
            "refused": {"U:busy": "BadWaitingForInitialData"},
        },
        "amps": {"request": "I?\n", "pattern": r"I=(?P<amps>[\d.]+)"},
        "watts": {"request": "P?\n", "pattern": r"P=(?P<watts>[\d.]+)"},
    },
}
ALL = (point("volts"), point("amps"), point("watts"))


async def test_one_request_for_all_that_a_message_holds(bench: Bench) -> None:
    device = bench.device(message={"m": {"request": "?\n", "pairs": "="}}, framing={"end": "\n"})
    plan = device.plan(group(point("a"), point("b"), point("c")))
    assert list(plan.describe()) == [r"send '?\n', take m (3 tags)"]
    bench.answer({b"?\n": b"a=1,b=2,c=3\n"})
    await bench.connect()
    assert tuple((await device.read(plan)).values) == (1.0, 2.0, 3.0)
    assert bench.far.received == b"?\n"


async def test_what_stays_unanswered_is_bad_and_the_rest_is_read(bench: Bench) -> None:
    device = bench.device(**METER)
    bench.answer({b"U?\n": b"U=230\n", b"P?\n": b"P=100\n"})
    await bench.connect()
    batch = await device.read(device.plan(group(*ALL)))
    assert list(batch.values) == [230.0, None, 100.0]
    assert list(batch.qualities or ()) == [0, TIMEOUT, 0]


async def test_after_two_timeouts_the_rest_of_a_read_is_given_up(bench: Bench) -> None:
    device = bench.device(
        **{**METER, "message": {**METER["message"], "more": {"request": "Q?\n", "pattern": "(?P<q>.)"}}}
    )
    bench.answer({b"U?\n": b"U=230\n"})
    await bench.connect()
    batch = await device.read(device.plan(group(*ALL, point("q"))))
    assert list(batch.qualities or ()) == [0, TIMEOUT, TIMEOUT, TIMEOUT]
    assert b"Q?" not in bench.far.received


async def test_an_answer_that_refuses_is_a_quality_at_once(bench: Bench) -> None:
    device = bench.device(**METER)
    bench.answer({b"U?\n": b"U:busy\n", b"I?\n": b"I=1\n", b"P?\n": b"P=2\n"})
    await bench.connect()
    batch = await device.read(device.plan(group(*ALL)))
    assert list(batch.qualities or ()) == [int(Quality.BAD_WAITING_FOR_INITIAL_DATA), 0, 0]
    assert bench.counters.get("timeouts", 0) == 0


async def test_a_late_answer_is_never_taken_for_a_fresh_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer carries the number of its request; the instrument is often slower than the timeout.

    What comes later than two timeouts can't be told from a fresh one. A busy machine may hold this process up at any
    line, so how late an answer is counts from when its request was sent, and one that is held up too long isn't sent.
    """
    timeout_s = 0.04
    device = bench.device(
        framing={"end": "\n"}, message={"m": {"request": "?\n", "pattern": r"(?P<n>\d+)"}}, timeout_ms=40
    )
    loop = asyncio.get_running_loop()
    chance = random.Random(7)
    sent_at: list[float] = []

    def say(part: bytes, of: int) -> None:
        if time.monotonic() < sent_at[of] + 1.75 * timeout_s:
            bench.far.send(part)

    def answer(data: bytes) -> None:
        assert data == b"?\n"
        reply, of = b"%d\n" % len(sent_at), len(sent_at) - 1
        if chance.random() < 0.4:
            # In two parts, later than the timeout but before the line was silent for another.
            late_s = chance.uniform(1.0, 1.5) * timeout_s + sent_at[of] - time.monotonic()
            loop.call_later(late_s, say, reply[:1], of)
            loop.call_later(late_s + 0.002, say, reply[1:], of)
        else:
            bench.far.send(reply)

    bench.far.answer = answer
    assert bench.opened is not None
    bench.opened.options = bench.opened.options.model_copy(update={"timeouts_before_reconnect": 0})
    await bench.connect()
    port = bench.opened.require_port()
    write = port.write

    def note(data: bytes) -> None:
        sent_at.append(time.monotonic())
        write(data)

    monkeypatch.setattr(port, "write", note)
    plan = device.plan(group(point("n", DataType.UINT32)))
    right = silent = 0
    for _ in range(60):
        try:
            batch = await device.read(plan)
        except DeviceSilent:
            silent += 1
        else:
            right += 1
            assert batch.values[0] == len(sent_at)
    assert right > 25
    assert silent > 10
    assert bench.counters["unexpected_frames"] > 5


async def test_what_was_there_before_the_request_is_no_answer(bench: Bench) -> None:
    device = bench.device(**METER)
    bench.answer({b"I?\n": b"I=2\n", b"P?\n": b"P=2\n", b"U?\n": b""})
    await bench.connect()
    bench.far.send(b"U=1\nU=1")
    plan = device.plan(group(point("volts")))
    with pytest.raises(DeviceSilent, match=r"scale1 at .*: no answer within 100 ms"):
        await device.read(plan)


async def test_a_frame_begun_before_the_request_is_no_answer(bench: Bench) -> None:
    """Its first part lay on the line already when the request was sent."""
    device = bench.device(
        framing={"start": "$", "end": "\n"}, message={"m": {"request": "?", "pattern": r"(?P<n>\d+)"}}
    )
    await bench.connect()
    bench.far.send(b"$1")
    bench.far.delivered()
    bench.far.answer = lambda data: bench.far.send(b"1\n$22\n")
    assert (await device.read(device.plan(group(point("n", DataType.UINT8))))).values[0] == 22


async def test_a_cancelled_request_leaves_nothing_to_the_next(bench: Bench) -> None:
    device = bench.device(**METER)
    held: list[bytes] = []
    bench.far.answer = held.append
    await bench.connect()
    plan = device.plan(group(point("volts")))
    reading = asyncio.create_task(device.read(plan))
    await bench.far.until(lambda data: data == b"U?\n")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    bench.answer({b"U?\n": b"U=2\n"})
    asyncio.get_running_loop().call_later(0.03, bench.far.send, b"U=1\n")
    assert (await device.read(plan)).values[0] == 2.0


async def test_lasting_silence_opens_the_port_anew(bench: Bench) -> None:
    bench.bus(timeouts_before_reconnect=2)
    device = bench.device(**METER)
    await bench.connect()
    plan = device.plan(group(point("volts")))
    with pytest.raises(DeviceSilent):
        await device.read(plan)
    with pytest.raises(LinkDown, match="2 requests in a row stayed unanswered"):
        await device.read(plan)
    with pytest.raises(LinkDown):
        await device.read(plan)
    bench.answer({b"U?\n": b"U=1\n"})
    await bench.connect()
    assert (await device.read(plan)).values[0] == 1.0


async def test_two_instruments_on_one_line_are_told_apart_by_their_address(bench: Bench) -> None:
    options = {
        "framing": {"end": "\r"},
        "message": {"m": {"request": "{address}R<CR>", "pattern": r"{address}(?P<v>\d+)"}},
    }
    bench.bus(timeouts_before_reconnect=0)
    first, second = (bench.device(f"d{n}", address=f"0{n}", **options) for n in (1, 2))
    said = {b"01R": b"0111\r", b"02R": b"0222\r"}
    bench.far.answer = lambda data: bench.far.send(said[data.rstrip(b"\r")])
    await bench.connect()
    plans = [device.plan(group(point("v", DataType.UINT16))) for device in (first, second)]
    assert (await first.read(plans[0])).values[0] == 11
    assert (await second.read(plans[1])).values[0] == 22
    said[b"01R"] = b"0222\r"
    with pytest.raises(DeviceSilent):
        await first.read(plans[0])


async def test_instruments_with_different_framings_share_a_line(bench: Bench) -> None:
    lines = bench.device("a", framing={"end": "\n"}, message={"m": {"request": "A\n", "pattern": r"a(?P<v>\d+)"}})
    frames = bench.device(
        "b", framing={"start": "<STX>", "end": "<ETX>"}, message={"m": {"request": "B\n", "pattern": r"b(?P<v>\d+)"}}
    )
    bench.answer({b"A\n": b"a1\n", b"B\n": b"\x02b2\x03"})
    await bench.connect()
    for _ in range(3):
        assert (await lines.read(lines.plan(group(point("v", DataType.UINT8))))).values[0] == 1
        assert (await frames.read(frames.plan(group(point("v", DataType.UINT8))))).values[0] == 2


async def test_requests_may_be_framed_and_checked_as_answers_are(bench: Bench) -> None:
    device = bench.device(
        framing={"start": "<STX>", "end": "<ETX>", "checksum": {"kind": "xor", "place": "after-end", "over_end": True}},
        frame_requests=True,
        message={"m": {"request": "R1", "pattern": r"R1:(?P<v>\d+)"}},
    )
    request = b"\x02R1\x03" + bytes((ord("R") ^ ord("1") ^ 3,))

    def answer(data: bytes) -> None:
        assert data == request
        body = b"R1:7\x03"
        check = 0
        for byte in body:
            check ^= byte
        bench.far.send(b"\x02" + body + bytes((check,)))

    bench.far.answer = answer
    await bench.connect()
    assert (await device.read(device.plan(group(point("v", DataType.UINT8))))).values[0] == 7


async def test_a_pause_between_requests_is_kept(bench: Bench) -> None:
    bench.bus(pause_between_requests_ms=50)
    device = bench.device(**METER)
    loop = asyncio.get_running_loop()
    times: list[float] = []
    said = {b"U?\n": b"U=1\n", b"I?\n": b"I=1\n", b"P?\n": b"P=1\n"}

    def answer(data: bytes) -> None:
        times.append(loop.time())
        bench.far.send(said[data])

    bench.far.answer = answer
    await bench.connect()
    await device.read(device.plan(group(*ALL)))
    assert len(times) == 3
    assert min(b - a for a, b in itertools.pairwise(times)) >= 0.049


async def test_a_talker_may_be_polled_too(bench: Bench) -> None:
    """The read waits for the next frame; one that came before isn't now."""
    device = bench.device(framing={"end": "\n"}, message={"m": {"pattern": r"(?P<v>\d+)"}})
    await bench.connect()
    plan = device.plan(group(point("v", DataType.UINT8)))
    bench.far.send(b"1\n")
    reading = asyncio.create_task(device.read(plan))
    await asyncio.sleep(0.02)
    bench.far.send(b"2\n")
    assert (await reading).values[0] == 2
    with pytest.raises(DeviceSilent, match="nothing came within 300 ms"):
        await device.read(plan)


async def test_a_read_of_a_talker_ends_when_every_tag_is_known(bench: Bench) -> None:
    device = bench.device(preset="nmea", listen_ms=5000)
    await bench.connect()
    plan = device.plan(group(point("hdop"), point("speed_kmh"), subscribed=True))
    reading = asyncio.create_task(device.read(plan))
    await asyncio.sleep(0.01)
    bench.far.send(b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n")
    bench.far.send(b"$GPVTG,252.9,T,,M,002.2,N,004.1,K,N*0B\r\n")
    async with asyncio.timeout(2):
        assert tuple((await reading).values) == (0.9, 4.1)


async def test_a_device_may_be_opened_on_a_port_that_is_open_already(bench: Bench) -> None:
    first = bench.device("a", framing={"end": "\n"}, message={"m": {"pattern": r"(?P<v>\d+)"}})
    await bench.connect()
    reading = asyncio.create_task(first.read(first.plan(group(point("v", DataType.UINT8)))))
    await asyncio.sleep(0)
    bench.far.send(b"garbage\n1\n")
    await reading
    second = bench.device("b", framing={"end": "\r"}, message={"m": {"request": "?\n", "pattern": r"(?P<w>\d+)"}})
    bench.answer({b"?\n": b"2\r"})
    assert (await second.read(second.plan(group(point("w", DataType.UINT8))))).values[0] == 2


async def test_who_talks_keeps_the_port_open_for_one_who_does_not_answer(bench: Bench) -> None:
    bench.bus(timeouts_before_reconnect=2)
    talker = bench.device("a", framing={"end": "\n"}, message={"m": {"pattern": r"(?P<v>\d+)"}})
    dead = bench.device(
        "b", framing={"end": "\n"}, message={"m": {"request": "?", "pattern": r"x(?P<v>\d+)"}}, timeout_ms=30
    )
    await bench.connect()
    ear = await bench.listen(talker, group(point("v", DataType.UINT8), subscribed=True))
    for _ in range(4):
        with pytest.raises(DeviceSilent):
            await dead.read(dead.plan(group(point("v", DataType.UINT8))))
        heard = len(ear.batches)
        bench.far.send(b"\n7\n")
        await ear.until(lambda heard=heard: len(ear.batches) > heard)
    assert ear.ends == []


async def test_a_request_that_was_held_back_is_not_sent_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port is told to forget what flow control held back; that it does is tested with the port."""
    device = bench.device(**METER)
    await bench.connect()
    assert bench.opened is not None
    forgotten: list[bool] = []
    monkeypatch.setattr(bench.opened.require_port(), "discard_unsent", lambda: forgotten.append(True))
    with pytest.raises(DeviceSilent):
        await device.read(device.plan(group(point("volts"))))
    assert forgotten == [True]


async def test_a_barcode_reader_without_a_scan_is_not_a_silent_one(bench: Bench) -> None:
    device = bench.device(preset="barcode", listen_ms=50)
    await bench.connect()
    batch = await device.read(device.plan(group(point("code", DataType.STRING), subscribed=True)))
    assert list(batch.values) == [None]
    assert list(batch.qualities or ()) == [int(Quality.BAD_WAITING_FOR_INITIAL_DATA)]


async def test_events_are_not_polled(bench: Bench) -> None:
    (error,) = bench.device(preset="barcode").plan(group(point("code", DataType.STRING))).errors
    assert "is an event, which polling would miss" in error.message
