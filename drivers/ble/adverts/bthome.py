"""BTHome version 2 (bthome.io/format), plain and encrypted. Little-endian.

Objects of one kind are named in their order: ``temperature``, ``temperature_2``, ``temperature_3`` … An object id that
isn't in the table ends the reading, as the format asks for; what came before it counts.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drivers.ble.adverts.ccm import TAG_SIZE, opener
from drivers.ble.adverts.format import Decoder, Field, Format, Unauthentic, Undecodable, service_data
from gateway.model import DataType, Value

SERVICE = 0xFCD2

_VERSION = 2
_COUNTER_SIZE = 4
_RESTARTED_BELOW = 100
"""A counter that goes back is a replay, unless it is so small that the device has restarted: the usual rule."""

_BUTTON = {
    0x01: "press",
    0x02: "double_press",
    0x03: "triple_press",
    0x04: "long_press",
    0x05: "long_double_press",
    0x06: "long_triple_press",
    0x80: "hold_press",
    0x81: "hold_release",
}
_DIMMER = {0x01: "rotate_left", 0x02: "rotate_right"}
_COMMAND = {0x00: "off", 0x01: "on", 0x02: "toggle", 0x03: "step_up", 0x04: "step_down"}


@dataclass(frozen=True, slots=True)
class _Object:
    """One object id."""

    fields: tuple[str, ...]
    """Without their number."""
    size: int
    """0: the byte after the id says how long it is."""
    read: Callable[[bytes], tuple[Value, ...] | None]
    """Its bytes → a value for each field. None: an event that didn't happen, which still counts among its kind."""


_NUMBERS: dict[int, tuple[str, int, bool, int, int]] = {
    # id: field, size, signed, value of one step as numerator and denominator
    0x01: ("battery", 1, False, 1, 1),
    0x02: ("temperature", 2, True, 1, 100),
    0x03: ("humidity", 2, False, 1, 100),
    0x04: ("pressure", 3, False, 1, 100),
    0x05: ("illuminance", 3, False, 1, 100),
    0x06: ("mass", 2, False, 1, 100),
    0x07: ("mass_lb", 2, False, 1, 100),
    0x08: ("dew_point", 2, True, 1, 100),
    0x09: ("count", 1, False, 1, 1),
    0x0A: ("energy", 3, False, 1, 1000),
    0x0B: ("power", 3, False, 1, 100),
    0x0C: ("voltage", 2, False, 1, 1000),
    0x0D: ("pm2_5", 2, False, 1, 1),
    0x0E: ("pm10", 2, False, 1, 1),
    0x12: ("co2", 2, False, 1, 1),
    0x13: ("tvoc", 2, False, 1, 1),
    0x14: ("moisture", 2, False, 1, 100),
    0x2E: ("humidity", 1, False, 1, 1),
    0x2F: ("moisture", 1, False, 1, 1),
    0x3D: ("count", 2, False, 1, 1),
    0x3E: ("count", 4, False, 1, 1),
    0x3F: ("rotation", 2, True, 1, 10),
    0x40: ("distance_mm", 2, False, 1, 1),
    0x41: ("distance", 2, False, 1, 10),
    0x42: ("duration", 3, False, 1, 1000),
    0x43: ("current", 2, False, 1, 1000),
    0x44: ("speed", 2, False, 1, 100),
    0x45: ("temperature", 2, True, 1, 10),
    0x46: ("uv_index", 1, False, 1, 10),
    0x47: ("volume", 2, False, 1, 10),
    0x48: ("volume_ml", 2, False, 1, 1),
    0x49: ("flow_rate", 2, False, 1, 1000),
    0x4A: ("voltage", 2, False, 1, 10),
    0x4B: ("gas", 3, False, 1, 1000),
    0x4C: ("gas", 4, False, 1, 1000),
    0x4D: ("energy", 4, False, 1, 1000),
    0x4E: ("volume", 4, False, 1, 1000),
    0x4F: ("water", 4, False, 1, 1000),
    0x51: ("acceleration", 2, False, 1, 1000),
    0x52: ("gyroscope", 2, False, 1, 1000),
    0x55: ("volume_storage", 4, False, 1, 1000),
    0x56: ("conductivity", 2, False, 1, 1),
    0x57: ("temperature", 1, True, 1, 1),
    0x58: ("temperature", 1, True, 35, 100),
    0x59: ("count", 1, True, 1, 1),
    0x5A: ("count", 2, True, 1, 1),
    0x5B: ("count", 4, True, 1, 1),
    0x5C: ("power", 4, True, 1, 100),
    0x5D: ("current", 2, True, 1, 1000),
    0x5E: ("direction", 2, False, 1, 100),
    0x5F: ("precipitation", 2, False, 1, 10),
    0x60: ("channel", 1, False, 1, 1),
    0x61: ("rotational_speed", 2, False, 1, 1),
    0x62: ("speed", 4, True, 1, 1_000_000),
    0x63: ("acceleration", 4, True, 1, 1_000_000),
    0x64: ("light_level", 1, False, 1, 1),
    0x65: ("settings_revision", 1, False, 1, 1),
    0x00: ("packet_id", 1, False, 1, 1),
    0xF0: ("device_type", 2, False, 1, 1),
}
_SWITCHES: dict[int, str] = {
    0x0F: "generic",
    0x10: "power_on",
    0x11: "opening",
    0x15: "battery_low",
    0x16: "battery_charging",
    0x17: "carbon_monoxide",
    0x18: "cold",
    0x19: "connectivity",
    0x1A: "door",
    0x1B: "garage_door",
    0x1C: "gas_detected",
    0x1D: "heat",
    0x1E: "light",
    0x1F: "unlocked",
    0x20: "moisture_detected",
    0x21: "motion",
    0x22: "moving",
    0x23: "occupancy",
    0x24: "plug",
    0x25: "presence",
    0x26: "problem",
    0x27: "running",
    0x28: "safety",
    0x29: "smoke",
    0x2A: "sound",
    0x2B: "tamper",
    0x2C: "vibration",
    0x2D: "window",
}
_UNITS: dict[str, str] = {
    "battery": "%",
    "temperature": "Cel",
    "humidity": "%",
    "pressure": "hPa",
    "illuminance": "lx",
    "mass": "kg",
    "mass_lb": "[lb_av]",
    "dew_point": "Cel",
    "energy": "kW.h",
    "power": "W",
    "voltage": "V",
    "pm2_5": "ug/m3",
    "pm10": "ug/m3",
    "co2": "[ppm]",
    "tvoc": "ug/m3",
    "moisture": "%",
    "rotation": "deg",
    "distance_mm": "mm",
    "distance": "m",
    "duration": "s",
    "current": "A",
    "speed": "m/s",
    "volume": "L",
    "volume_ml": "mL",
    "flow_rate": "m3/h",
    "gas": "m3",
    "water": "L",
    "acceleration": "m/s2",
    "gyroscope": "deg/s",
    "volume_storage": "L",
    "conductivity": "uS/cm",
    "direction": "deg",
    "precipitation": "mm",
    "rotational_speed": "/min",
}


