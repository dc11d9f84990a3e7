"""Traces of a link that runs, and the capture files they become."""

from __future__ import annotations

import asyncio
import shutil
import struct
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.candidate import candidate_link
from gateway.diagnostics import pcap, trace
from gateway.diagnostics.trace import Trace, Tracing, Untraceable
from gateway.model import Batch
from gateway.settings import LinkSettings
from gateway.southbound import Supervisor
from gateway.wire import Capture, Direction, Frame, Layer
from tests.diagnostics.climbing import gateway, modbus
from tests.support.raw_modbus import RawSlave

SPEED = {"name": "speed", "address": "hr:10", "type": "uint16"}


@pytest.fixture
async def slave() -> AsyncIterator[RawSlave]:
    async with RawSlave() as running:
        running.holding[10] = 1450
        yield running


class Plant:
    """One device that is polled."""

    def __init__(self, link: LinkSettings) -> None:
        self.link = link
        self.batches = 0
        self.supervisor = Supervisor([link], self._take, lambda health: None)
        self.tracing = Tracing(self.supervisor.trace)

    def _take(self, batch: Batch) -> None:
        self.batches += 1

    async def __aenter__(self) -> Plant:
        self.supervisor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.tracing.close()
        await self.supervisor.stop()


@pytest.fixture
async def plant(tmp_path: Path, slave: RawSlave) -> AsyncIterator[Plant]:
    group = {"name": "fast", "interval_ms": 10, "tag": [SPEED]}
    tables = {"driver": "modbus", "host": "127.0.0.1", "port": slave.port}
    link = candidate_link(tables, {"group": [group]}, [], gateway(tmp_path), tmp_path)
    async with Plant(link) as running:
        yield running


async def some(running: Trace, count: int) -> list[dict[str, object]]:
    found = []
    async with asyncio.timeout(10):
        async for entry in running.follow():
            found.append(running.describe(entry))
            if len(found) == count:
                break
    return found


async def test_a_trace_shows_each_poll_decoded_and_linked_to_its_bytes(plant: Plant) -> None:
    running = plant.tracing.start(plant.link, "device")
    lines = await some(running, 6)
    begin = next(at for at, line in enumerate(lines) if line["direction"] == "sent")
    asked, told = lines[begin : begin + 2]
    assert asked["summary"] == "unit 1: read holding registers hr:10"
    assert told["summary"] == "unit 1: answer to read holding registers hr:10 = 1450 (0x05AA)"
    assert (told["device"], told["fault"], told["size"]) == ("device", False, 11)
    part = next(part for part in told["parts"] if part["name"] == "hr:10")  # type: ignore[attr-defined]
    data = bytes.fromhex(str(told["hex"]))
    assert data[part["offset"] : part["offset"] + part["length"]] == (1450).to_bytes(2, "big")
    assert [line["number"] for line in lines] == [1, 2, 3, 4, 5, 6]


async def test_it_outlasts_a_lost_connection_and_is_off_by_itself(plant: Plant, slave: RawSlave) -> None:
    running = plant.tracing.start(plant.link, "device", 0.3)
    await some(running, 4)
    await slave.hang_up()
    seen = running.seen
    async with asyncio.timeout(10):
        async for entry in running.follow(seen):
            assert entry.number > seen
    assert running.ended == "its time is over"
    assert running.status()["left_s"] == 0.0
    seen, polls = running.seen, plant.batches
    async with asyncio.timeout(10):
        while plant.batches < polls + 3:  # noqa: ASYNC110 - polls tell nobody
            await asyncio.sleep(0.005)
    assert running.seen == seen


async def test_two_traces_of_a_link_do_not_disturb_each_other(plant: Plant) -> None:
    first = plant.tracing.start(plant.link, "device")
    second = plant.tracing.start(plant.link, "device")
    await some(first, 2)
    plant.tracing.forget(first.id)
    assert first.ended == "it was stopped"
    after = second.seen
    async with asyncio.timeout(10):
        async for entry in second.follow(after):
            assert entry.number > after
            break
    with pytest.raises(KeyError):
        plant.tracing[first.id]


async def test_many_traces_are_refused_and_ended_ones_make_room(plant: Plant) -> None:
    running = [plant.tracing.start(plant.link, "device") for _ in range(trace.MAX_TRACES)]
    with pytest.raises(Untraceable, match="run already"):
        plant.tracing.start(plant.link, "device")
    running[1].end("enough")
    plant.tracing.start(plant.link, "device")
    assert running[1].id not in {each.id for each in plant.tracing.all()}


async def test_what_is_kept_and_seen_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "KEPT_BYTES", 3000)
    running = Trace("1", modbus(tmp_path, 502), "device", 60.0, seen_bytes=5000)
    for number in range(60):
        running.take(Frame(number, number, Direction.SENT, bytes(100), "mbap", "1"))
    assert running.ended == "0 MiB were seen"
    assert running.seen == 50
    assert len(running.entries()) == 10
    assert running.dropped == 40
    assert running.entries()[-1].number == 50


