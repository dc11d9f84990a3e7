"""Ruuvi data formats 5 (RAWv2) and 3 (RAWv1), docs.ruuvi.com/communication/bluetooth-advertisements.

Big-endian. Format 5 marks what isn't available by the largest unsigned or the smallest signed number.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from drivers.ble.adverts.format import Field, Format, Undecodable, manufacturer_data, plain
from gateway.model import DataType, Value

COMPANY = 0x0499

_V5 = struct.Struct(">xhHHhhhHBH6s")
_V3 = struct.Struct(">xBBBHhhhH")
_PRESSURE_AT_0 = 50_000
_MILLIVOLTS_AT_0 = 1600

FIELDS: dict[str, Field] = {
    "temperature": Field(DataType.FLOAT64, "Cel"),
    "humidity": Field(DataType.FLOAT64, "%"),
    "pressure": Field(DataType.UINT32, "Pa"),
    "acceleration_x": Field(DataType.INT16, "m[g]"),
    "acceleration_y": Field(DataType.INT16, "m[g]"),
    "acceleration_z": Field(DataType.INT16, "m[g]"),
    "voltage": Field(DataType.FLOAT64, "V", "of the battery"),
    "tx_power": Field(DataType.INT8, "{dBm}", "format 5"),
    "movement_counter": Field(DataType.UINT8, None, "format 5"),
    "sequence": Field(DataType.UINT16, None, "of the measurement, format 5"),
    "mac": Field(DataType.STRING, None, "format 5"),
}


def decode(payload: bytes) -> Mapping[str, Value]:
    """Manufacturer data after the company identifier → fields. Raises Undecodable."""
    if len(payload) >= _V5.size and payload[0] == 5:
        return _decode_v5(payload)
    if len(payload) >= _V3.size and payload[0] == 3:
        return _decode_v3(payload)
    raise Undecodable(f"these {len(payload)} bytes are no Ruuvi advert of format 5 or 3")


def _decode_v5(payload: bytes) -> Mapping[str, Value]:
    temperature, humidity, pressure, x, y, z, power, movements, sequence, mac = _V5.unpack_from(payload)
    millivolts, steps = power >> 5, power & 0x1F
    return {
        "temperature": None if temperature == -0x8000 else temperature / 200,
        "humidity": None if humidity == 0xFFFF else humidity / 400,
        "pressure": None if pressure == 0xFFFF else pressure + _PRESSURE_AT_0,
        "acceleration_x": None if x == -0x8000 else x,
        "acceleration_y": None if y == -0x8000 else y,
        "acceleration_z": None if z == -0x8000 else z,
        "voltage": None if millivolts == 0x7FF else (millivolts + _MILLIVOLTS_AT_0) / 1000,
        "tx_power": None if steps == 0x1F else 2 * steps - 40,
        "movement_counter": None if movements == 0xFF else movements,
        "sequence": None if sequence == 0xFFFF else sequence,
        "mac": None if mac == b"\xff" * 6 else mac.hex(":").upper(),
    }


def _decode_v3(payload: bytes) -> Mapping[str, Value]:
    humidity, whole, hundredths, pressure, x, y, z, millivolts = _V3.unpack_from(payload)
    if hundredths > 99:
        raise Undecodable(f"a Ruuvi advert of format 3 tells {hundredths} hundredths of a degree")
    # Sign and magnitude, not two's complement.
    magnitude = (100 * (whole & 0x7F) + hundredths) / 100
    return {
        "temperature": -magnitude if whole & 0x80 else magnitude,
        "humidity": humidity / 2,
        "pressure": pressure + _PRESSURE_AT_0,
        "acceleration_x": x,
        "acceleration_y": y,
        "acceleration_z": z,
        "voltage": millivolts / 1000,
    }


RUUVI = Format("ruuvi", "Ruuvi 5 and 3", FIELDS, manufacturer_data(COMPANY), plain(decode))
