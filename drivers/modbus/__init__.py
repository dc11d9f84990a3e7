"""Modbus: reads and writes the registers and bits of PLCs, meters and drives.

Importing this package loads the option models only; pymodbus comes with the first link that is opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from drivers.modbus.link import LinkOptions, capture, claims, describe, endpoints
from drivers.modbus.options import DeviceOptions, TagOptions
from drivers.modbus.scan_options import ScanOptions
from gateway.driver import Bus, Driver, DriverKind, Finding, Progress, Scan, Site
from gateway.wire import Dissection, Frame

if TYPE_CHECKING:
    from drivers.modbus.bus import ModbusBus

__all__ = ["KIND"]


def _open_bus(name: str, options: LinkOptions, site: Site) -> Bus:
    from drivers.modbus.transport.opening import open_bus

    bus = open_bus(name, options)
    bus.state = site.state
    return bus


def _open_device(bus: Bus, name: str, options: DeviceOptions) -> Driver:
    from drivers.modbus.device import ModbusDevice, memory_of

    modbus = cast("ModbusBus[Any]", bus)
    return ModbusDevice(modbus, name, options, memory_of(modbus, name, options))


def _counters(bus: Bus) -> Mapping[str, int]:
    return dict(cast("ModbusBus[Any]", bus).counters)


def _dissect(frame: Frame, asked: Frame | None) -> Dissection:
    from drivers.modbus.dissection import dissect

    return dissect(frame, asked)


async def _scan(options: ScanOptions, site: Site) -> AsyncIterator[Finding | Progress]:
    from drivers.modbus.scan import search

    async for each in search(cast("ModbusBus[Any]", _open_bus("scan", options.link, site)), options):
        yield each


KIND = DriverKind(
    name="modbus",
    summary="Modbus servers over TCP, TLS, UDP and serial lines: PLCs, meters, drives, and devices behind gateways.",
    link_options=LinkOptions,
    device_options=DeviceOptions,
    tag_options=TagOptions,
    open_bus=_open_bus,
    open_device=_open_device,
    describe_link=describe,
    claims=claims,
    counters=_counters,
    endpoints=endpoints,
    handshake=lambda options: "TLS" if options.transport == "tls" else "",
    unit_of=lambda options: str(options.unit),
    dissect=_dissect,
    capture=capture,
    scan=Scan(
        "Units at one endpoint or on one serial line, who they are and what they let one read.",
        ScanOptions,
        _scan,
        lambda options: claims(options.link),
    ),
    templates=Path(__file__).with_name("templates"),
)