async def test_frames_of_other_devices_are_left_out_and_noise_is_not(tmp_path: Path) -> None:
    link = modbus(tmp_path, 502)
    other = replace(link.devices[0], name="other", options=link.kind.device_options(unit=2))
    running = Trace("1", replace(link, devices=(*link.devices, other)), "device", 60.0)
    for unit in ("1", "2", "", "77"):
        running.take(Frame(0, 0, Direction.RECEIVED, bytes(8), "rtu", unit))
    assert [entry.frame.unit for entry in running.entries()] == ["1", "", "77"]


# -- capture files


def packets(body: bytes) -> tuple[int, list[bytes]]:
    """(link type, packets) by the format's description alone."""
    magic, major, minor, _, _, _, link = struct.unpack_from("<IHHiIII", body)
    assert (magic, major, minor) == (0xA1B23C4D, 2, 4)
    found, at = [], 24
    while at < len(body):
        _, rest_ns, size, whole = struct.unpack_from("<IIII", body, at)
        assert size == whole
        assert rest_ns < 10**9
        found.append(body[at + 16 : at + 16 + size])
        at += 16 + size
    return link, found


def ones_complement_is_zero(data: bytes) -> bool:
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
    return total % 0xFFFF == 0


def frames(*sizes: int) -> list[Frame]:
    return [
        Frame(n, 10**18 + n, Direction.SENT if n % 2 == 0 else Direction.RECEIVED, bytes([n + 1]) * size, "mbap")
        for n, size in enumerate(sizes)
    ]


@pytest.mark.parametrize(("layer", "protocol"), [(Layer.TCP, 6), (Layer.UDP, 17)])
def test_packets_have_right_lengths_and_checksums(layer: Layer, protocol: int) -> None:
    link, found = packets(pcap.write(frames(12, 11, 1000, 7), Capture(layer, 502), "10.0.0.9"))
    assert link == 101
    for packet in found:
        assert packet[0] == 0x45
        assert int.from_bytes(packet[2:4], "big") == len(packet)
        assert packet[9] == protocol
        assert ones_complement_is_zero(packet[:20])
        pseudo = packet[12:20] + bytes((0, protocol)) + (len(packet) - 20).to_bytes(2, "big")
        assert ones_complement_is_zero(pseudo + packet[20:])
        assert b"\x0a\x00\x00\x09" in (packet[12:16], packet[16:20])


def test_sequence_numbers_count_the_bytes_of_either_side() -> None:
    _, found = packets(pcap.write(frames(12, 3000, 12), Capture(Layer.TCP, 502)))
    flags = [packet[33] for packet in found]
    assert flags[:3] == [0x02, 0x12, 0x10]
    due: dict[bytes, int] = {}
    for packet in found:
        source, (sequence, acknowledged) = packet[12:16], struct.unpack_from(">II", packet, 24)
        assert sequence == due.get(source, 0)
        other = packet[16:20]
        if packet[33] & 0x10:
            assert acknowledged == due[other]
        due[source] = sequence + len(packet) - 40 + bool(packet[33] & 0x02)
    assert b"".join(packet[40:] for packet in found if packet[12:16] == b"\xc0\x00\x02\x02") == bytes([2]) * 3000


def test_serial_frames_keep_their_direction() -> None:
    link, found = packets(pcap.write(frames(8, 7), Capture(Layer.SERIAL)))
    assert link == 250
    assert [packet[8] for packet in found] == [1, 2]
    assert [packet[12:] for packet in found] == [bytes([1]) * 8, bytes([2]) * 7]


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark isn't installed")
async def test_wireshark_reads_what_a_trace_writes(plant: Plant, tmp_path: Path) -> None:
    running = plant.tracing.start(plant.link, "device")
    await some(running, 6)
    file = tmp_path / "trace.pcap"
    file.write_bytes(running.pcap())
    command = ["tshark", "-r", str(file), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    shown = subprocess.run(
        [*command, "-Y", "modbus", "-T", "fields", "-e", "modbus.func_code", "-e", "modbus.regval_uint16"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "3\t1450" in shown
    wrong = "_ws.malformed || ip.checksum.status==0 || tcp.checksum.status==0 || tcp.analysis.flags"
    assert not subprocess.run([*command, "-Y", wrong], check=True, capture_output=True, text=True).stdout


async def test_a_trace_goes_on_when_its_link_is_started_anew(plant: Plant, slave: RawSlave) -> None:
    running = plant.tracing.start(plant.link, "device")
    await some(running, 2)
    changed = replace(
        plant.link, options=plant.link.kind.link_options(host="127.0.0.1", port=slave.port, timeout_ms=900)
    )
    await plant.supervisor.apply([changed])
    seen = running.seen
    async with asyncio.timeout(10):
        async for entry in running.follow(seen):
            assert entry.number > seen
            break
