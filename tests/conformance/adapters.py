"""What the conformance suite needs to know of a driver: how to start a peer for it, and how to break that peer.

A new driver joins by adding its adapter to `ADAPTERS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from drivers.modbus import KIND as MODBUS
from gateway.driver import DriverKind, Point
from gateway.model import DataType, Value
from tests.support import raw_modbus
from tests.support.raw_modbus import RawSlave

TIMEOUT_S = 0.1
"""Reply timeout the adapters configure; the suite's bounds follow from it."""


class Adapter(Protocol):
    """One driver's peer, on loopback."""

    @property
    def kind(self) -> DriverKind: ...

    @property
    def points(self) -> Sequence[Point]:
        """At least three that the peer has, in at least two requests on the wire."""
        ...

    @property
    def values(self) -> Sequence[Value]:
        """What the peer gives for `points`."""
        ...

    @property
    def impossible(self) -> Point:
        """One that ``plan`` must report."""
        ...

    @property
    def missing(self) -> Point:
        """One that can be planned but that the peer doesn't have."""
        ...

    @property
    def writable(self) -> Point | None:
        """One of `points` that can be written, or None if the driver can't write."""
        ...

    @property
    def written(self) -> Value:
        """A value to write, other than the present one."""
        ...

    async def start(self) -> None:
        """Start the peer, at the same place as before if it was started before."""
        ...

    async def stop(self) -> None:
        """Stop the peer: connections are lost, new ones refused. Safe to repeat."""
        ...

    def link_options(self) -> Any: ...

    def device_options(self) -> Any: ...

    def silence(self) -> None:
        """From now on requests stay unanswered; the connection stands."""
        ...

    def slow_down(self) -> None:
        """From now on requests are answered, but only after half of `TIMEOUT_S`."""
        ...

    def speak(self) -> None:
        """Answer again as usual."""
        ...

    async def disconnect(self) -> None:
        """Drop the connections there are; new ones are taken."""
        ...

    async def asked(self, count: int) -> None:
        """Wait until `count` requests have arrived since the start."""
        ...

    def requests(self) -> int:
        """How many requests have arrived since the start."""
        ...


class ModbusAdapter:
    kind = MODBUS

    def __init__(self) -> None:
        self._slave = RawSlave()
        self.points = (
            Point("speed", DataType.UINT16, MODBUS.tag_options(address="hr:10")),
            Point("run", DataType.BOOL, MODBUS.tag_options(address="co:3")),
            Point("level", DataType.FLOAT32, MODBUS.tag_options(address="ir:20")),
            Point("name", DataType.STRING, MODBUS.tag_options(address="hr:5000", length=4)),
            Point("mode", DataType.INT16, MODBUS.tag_options(address="hr:11")),
        )
        self.values = (1450, True, 100.0, "Filler", -2)
        self.impossible = Point("wrong", DataType.BOOL, MODBUS.tag_options(address="hr:10"))
        self.missing = Point("absent", DataType.UINT16, MODBUS.tag_options(address="hr:12"))
        self.writable = self.points[0]
        self.written = 900
        slave = self._slave
        slave.holes = {12}
        slave.holding[10:12] = [1450, 0xFFFE]
        slave.holding[5000:5003] = [0x4669, 0x6C6C, 0x6572]
        slave.inputs[20:22] = [0x42C8, 0]
        slave.coils[3] = True

    async def start(self) -> None:
        await self._slave.start()

    async def stop(self) -> None:
        await self._slave.stop()

    def link_options(self) -> Any:
        return MODBUS.link_options(host="127.0.0.1", port=self._slave.port, timeout_ms=int(1000 * TIMEOUT_S))

    def device_options(self) -> Any:
        return MODBUS.device_options()

    def silence(self) -> None:
        self._slave.always(raw_modbus.mute)

    def slow_down(self) -> None:
        self._slave.always(raw_modbus.late(TIMEOUT_S / 2))

    def speak(self) -> None:
        self._slave.always(raw_modbus.answer)

    async def disconnect(self) -> None:
        await self._slave.hang_up()

    async def asked(self, count: int) -> None:
        await self._slave.asked(count)

    def requests(self) -> int:
        return len(self._slave.requests)


ADAPTERS: tuple[type[Adapter], ...] = (ModbusAdapter,)
