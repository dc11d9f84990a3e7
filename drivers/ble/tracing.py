"""What goes over the radio, for somebody who watches; and what it means.

BlueZ takes adverts apart and speaks ATT itself, so what is shown here is put together again from what it reports: the
advertising structures and the ATT requests and answers, in the form in which they travel. Their order and bytes are
real, what BlueZ keeps to itself (the flags, the exchange of the MTU) isn't there.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.wire import Direction, Dissection, Frame, Part, Take

if TYPE_CHECKING:
    from bleak.backends.scanner import AdvertisementData

ADVERT = "advert"
ATT = "att"
_NOTE = "rebuilt from what BlueZ reports"
_BASE = "-0000-1000-8000-00805f9b34fb"

_READ, _READ_ANSWER, _WRITE, _WRITE_ANSWER, _COMMAND, _NOTIFICATION = 0x0A, 0x0B, 0x12, 0x13, 0x52, 0x1B
_OPCODES = {
    0x01: "error",
    _READ: "read request",
    _READ_ANSWER: "read response",
    _WRITE: "write request",
    _WRITE_ANSWER: "write response",
    _COMMAND: "write command",
    _NOTIFICATION: "notification",
    0x1D: "indication",
}
_WITH_HANDLE = (_READ, _WRITE, _COMMAND, _NOTIFICATION, 0x1D)
_TYPES = {
    0x01: "flags",
    0x02: "some 16-bit services",
    0x03: "16-bit services",
    0x06: "some 128-bit services",
    0x07: "128-bit services",
    0x08: "short name",
    0x09: "name",
    0x0A: "power",
    0x16: "service data",
    0x19: "appearance",
    0x21: "service data",
    0xFF: "manufacturer data",
}
"""Assigned Numbers §2.3."""


class Tracer:
    """Makes frames of what one radio hears of its devices, and exchanges with them."""

    def __init__(self, take: Take) -> None:
        self._take = take

    def advert(self, address: str, advert: AdvertisementData) -> None:
        self._emit(Direction.RECEIVED, _structures(advert), ADVERT, address, f"{advert.rssi} dBm, {_NOTE}")

    def reading(self, address: str, handle: int) -> None:
        self._att(Direction.SENT, address, _READ, handle.to_bytes(2, "little"))

    def was_read(self, address: str, value: bytes) -> None:
        self._att(Direction.RECEIVED, address, _READ_ANSWER, value)

    def writing(self, address: str, handle: int, value: bytes, *, answered: bool) -> None:
        opcode = _WRITE if answered else _COMMAND
        self._att(Direction.SENT, address, opcode, handle.to_bytes(2, "little") + value)

    def was_written(self, address: str) -> None:
        self._att(Direction.RECEIVED, address, _WRITE_ANSWER, b"")

    def notified(self, address: str, handle: int, value: bytes) -> None:
        self._att(Direction.RECEIVED, address, _NOTIFICATION, handle.to_bytes(2, "little") + value)

    def _att(self, direction: Direction, address: str, opcode: int, rest: bytes) -> None:
        self._emit(direction, bytes((opcode,)) + rest, ATT, address, _NOTE)

    def _emit(self, direction: Direction, data: bytes, form: str, address: str, note: str) -> None:
        self._take(Frame(time.monotonic_ns(), time.time_ns(), direction, data, form, address, note))


def _structures(advert: AdvertisementData) -> bytes:
    """Core Specification, vol. 3 part C §11: length, type, data."""
    found = [*_services(advert.service_uuids)]
    if advert.local_name:
        found.append((0x09, advert.local_name.encode()))
    if advert.tx_power is not None:
        found.append((0x0A, advert.tx_power.to_bytes(1, "little", signed=True)))
    for service, data in advert.service_data.items():
        short, full = _uuid(service)
        found.append((0x16, short + data) if short else (0x21, full + data))
    for company, data in advert.manufacturer_data.items():
        found.append((0xFF, company.to_bytes(2, "little") + data))
    return b"".join(bytes((len(data) + 1, kind)) + data for kind, data in found if len(data) < 255)


def _services(services: list[str]) -> Iterator[tuple[int, bytes]]:
    uuids = [_uuid(service) for service in services]
    if shorts := b"".join(short for short, _ in uuids):
        yield 0x03, shorts
    if fulls := b"".join(full for short, full in uuids if not short):
        yield 0x07, fulls


def _uuid(text: str) -> tuple[bytes, bytes]:
    """(16-bit form, empty if there is none; all of it), the low byte first."""
    full = uuid.UUID(text).bytes[::-1]
    return (bytes.fromhex(text[4:8])[::-1] if text.startswith("0000") and text.endswith(_BASE) else b""), full


def dissect(frame: Frame, asked: Frame | None) -> Dissection:
    """See :attr:`gateway.driver.DriverKind.dissect`."""
    return _dissect_advert(frame.data) if frame.form == ADVERT else _dissect_att(frame.data, asked)


def _dissect_advert(data: bytes) -> Dissection:
    parts: list[Part] = []
    said: list[str] = []
    at = 0
    while at < len(data):
        size = data[at]
        if not size:
            break
        if at + 1 + size > len(data):
            parts.append(Part("cut short", at, len(data) - at, f"{size} bytes announced"))
            return Dissection("advert, cut short", tuple(parts), fault=True)
        kind, body = data[at + 1], data[at + 2 : at + 1 + size]
        name, text = _TYPES.get(kind, f"type 0x{kind:02X}"), _structure(kind, body)
        parts.append(Part(name, at, 1 + size, text))
        said.append(f"{name} {text}")
        at += 1 + size
    return Dissection("advert: " + (", ".join(said) or "nothing"), tuple(parts))


def _structure(kind: int, body: bytes) -> str:
    match kind:
        case 0x08 | 0x09:
            return body.decode(errors="replace")
        case 0x0A if len(body) == 1:
            return f"{int.from_bytes(body, 'little', signed=True)} dBm"
        case 0x02 | 0x03:
            return " ".join(body[at : at + 2][::-1].hex() for at in range(0, len(body), 2))
        case 0x06 | 0x07:
            return " ".join(_shown(body[at : at + 16]) for at in range(0, len(body), 16))
        case 0x16:
            return f"{body[:2][::-1].hex()}: {body[2:].hex(' ')}"
        case 0x21:
            return f"{_shown(body[:16])}: {body[16:].hex(' ')}"
        case 0xFF:
            return f"company 0x{int.from_bytes(body[:2], 'little'):04X}: {body[2:].hex(' ')}"
    return body.hex(" ")


def _shown(low_first: bytes) -> str:
    return str(uuid.UUID(bytes=low_first[::-1])) if len(low_first) == 16 else low_first.hex(" ")


def _dissect_att(data: bytes, asked: Frame | None) -> Dissection:
    if not data:
        return Dissection("nothing", fault=True)
    opcode = data[0]
    name = _OPCODES.get(opcode, f"opcode 0x{opcode:02X}")
    parts = [Part("opcode", 0, 1, name)]
    at, about = 1, ""
    if opcode in _WITH_HANDLE and len(data) >= 3:
        about = f"handle 0x{int.from_bytes(data[1:3], 'little'):04X}"
        parts.append(Part("handle", 1, 2, about.removeprefix("handle ")))
        at = 3
    elif asked is not None and asked.form == ATT and opcode == (asked.data[:1] or b"\0")[0] + 1:
        about = f"handle 0x{int.from_bytes(asked.data[1:3], 'little'):04X}"
    value = data[at:]
    if value:
        parts.append(Part("value", at, len(value), value.hex(" ")))
    return Dissection(" ".join(filter(None, (name, about, value.hex(" ")))), tuple(parts), fault=opcode == 0x01)
