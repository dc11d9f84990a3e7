"""OPC UA: subscribes to, reads and writes what OPC UA servers have; takes their events and calls their methods.

Importing this package loads the option models only; the protocol comes with the first link that is opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import cast

from drivers.opcua.options import DEFAULT_PORT, DeviceOptions, LinkOptions, TagOptions, endpoints
from drivers.opcua.scan_options import ScanOptions
from gateway.driver import Bus, Certificates, Driver, DriverKind, Finding, Progress, Scan, Site
from gateway.wire import Capture, Dissection, Frame, Layer

__all__ = ["KIND"]


def _open_bus(name: str, options: LinkOptions, site: Site) -> Bus:
    from drivers.opcua.bus import OpcUaBus

    return OpcUaBus(name, options, site)


def _open_device(bus: Bus, name: str, options: DeviceOptions) -> Driver:
    from drivers.opcua.bus import OpcUaBus
    from drivers.opcua.device import OpcUaDevice

    return OpcUaDevice(cast(OpcUaBus, bus), name, options)


def _describe_link(options: LinkOptions) -> str:
    return options.peer


def _counters(bus: Bus) -> Mapping[str, int]:
    from drivers.opcua.bus import OpcUaBus

    return dict(cast(OpcUaBus, bus).counters)


def _scan(options: ScanOptions, site: Site) -> AsyncIterator[Finding | Progress]:
    from drivers.opcua.scan import search

    return search(options, site)


def _dissect(frame: Frame, asked: Frame | None) -> Dissection:
    from drivers.opcua.dissection import dissect

    return dissect(frame, asked)


def _certificates(site: Site) -> Certificates:
    from drivers.opcua.security.trust import TrustList

    return TrustList(site)


KIND = DriverKind(
    name="opcua",
    summary="OPC UA servers: PLCs, machines, SCADA systems and gateways, by subscription or by polling.",
    link_options=LinkOptions,
    device_options=DeviceOptions,
    tag_options=TagOptions,
    open_bus=_open_bus,
    open_device=_open_device,
    describe_link=_describe_link,
    counters=_counters,
    address_key="node",
    subscribes=True,
    stale_s=180.0,
    scan=Scan("OPC UA servers at hosts and in networks, with the endpoints they offer.", ScanOptions, _scan),
    certificates=_certificates,
    endpoints=endpoints,
    handshake=lambda options: "secure channel and session",
    dissect=_dissect,
    capture=lambda options: Capture(Layer.TCP, DEFAULT_PORT),
)
