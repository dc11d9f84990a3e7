"""Against socat, which shares no code with pyserial: a pair of pseudo-terminals, and a device server's TCP port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers.serial import KIND
from gateway.driver import Bus, LinkDown
from gateway.model import DataType
from tests.drivers.serial.bench import Ear, group, point
from tests.support.mosquitto import free_port
from tests.support.site import SITE

pytestmark = [pytest.mark.integration]


@contextlib.asynccontextmanager
async def socat(*addresses: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec("socat", *addresses)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def connected(bus: Bus) -> None:
    """As soon as socat has made its ends."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await bus.connect()
            except LinkDown:
                await asyncio.sleep(0.02)


SCALE = r"""
while IFS= read -r line; do
  case "$line" in SI*) printf 'S S     100.00 kg\r\n';; esac
done
"""


async def test_a_scale_behind_a_pty_pair_answers_vanishes_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "scale"
    script = tmp_path / "scale.sh"
    script.write_text(SCALE)
    bus = KIND.open_bus("link1", KIND.link_options(device=str(path)), SITE)
    device = KIND.open_device(bus, "scale1", KIND.device_options(preset="sics", timeout_ms=2000))
    plan = device.plan(group(point("weight"), point("stable", DataType.BOOL), units=["kg"]))
    for _ in range(2):
        async with socat(f"PTY,link={path},rawer", f"EXEC:sh {script}"):
            await connected(bus)
            for _ in range(20):
                assert tuple((await device.read(plan)).values) == (100.0, True)
        with pytest.raises(LinkDown):
            await device.read(plan)
        with pytest.raises(LinkDown):
            await bus.connect()
    await bus.close()


async def test_a_device_server_of_a_talker(tmp_path: Path) -> None:
    port = free_port()
    bus = KIND.open_bus("link1", KIND.link_options(device=f"socket://127.0.0.1:{port}"), SITE)
    device = KIND.open_device(bus, "gnss1", KIND.device_options(preset="nmea"))
    sentence = tmp_path / "sentence"
    sentence.write_bytes(b"$GPVTG,252.9,T,,M,002.2,N,004.1,K,N*0B\r\n" * 50)
    async with socat(f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", f"OPEN:{sentence},rdonly,ignoreeof"):
        await connected(bus)
        ear = Ear()
        await device.subscribe(device.plan(group(point("speed_kmh"), subscribed=True)), ear)  # type: ignore[attr-defined]
        await ear.until(lambda: len(ear.batches) == 50)
        assert {*ear.rows} == {(4.1,)}
    await ear.until(lambda: ear.ends)
    assert ear.ends[0][0] == "down"
    await bus.close()
