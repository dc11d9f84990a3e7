"""Ruuvi, ATC, Eddystone and iBeacon: their specifications' examples, and public decoders as oracles."""

from __future__ import annotations

import struct
import uuid
from typing import Any

import pytest
from Cryptodome.Cipher import AES
from hypothesis import given
from hypothesis import strategies as st

from drivers.ble.adverts import FORMATS, Unauthentic, Undecodable, atc, eddystone, ibeacon, ruuvi
from gateway.config.units import is_ucum
from gateway.model import Value
from tests.drivers.ble import oracles

ADDRESS = bytes.fromhex(oracles.ADDRESS.replace(":", ""))
INT16 = st.integers(-0x8000, 0x7FFF)
UINT16 = st.integers(0, 0xFFFF)
BYTE = st.integers(0, 0xFF)


def close(ours: Value, theirs: float | None, tolerance: float) -> bool:
    """Equal to the digits the oracle gives."""
    if ours is None or theirs is None:
        return ours is theirs
    assert isinstance(ours, int | float)
    return abs(ours - theirs) <= tolerance


# -- Ruuvi

RUUVI_5 = {
    "valid": (
        "0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F",
        (24.3, 53.49, 100044, 4, -4, 1036, 2.977, 4, 66, 205, "CB:B8:33:4C:88:4F"),
    ),
    "largest": (
        "057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F",
        (163.835, 163.835, 115534, 32767, 32767, 32767, 3.646, 20, 254, 65534, "CB:B8:33:4C:88:4F"),
    ),
    "smallest": (
        "058001000000008001800180010000000000CBB8334C884F",
        (-163.835, 0.0, 50000, -32767, -32767, -32767, 1.6, -40, 0, 0, "CB:B8:33:4C:88:4F"),
    ),
    "not available": ("058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF", (None,) * 11),
}
RUUVI_3 = {
    "valid": ("03291A1ECE1EFC18F94202CA0B53", (26.3, 20.5, 102766, -1000, -1726, 714, 2.899)),
    "largest": ("03FF7F63FFFF7FFF7FFF7FFFFFFF", (127.99, 127.5, 115535, 32767, 32767, 32767, 65.535)),
    "smallest": ("0300FF6300008001800180010000", (-127.99, 0.0, 50000, -32767, -32767, -32767, 0.0)),
}


@pytest.mark.parametrize("case", [*RUUVI_5.values(), *RUUVI_3.values()], ids=[*RUUVI_5, *(f"3 {n}" for n in RUUVI_3)])
def test_ruuvi_test_vectors(case: tuple[str, tuple[Value, ...]]) -> None:
    payload, values = case
    assert tuple(ruuvi.decode(bytes.fromhex(payload)).values()) == values


@given(st.tuples(INT16, UINT16, UINT16, INT16, INT16, INT16, UINT16, BYTE, UINT16, st.binary(min_size=6, max_size=6)))
def test_ruuvi_5_means_what_it_means_to_the_oracle(parts: tuple[Any, ...]) -> None:
    payload = struct.pack(">BhHHhhhHBH6s", 5, *parts)
    ours, theirs = ruuvi.decode(payload), oracles.ruuvi(payload)
    assert close(ours["temperature"], theirs["temperature"], 0.00501)
    assert close(ours["humidity"], theirs["humidity"], 0.00501)
    pressure = theirs["pressure"]
    assert close(ours["pressure"], None if pressure is None else 100 * pressure, 0.01)
    axes = [ours[f"acceleration_{axis}"] for axis in "xyz"]
    if None not in axes:  # the oracle drops all three for one
        assert axes == [theirs[f"acceleration_{axis}"] for axis in "xyz"]
    battery = theirs["battery"]
    assert close(ours["voltage"], None if battery is None else battery / 1000, 1e-9)
    assert ours["tx_power"] == theirs["tx_power"]
    if ours["movement_counter"] is not None:  # the oracle doesn't know that 255 is none
        assert ours["movement_counter"] == theirs["movement_counter"]
    if ours["sequence"] is not None:
        assert ours["sequence"] == theirs["measurement_sequence_number"]
    if ours["mac"] is not None:
        assert ours["mac"] == bytes.fromhex(theirs["mac"]).hex(":").upper()


@given(st.tuples(BYTE, BYTE, st.integers(0, 99), UINT16, INT16, INT16, INT16, UINT16))
def test_ruuvi_3_means_what_it_means_to_the_oracle(parts: tuple[int, ...]) -> None:
    payload = struct.pack(">BBBBHhhhH", 3, *parts)
    ours, theirs = ruuvi.decode(payload), oracles.ruuvi(payload)
    for field in ("temperature", "humidity"):
        assert close(ours[field], theirs[field], 1e-9)
    assert close(ours["pressure"], 100 * theirs["pressure"], 1e-6)
    assert [ours[f"acceleration_{axis}"] for axis in "xyz"] == [theirs[f"acceleration_{axis}"] for axis in "xyz"]
    assert close(ours["voltage"], theirs["battery"] / 1000, 1e-9)


# -- ATC


def structure(service_data: bytes) -> bytes:
    return bytes((len(service_data) + 3, 0x16, 0x1A, 0x18)) + service_data


def seal(counter: int, text: bytes, key: bytes) -> bytes:
    """With another implementation of AES-CCM than the driver's."""
    head = bytes((len(text) + 8, 0x16, 0x1A, 0x18, counter))
    cipher = AES.new(key, AES.MODE_CCM, nonce=ADDRESS[::-1] + head, mac_len=4)
    cipher.update(b"\x11")
    sealed, tag = cipher.encrypt_and_digest(text)
    return bytes((counter,)) + sealed + tag


