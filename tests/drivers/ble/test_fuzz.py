"""Random bytes: nothing but the declared error comes of them, and none takes long."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping

import pytest

from drivers.ble.adverts import FORMATS, Undecodable
from drivers.ble.adverts.format import Decoder
from drivers.ble.gatt.codec import Codec, Encoding, codec
from drivers.ble.gatt.profiles import CHARACTERISTICS
from gateway.model import Value
from tests.support.effort import times
from tests.support.stopwatch import stopwatch

ROUNDS = times(100_000)
ADDRESS = bytes.fromhex("5448E68F80A5")
LIMIT_S = 0.1

DECODERS: list[tuple[str, Decoder]] = [
    (f"{name}{' with a key' if key else ''}", each.decoder(key))
    for name, each in FORMATS.items()
    for key in (None, bytes(16))
    if key is None or each.encrypts
]
HEADS = (b"", b"\x40", b"\x41", b"\x05", b"\x03", b"\x02\x15", b"\x00", b"\x10", b"\x20\x00", b"\x40\x53", b"\x40\x3b")


@pytest.mark.parametrize("decoder", [each for _, each in DECODERS], ids=[name for name, _ in DECODERS])
def test_adverts(decoder: Decoder) -> None:
    chance = random.Random(7)
    with stopwatch() as watch:
        for _ in range(ROUNDS // len(DECODERS)):
            payload = chance.choice(HEADS) + chance.randbytes(chance.randrange(40))
            fields: Mapping[str, Value] = {}
            with watch, contextlib.suppress(Undecodable):
                fields = decoder(payload, ADDRESS)
            assert all(value is None or isinstance(value, bool | int | float | str) for value in fields.values())
    assert watch.slowest_s < LIMIT_S


def test_characteristics() -> None:
    codecs: list[Codec] = [codec(each) for each in Encoding]
    for each in CHARACTERISTICS.values():
        codecs += [each.value, *each.parts.values()]
    chance = random.Random(8)
    with stopwatch() as watch:
        for _ in range(ROUNDS // len(codecs)):
            for each_codec in codecs:
                data = chance.randbytes(chance.randrange(24))
                value: Value = None
                with watch, contextlib.suppress(ValueError):
                    value = each_codec.decode(data)
                assert value is None or isinstance(value, bool | int | float | str)
    assert watch.slowest_s < LIMIT_S