def _number(name: str, size: int, signed: bool, numerator: int, denominator: int) -> _Object:
    fraction = any(row[0] == name and row[4] != 1 for row in _NUMBERS.values())

    def read(data: bytes) -> tuple[Value, ...]:
        steps = int.from_bytes(data, "little", signed=signed)
        return (steps * numerator / denominator if fraction else steps,)

    return _Object((name,), size, read)


def _read_switch(data: bytes) -> tuple[Value, ...]:
    return (bool(data[0]),)


def _read_button(data: bytes) -> tuple[Value, ...] | None:
    return (_BUTTON.get(data[0]),) if data[0] else None


def _read_dimmer(data: bytes) -> tuple[Value, ...] | None:
    return (_DIMMER.get(data[0]), data[1]) if data[0] else None


def _read_command(data: bytes) -> tuple[Value, ...]:
    return (_COMMAND.get(data[0]), data[1:].hex())


def _read_text(data: bytes) -> tuple[Value, ...]:
    try:
        return (data.decode(),)
    except UnicodeDecodeError:
        return (None,)


def _read_time(data: bytes) -> tuple[Value, ...]:
    seconds = int.from_bytes(data, "little")
    return (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),)


def _read_firmware(data: bytes) -> tuple[Value, ...]:
    return (".".join(map(str, reversed(data))),)


_OBJECTS: dict[int, _Object] = {
    **{id_: _number(*row) for id_, row in _NUMBERS.items()},
    **{id_: _Object((name,), 1, _read_switch) for id_, name in _SWITCHES.items()},
    0x3A: _Object(("button",), 1, _read_button),
    0x3B: _Object(("command", "command_arguments"), 0, _read_command),
    0x3C: _Object(("dimmer", "dimmer_steps"), 2, _read_dimmer),
    0x50: _Object(("timestamp",), 4, _read_time),
    0x53: _Object(("text",), 0, _read_text),
    0x54: _Object(("raw",), 0, lambda data: (data.hex(),)),
    0xF1: _Object(("firmware",), 4, _read_firmware),
    0xF2: _Object(("firmware",), 3, _read_firmware),
}
_COMMAND_ID = 0x3B


