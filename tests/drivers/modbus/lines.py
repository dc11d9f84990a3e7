"""Devices on lines without transaction ids, for tests."""

from __future__ import annotations

from typing import Any

from drivers.modbus import KIND
from drivers.modbus.device import ModbusDevice
from drivers.modbus.transport.speech import speech_of
from drivers.modbus.transport.wire import WireBus
from tests.support.raw_line import LineSlave, NullModem


def null_modem(slave: LineSlave, **link: Any) -> WireBus[Any]:
    """A bus at the other end of a null modem, not connected yet."""
    given = {"transport": f"{slave.framing}-over-tcp", "host": "127.0.0.1", "timeout_ms": 50, **link}
    options = KIND.link_options(**given)
    return WireBus("link1", options, speech_of(options), NullModem(slave))


def device_on(bus: WireBus[Any], **options: Any) -> ModbusDevice[Any]:
    opened = KIND.open_device(bus, "filler1", KIND.device_options(**options))
    assert isinstance(opened, ModbusDevice)
    return opened
