"""Modbus: reads and writes the registers and bits of PLCs, meters and drives.

Importing this package loads the option models only; pymodbus comes with the first link that is opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, cast

from drivers.modbus.options import DeviceOptions, LinkOptions, ScanOptions, TagOptions
from gateway.driver import Bus, Driver, DriverKind, Finding, Progress, Scan, Site

if TYPE_CHECKING:
    from drivers.modbus.transport.tcp import TcpBus

__all__ = ["KIND"]


def _open_bus(name: str, options: LinkOptions, site: Site) -> Bus:
    from drivers.modbus.transport.tcp import TcpBus

    bus = TcpBus(name, options)
    bus.state = site.state
    return bus


def _open_device(bus: Bus, name: str, options: DeviceOptions) -> Driver:
    from drivers.modbus.device import ModbusDevice, memory_of
    from drivers.modbus.transport.tcp import TcpBus

    modbus = cast(TcpBus, bus)
    return ModbusDevice(modbus, name, options, memory_of(modbus, name, options))


def _describe_link(options: LinkOptions) -> str:
    return options.peer


def _counters(bus: Bus) -> Mapping[str, int]:
    from drivers.modbus.transport.tcp import TcpBus

    return dict(cast(TcpBus, bus).counters)


async def _scan(options: ScanOptions, site: Site) -> AsyncIterator[Finding | Progress]:
    from drivers.modbus.scan import search

    link = LinkOptions(
        host=options.host,
        port=options.port,
        timeout_ms=options.timeout_ms,
        timeouts_before_reconnect=0,
        pause_between_requests_ms=round(1000 / options.rate),
    )
    async for each in search(cast("TcpBus", _open_bus("scan", link, site)), options):
        yield each


KIND = DriverKind(
    name="modbus",
    summary="Modbus TCP servers: PLCs, meters, drives, and serial devices behind Modbus gateways.",
    link_options=LinkOptions,
    device_options=DeviceOptions,
    tag_options=TagOptions,
    open_bus=_open_bus,
    open_device=_open_device,
    describe_link=_describe_link,
    counters=_counters,
    scan=Scan("Units at one Modbus TCP endpoint, who they are and what they let one read.", ScanOptions, _scan),
)
