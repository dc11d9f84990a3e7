"""Adverts of Xiaomi thermometers with open firmware (github.com/pvvx/ATC_MiThermometer).

Four layouts in the service data of 0x181A, told apart by their length: atc1441 (13 bytes, big-endian), custom (15,
little-endian), and both encrypted (8 and 11). The encrypted ones have a counter of one byte only, which wraps every few
minutes: it tells a new advert from a repeated one, but can't keep an old one from being replayed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from drivers.ble.adverts.ccm import TAG_SIZE, opener
from drivers.ble.adverts.format import Decoder, Field, Format, Unauthentic, Undecodable, service_data
from gateway.model import DataType, Value

SERVICE = 0x181A

_ATC1441 = struct.Struct(">6xhBBHB")
_CUSTOM = struct.Struct("<6xhHHBBB")
_CUSTOM_SEALED = struct.Struct("<hHBB")
_ATC1441_SEALED = 3
_OVERHEAD = 1 + TAG_SIZE
_ASSOCIATED = b"\x11"

FIELDS: dict[str, Field] = {
    "temperature": Field(DataType.FLOAT64, "Cel"),
    "humidity": Field(DataType.FLOAT64, "%"),
    "battery": Field(DataType.UINT8, "%"),
    "voltage": Field(DataType.FLOAT64, "V", "of the battery; not in the encrypted layouts"),
    "counter": Field(DataType.UINT8, None, "of the measurement"),
    "opening": Field(DataType.BOOL, None, "reed switch; the custom layouts"),
    "switch": Field(DataType.BOOL, None, "trigger output; not in atc1441"),
}


def decode(payload: bytes) -> Mapping[str, Value]:
    """Service data of an unencrypted layout → fields. Raises Undecodable."""
    if len(payload) == _ATC1441.size:
        tenths, humidity, battery, millivolts, counter = _ATC1441.unpack(payload)
        return {
            "temperature": tenths / 10,
            "humidity": float(humidity),
            "battery": battery,
            "voltage": millivolts / 1000,
            "counter": counter,
        }
    if len(payload) == _CUSTOM.size:
        hundredths, humidity, millivolts, battery, counter, flags = _CUSTOM.unpack(payload)
        return {
            "temperature": hundredths / 100,
            "humidity": humidity / 100,
            "battery": battery,
            "voltage": millivolts / 1000,
            "counter": counter,
            "opening": bool(flags & 1),
            "switch": bool(flags & 2),
        }
    if len(payload) in (_OVERHEAD + _ATC1441_SEALED, _OVERHEAD + _CUSTOM_SEALED.size):
        raise Undecodable("the advert is encrypted: give the device's 'bindkey'")
    raise Undecodable(f"these {len(payload)} bytes are none of the four ATC layouts")


def _decode_opened(counter: int, text: bytes) -> Mapping[str, Value]:
    if len(text) == _ATC1441_SEALED:
        return {
            "temperature": text[0] / 2 - 40,
            "humidity": text[1] / 2,
            "battery": text[2] & 0x7F,
            "counter": counter,
            "switch": bool(text[2] & 0x80),
        }
    hundredths, humidity, battery, flags = _CUSTOM_SEALED.unpack(text)
    return {
        "temperature": hundredths / 100,
        "humidity": humidity / 100,
        "battery": battery,
        "counter": counter,
        "opening": bool(flags & 1),
        "switch": bool(flags & 2),
    }


def decoder(key: bytes | None) -> Decoder:
    """With a key, only encrypted adverts are believed."""
    if key is None:
        return lambda payload, address: decode(payload)
    open_sealed = opener(key)

    def decode_sealed(payload: bytes, address: bytes) -> Mapping[str, Value]:
        size = len(payload)
        if size in (_ATC1441.size, _CUSTOM.size):
            raise Unauthentic("the advert isn't encrypted though the device has a bindkey")
        if size not in (_OVERHEAD + _ATC1441_SEALED, _OVERHEAD + _CUSTOM_SEALED.size):
            raise Undecodable(f"these {size} bytes are none of the four ATC layouts")
        # The nonce takes in the head of the advertising structure: its length, its type and the service.
        head = bytes((size + 3, 0x16)) + SERVICE.to_bytes(2, "little") + payload[:1]
        return _decode_opened(payload[0], open_sealed(address[::-1] + head, payload[1:], _ASSOCIATED))

    return decode_sealed


ATC = Format("atc", "ATC and pvvx thermometer firmware", FIELDS, service_data(SERVICE), decoder, encrypts=True)
