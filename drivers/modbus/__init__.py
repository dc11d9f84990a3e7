"""Modbus: reads and writes the registers and bits of PLCs, meters and drives.

Importing this package loads the option models only; pymodbus comes with the first link that is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from drivers.modbus.link import LinkOptions, describe
from drivers.modbus.options import DeviceOptions, TagOptions
from gateway.driver import Bus, Driver, DriverKind, Site

if TYPE_CHECKING:
    from drivers.modbus.bus import ModbusBus

__all__ = ["KIND"]


def _open_bus(name: str, options: LinkOptions, site: Site) -> Bus:
    from drivers.modbus.transport.opening import open_bus

    return open_bus(name, options)


def _open_device(bus: Bus, name: str, options: DeviceOptions) -> Driver:
    from drivers.modbus.device import ModbusDevice

    return ModbusDevice(cast("ModbusBus[Any]", bus), name, options)


def _counters(bus: Bus) -> Mapping[str, int]:
    return dict(cast("ModbusBus[Any]", bus).counters)


KIND = DriverKind(
    name="modbus",
    summary="Modbus servers over TCP, TLS, UDP and serial lines: PLCs, meters, drives, and devices behind gateways.",
    link_options=LinkOptions,
    device_options=DeviceOptions,
    tag_options=TagOptions,
    open_bus=_open_bus,
    open_device=_open_device,
    describe_link=describe,
    counters=_counters,
)
