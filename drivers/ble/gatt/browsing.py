"""What a device has to offer: its services and their characteristics."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from drivers.ble.gatt.codec import Codec, Raw
from drivers.ble.gatt.connection import Connection
from drivers.ble.gatt.errors import NoAnswer, NotThere, Refused
from drivers.ble.gatt.profiles import CHARACTERISTICS, short
from drivers.ble.plan import Target
from gateway.driver import Item, ScanFailed
from gateway.model import Value

if TYPE_CHECKING:
    from bleak.backends.characteristic import BleakGATTCharacteristic
    from bleak.backends.service import BleakGATTService

_UNKNOWN = "Unknown"


async def browse(connection: Connection, start: str | None, depth: int | None) -> AsyncIterator[Item]:
    """Folders are services, values are characteristics, read if they can be. Raises as the contract says."""
    async with connection.use():
        services = [*connection.client.services]
    twice = _repeated([each.uuid for service in services for each in service.characteristics])
    found = False
    for service in sorted(services, key=lambda service: service.handle):
        folder = _segment(service.description, service.uuid)
        if start is not None and start != folder:
            continue
        found = True
        if start is None:
            yield Item("", folder, "folder", name=_name(service), description=short(service.uuid))
            if depth is not None and depth < 2:
                continue
        for characteristic in sorted(service.characteristics, key=lambda each: each.handle):
            yield await _item(connection, service, characteristic, folder, characteristic.uuid in twice)
    if not found and start is not None:
        raise ScanFailed(f"there is no service '{start}': browse without a start to see what there is")


async def _item(
    connection: Connection,
    service: BleakGATTService,
    characteristic: BleakGATTCharacteristic,
    folder: str,
    ambiguous: bool,
) -> Item:
    standard = CHARACTERISTICS.get(characteristic.uuid)
    codec: Codec = standard.value if standard else Raw()
    name = standard.name if standard else _name(characteristic)
    options: dict[str, Any] = {"service": short(service.uuid)} if ambiguous else {}
    value: Value = None
    problem = ""
    if "read" in characteristic.properties:
        try:
            async with connection.use():
                value = codec.decode(await connection.read(Target(characteristic.uuid, service.uuid)))
        except (NoAnswer, NotThere, Refused, ValueError) as error:
            problem = str(error)
    return Item(
        address=short(characteristic.uuid),
        path=f"{folder}/{_segment(name, characteristic.uuid)}",
        kind="value",
        type=codec.type,
        writable=bool({"write", "write-without-response"} & set(characteristic.properties)),
        name=name,
        unit=codec.unit,
        description=problem,
        value=value,
        options=options,
    )


def _name(thing: BleakGATTService | BleakGATTCharacteristic) -> str:
    return "" if thing.description in (_UNKNOWN, "Vendor specific") else thing.description


def _segment(name: str, uuid: str) -> str:
    """A level of a path: lower-case words, or the UUID of what has no name."""
    words = "" if name in (_UNKNOWN, "Vendor specific") else re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return words or short(uuid)


def _repeated(uuids: list[str]) -> set[str]:
    return {uuid for uuid in uuids if uuids.count(uuid) > 1}
