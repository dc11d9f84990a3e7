"""The codec against the specification's bytes, and against anything a peer may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.northbound.mqtt import packets
from gateway.northbound.mqtt.packets import Connack, Disconnect, Kind, Malformed, Puback, Will

V5, V3 = packets.MQTT_5, packets.MQTT_3_1_1


def body_of(packet: bytes) -> bytes:
    found = packets.frame(packet, 0)
    assert found is not None
    start, end = found
    assert end == len(packet)
    return packet[start:end]


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (16_383, "ff7f"), (16_384, "808001"), (268_435_455, "ffffff7f")],
)
def test_variable_byte_integers_are_those_of_the_specification(number: int, encoded: str) -> None:
    """Table 1-1 of MQTT 5.0."""
    assert packets.varint(number).hex() == encoded


def test_connect_5_byte_for_byte() -> None:
    packet = packets.connect(V5, "gw1", 15, will=Will("a/b", b"bye"), username="u", password=b"\x00p")
    assert packet == bytes.fromhex(
        "10 27 0004 4d515454 05 ee 000f 05 27 000100000003 677731 00 0003 612f62 0003 627965 0001 75 0002 0070"
    )


def test_connect_3_1_1_has_no_properties() -> None:
    assert packets.connect(V3, "gw1", 60) == bytes.fromhex("10 0f 0004 4d515454 04 02 003c 0003 677731")


def test_a_string_beyond_its_length_field_is_refused() -> None:
    assert packets.string("x" * 65_535)[:2] == b"\xff\xff"
    with pytest.raises(ValueError, match="65536 bytes"):
        packets.string("x" * 65_536)


@pytest.mark.parametrize("length", [0, 127, 128, 4095, 4096, 16_384, 2_097_152])
@pytest.mark.parametrize("retain", [False, True])
def test_publish_heads(length: int, retain: bool) -> None:
    assert packets.publish_head(length, retain=retain) == bytes([0x32 + retain]) + packets.varint(length)


def test_connack_properties() -> None:
    packet = bytes.fromhex("20 15 00 00 12 21 0005 27 00000400 13 000a 24 01 25 00 22 0000")
    connack = packets.decode(V5, packet[0], body_of(packet))
    assert connack == Connack(0, False, {0x21: 5, 0x27: 1024, 0x13: 10, 0x24: 1, 0x25: 0, 0x22: 0})


@pytest.mark.parametrize(("code", "reason"), [(0, 0), (1, 0x84), (2, 0x85), (4, 0x86), (5, 0x87), (99, 0x80)])
def test_connack_of_3_1_1_speaks_the_same_reasons(code: int, reason: int) -> None:
    assert packets.decode(V3, 0x20, bytes([0, code])) == Connack(reason, False)


def test_puback_with_reason_and_words() -> None:
    words = bytes([0x1F, 0, 2]) + b"no" + bytes([0x26, 0, 1]) + b"k" + bytes([0, 1]) + b"v"
    assert packets.decode(V5, 0x40, b"\x01\x02\x87" + bytes([len(words)]) + words) == Puback(
        0x0102, 0x87, {0x1F: "no", 0x26: ("k", "v")}
    )
    assert packets.decode(V5, 0x40, b"\x01\x02\x10") == Puback(0x0102, 0x10)
    assert packets.decode(V5, 0xE0, b"") == Disconnect()
    assert packets.decode(V5, 0xE0, b"\x8e") == Disconnect(0x8E)


@pytest.mark.parametrize(
    ("version", "packet", "complaint"),
    [
        (V5, "3004 0001 61 00", "PUBLISH"),
        (V5, "4202 0001", "flags 0x2"),
        (V5, "4001 00", "too early"),
        (V3, "4003 0001 00", "PUBACK of 3 bytes"),
        (V5, "4005 0001 87 01 1f", "too early"),
        (V5, "4004 0001 87 05", "length"),
        (V5, "4007 0001 87 03 1f0005", "ends after its packet"),
        (V5, "4009 0001 87 05 1f0002 c328", "UTF-8"),
        (V5, "4005 0001 87 01 77", "unknown property 0x77"),
        (V5, "2009 0000 06 210005 210005", "twice"),
        (V5, "2003 02 00 00", "acknowledge flags"),
        (V3, "2003 00 00 00", "CONNACK of 3 bytes"),
        (V5, "d001 00", "PINGRESP with a body"),
        (V3, "e000", "type 14"),
        (V5, "9003 0001 00", "type 9"),
        (V5, "0000", "type 0"),
    ],
)
def test_what_a_broker_may_not_send_is_called_by_name(version: int, packet: str, complaint: str) -> None:
    raw = bytes.fromhex(packet)
    with pytest.raises(Malformed, match=complaint):
        packets.decode(version, raw[0], body_of(raw))


def test_frames_are_bounded() -> None:
    with pytest.raises(Malformed, match="more than four bytes"):
        packets.frame(b"\x40\xff\xff\xff\xff\x01", 0)
    with pytest.raises(Malformed, match="more than the 65536"):
        packets.frame(b"\x40\xff\xff\x7f", 0)
    assert packets.frame(b"\x40\xff\xff", 0) is None
    assert packets.frame(b"\x40", 0) is None


@given(st.sampled_from([V3, V5]), st.binary(min_size=2, max_size=60))
def test_any_bytes_decode_or_are_malformed(version: int, data: bytes) -> None:
    try:
        found = packets.frame(data, 0)
        if found is not None:
            packets.decode(version, data[0], data[found[0] : found[1]])
    except Malformed:
        pass


def test_reason_names_come_from_the_specification_or_are_numbers() -> None:
    assert packets.reason_name(Kind.PUBACK, 0x87) == "Not authorized"
    assert packets.reason_name(Kind.PUBACK, 0x95) == "reason code 0x95"
    assert packets.reason_name(Kind.DISCONNECT, 0x8E) == "Session taken over"
    assert packets.reason_name(Kind.CONNACK, 0xEE) == "reason code 0xEE"
