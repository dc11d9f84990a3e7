"""Bluetooth Low Energy: sensors that advertise, and characteristics over a connection.

Importing this package loads the option models only; bleak comes with the first link that is opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import cast

from drivers.ble.options import DeviceOptions, LinkOptions, ScanOptions, TagOptions
from gateway.driver import Bus, Driver, DriverKind, Finding, Progress, Scan, Site
from gateway.wire import Dissection, Endpoint, Frame, Medium

__all__ = ["KIND"]


def _open_bus(name: str, options: LinkOptions, site: Site) -> Bus:
    from drivers.ble.bluez import BluezRadio
    from drivers.ble.bus import BleBus

    return BleBus(name, options, BluezRadio(options.adapter, passive=options.scanning == "passive"))


def _open_device(bus: Bus, name: str, options: DeviceOptions) -> Driver:
    from drivers.ble.bus import BleBus
    from drivers.ble.device import BleDevice

    return BleDevice(cast(BleBus, bus), name, options)


def _describe_link(options: LinkOptions) -> str:
    return options.adapter


def _counters(bus: Bus) -> Mapping[str, int]:
    from drivers.ble.bus import BleBus

    return dict(cast(BleBus, bus).counters)


def _unit_of(options: DeviceOptions) -> str:
    return options.address or ""


def _dissect(frame: Frame, asked: Frame | None) -> Dissection:
    from drivers.ble.tracing import dissect

    return dissect(frame, asked)


def _scan(options: ScanOptions, site: Site) -> AsyncIterator[Finding | Progress]:
    from drivers.ble.bluez import BluezRadio
    from drivers.ble.scan import search

    return search(BluezRadio(options.adapter), options)


KIND = DriverKind(
    name="ble",
    summary="Bluetooth Low Energy: sensors that advertise (BTHome, Ruuvi, ATC, Eddystone, iBeacon), and GATT.",
    link_options=LinkOptions,
    device_options=DeviceOptions,
    tag_options=TagOptions,
    open_bus=_open_bus,
    open_device=_open_device,
    describe_link=_describe_link,
    counters=_counters,
    address_key="characteristic",
    subscribes=True,
    # bluetoothd may report an unchanged advert rarely, and a battery sensor may send one every few minutes.
    stale_s=3600.0,
    endpoints=lambda options: (Endpoint(Medium.RADIO, options.adapter),),
    unit_of=_unit_of,
    dissect=_dissect,
    scan=Scan("Bluetooth devices in range, with what they advertise.", ScanOptions, _scan),
)
