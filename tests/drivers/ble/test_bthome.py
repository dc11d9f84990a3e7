"""BTHome 2: the examples of its specification, and bthome-ble as an oracle for everything else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bthome_ble.const import MEAS_TYPES
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.ble.adverts import FORMATS, Unauthentic, Undecodable, bthome
from drivers.ble.adverts.bthome import decode_objects, decoder
from gateway.model import DataType, Value
from tests.drivers.ble import oracles

KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
ADDRESS = bytes.fromhex(oracles.ADDRESS.replace(":", ""))

EXAMPLES: list[tuple[str, str, Value]] = [
    ("518756", "acceleration", 22.151),
    ("0161", "battery", 97),
    ("12E204", "co2", 1250),
    ("56E803", "conductivity", 1000),
    ("0960", "count", 96),
    ("3D0960", "count", 24585),
    ("3E2A2C0960", "count", 1611213866),
    ("59EA", "count", -22),
    ("5AEAEA", "count", -5398),
    ("5BEA0234EA", "count", -365690134),
    ("434E34", "current", 13.39),
    ("5D02EA", "current", -5.63),
    ("08CA06", "dew_point", 17.38),
    ("400C00", "distance_mm", 12),
    ("414E00", "distance", 7.8),
    ("424E3400", "duration", 13.39),
    ("4D12138A14", "energy", 344593.17),
    ("0A138A14", "energy", 1346.067),
    ("4B138A14", "gas", 1346.067),
    ("4C41018A01", "gas", 25821.505),
    ("528756", "gyroscope", 22.151),
    ("03BF13", "humidity", 50.55),
    ("2E23", "humidity", 35.0),
    ("05138A14", "illuminance", 13460.67),
    ("065E1F", "mass", 80.3),
    ("073E1D", "mass_lb", 74.86),
    ("14020C", "moisture", 30.74),
    ("2F23", "moisture", 35.0),
    ("0D120C", "pm2_5", 3090),
    ("0E021C", "pm10", 7170),
    ("0B021B00", "power", 69.14),
    ("5C02FBFFFF", "power", -12.78),
    ("04138A01", "pressure", 1008.83),
    ("540C48656C6C6F20576F726C6421", "raw", "48656c6c6f20576f726c6421"),
    ("3F020C", "rotation", 307.4),
    ("444E34", "speed", 133.9),
    ("57EA", "temperature", -22.0),
    ("58EA", "temperature", -7.7),
    ("451101", "temperature", 27.3),
    ("02CA09", "temperature", 25.06),
    ("530C48656C6C6F20576F726C6421", "text", "Hello World!"),
    ("505D396164", "timestamp", "2023-05-14T19:41:17Z"),
    ("133301", "tvoc", 307),
    ("0C020C", "voltage", 3.074),
    ("4A020C", "voltage", 307.4),
    ("4E87562A01", "volume", 19551.879),
    ("478756", "volume", 2215.1),
    ("48DC87", "volume_ml", 34780),
    ("5587562A01", "volume_storage", 19551.879),
    ("49DC87", "flow_rate", 34.78),
    ("4632", "uv_index", 5.0),
    ("4F87562A01", "water", 19551.879),
    ("5E9F8C", "direction", 359.99),
    ("1501", "battery_low", True),
    ("1600", "battery_charging", False),
    ("1A00", "door", False),
    ("0F01", "generic", True),
    ("1001", "power_on", True),
    ("2001", "moisture_detected", True),
    ("3A80", "button", "hold_press"),
    ("3C0103", "dimmer_steps", 3),
    ("3C020A", "dimmer", "rotate_right"),
    ("F00100", "device_type", 1),
    ("F100010204", "firmware", "4.2.1.0"),
    ("F2000106", "firmware", "6.1.0"),
    ("0009", "packet_id", 9),
]


@pytest.mark.parametrize(("payload", "field", "value"), EXAMPLES)
def test_the_examples_of_the_specification(payload: str, field: str, value: Value) -> None:
    found = decode_objects(bytes.fromhex(payload))
    assert found[field] == value
    assert type(found[field]) is type(value)


def test_the_worked_example() -> None:
    assert bthome.decode(bytes.fromhex("4002C40903BF13"), ADDRESS) == {"temperature": 25.0, "humidity": 50.55}


def test_objects_of_one_kind_are_numbered_in_their_order() -> None:
    found = decode_objects(bytes.fromhex("02C40902CA0945110101 61".replace(" ", "")))
    assert found == {"temperature": 25.0, "temperature_2": 25.06, "temperature_3": 27.3, "battery": 97}


def test_an_event_that_did_not_happen_keeps_its_place() -> None:
    assert decode_objects(bytes.fromhex("3A003A01")) == {"button_2": "press"}
    assert decode_objects(bytes.fromhex("3C00003C0205")) == {"dimmer_2": "rotate_right", "dimmer_steps_2": 5}


def test_an_event_nobody_knows_is_no_value() -> None:
    assert decode_objects(bytes.fromhex("3A77")) == {"button": None}


def test_what_comes_before_an_unknown_object_counts() -> None:
    assert decode_objects(bytes.fromhex("0161EE0102")) == {"battery": 97}
    assert decode_objects(bytes.fromhex("016102CA")) == {"battery": 97}


@pytest.mark.parametrize("payload", ["", "40", "4002CA", "40EE", "2002C409", "41", "41" + 8 * "00", "4053", "4053FF41"])
def test_what_is_not_bthome_is_refused(payload: str) -> None:
    for key in (None, KEY):
        with pytest.raises(Undecodable):
            decoder(key)(bytes.fromhex(payload), ADDRESS)


# -- encryption


def seal(objects: bytes, counter: int, key: bytes = KEY, address: bytes = ADDRESS, information: int = 0x41) -> bytes:
    head = bytes((information,))
    nonce = address + b"\xd2\xfc" + head + counter.to_bytes(4, "little")
    sealed = AESCCM(key, tag_length=4).encrypt(nonce, objects, None)
    return head + sealed[:-4] + counter.to_bytes(4, "little") + sealed[-4:]


def test_the_encrypted_example_of_the_specification() -> None:
    payload = bytes.fromhex("41a47266c95f730011223378237214")
    assert seal(bytes.fromhex("02ca0903bf13"), 0x33221100) == payload
    assert decoder(KEY)(payload, ADDRESS) == {"temperature": 25.06, "humidity": 50.55}


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (seal(b"\x01\x61", 7, key=bytes(16)), "check the bindkey"),
        (seal(b"\x01\x61", 7, address=bytes(6)), "check the bindkey"),
        (b"\x40\x01\x61", "isn't encrypted though the device has a bindkey"),
    ],
)
def test_what_no_key_proves_is_not_believed(payload: bytes, sentence: str) -> None:
    with pytest.raises(Unauthentic, match=sentence):
        decoder(KEY)(payload, ADDRESS)


def test_an_encrypted_advert_without_a_key_says_what_is_missing() -> None:
    with pytest.raises(Undecodable, match="give the device's 'bindkey'"):
        decoder(None)(seal(b"\x01\x61", 7), ADDRESS)


def test_an_old_advert_is_not_taken_again() -> None:
    decode = decoder(KEY)
    old = seal(b"\x01\x61", 5000)
    assert decode(old, ADDRESS) == {"battery": 97}
    assert decode(old, ADDRESS) == {"battery": 97}, "a repetition at once is the rule on the air"
    assert decode(seal(b"\x01\x60", 5001), ADDRESS) == {"battery": 96}
    with pytest.raises(Unauthentic, match="went back from 5001 to 5000"):
        decode(old, ADDRESS)
    assert decode(seal(b"\x01\x5f", 5002), ADDRESS) == {"battery": 95}


def test_a_restarted_device_is_heard_again() -> None:
    decode = decoder(KEY)
    decode(seal(b"\x01\x61", 5000), ADDRESS)
    assert decode(seal(b"\x01\x60", 3), ADDRESS) == {"battery": 96}


# -- bthome-ble as an oracle

NUMBERS = st.sampled_from(sorted(bthome._NUMBERS.keys() - {0x00, 0xF0}))
ROUNDED = 0x58
"""Steps of 0.35, of which the oracle gives one digit."""
SWITCHES = st.sampled_from(sorted(bthome._SWITCHES))


@st.composite
def _object(draw: st.DrawFn) -> bytes:
    kind = draw(st.integers(0, 5))
    if kind < 3:
        number = draw(NUMBERS)
        return bytes((number,)) + draw(
            st.binary(min_size=bthome._NUMBERS[number][1], max_size=bthome._NUMBERS[number][1])
        )
    if kind == 3:
        return bytes((draw(SWITCHES), draw(st.integers(0, 1))))
    if kind == 4:
        data = draw(st.sampled_from(["a", "Hello World!", "21.5 °C", "日本"])).encode()
        return bytes((0x53, len(data))) + data
    return bytes((0x3A, draw(st.sampled_from(sorted(bthome._BUTTON)))))


def _alike(ours: Value, theirs: Any, field: str) -> bool:
    if isinstance(theirs, tuple):  # an event and its properties
        theirs = theirs[1]["steps"] if field == "dimmer_steps" else theirs[0]
    if isinstance(theirs, datetime):
        return ours == theirs.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(ours, float) and isinstance(theirs, int | float):
        return abs(ours - theirs) < 1e-6  # the oracle rounds what it multiplied
    return bool(ours == theirs)


def _oracle_name(number: int) -> str:
    kind = MEAS_TYPES[number].meas_format
    return str(getattr(kind, "device_class", kind))


@given(_object())
def test_an_object_means_what_it_means_to_the_oracle(data: bytes) -> None:
    ours = decode_objects(data)
    theirs = oracles.bthome(b"\x40" + data)
    for field, value in ours.items():
        found = theirs[_oracle_name(data[0])]
        assert _alike(value, found, field) or (data[0] == ROUNDED and abs(value - found) < 0.0501), (value, theirs)


@given(st.lists(_object().filter(lambda data: data[0] != ROUNDED), min_size=1, max_size=6))
def test_several_objects_mean_what_they_mean_to_the_oracle(objects: list[bytes]) -> None:
    """Whatever the names: the same values."""
    names = {(_oracle_name(data[0]), bthome._OBJECTS[data[0]].fields) for data in objects}
    # The oracle gives some objects of different kinds one name (mass in kg and lb): they overwrite each other.
    assume(len({name for name, _ in names}) == len(names))
    ours = decode_objects(b"".join(sorted(objects)))
    theirs = oracles.bthome(b"\x40" + b"".join(sorted(objects)))
    theirs.pop("signal_strength")
    assert len(ours) == len(theirs)
    unmatched = list(theirs.values())
    for field, value in ours.items():
        found = next(each for each in unmatched if _alike(value, each, field))
        unmatched.remove(found)


@given(st.lists(_object(), min_size=1, max_size=3), st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=16))
def test_an_encrypted_advert_means_what_it_means_to_the_oracle(objects: list[bytes], counter: int, key: bytes) -> None:
    text = b"".join(sorted(objects))
    payload = seal(text, counter, key)
    assert decoder(key)(payload, ADDRESS) == decode_objects(text)
    theirs = oracles.bthome(payload, key)
    assert theirs == oracles.bthome(b"\x40" + text)


def test_every_object_id_of_the_oracle_is_known() -> None:
    assert set(MEAS_TYPES) == set(bthome._OBJECTS)
    for number, theirs in MEAS_TYPES.items():
        if theirs.data_format not in ("string", "raw", "command"):
            assert bthome._OBJECTS[number].size == theirs.data_length, hex(number)


def test_every_field_has_the_type_it_says() -> None:
    for name, field in FORMATS["bthome"].fields.items():
        assert isinstance(field.type, DataType), name
        assert FORMATS["bthome"].field(f"{name}_2") is field
    assert FORMATS["bthome"].field("temperature_1") is None
    assert FORMATS["ruuvi"].field("temperature_2") is None
