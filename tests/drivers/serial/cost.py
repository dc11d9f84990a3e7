"""CPU of one frame, from what the kernel read to the batch handed over: a talker at full speed.

Run it with ``python -m tests.drivers.serial.cost``; the README of the driver quotes what it prints. Not a test: figures
depend on the machine. 230400 bit/s are 23,040 characters a second. The event loop's own cost of a read comes on top.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import uvloop

from drivers.serial import KIND
from drivers.serial.bus import SerialBus
from drivers.serial.device import SerialDevice
from gateway.driver import Point
from gateway.model import Batch, DataType
from tests.drivers.serial.bench import Ear, group, point
from tests.support.pty_port import PtyPort
from tests.support.site import SITE

ROUNDS = 15
FRAMES = 2000
CHARACTERS_PER_S = 23_040
GGA = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"
SICS = b"S S     100.00 kg\r\n"
TOLEDO = b"\x02\x2c\x30\x20 12345   200\r"
NMEA_TAGS = (point("latitude"), point("longitude"), point("altitude"), point("satellites", DataType.UINT8))
WEIGHT = (point("weight"),)


class _Sink(Ear):
    def take(self, batch: Batch) -> None:
        pass


async def _measure(
    bus: SerialBus, options: dict[str, Any], points: tuple[Point, ...], unit: str | None, frame: bytes, chunk: int
) -> float:
    """Least CPU of a frame, in µs, if `chunk` characters are read at a time."""
    device = cast(SerialDevice, KIND.open_device(bus, "d", KIND.device_options.model_validate(options)))
    await device.subscribe(device.plan(group(*points, subscribed=True, units=[unit] * len(points))), _Sink())
    stream = frame * FRAMES
    parts = [stream[at : at + chunk] for at in range(0, len(stream), chunk)]
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for part in parts:
            bus.data_received(part)
        best = min(best, (time.process_time() - begun) / FRAMES * 1e6)
    return best


async def _all() -> None:
    for name, options, points, unit, frame in (
        ("NMEA GGA, 4 tags", {"preset": "nmea"}, NMEA_TAGS, None, GGA),
        ("SICS, 1 tag", {"preset": "sics"}, WEIGHT, "kg", SICS),
        ("Toledo continuous, 1 tag", {"preset": "toledo-continuous"}, WEIGHT, "kg", TOLEDO),
    ):
        for chunk in (8, 62, 4095):
            with tempfile.TemporaryDirectory() as folder, PtyPort(Path(folder)) as far:
                bus = cast(SerialBus, KIND.open_bus("link1", KIND.link_options(device=far.device), SITE))
                await bus.connect()
                cost = await _measure(bus, options, points, unit, frame, chunk)
                await bus.close()
            load = cost * 1e-6 * CHARACTERS_PER_S / len(frame)
            sys.stdout.write(f"{name}, {chunk} characters a read: {cost:.1f} µs a frame, {load:.2%} at 230400 bit/s\n")


if __name__ == "__main__":
    uvloop.run(_all())
