"""Standard characteristics: Environmental Sensing, Battery, Device Information, Health Thermometer.

Bluetooth SIG, GATT Specification Supplement and Assigned Numbers §3.8. A characteristic that holds several values has
named parts; the one without a name is what it is for.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from drivers.ble.gatt.codec import Codec, Integer, Medical, Raw, Text
from gateway.model import DataType, Value

_BASE = "-0000-1000-8000-00805f9b34fb"

_FAHRENHEIT, _HAS_TIME, _HAS_TYPE = 0x01, 0x02, 0x04
_SITES = ("armpit", "body", "ear", "finger", "gastro-intestinal tract", "mouth", "rectum", "toe", "tympanum")
_TIME_SIZE = 7
_FLOAT = Medical(4, start=1)


def full(uuid: int) -> str:
    """A 16-bit UUID in its long form."""
    return f"{uuid:08x}{_BASE}"


def short(uuid: str) -> str:
    """A UUID as users write it: four hexadecimal digits where it is a 16-bit one."""
    return uuid[4:8] if uuid.startswith("0000") and uuid.endswith(_BASE) else uuid


@dataclass(frozen=True, slots=True)
class Part:
    """One value of a characteristic that holds several. It can only be read."""

    type: DataType
    unit: str | None
    read: Callable[[bytes], Value]

    def decode(self, data: bytes) -> Value:
        return self.read(data)

    def encode(self, value: Value) -> bytes:
        raise ValueError("a value that is only a part of its characteristic can't be written")


@dataclass(frozen=True, slots=True)
class Characteristic:
    """A standard characteristic."""

    name: str
    value: Codec
    parts: Mapping[str, Codec]


def _flags(data: bytes) -> int:
    if not data:
        raise ValueError("the characteristic is empty")
    return data[0]


def _temperature(data: bytes) -> Value:
    """In degrees Celsius, whatever the thermometer is set to."""
    flags = _flags(data)
    value = _FLOAT.decode(data)
    if flags & _FAHRENHEIT and isinstance(value, float):
        return float((Decimal(repr(value)) - 32) / Decimal("1.8"))
    return value


def _time(data: bytes) -> Value:
    """The thermometer's own clock, which has no time zone: taken as UTC."""
    if not _flags(data) & _HAS_TIME:
        return None
    field = data[5 : 5 + _TIME_SIZE]
    if len(field) < _TIME_SIZE:
        raise ValueError("the time stamp is cut off")
    year = int.from_bytes(field[:2], "little")
    if not (year and field[2] and field[3]):
        return None
    return datetime.datetime(year, *field[2:]).isoformat() + "Z"


def _site(data: bytes) -> Value:
    flags = _flags(data)
    if not flags & _HAS_TYPE:
        return None
    at = 5 + (_TIME_SIZE if flags & _HAS_TIME else 0)
    if at >= len(data):
        raise ValueError("the temperature type is cut off")
    if not 1 <= data[at] <= len(_SITES):
        raise ValueError(f"temperature type {data[at]} is not in the standard")
    return _SITES[data[at] - 1]


_MEASUREMENT = Part(DataType.FLOAT64, "Cel", _temperature)
_MEASUREMENT_PARTS: Mapping[str, Codec] = {
    "time": Part(DataType.DATETIME, None, _time),
    "site": Part(DataType.STRING, None, _site),
}
_NONE: Mapping[str, Codec] = {}

_ROWS: tuple[tuple[int, str, Codec, Mapping[str, Codec]], ...] = (
    # Battery
    (0x2A19, "Battery Level", Integer(1, unit="%"), _NONE),
    # Device Information, Generic Access
    (0x2A00, "Device Name", Text(), _NONE),
    (0x2A23, "System ID", Raw(), _NONE),
    (0x2A24, "Model Number String", Text(), _NONE),
    (0x2A25, "Serial Number String", Text(), _NONE),
    (0x2A26, "Firmware Revision String", Text(), _NONE),
    (0x2A27, "Hardware Revision String", Text(), _NONE),
    (0x2A28, "Software Revision String", Text(), _NONE),
    (0x2A29, "Manufacturer Name String", Text(), _NONE),
    (0x2A50, "PnP ID", Raw(), _NONE),
    # Health Thermometer
    (0x2A1C, "Temperature Measurement", _MEASUREMENT, _MEASUREMENT_PARTS),
    (0x2A1E, "Intermediate Temperature", _MEASUREMENT, _MEASUREMENT_PARTS),
    (0x2A1D, "Temperature Type", Integer(1), _NONE),
    (0x2A21, "Measurement Interval", Integer(2, unit="s"), _NONE),
    # Environmental Sensing
    (0x2A6C, "Elevation", Integer(3, True, denominator=100, unit="m"), _NONE),
    (0x2A6D, "Pressure", Integer(4, denominator=10, unit="Pa"), _NONE),
    (0x2A6E, "Temperature", Integer(2, True, denominator=100, unknown=-0x8000, unit="Cel"), _NONE),
    (0x2A6F, "Humidity", Integer(2, denominator=100, unknown=0xFFFF, unit="%"), _NONE),
    (0x2A70, "True Wind Speed", Integer(2, denominator=100, unit="m/s"), _NONE),
    (0x2A71, "True Wind Direction", Integer(2, denominator=100, unit="deg"), _NONE),
    (0x2A72, "Apparent Wind Speed", Integer(2, denominator=100, unit="m/s"), _NONE),
    (0x2A73, "Apparent Wind Direction", Integer(2, denominator=100, unit="deg"), _NONE),
    (0x2A74, "Gust Factor", Integer(1, denominator=10), _NONE),
    (0x2A75, "Pollen Concentration", Integer(3, unit="/m3"), _NONE),
    (0x2A76, "UV Index", Integer(1), _NONE),
    (0x2A77, "Irradiance", Integer(2, denominator=10, unit="W/m2"), _NONE),
    (0x2A78, "Rainfall", Integer(2, unit="mm"), _NONE),
    (0x2A79, "Wind Chill", Integer(1, True, unit="Cel"), _NONE),
    (0x2A7A, "Heat Index", Integer(1, True, unit="Cel"), _NONE),
    (0x2A7B, "Dew Point", Integer(1, True, unit="Cel"), _NONE),
    (0x2AA3, "Barometric Pressure Trend", Integer(1), _NONE),
    (0x2AFB, "Illuminance", Integer(3, denominator=100, unknown=0xFFFFFF, unit="lx"), _NONE),
    (0x2B8C, "CO2 Concentration", Integer(2, unknown=0xFFFF, unit="[ppm]"), _NONE),
)

CHARACTERISTICS: dict[str, Characteristic] = {
    full(uuid): Characteristic(name, value, parts) for uuid, name, value, parts in _ROWS
}
