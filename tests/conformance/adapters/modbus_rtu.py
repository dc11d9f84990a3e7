"""Modbus RTU on a pseudo-terminal, against a raw slave that shares no code with the driver."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any

from drivers.modbus import KIND as MODBUS
from tests.conformance.adapters.modbus import ModbusAdapter
from tests.support import raw_line
from tests.support.pty_port import PtyPort
from tests.support.raw_line import LineSlave


class ModbusRtuAdapter(ModbusAdapter):
    row = "modbus-rtu"

    def __init__(self) -> None:
        self._line = LineSlave("rtu")
        super().__init__(self._line)
        self._directory = Path(tempfile.gettempdir(), f"tidegate-{uuid.uuid4()}")
        self._port = PtyPort(self._directory)
        self._line.on(self._port)

    async def start(self) -> None:
        self._directory.mkdir(exist_ok=True)
        self._port.plug()

    async def stop(self) -> None:
        self._port.unplug()
        await self._line.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def link_options(self) -> Any:
        return MODBUS.link_options(
            transport="rtu", device=self._port.device, baud=115200, timeout_ms=int(1000 * self.timeout_s)
        )

    def slow_down(self, delay_s: float) -> None:
        self._slave.always(raw_line.late(delay_s))

    def speak(self) -> None:
        self._slave.always(raw_line.answer)

    async def disconnect(self) -> None:
        """Out and in again: the port comes back under another number."""
        self._port.unplug()
        await self._line.stop()
        self._port.plug()
