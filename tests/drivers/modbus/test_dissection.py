"""What a trace says about frames, held against pymodbus' own decoder, which shares no code with it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerAscii, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadCoilsResponse,
    ReadDiscreteInputsRequest,
    ReadDiscreteInputsResponse,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    MaskWriteRegisterRequest,
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from drivers.modbus.dissection import dissect
from gateway.wire import Direction, Dissection, Frame

_FRAMERS = {"mbap": FramerSocket, "rtu": FramerRTU, "ascii": FramerAscii}
ADDRESS = st.integers(0, 0xFFFF)
UNIT = st.integers(1, 247)
REGISTERS = st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=20)
BITS = st.lists(st.booleans(), min_size=1, max_size=20)
FORM = st.sampled_from([*_FRAMERS])


def framed(form: str, direction: Direction, pdu: Any, unit: int = 1) -> Frame:
    body = bytes((pdu.function_code,)) + pdu.encode()
    data = _FRAMERS[form](DecodePDU(is_server=False)).encode(body, unit, 7)
    return Frame(0, 0, direction, data, form, str(unit))


def texts(dissection: Dissection) -> dict[str, str]:
    return {part.name: part.text for part in dissection.parts}


def raw(frame: Frame, dissection: Dissection, name: str) -> bytes:
    """The bytes that a part points at."""
    part = next(part for part in dissection.parts if part.name == name)
    data = frame.data[part.offset : part.offset + part.length]
    return bytes.fromhex(data.decode()) if frame.form == "ascii" else data


@given(FORM, UNIT, ADDRESS, st.integers(1, 125), st.sampled_from([(3, "hr"), (4, "ir"), (1, "co"), (2, "di")]))
def test_a_read_request(form: str, unit: int, address: int, count: int, table: tuple[int, str]) -> None:
    kinds = {3: ReadHoldingRegistersRequest, 4: ReadInputRegistersRequest, 1: ReadCoilsRequest}
    request = kinds.get(table[0], ReadDiscreteInputsRequest)(address=address, count=count)
    frame = framed(form, Direction.SENT, request, unit)
    found = dissect(frame, None)
    other = DecodePDU(is_server=True).decode(bytes((request.function_code,)) + request.encode())
    assert not found.fault
    assert texts(found)["unit"] == str(unit)
    assert texts(found)["address"] == f"{table[1]}:{other.address}"
    assert texts(found)["count"] == str(other.count)
    assert raw(frame, found, "address") == address.to_bytes(2, "big")
    assert raw(frame, found, "unit") == bytes((unit,))


@given(FORM, ADDRESS, REGISTERS, st.booleans())
def test_the_registers_of_an_answer_have_the_addresses_of_the_request(
    form: str, address: int, registers: list[int], inputs: bool
) -> None:
    ask, tell = (
        (ReadInputRegistersRequest, ReadInputRegistersResponse)
        if inputs
        else (ReadHoldingRegistersRequest, ReadHoldingRegistersResponse)
    )
    asked = framed(form, Direction.SENT, ask(address=address, count=len(registers)))
    frame = framed(form, Direction.RECEIVED, tell(registers=registers))
    found = dissect(frame, asked)
    other = DecodePDU(is_server=False).decode(
        bytes((4 if inputs else 3, 2 * len(registers))) + b"".join(value.to_bytes(2, "big") for value in registers)
    )
    assert not found.fault
    for index, value in enumerate(other.registers):
        name = f"{'ir' if inputs else 'hr'}:{address + index}"
        assert texts(found)[name].startswith(f"{value} ")
        assert raw(frame, found, name) == value.to_bytes(2, "big")


@given(FORM, ADDRESS, BITS)
def test_the_bits_of_an_answer(form: str, address: int, bits: list[bool]) -> None:
    for ask, tell in (
        (ReadCoilsRequest, ReadCoilsResponse),
        (ReadDiscreteInputsRequest, ReadDiscreteInputsResponse),
    ):
        asked = framed(form, Direction.SENT, ask(address=address, count=len(bits)))
        found = dissect(framed(form, Direction.RECEIVED, tell(bits=bits)), asked)
        shown = [text for name, text in texts(found).items() if name[:3] in ("co:", "di:")]
        assert " ".join(shown).split() == [str(int(bit)) for bit in bits]


@given(FORM, ADDRESS, REGISTERS, BITS)
def test_writes(form: str, address: int, registers: list[int], bits: list[bool]) -> None:
    single = dissect(
        framed(form, Direction.SENT, WriteSingleRegisterRequest(address=address, registers=registers[:1])), None
    )
    assert texts(single)["value"].startswith(f"{registers[0]} ")
    assert f"hr:{address} = {registers[0]} " in single.summary
    coil = dissect(framed(form, Direction.SENT, WriteSingleCoilRequest(address=address, bits=bits[:1])), None)
    assert texts(coil)["value"] == ("on" if bits[0] else "off")
    many = dissect(
        framed(form, Direction.SENT, WriteMultipleRegistersRequest(address=address, registers=registers)), None
    )
    assert [texts(many)[f"hr:{address + i}"].split()[0] for i in range(len(registers))] == [*map(str, registers)]
    coils = dissect(framed(form, Direction.SENT, WriteMultipleCoilsRequest(address=address, bits=bits)), None)
    shown = [text for name, text in texts(coils).items() if name.startswith("co:")]
    assert " ".join(shown).split() == [str(int(bit)) for bit in bits]
    mask = dissect(
        framed(form, Direction.SENT, MaskWriteRegisterRequest(address=address, and_mask=0xF0F0, or_mask=0x0F)), None
    )
    assert (texts(mask)["and"], texts(mask)["or"]) == ("0xF0F0", "0x000F")


def test_an_exception_is_a_fault_in_words() -> None:
    frame = Frame(0, 0, Direction.RECEIVED, bytes.fromhex("0007 0000 0003 01 83 02"), "mbap", "1")
    found = dissect(frame, None)
    assert found.fault
    assert found.summary == "unit 1: read holding registers refused: exception 2 (illegal data address)"


def test_a_wrong_checksum_is_a_fault_with_the_right_one() -> None:
    frame = Frame(0, 0, Direction.SENT, bytes.fromhex("01 03 00 0a 00 02 e4 08"), "rtu", "1")
    found = dissect(frame, None)
    assert found.fault
    assert texts(found)["CRC"] == "wrong, e4 09 would be right"


def test_an_identification() -> None:
    data = bytes.fromhex("0001 0000 0015 05 2b0e 01 01 00 00 02 00 04") + b"ACME" + b"\x01\x05" + b"Meter"
    found = dissect(Frame(0, 0, Direction.RECEIVED, data, "mbap", "5"), None)
    assert found.summary == "unit 5: answer to encapsulated interface ACME, Meter"
    assert (texts(found)["vendor"], texts(found)["product"]) == ("ACME", "Meter")


@pytest.mark.parametrize("form", [*_FRAMERS])
@given(data=st.binary(max_size=300), asked=st.none() | st.binary(max_size=40), sent=st.booleans())
def test_any_bytes_have_some_meaning(form: str, data: bytes, asked: bytes | None, sent: bool) -> None:
    frame = Frame(0, 0, Direction.SENT if sent else Direction.RECEIVED, data, form)
    found = dissect(frame, None if asked is None else Frame(0, 0, Direction.SENT, asked, form))
    assert found.summary
    assert all(0 <= part.offset <= part.offset + part.length <= len(data) for part in found.parts)
