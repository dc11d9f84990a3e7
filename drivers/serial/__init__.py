"""Serial instruments: scales, GPS receivers, barcode readers and whatever else talks over a serial line.

Importing this package loads the option models only; pyserial comes with the first port that is opened. (Inside this
package ``import serial`` is pyserial; this package is ``drivers.serial``.)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast

from drivers.serial.options import DeviceOptions, LinkOptions, ScanOptions, TagOptions
from gateway.driver import Bus, Driver, DriverKind, Finding, Progress, Scan, Site
from gateway.wire import Capture, Dissection, Endpoint, Frame, Layer, Medium

__all__ = ["KIND"]


def _open_bus(name: str, options: LinkOptions, site: Site) -> Bus:
    from drivers.serial.bus import SerialBus

    return SerialBus(name, options)


def _open_device(bus: Bus, name: str, options: DeviceOptions) -> Driver:
    from drivers.serial.bus import SerialBus
    from drivers.serial.device import SerialDevice

    return SerialDevice(cast(SerialBus, bus), name, options)


def _describe_link(options: LinkOptions) -> str:
    return options.device


def _claims(options: LinkOptions) -> Sequence[str]:
    return () if "://" in options.device else (options.device,)


def _counters(bus: Bus) -> Mapping[str, int]:
    from drivers.serial.bus import SerialBus

    return dict(cast(SerialBus, bus).counters)


def _endpoints(options: LinkOptions) -> Sequence[Endpoint]:
    if "://" not in options.device:
        return (Endpoint(Medium.SERIAL, options.device),)
    from drivers.common.serialport.options import host_and_port

    return (Endpoint(Medium.TCP, *host_and_port(options.device)),)


def _dissect(frame: Frame, asked: Frame | None) -> Dissection:
    from drivers.serial.tracing import dissect

    return dissect(frame, asked)


def _scan(options: ScanOptions, site: Site) -> AsyncIterator[Finding | Progress]:
    from drivers.serial.scan import search

    return search(options, site)


KIND = DriverKind(
    name="serial",
    summary="Serial instruments by description: scales, GPS receivers, barcode readers, ASCII and binary protocols.",
    link_options=LinkOptions,
    device_options=DeviceOptions,
    tag_options=TagOptions,
    open_bus=_open_bus,
    open_device=_open_device,
    describe_link=_describe_link,
    counters=_counters,
    claims=_claims,
    address_key="field",
    subscribes=True,
    stale_s=30.0,
    endpoints=_endpoints,
    dissect=_dissect,
    capture=lambda options: Capture(Layer.SERIAL),
    scan=Scan(
        "The serial ports of this machine, who has them, and what talks on one.",
        ScanOptions,
        _scan,
        lambda options: () if options.listen is None or "://" in options.listen else (options.listen,),
    ),
)
