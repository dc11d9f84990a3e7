from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.address import Table, parse


@pytest.mark.parametrize(
    ("text", "table", "wire", "bit"),
    [
        ("hr:0", Table.HOLDING_REGISTERS, 0, None),
        ("hr:65535", Table.HOLDING_REGISTERS, 65535, None),
        ("HR:100", Table.HOLDING_REGISTERS, 100, None),
        ("ir:5", Table.INPUT_REGISTERS, 5, None),
        ("co:0", Table.COILS, 0, None),
        ("di:7", Table.DISCRETE_INPUTS, 7, None),
        ("hr:100.3", Table.HOLDING_REGISTERS, 100, 3),
        ("40001", Table.HOLDING_REGISTERS, 0, None),
        ("49999", Table.HOLDING_REGISTERS, 9998, None),
        ("400001", Table.HOLDING_REGISTERS, 0, None),
        ("465536", Table.HOLDING_REGISTERS, 65535, None),
        ("30010", Table.INPUT_REGISTERS, 9, None),
        ("10002", Table.DISCRETE_INPUTS, 1, None),
        ("00001", Table.COILS, 0, None),
        ("40101.15", Table.HOLDING_REGISTERS, 100, 15),
    ],
)
def test_addresses_as_users_write_them(text: str, table: Table, wire: int, bit: int | None) -> None:
    address = parse(text)
    assert (address.table, address.resolve(0), address.bit) == (table, wire, bit)
    assert str(address) == text


def test_the_offset_moves_prefixed_addresses_only() -> None:
    assert parse("hr:1").resolve(1) == 0
    assert parse("40001").resolve(1) == 0
    with pytest.raises(ValueError, match="with address_offset 1 numbers start at 1"):
        parse("hr:0").resolve(1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hr:70000", "address 'hr:70000' is beyond 65535: Modbus addresses registers 0 to 65535"),
        ("co:65536", "address 'co:65536' is beyond 65535: Modbus addresses coils 0 to 65535"),
        ("465537", "address '465537' is beyond 65535: Modbus addresses registers 0 to 65535"),
        ("xy:1", "address 'xy:1' has an unknown prefix 'xy': use hr, ir, co or di"),
        ("hr:1.16", "address 'hr:1.16' names bit 16: a register has bits 0 to 15"),
        ("co:1.2", "address 'co:1.2' names a bit of a bit: coils are single bits, drop '.2'"),
        ("40000", "address '40000' is not a reference: the first one is '40001'"),
        ("400000", "address '400000' is not a reference: the first one is '400001'"),
        ("20001", "address '20001' starts with 2: a reference starts with 0 (coil), 1 (discrete input)"),
        ("", "address '' is not a Modbus address: write 'hr:100', 'ir:5', 'co:0', 'di:7' or '40001'"),
        ("hr:-1", "address 'hr:-1' is not a Modbus address"),
        ("hr:١", "address 'hr:١' is not a Modbus address"),
        ("4001", "address '4001' is not a Modbus address"),
    ],
)
def test_an_impossible_address_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse(text)


@given(st.text(max_size=12) | st.from_regex(r"[a-z0-9]{0,3}:?[0-9]{0,7}(\.[0-9]{0,3})?"))
def test_anything_else_is_a_clear_refusal_or_a_valid_address(text: str) -> None:
    try:
        address = parse(text)
    except ValueError as error:
        sentence = str(error)
    else:
        sentence = "address is fine"
        assert 0 <= address.number <= 65535
        assert address.bit is None or (0 <= address.bit <= 15 and not address.table.holds_bits)
    assert sentence.startswith("address ")
