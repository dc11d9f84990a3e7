"""The plant's serial line in Modbus RTU, as libmodbus (mbpoll) sees it, and byte by byte."""

from __future__ import annotations

import asyncio
import os
import shutil
import struct
from collections.abc import AsyncIterator

import pytest

from hil.plant.line import crc
from hil.plant.maps import ONE_OF_EACH
from hil.plant.simulator import Plant

MBPOLL = shutil.which("mbpoll")


@pytest.fixture
async def path() -> AsyncIterator[str]:
    async with Plant(devices=ONE_OF_EACH) as plant:
        yield plant.paths["fieldbus"]


async def ask(path: str, *pieces: bytes) -> bytes:
    """What is answered to the pieces, each sent by itself."""
    port = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        for piece in pieces:
            os.write(port, piece)
            await asyncio.sleep(0.05)
        try:
            return os.read(port, 256)
        except BlockingIOError:
            return b""
    finally:
        os.close(port)


def framed(text: str) -> bytes:
    body = bytes.fromhex(text)
    return body + struct.pack("<H", crc(body))


def test_the_checksum_is_the_standards() -> None:
    assert crc(bytes.fromhex("02 07")) == 0x1241  # Modbus over Serial Line 1.02, appendix B


async def test_a_request_is_answered_whole_or_in_pieces(path: str) -> None:
    request = framed("01 03 0000 0001")
    assert await ask(path, request) == framed("01 03 02 0af0")
    assert await ask(path, request[:3], request[3:]) == framed("01 03 02 0af0")
    assert await ask(path, framed("01 10 0000 0001 02 1194")) == framed("01 10 0000 0001")
    assert await ask(path, framed("01 16 0000 ff00 0001")) == framed("01 16 0000 ff00 0001")
    assert await ask(path, framed("01 04 0014 0001")) == framed("01 84 02")


async def test_noise_other_units_and_broadcasts_are_left_alone(path: str) -> None:
    request = framed("01 03 0000 0001")
    assert await ask(path, framed("07 03 0000 0001")) == b""
    assert await ask(path, framed("00 06 0000 1194")) == b""
    assert await ask(path, request[:-1] + b"\0", request) == framed("01 03 02 0af0")


@pytest.mark.integration
@pytest.mark.skipif(MBPOLL is None, reason="mbpoll isn't installed: apt-get install mbpoll")
async def test_libmodbus_reads_it(path: str) -> None:
    assert MBPOLL is not None
    command = [MBPOLL, "-m", "rtu", "-b", "9600", "-P", "none", "-a", "1", "-r", "1", "-t", "4", "-1", "-q", path]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert b"2800" in out, out