def check_atc(payload: bytes, key: bytes | None = None) -> None:
    ours = atc.decoder(key)(payload, ADDRESS)
    theirs = oracles.bleparser(structure(payload), key=key)
    assert theirs is not None
    assert theirs["data"]
    assert close(ours["temperature"], theirs["temperature"], 1e-9)
    assert close(ours["humidity"], theirs["humidity"], 1e-9)
    assert ours["counter"] == theirs["packet"]
    if key is None:
        assert ours["battery"] == theirs["battery"]
        assert close(ours["voltage"], theirs["voltage"], 1e-9)
    for field in ("switch", "opening"):
        assert ours.get(field) == (bool(theirs[field]) if field in theirs else None)


@given(st.tuples(INT16, BYTE, BYTE, UINT16, BYTE))
def test_atc1441_means_what_it_means_to_the_oracle(parts: tuple[int, ...]) -> None:
    check_atc(ADDRESS + struct.pack(">hBBHB", *parts))


@given(st.tuples(INT16, UINT16, UINT16, BYTE, BYTE, BYTE))
def test_pvvx_custom_means_what_it_means_to_the_oracle(parts: tuple[int, ...]) -> None:
    check_atc(ADDRESS[::-1] + struct.pack("<hHHBBB", *parts))


@given(INT16, UINT16, BYTE, BYTE, BYTE, st.binary(min_size=16, max_size=16))
def test_encrypted_pvvx_custom_means_what_it_means_to_the_oracle(
    temperature: int, humidity: int, battery: int, flags: int, counter: int, key: bytes
) -> None:
    check_atc(seal(counter, struct.pack("<hHBB", temperature, humidity, battery, flags), key), key)


@given(st.binary(min_size=3, max_size=3), BYTE, st.binary(min_size=16, max_size=16))
def test_encrypted_atc1441_means_what_it_means_to_the_oracle(text: bytes, counter: int, key: bytes) -> None:
    check_atc(seal(counter, text, key), key)


def test_atc_with_a_key_believes_only_what_is_encrypted_with_it() -> None:
    decode = atc.decoder(bytes(16))
    with pytest.raises(Unauthentic, match="isn't encrypted"):
        decode(ADDRESS + bytes(7), ADDRESS)
    with pytest.raises(Unauthentic, match="check the bindkey"):
        decode(seal(1, bytes(6), b"\x01" * 16), ADDRESS)
    with pytest.raises(Undecodable, match="give the device's 'bindkey'"):
        atc.decode(seal(1, bytes(6), bytes(16)))


# -- Eddystone (no public decoder at hand knows it: the specification's own words)


def test_eddystone_uid() -> None:
    payload = bytes.fromhex("00EE" + "00010203040506070809" + "AABBCCDDEEFF" + "0000")
    assert eddystone.decode(payload) == {"power": -18, "namespace": "00010203040506070809", "instance": "aabbccddeeff"}


@pytest.mark.parametrize(
    ("payload", "url"),
    [
        ("10ED00" + b"goo".hex() + "01", "http://www.goo.org/"),
        ("10ED03" + b"ruu.vi/#BEgWAMR8".hex(), "https://ruu.vi/#BEgWAMR8"),
        ("10ED02" + b"a".hex() + "07" + b"/b".hex(), "http://a.com/b"),
        ("10ED01", "https://www."),
    ],
)
def test_eddystone_url(payload: str, url: str) -> None:
    assert eddystone.decode(bytes.fromhex(payload)) == {"power": -19, "url": url}


def test_eddystone_tlm() -> None:
    payload = bytes.fromhex("2000" + "0BB8" + "1580" + "0000000A" + "00000064")
    assert eddystone.decode(payload) == {"voltage": 3.0, "temperature": 21.5, "adverts": 10, "uptime": 10.0}
    nothing = bytes.fromhex("2000" + "0000" + "8000" + "00000000" + "00000000")
    assert eddystone.decode(nothing) == {"voltage": None, "temperature": None, "adverts": 0, "uptime": 0.0}
    assert eddystone.decode(bytes.fromhex("2000" + "0000" + "FF80" + 16 * "0"))["temperature"] == -0.5


def test_eddystone_eid() -> None:
    assert eddystone.decode(bytes.fromhex("30F0" + "0011223344556677")) == {"power": -16, "eid": "0011223344556677"}


@pytest.mark.parametrize("payload", ["", "00", "2001" + 32 * "0", "2000", "40", "10ED04", "10ED0020", "10ED000E"])
def test_what_is_not_eddystone_is_refused(payload: str) -> None:
    with pytest.raises(Undecodable):
        eddystone.decode(bytes.fromhex(payload))


# -- iBeacon


@given(st.uuids(), UINT16, UINT16, st.integers(-128, 127))
def test_ibeacon_means_what_it_means_to_the_oracle(identity: uuid.UUID, major: int, minor: int, power: int) -> None:
    payload = b"\x02\x15" + identity.bytes + struct.pack(">HHb", major, minor, power)
    ours = ibeacon.decode(payload)
    assert ours == {"uuid": str(identity), "major": major, "minor": minor, "power": power}
    theirs = oracles.bleparser(bytes((len(payload) + 3, 0xFF, 0x4C, 0x00)) + payload)
    assert theirs is not None
    assert (theirs["uuid"], theirs["major"], theirs["minor"]) == (identity.hex, major, minor)
    assert theirs["measured power"] == power


# -- all


def test_every_unit_is_ucum() -> None:
    for format_ in FORMATS.values():
        for name, field in format_.fields.items():
            assert field.unit is None or is_ucum(field.unit), (format_.name, name)
