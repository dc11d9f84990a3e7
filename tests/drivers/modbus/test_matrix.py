"""What the decode matrix says a tag needs is what makes a tag read exactly that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.common.words import Encoding
from drivers.modbus.address import Table
from drivers.modbus.matrix import CANDIDATES, decodings
from drivers.modbus.options import DeviceOptions, TagOptions
from drivers.modbus.points import locate
from gateway.driver import Point
from gateway.model import DataType


@pytest.mark.parametrize(("order", "encoding", "options"), CANDIDATES, ids=range(len(CANDIDATES)))
def test_the_options_of_each_way_configure_that_way(order: str, encoding: Encoding, options: dict[str, object]) -> None:
    address = f"hr:100.{encoding.bit}" if encoding.bit is not None else "hr:100"
    tag = TagOptions.model_validate({"address": address, **options})
    located = locate(Point("x", encoding.type, tag), DeviceOptions())
    assert located.encoding == replace(encoding, order=located.encoding.order if located.encoding else encoding.order)
    if "word_order" in options:
        assert located.encoding is not None
        assert located.encoding.order == encoding.order


def test_a_bit_has_its_own_address() -> None:
    ways = list(decodings(Table.HOLDING_REGISTERS, 5, 0, dict.fromkeys(range(20), b"\x00\x08")))
    bit = next(way for way in ways if way.address == "hr:5" and way.order == "bit 3")
    assert (bit.type, bit.value, bit.options) == (DataType.BOOL, True, {"address": "hr:5.3"})
