"""iBeacon (Apple, Proximity Beacon Specification): an identity and a calibrated signal strength. Big-endian."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping

from drivers.ble.adverts.format import Advert, Field, Format, Undecodable, plain
from gateway.model import DataType, Value

COMPANY = 0x004C

_HEAD = b"\x02\x15"
_BODY = struct.Struct(">2s16sHHb")

FIELDS: dict[str, Field] = {
    "uuid": Field(DataType.STRING),
    "major": Field(DataType.UINT16),
    "minor": Field(DataType.UINT16),
    "power": Field(DataType.INT8, "{dBm}", "signal strength at 1 m"),
}


def payload(advert: Advert) -> bytes | None:
    """Apple's other adverts share the company identifier."""
    data = advert.manufacturer_data.get(COMPANY)
    return data if data is not None and data.startswith(_HEAD) else None


def decode(data: bytes) -> Mapping[str, Value]:
    """Manufacturer data after the company identifier → fields. Raises Undecodable."""
    if len(data) < _BODY.size or not data.startswith(_HEAD):
        raise Undecodable(f"these {len(data)} bytes are no iBeacon advert")
    _, identity, major, minor, power = _BODY.unpack_from(data)
    return {"uuid": str(uuid.UUID(bytes=identity)), "major": major, "minor": minor, "power": power}


IBEACON = Format("ibeacon", "iBeacon", FIELDS, payload, plain(decode))
