"""Every checksum against its published check value or a plain definition."""

from __future__ import annotations

import operator
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.serial.checksum import function_of, size_of, xor

CHECK = b"123456789"


@pytest.mark.parametrize(
    ("name", "value", "size"),
    [
        # "check" of each entry in the catalogue of parametrised CRC algorithms.
        ("crc8-smbus", 0xF4, 1),
        ("crc8-maxim-dow", 0xA1, 1),
        ("crc8-sae-j1850", 0x4B, 1),
        ("crc16-modbus", 0x4B37, 2),
        ("crc16-arc", 0xBB3D, 2),
        ("crc16-xmodem", 0x31C3, 2),
        ("crc16-ibm-3740", 0x29B1, 2),
        ("crc16-kermit", 0x2189, 2),
        ("crc16-dnp", 0xEA82, 2),
        ("crc32-iso-hdlc", 0xCBF43926, 4),
        ("crc32-bzip2", 0xFC891918, 4),
        ("crc32-mpeg-2", 0x0376E6E7, 4),
        ("xor", 0x31, 1),
        ("sum8", 0xDD, 1),
        ("sum16", 0x01DD, 2),
        ("sum8-twos", 0x23, 1),
        ("sum16-twos", 0xFE23, 2),
        ("sum7-twos", 0x23, 1),
    ],
)
def test_known_checksums(name: str, value: int, size: int) -> None:
    assert function_of(name)(CHECK) == value
    assert size_of(name) == size


@given(st.binary(max_size=300))
def test_sums_and_xor_are_what_their_names_say(data: bytes) -> None:
    assert xor(data) == reduce(operator.xor, data, 0)
    assert (function_of("sum8-twos")(data) + sum(data)) % 256 == 0
    assert (function_of("sum7-twos")(data) + sum(data)) % 128 == 0
    assert (function_of("sum16-twos")(data) + sum(data)) % 65536 == 0


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("md5", "use xor, sum8"),
        ("crc16-modbas", "of this width there are crc16-arc"),
        ("crc16", "of this width there are"),
        ("crc64-xz", "use xor, sum8"),
    ],
)
def test_an_unknown_checksum_names_the_known_ones(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        size_of(name)
