"""Traces over every way a frame can travel, and of lines on which things go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastcrc import crc16

from drivers.modbus import KIND
from drivers.modbus.dissection import dissect
from drivers.modbus.tracing import Tracer
from gateway.wire import Direction, Frame
from tests.drivers.modbus.points import group, point
from tests.drivers.modbus.test_callers import Exchange
from tests.drivers.modbus.test_callers import read as read_called
from tests.drivers.modbus.test_udp import UdpSlave
from tests.support import raw_modbus as raw
from tests.support.raw_line import LineSlave
from tests.support.raw_modbus import RawSlave
from tests.support.site import SITE

POINTS = group(point("a", "hr:100"), point("b", "hr:101"))


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    opened = Exchange()
    yield opened
    await opened.bus.close()
    for router in opened.routers:
        await router.stop()


def summaries(frames: list[Frame]) -> Iterator[str]:
    asked: Frame | None = None
    for frame in frames:
        yield dissect(frame, asked).summary
        if frame.direction is Direction.SENT:
            asked = frame


ASKED = "unit 1: read holding registers hr:100 to 101"
TOLD = "unit 1: answer to read holding registers hr:100 to 101 = 1100 (0x044C), 1101 (0x044D)"


async def test_datagrams_and_answers_in_pieces() -> None:
    for slave, transport in ((UdpSlave(), "udp"), (RawSlave(), "tcp")):
        slave.holding[:200] = range(1000, 1200)
        await slave.start()
        if transport == "tcp":
            slave.always(raw.dribble)
        options = KIND.link_options(transport=transport, host="127.0.0.1", port=slave.port, timeout_ms=1000)
        bus: Any = KIND.open_bus("link1", options, SITE)
        device = KIND.open_device(bus, "d", KIND.device_options())
        frames: list[Frame] = []
        await bus.connect()
        bus.trace(frames.append)
        await device.read(device.plan(POINTS))
        assert list(summaries(frames)) == [ASKED, TOLD], transport
        bus.trace(None)
        await device.read(device.plan(POINTS))
        assert len(frames) == 2
        await bus.close()
        await slave.stop()


@pytest.mark.parametrize("transport", ["tcp", "rtu-over-tcp", "ascii-over-tcp"])
async def test_one_who_calls_is_traced_too(exchange: Exchange, transport: str) -> None:
    device = exchange.open(transport=transport, connect_timeout_ms=5000)
    frames: list[Frame] = []
    exchange.bus.trace(frames.append)
    slave = None if transport == "tcp" else LineSlave(transport.removesuffix("-over-tcp"))
    connecting = asyncio.create_task(exchange.bus.connect())
    await exchange.router(slave).dial()
    await connecting
    await read_called(device)
    assert list(summaries(frames)) == [ASKED, TOLD]


# -- cutting


def cut(pieces: list[bytes], **options: Any) -> list[Frame]:
    frames: list[Frame] = []
    tracer = Tracer(frames.append, KIND.link_options(**options))
    for piece in pieces:
        tracer.received(piece)
    tracer.flush()
    return frames


RTU = {"transport": "rtu", "device": "/dev/ttyS0"}
ANSWER = bytes.fromhex("01 03 04 04 4c 04 4d a8 db")


async def test_frames_of_a_line_are_cut_by_their_checksum_and_noise_is_shown() -> None:
    good = ANSWER[:-2] + crc16.modbus(ANSWER[:-2]).to_bytes(2, "little")
    assert [frame.data for frame in cut([good[:3], good[3:] + good], **RTU)] == [good, good]
    (broken,) = cut([good[:-1] + b"\x00"], **RTU)
    assert (broken.data, broken.note) == (good[:-1] + b"\x00", "incomplete")
    text = b":010304044C044D5F\r\n"
    assert [frame.data for frame in cut([text[:5], text[5:] + text], transport="ascii", device="/dev/ttyS0")] == [
        text
    ] * 2
    flood = cut([bytes(600)], transport="ascii", device="/dev/ttyS0")
    assert (len(flood), flood[0].note) == (1, "incomplete")


async def test_what_the_adapter_echoes_is_told_from_the_answer() -> None:
    good = ANSWER[:-2] + crc16.modbus(ANSWER[:-2]).to_bytes(2, "little")
    frames: list[Frame] = []
    tracer = Tracer(frames.append, KIND.link_options(**RTU, local_echo=True))
    request = bytes.fromhex("01 03 00 64 00 02 85 d4")
    tracer.sent(request)
    tracer.received(request[:5])
    tracer.received(request[5:] + good)
    assert [(frame.direction.value, frame.data, frame.note) for frame in frames] == [
        ("sent", request, ""),
        ("received", request, "echo of what was sent"),
        ("received", good, ""),
    ]
