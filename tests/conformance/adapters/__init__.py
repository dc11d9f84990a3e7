"""One module per driver. A new driver joins by adding its adapter to `ADAPTERS`."""

from __future__ import annotations

from tests.conformance.adapters.adapter import TIMEOUT_S, Adapter, Asked, Changing, Written
from tests.conformance.adapters.ble import BleAdapter, BleBeaconAdapter
from tests.conformance.adapters.modbus import ModbusAdapter
from tests.conformance.adapters.modbus_rtu import ModbusRtuAdapter
from tests.conformance.adapters.modbus_tls import ModbusTlsAdapter
from tests.conformance.adapters.opcua import OpcUaAdapter
from tests.conformance.adapters.serial import SerialAdapter
from tests.conformance.adapters.talker import TalkerAdapter

__all__ = ["ADAPTERS", "TIMEOUT_S", "Adapter", "Asked", "Changing", "Written"]

ADAPTERS: tuple[type[Adapter], ...] = (
    ModbusAdapter,
    ModbusTlsAdapter,
    ModbusRtuAdapter,
    OpcUaAdapter,
    SerialAdapter,
    BleAdapter,
    BleBeaconAdapter,
    TalkerAdapter,
)
