"""Eddystone (github.com/google/eddystone): UID, URL, unencrypted TLM and EID frames. Big-endian.

A beacon sends its frames in turn, so each advert has some of the fields.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from drivers.ble.adverts.format import Field, Format, Undecodable, plain, service_data
from gateway.model import DataType, Value

SERVICE = 0xFEAA

_UID, _URL, _TLM, _EID = 0x00, 0x10, 0x20, 0x30
_TLM_BODY = struct.Struct(">xBHhII")
_SCHEMES = ("http://www.", "https://www.", "http://", "https://")
_ENDINGS = (".com", ".org", ".edu", ".net", ".info", ".biz", ".gov")
_EXPANSIONS = tuple(f"{ending}/" for ending in _ENDINGS) + _ENDINGS

FIELDS: dict[str, Field] = {
    "namespace": Field(DataType.BYTES, None, "UID"),
    "instance": Field(DataType.BYTES, None, "UID"),
    "url": Field(DataType.STRING, None, "URL"),
    "eid": Field(DataType.BYTES, None, "EID"),
    "power": Field(DataType.INT8, "{dBm}", "signal strength at 0 m; UID, URL, EID"),
    "voltage": Field(DataType.FLOAT64, "V", "of the battery, TLM"),
    "temperature": Field(DataType.FLOAT64, "Cel", "TLM"),
    "adverts": Field(DataType.UINT32, None, "sent since power-on, TLM"),
    "uptime": Field(DataType.FLOAT64, "s", "since power-on, TLM"),
}


def decode(payload: bytes) -> Mapping[str, Value]:
    """Service data → fields. Raises Undecodable."""
    size = len(payload)
    frame = payload[0] if size >= 2 else None
    if frame == _UID and size >= 18:
        return _power(payload) | {"namespace": payload[2:12].hex(), "instance": payload[12:18].hex()}
    if frame == _URL and size >= 3:
        return _power(payload) | {"url": _url(payload)}
    if frame == _EID and size >= 10:
        return _power(payload) | {"eid": payload[2:10].hex()}
    if frame == _TLM and payload[1] == 1:
        raise Undecodable("an encrypted Eddystone-TLM frame can't be read")
    if frame == _TLM and payload[1] == 0 and size >= _TLM_BODY.size:
        return _telemetry(payload)
    raise Undecodable(f"these {size} bytes are no Eddystone frame")


def _power(payload: bytes) -> dict[str, Value]:
    return {"power": payload[1] - 256 if payload[1] & 0x80 else payload[1]}


def _telemetry(payload: bytes) -> Mapping[str, Value]:
    _, millivolts, temperature, adverts, tenths = _TLM_BODY.unpack_from(payload)
    return {
        "voltage": millivolts / 1000 if millivolts else None,
        "temperature": None if temperature == -0x8000 else temperature / 256,
        "adverts": adverts,
        "uptime": tenths / 10,
    }


def _url(payload: bytes) -> str:
    if payload[2] >= len(_SCHEMES):
        raise Undecodable(f"an Eddystone-URL frame has the unknown scheme {payload[2]}")
    text = _SCHEMES[payload[2]]
    for byte in payload[3:]:
        if byte < len(_EXPANSIONS):
            text += _EXPANSIONS[byte]
        elif 0x20 < byte < 0x7F:
            text += chr(byte)
        else:
            raise Undecodable(f"an Eddystone-URL frame has the byte 0x{byte:02x}, which no URL has")
    return text


EDDYSTONE = Format("eddystone", "Eddystone UID, URL, TLM and EID", FIELDS, service_data(SERVICE), plain(decode))
