"""Who a device says it is: its name as it advertises it, and where it is read over a connection, what the Device
Information service says (Device Information Service 1.1)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from drivers.ble.bus import BleBus
from drivers.ble.gatt.connection import Connection
from drivers.ble.gatt.errors import NoAnswer, NotThere, Refused
from drivers.ble.gatt.profiles import full
from drivers.ble.hearing import Hearing
from drivers.ble.options import DeviceOptions
from drivers.ble.plan import Target

_INFORMATION = {
    "maker": 0x2A29,
    "product": 0x2A24,
    "serial": 0x2A25,
    "version": 0x2A26,
}


async def identify(bus: BleBus, hearing: Hearing, connection: Connection, options: DeviceOptions) -> Mapping[str, str]:
    """See :meth:`gateway.driver.Identifies.identify`. One that only advertises isn't connected to."""
    advert_s = options.advert_timeout_ms / 1000
    since_ns = time.monotonic_ns() - int(advert_s * 1e9)
    sighting = await bus.bounded(hearing.seen(since_ns), advert_s + 1)
    said = {"address": sighting.device.address, "signal": f"{sighting.advert.rssi} dBm"}
    if name := sighting.advert.local_name or sighting.device.name:
        said = {"name": name, **said}
    if options.format is not None:
        return said
    async with connection.use():
        for key, number in _INFORMATION.items():
            try:
                text = (await connection.read(Target(full(number), None))).partition(b"\0")[0].decode().strip()
            except (NotThere, Refused, NoAnswer, UnicodeDecodeError):
                continue
            if text:
                said[key] = text
    return said
