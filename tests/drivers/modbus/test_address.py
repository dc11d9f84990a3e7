from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.address import PATTERN, Table, parse


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
        ("hr:0x64", Table.HOLDING_REGISTERS, 100, None),
        ("ir:0XfF.3", Table.INPUT_REGISTERS, 255, 3),
        ("HR100", Table.HOLDING_REGISTERS, 100, None),
        ("hr100.3", Table.HOLDING_REGISTERS, 100, 3),
        ("4x1", Table.HOLDING_REGISTERS, 0, None),
        ("4X00101", Table.HOLDING_REGISTERS, 100, None),
        ("3x7.15", Table.INPUT_REGISTERS, 6, 15),
        ("1x65535", Table.DISCRETE_INPUTS, 65534, None),
        ("%MW100", Table.HOLDING_REGISTERS, 100, None),
        ("%mw100.3", Table.HOLDING_REGISTERS, 100, 3),
        ("%M7", Table.COILS, 7, None),
        ("id:vendor", Table.IDENTIFICATION, 0, None),
        ("ID:Application", Table.IDENTIFICATION, 6, None),
        ("id:0x80", Table.IDENTIFICATION, 128, None),
    ],
)
def test_addresses_as_users_write_them(text: str, table: Table, wire: int, bit: int | None) -> None:
    address = parse(text)
    assert (address.table, address.resolve(0), address.bit) == (table, wire, bit)
    assert str(address) == text
    assert re.search(PATTERN, text)


def test_the_offset_moves_prefixed_addresses_only() -> None:
    assert parse("hr:1").resolve(1) == 0
    assert parse("HR1").resolve(1) == 0
    assert parse("40001").resolve(1) == 0
    assert parse("4x1").resolve(1) == 0
    assert parse("%MW1").resolve(1) == 1
    assert parse("id:vendor").resolve(1) == 0
    with pytest.raises(ValueError, match="with address_offset 1 numbers start at 1"):
        parse("hr:0").resolve(1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hr:70000", "address 'hr:70000' is beyond 65535: Modbus addresses registers 0 to 65535"),
        ("co:65536", "address 'co:65536' is beyond 65535: Modbus addresses coils 0 to 65535"),
        ("465537", "address '465537' is beyond 65535: Modbus addresses registers 0 to 65535"),
        ("xy:1", "address 'xy:1' has an unknown prefix 'xy': use hr, ir, co, di or id"),
        ("hr:1.16", "address 'hr:1.16' names bit 16: a register has bits 0 to 15"),
        ("co:1.2", "address 'co:1.2' names a bit of a bit: coils are single bits, drop '.2'"),
        ("40000", "address '40000' is not a reference: the first one is '40001'"),
        ("400000", "address '400000' is not a reference: the first one is '400001'"),
        ("20001", "address '20001' starts with 2: a reference starts with 0 (coil), 1 (discrete input)"),
        ("", "address '' is not a Modbus address: write 'hr:100', 'ir:5', 'co:0', 'di:7', '40001' or 'id:vendor'"),
        ("hr:-1", "address 'hr:-1' is not a Modbus address"),
        ("hr:١", "address 'hr:١' is not a Modbus address"),
        ("4001", "address '4001' is not a Modbus address"),
        ("0x100", "may be a reference or a hexadecimal number: write '000100' for coil 99, 'hr:0x100' for a register"),
        ("2x100", "address '2x100' starts with 2: a reference starts with 0 (coil), 1 (discrete input)"),
        ("4x0", "address '4x0' is not a reference: the first one is '4x1'"),
        ("4x70000", "address '4x70000' is beyond 65535"),
        ("MW100.3", "counts words with some makers and bytes with others: write 'hr:100' for register 100"),
        ("%MD100", "address '%MD100' has its size in it, which is the type's affair: write '%MW100'"),
        ("%MF4", "address '%MF4' has its size in it"),
        ("%IW0", "address '%IW0' is not one of Modbus: write the register or coil that the controller maps it to"),
        ("%M1.2", "address '%M1.2' names a bit of a bit"),
        ("id:serial", "address 'id:serial' names no object: use id:vendor, id:product, id:revision"),
        ("id:256", "address 'id:256' is beyond 0xFF: identification objects have numbers from 0 to 0xFF"),
        ("hr:0x1G", "address 'hr:0x1G' is not a Modbus address"),
        ("D100", "address 'D100' is not a Modbus address"),
    ],
)
def test_an_impossible_address_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse(text)


@given(st.text(max_size=12) | st.from_regex(r"%?[a-zA-Z0-9]{0,3}[:x]?[0-9a-fx]{0,7}(\.[0-9]{0,3})?"))
def test_anything_else_is_a_clear_refusal_or_a_valid_address(text: str) -> None:
    try:
        address = parse(text)
    except ValueError as error:
        sentence = str(error)
    else:
        sentence = "address is fine"
        assert 0 <= address.number <= 65535
        assert address.bit is None or (0 <= address.bit <= 15 and not address.table.holds_bits)
        assert re.search(PATTERN, text)
    assert sentence.startswith("address ")
