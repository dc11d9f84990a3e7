"""A serial bus over a null modem, its devices, and who listens to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from drivers.serial import KIND
from drivers.serial.bus import SerialBus
from drivers.serial.device import SerialDevice
from gateway.driver import Point, PollGroup
from gateway.model import Batch, DataType, Layout, Tag, Value
from tests.support.pty_port import PtyPort
from tests.support.site import SITE


def point(path: str, type: DataType = DataType.FLOAT64, field: str | None = None, **options: Any) -> Point:  # noqa: A002
    """A tag of the field of the same name, unless told otherwise."""
    return Point(path, type, KIND.tag_options(field=field or path, **options))


def group(
    *points: Point,
    name: str = "fast",
    subscribed: bool = False,
    stale_s: float | None = None,
    units: Sequence[str | None] = (),
    writable: bool = False,
) -> PollGroup:
    wide = [*units, *[None] * len(points)]
    tags = tuple(
        Tag(each.path, each.type, unit=unit, writable=writable) for each, unit in zip(points, wide, strict=False)
    )
    layout = Layout("scale1", name, ("acme", "plant1", "scale1"), tags)
    return PollGroup(name, layout, points, 1.0, subscribed, stale_s)


class Ear:
    """A Receiver that keeps what it is told."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.confirmed: list[Sequence[int] | None] = []
        self.ends: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    def take(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._news.set()

    def confirm(self, columns: Sequence[int] | None = None) -> None:
        self.confirmed.append(columns)
        self._news.set()

    def lost(self, count: int, reason: str) -> None:
        raise AssertionError("nothing is lost on a serial line")

    def silent(self, reason: str) -> None:
        self.ends.append(("silent", reason))
        self._news.set()

    def down(self, reason: str) -> None:
        self.ends.append(("down", reason))
        self._news.set()

    @property
    def rows(self) -> list[tuple[Value, ...]]:
        return [tuple(batch.values) for batch in self.batches]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._news.clear()
                await self._news.wait()


class Bench:
    """One port and what hangs on it."""

    def __init__(self, folder: Path) -> None:
        self.far = PtyPort(folder)
        self.opened: SerialBus | None = None

    def bus(self, **link: Any) -> SerialBus:
        self.opened = cast(SerialBus, KIND.open_bus("link1", KIND.link_options(device=self.far.device, **link), SITE))
        return self.opened

    def device(self, name: str = "scale1", **options: Any) -> SerialDevice:
        bus = self.opened or self.bus()
        quick = {"timeout_ms": 100, "listen_ms": 300, **options}
        return cast(SerialDevice, KIND.open_device(bus, name, KIND.device_options.model_validate(quick)))

    @property
    def counters(self) -> dict[str, int]:
        assert self.opened is not None
        return dict(KIND.counters(self.opened))

    async def connect(self) -> None:
        assert self.opened is not None
        await self.opened.connect()

    async def heard(self, size: int) -> None:
        """Wait until so many bytes have come in since the port was opened."""
        assert self.opened is not None
        async with asyncio.timeout(5):
            while self.opened._received < size:
                await asyncio.sleep(0)

    def answer(self, table: dict[bytes, bytes]) -> None:
        """Answer lines by table; others not at all."""
        line = bytearray()

        def hear(data: bytes) -> None:
            line.extend(data)
            while (end := line.find(b"\n")) >= 0:
                request = bytes(line[: end + 1])
                del line[: end + 1]
                if request in table:
                    self.far.send(table[request])

        self.far.answer = hear

    async def listen(self, device: SerialDevice, asked: PollGroup) -> Ear:
        ear = Ear()
        await device.subscribe(device.plan(asked), ear)
        return ear
