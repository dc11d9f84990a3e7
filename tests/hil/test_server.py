"""The plant's Modbus TCP servers: the protocol byte by byte, and as libmodbus (mbpoll) sees them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from hil.plant.maps import DEVICES
from hil.plant.process import Process
from hil.plant.registers import Bank
from hil.plant.server import respond
from hil.plant.simulator import Plant

MBPOLL = shutil.which("mbpoll")


@pytest.fixture
def bank() -> Bank:
    process = Process()
    return Bank(next(device for device in DEVICES if device.name == "pump1"), process)


@pytest.fixture
async def plant() -> AsyncIterator[Plant]:
    async with Plant() as plant:
        yield plant


@pytest.mark.parametrize(
    ("request_pdu", "answer"),
    [
        ("04 000b 0001", "04 02 0007"),  # status word
        ("01 0000 0002", "01 01 01"),  # run on, reset off
        ("03 0000 0001", "03 02 0af0"),  # 28.00 Hz
        ("06 0000 1194", "06 0000 1194"),  # 45.00 Hz
        ("10 0000 0001 02 1194", "10 0000 0001"),
        ("16 0000 ff00 0001", "16 0000 ff00 0001"),  # mask write: 0x0af0 → 0x0a01
        ("05 0000 0000", "05 0000 0000"),
        ("0f 0000 0002 01 02", "0f 0000 0002"),
        ("63", "e3 01"),  # unknown function
        ("03 0000 0000", "83 03"),  # quantity
        ("03 0000 007e", "83 03"),
        ("01 0000 07d1", "81 03"),
        ("04 0014 0001", "84 02"),  # beyond the table
        ("04 ffff 0002", "84 02"),
        ("06 0000 1389", "86 03"),  # above 50 Hz
        ("05 0000 1234", "85 03"),
        ("10 0000 0001 04 1194", "90 03"),
        ("03 0000", "83 03"),  # cut short
    ],
)
def test_answers(bank: Bank, request_pdu: str, answer: str) -> None:
    assert respond(bank, bytes.fromhex(request_pdu)) == bytes.fromhex(answer)


def test_a_unit_that_does_not_exist_is_the_gateways_fault() -> None:
    assert respond(None, bytes.fromhex("03 0000 0001")) == bytes.fromhex("83 0b")


async def test_requests_may_come_in_one_segment_and_in_pieces(plant: Plant) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plant.ports["pumps"])

    def ask(transaction: int, unit: int) -> bytes:
        return struct.pack(">HHHBBHH", transaction, 0, 6, unit, 3, 0, 1)

    writer.write(ask(1, 1) + ask(2, 2) + ask(3, 9)[:7])
    one, two = await reader.readexactly(11), await reader.readexactly(11)
    writer.write(ask(3, 9)[7:])
    three = await reader.readexactly(9)
    assert [struct.unpack(">H", answer[:2])[0] for answer in (one, two, three)] == [1, 2, 3]
    assert (one[9:], two[9:], three[6:]) == (b"\x0a\xf0", b"\x0a\x28", b"\x09\x83\x0b")
    writer.write(b"GET / HTTP/1.1\r\n\r\n")  # not Modbus
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_stopping_ends_connections(plant: Plant) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plant.ports["tank1"])
    writer.write(struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, 1))
    await reader.readexactly(11)
    await plant.__aexit__()
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", plant.ports["tank1"])
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


async def test_time_passes_while_it_runs(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    stepped = asyncio.Event()
    steps: list[float] = []

    async def step(dt: float) -> None:
        steps.append(dt)
        if len(steps) == 3:
            stepped.set()

    monkeypatch.setattr(plant, "step", step)
    running = asyncio.create_task(plant.run())
    await asyncio.wait_for(stepped.wait(), 10)
    assert steps[:3] == [0.1] * 3
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def mbpoll(port: int, *arguments: str) -> dict[int, str]:
    """What mbpoll, libmodbus's client, prints for one poll: reference → text."""
    assert MBPOLL is not None
    process = await asyncio.create_subprocess_exec(
        *(MBPOLL, "-m", "tcp", "-p", str(port), "-0", "-1", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0, output.decode()
    lines = [line for line in output.decode().splitlines() if line.startswith("[")]
    return {int(line[1 : line.index("]")]): line.partition("\t")[2].split(" ")[0] for line in lines}


@pytest.mark.integration
@pytest.mark.skipif(MBPOLL is None, reason="mbpoll isn't installed")
async def test_an_independent_client_reads_and_writes(plant: Plant) -> None:
    process, ports = plant.process, plant.ports
    floats = await mbpoll(ports["tank1"], "-t", "3:float", "-B", "-r", "0", "-c", "7", "127.0.0.1")
    assert float(floats[2]) == pytest.approx(process.tanks[0].volume_l, rel=1e-4)
    assert float(floats[6]) == pytest.approx(process.tanks[0].jacket_c, rel=1e-4)
    volts = await mbpoll(ports["meter1"], "-t", "3:float", "-r", "0", "-c", "3", "127.0.0.1")  # low word first
    assert [float(text) for text in volts.values()] == pytest.approx(process.meter.volts, rel=1e-4)
    counters = await mbpoll(ports["filler1"], "-t", "4:hex", "-r", "120", "-c", "2", "127.0.0.1")
    swapped = bytes.fromhex("".join(text.removeprefix("0x") for text in counters.values()))
    total = struct.unpack(">I", bytes([swapped[1], swapped[0], swapped[3], swapped[2]]))[0]
    assert total == process.filler.bottles_total
    nozzles = await mbpoll(ports["filler1"], "-t", "1", "-r", "0", "-c", "12", "127.0.0.1")
    assert [text == "1" for text in nozzles.values()] == process.filler.nozzle_open
    await mbpoll(ports["pumps"], "-a", "2", "-t", "4", "-r", "0", "127.0.0.1", "4500")
    await mbpoll(ports["pumps"], "-a", "1", "-t", "0", "-r", "0", "127.0.0.1", "0")
    assert process.pumps[1].speed_setpoint_hz == 45.0
    assert not process.pumps[0].run_command
    assert process.pumps[1].run_command


@pytest.mark.integration
async def test_the_plant_runs_alone_and_ends_when_told() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hil.plant", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    line = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    assert {*line["ports"], *line["paths"]} == {device.endpoint for device in DEVICES}
    _, writer = await asyncio.open_connection("127.0.0.1", line["ports"]["meter1"])
    process.terminate()
    _, errors = await asyncio.wait_for(process.communicate(), 10)
    writer.close()
    assert (process.returncode, errors) == (0, b"")
