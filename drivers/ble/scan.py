"""``tidegate scan ble``: what is in range, and what to write to have it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drivers.ble.adverts import FORMATS, Field, Format, Undecodable
from drivers.ble.bus import BleBus
from drivers.ble.hearing import COMMON
from drivers.ble.options import LinkOptions, ScanOptions
from drivers.ble.radio import Radio
from drivers.common.proposal import name_from, proposal
from gateway.driver import Finding, Progress
from gateway.model import Value

if TYPE_CHECKING:
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

_MAX_DEVICES = 1000
"""More addresses than this are counted, not listed: phones change theirs every few minutes."""
_LEFT_OUT = ("mac", "packet_id", "sequence", "counter")
"""Fields that are rarely worth a tag."""


@dataclass(slots=True)
class _Found:
    device: BLEDevice
    advert: AdvertisementData
    name: str = ""
    format: Format | None = None
    fields: dict[str, Value] | None = None
    """None: it can't be read, probably for want of a key."""
    trouble: str = ""


async def search(radio: Radio, options: ScanOptions) -> AsyncIterator[Finding | Progress]:
    """Listen, then say what was heard, the strongest first. Raises LinkDown."""
    found: dict[str, _Found] = {}
    unlisted: Counter[str] = Counter()

    def heard(device: BLEDevice, advert: AdvertisementData) -> None:
        if device.address in found or len(found) < _MAX_DEVICES:
            _note(found, device, advert)
        else:
            unlisted[device.address] += 1

    bus = BleBus("scan", LinkOptions(adapter=options.adapter, quiet_s=0), radio, also=heard)
    try:
        await bus.connect()
        for second in range(options.seconds):
            yield Progress(second, options.seconds, f"{len(found)} devices heard")
            await bus.bounded(asyncio.sleep(1.0), 2.0)
    finally:
        await bus.close()
    for each in sorted(found.values(), key=lambda each: -each.advert.rssi):
        yield _finding(each, options.adapter)
    if unlisted:
        yield Progress(options.seconds, options.seconds, f"{len(unlisted)} more addresses were heard")


def _note(found: dict[str, _Found], device: BLEDevice, advert: AdvertisementData) -> None:
    each = found.setdefault(device.address, _Found(device, advert))
    each.device, each.advert = device, advert
    each.name = advert.local_name or each.name
    address = bytes.fromhex(device.address.replace(":", ""))
    for format_ in FORMATS.values():
        payload = format_.payload(advert)
        if payload is None:
            continue
        try:
            fields = format_.decoder(None)(payload, address)
        except Undecodable as error:
            if each.fields is None:
                each.format, each.trouble = format_, str(error)
        else:
            each.format = format_
            each.fields = {**(each.fields or {}), **fields}
        return


def _finding(each: _Found, adapter: str) -> Finding:
    values = ", ".join(f"{name} {value}" for name, value in (each.fields or {}).items() if value is not None)
    row = {
        "address": each.device.address,
        "name": each.name,
        "rssi": each.advert.rssi,
        "format": each.format.name if each.format else "",
        "values": values or each.trouble,
    }
    return Finding(row, _config(each, adapter))


def _config(each: _Found, adapter: str) -> str:
    address = each.device.address
    name = f"{name_from(each.name.lower()) or 'ble'}-{address[-5:].replace(':', '').lower()}"
    device: dict[str, Any] = {"name": name, "address": address}
    wanted: Mapping[str, Field] = {"rssi": COMMON["rssi"]}
    if each.format is not None:
        device["format"] = each.format.name
        if each.format.encrypts and each.fields is None:
            device["bindkey"] = {"file": f"/etc/tidegate/secrets/{name}"}
        own = {name: each.format.field(name) for name in (each.fields or {}) if name not in _LEFT_OUT}
        wanted = {name: field for name, field in own.items() if field is not None} | dict(wanted)
    tags = (
        {"name": name, "field": name, "type": str(field.type)} | ({"unit": field.unit} if field.unit else {})
        for name, field in wanted.items()
    )
    return proposal("ble", {"name": adapter, "adapter": adapter}, device, tags, interval_ms=60_000)
