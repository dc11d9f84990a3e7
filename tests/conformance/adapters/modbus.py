"""Modbus TCP, against a raw slave that shares no code with the driver."""

from __future__ import annotations

from typing import Any

from drivers.modbus import KIND as MODBUS
from gateway.driver import Point
from gateway.model import DataType
from tests.conformance.adapters.adapter import TIMEOUT_S
from tests.support import raw_modbus
from tests.support.raw_modbus import RawSlave


class ModbusAdapter:
    row = "modbus-tcp"
    """A driver with several adapters gives each a name of its own."""
    kind = MODBUS
    timeout_s = TIMEOUT_S
    silence_is_loss = True
    connects_slowly = False
    requests_per_read = 4

    def __init__(self, slave: RawSlave | None = None) -> None:
        self._slave = RawSlave() if slave is None else slave
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
        return MODBUS.link_options(host="127.0.0.1", port=self._slave.port, timeout_ms=int(1000 * self.timeout_s))

    def device_options(self) -> Any:
        return MODBUS.device_options()

    def silence(self) -> None:
        self._slave.always(raw_modbus.mute)

    def slow_down(self, delay_s: float) -> None:
        self._slave.always(raw_modbus.late(delay_s))

    def speak(self) -> None:
        self._slave.always(raw_modbus.answer)

    async def disconnect(self) -> None:
        await self._slave.hang_up()

    async def asked(self, count: int) -> None:
        await self._slave.asked(count)

    def requests(self) -> int:
        return len(self._slave.requests)