def _fields() -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for name, size, signed, _, _ in _NUMBERS.values():
        rows = [row for row in _NUMBERS.values() if row[0] == name]
        if any(row[4] != 1 for row in rows):
            type_ = DataType.FLOAT64
        elif len(rows) == 1:
            type_ = DataType(f"{'' if signed else 'u'}int{8 * size}")
        else:
            type_ = DataType.INT64
        fields[name] = Field(type_, _UNITS.get(name))
    for name in _SWITCHES.values():
        fields[name] = Field(DataType.BOOL)
    return fields | {
        "button": Field(DataType.STRING, None, ", ".join(_BUTTON.values()), event=True),
        "dimmer": Field(DataType.STRING, None, ", ".join(_DIMMER.values()), event=True),
        "dimmer_steps": Field(DataType.UINT8, event=True),
        "command": Field(DataType.STRING, None, ", ".join(_COMMAND.values()), event=True),
        "command_arguments": Field(DataType.BYTES, event=True),
        "timestamp": Field(DataType.DATETIME),
        "text": Field(DataType.STRING),
        "raw": Field(DataType.BYTES),
        "firmware": Field(DataType.STRING),
    }


FIELDS: dict[str, Field] = _fields()


def decode_objects(data: bytes) -> Mapping[str, Value]:
    """The objects of a payload, decrypted → fields. Raises Undecodable if there isn't a single one."""
    fields: dict[str, Value] = {}
    seen: Counter[str] = Counter()
    at, end = 0, len(data)
    while at < end and (found := _OBJECTS.get(data[at])) is not None:
        size, start = found.size, at + 1
        if not size:
            if start >= end:
                break
            # Of a command the three upper bits are reserved, and the command itself isn't counted.
            size = 1 + (data[start] & 0x1F) if data[at] == _COMMAND_ID else data[start]
            start += 1
        at = start + size
        if at > end:
            break
        values = found.read(data[start:at])
        for index, name in enumerate(found.fields):
            seen[name] += 1
            if values is not None:
                fields[name if seen[name] == 1 else f"{name}_{seen[name]}"] = values[index]
    if not seen:
        raise Undecodable("a BTHome advert has no object that can be read")
    return fields


def _information(payload: bytes) -> int:
    if len(payload) < 2:
        raise Undecodable("a BTHome advert is empty")
    if payload[0] >> 5 != _VERSION:
        raise Undecodable(f"a BTHome advert is of version {payload[0] >> 5}, only version 2 can be read")
    return payload[0]


def decode(payload: bytes, address: bytes) -> Mapping[str, Value]:
    """Service data of an unencrypted advert → fields. Raises Undecodable."""
    information = _information(payload)
    if information & 1:
        raise Undecodable("the advert is encrypted: give the device's 'bindkey'")
    # Bit 1 was once "the address follows" and may still be met.
    return decode_objects(payload[7:] if information & 2 else payload[1:])


def decoder(key: bytes | None) -> Decoder:
    """With a key, only encrypted adverts with a rising counter are believed."""
    return decode if key is None else _Sealed(key).decode


class _Sealed:
    """Encrypted adverts of one device (bthome.io/encryption)."""

    def __init__(self, key: bytes) -> None:
        self._open = opener(key)
        self._counter = -1

    def decode(self, payload: bytes, address: bytes) -> Mapping[str, Value]:
        information = _information(payload)
        if not information & 1:
            raise Unauthentic("the advert isn't encrypted though the device has a bindkey")
        start = 7 if information & 2 else 1
        sealed_end = len(payload) - TAG_SIZE - _COUNTER_SIZE
        if sealed_end <= start:
            raise Undecodable("an encrypted BTHome advert is too short")
        if information & 2:
            address = payload[6:0:-1]
        counter_bytes = payload[sealed_end : sealed_end + _COUNTER_SIZE]
        nonce = address + SERVICE.to_bytes(2, "little") + payload[:1] + counter_bytes
        text = self._open(nonce, payload[start:sealed_end] + payload[-TAG_SIZE:], None)
        counter = int.from_bytes(counter_bytes, "little")
        if _RESTARTED_BELOW <= counter < self._counter:
            raise Unauthentic(f"the counter of an encrypted advert went back from {self._counter} to {counter}")
        self._counter = counter
        return decode_objects(text)


BTHOME = Format("bthome", "BTHome 2", FIELDS, service_data(SERVICE), decoder, encrypts=True, numbered=True)
