"""A serial instrument on a pseudo-terminal, which answers requests and talks by itself, too."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from drivers.serial import KIND as SERIAL
from gateway.driver import Point
from gateway.model import DataType, Value
from tests.conformance.adapters.adapter import TIMEOUT_S
from tests.support.pty_port import PtyPort

PAUSE_S = TIMEOUT_S / 20


class SerialAdapter:
    kind = SERIAL
    timeout_s = TIMEOUT_S
    silence_is_loss = True  # unanswered requests in a row open the port anew
    connects_slowly = True  # 30 ms of silence before an instrument that may be in the middle of a message is spoken to
    requests_per_read = 3

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tidegate-"))
        self._port = PtyPort(self._folder)
        self._port.answer = self._hear
        self._said = {"speed": b"1450", "run": b"on", "name": b"Filler", "load": b"61.5"}
        self._line = bytearray()
        self._quiet = False
        self._delay_s = 0.0
        self._requests = 0
        self._arrived = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()
        self._talk: asyncio.TimerHandle | None = None
        self.points = (
            _point("speed", DataType.UINT16, command="speed"),
            _point("run", DataType.BOOL),
            _point("load", DataType.FLOAT64),
            _point("name", DataType.STRING),
        )
        self.impossible = _point("wrong", DataType.UINT16)
        self.missing = _point("absent", DataType.UINT16)
        self.writable = self.points[0]
        self.written = 900

    @property
    def values(self) -> Sequence[Value]:
        said = self._said
        return (int(said["speed"]), said["run"] == b"on", float(said["load"]), said["name"].decode())

    async def start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        self._port.plug()
        self._talk = asyncio.get_running_loop().call_later(PAUSE_S, self._repeat)

    async def stop(self) -> None:
        if self._talk is not None:
            self._talk.cancel()
        for timer in self._timers:
            timer.cancel()
        self._port.unplug()
        if self._folder.exists():
            self._folder.rmdir()

    def link_options(self) -> Any:
        return SERIAL.link_options(device=self._port.device)

    def device_options(self) -> Any:
        pattern = r"name=(?P<name>\w+)(?:,(?P<absent>\d+))?+"
        return SERIAL.device_options.model_validate(
            {
                "framing": {"end": "\n"},
                "message": {
                    "motion": {"request": "?m\n", "spontaneous": True, "pairs": "=", "separator": ";", "match": "run"},
                    "load": {"request": "?l\n", "spontaneous": True, "pattern": r"load=(?P<load>[\d.]+)"},
                    "name": {"request": "?n\n", "spontaneous": True, "pattern": pattern},
                },
                "command": {"speed": {"send": r"speed={value}\n", "ack": "OK"}},
                "timeout_ms": int(1000 * self.timeout_s),
                "listen_ms": int(1000 * self.timeout_s),
            }
        )

    def silence(self) -> None:
        self._quiet = True

    def slow_down(self, delay_s: float) -> None:
        self._quiet, self._delay_s = False, delay_s

    def speak(self) -> None:
        self._quiet, self._delay_s = False, 0.0

    async def change(self) -> tuple[int, Value]:
        speed = int(self._said["speed"]) + 1
        self._said["speed"] = str(speed).encode()
        return 0, speed

    async def disconnect(self) -> None:
        if self._port.plugged:
            self._port.unplug()
            self._port.plug()

    async def asked(self, count: int) -> None:
        while self._requests < count:
            self._arrived.clear()
            await self._arrived.wait()

    def requests(self) -> int:
        return self._requests

    # -- the instrument

    def _hear(self, data: bytes) -> None:
        self._line += data
        while (end := self._line.find(b"\n")) >= 0:
            request = bytes(self._line[:end])
            del self._line[: end + 1]
            self._requests += 1
            self._arrived.set()
            if not self._quiet:
                self._later(self._delay_s, lambda request=request: self._answer(request))

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        if not delay_s:
            action()
            return
        self._timers.add(asyncio.get_running_loop().call_later(delay_s, action))

    def _answer(self, request: bytes) -> None:
        if request.startswith(b"speed="):
            self._said["speed"] = request.removeprefix(b"speed=")
            self._port.send(b"OK\n")
        else:
            self._port.send(self._frame(request[1:].decode()))

    def _frame(self, kind: str) -> bytes:
        said = self._said
        if kind == "m":
            return b"run=%b;speed=%b\n" % (said["run"], said["speed"])
        return b"load=%b\n" % said["load"] if kind == "l" else b"name=%b\n" % said["name"]

    def _repeat(self) -> None:
        """Talk unasked, but not while a slow answer is awaited: it would be one that isn't slow."""
        if not (self._quiet or self._delay_s) and self._port.opened:
            self._port.send(b"".join(map(self._frame, "mln")))
        self._talk = asyncio.get_running_loop().call_later(PAUSE_S, self._repeat)


def _point(field: str, type_: DataType, **options: Any) -> Point:
    message = {"wrong": "name", "speed": "motion", "run": "motion"}.get(field, field if field == "load" else "name")
    return Point(field, type_, SERIAL.tag_options(field=field, message=message, **options))
