"""One module per driver. A new driver joins by adding its adapter to `ADAPTERS`."""

from __future__ import annotations

from tests.conformance.adapters.adapter import TIMEOUT_S, Adapter
from tests.conformance.adapters.modbus import ModbusAdapter

__all__ = ["ADAPTERS", "TIMEOUT_S", "Adapter"]

ADAPTERS: tuple[type[Adapter], ...] = (ModbusAdapter,)
