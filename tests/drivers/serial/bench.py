"""A serial bus over a null modem, its devices, and who listens to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from drivers.serial import KIND
from drivers.serial.bus import SerialBus
from drivers.serial.device import SerialDevice
from gateway.driver import Point, PollGroup
from gateway.model import DataType, Value
from tests.support import receiver
from tests.support.groups import group_of
from tests.support.pty_port import PtyPort
from tests.support.site import SITE


def point(path: str, type: DataType = DataType.FLOAT64, field: str | None = None, **options: Any) -> Point:  # noqa: A002
    """A tag of the field of the same name, unless told otherwise."""
    return Point(path, type, KIND.tag_options(field=field or path, **options))


def group(*points: Point, **options: Any) -> PollGroup:
    return group_of(*points, device="scale1", **options)


class Ear(receiver.Ear):
    """Of a serial line, on which nothing is ever said to be lost."""

    def lost(self, count: int, reason: str) -> None:
        raise AssertionError("nothing is lost on a serial line")

    @property
    def rows(self) -> list[tuple[Value, ...]]:
        return [tuple(batch.values) for batch in self.batches]


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
