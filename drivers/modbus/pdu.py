"""Protocol data units, built by pymodbus and checked against what the request allows.

Every reply the driver polls for is known in advance but for the data of a read: a write is echoed, a read's byte count
follows from its request. So an :class:`Exchange` carries the expected head of its reply, and a reply is right if it
begins with that head and has that size. There is nothing to parse on the way. Only where a device says who it is does
the reply itself tell how long it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteMultipleCoilsResponse,
    WriteSingleCoilRequest,
    WriteSingleCoilResponse,
)
from pymodbus.pdu.register_message import (
    MaskWriteRegisterRequest,
    MaskWriteRegisterResponse,
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    ReadWriteMultipleRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteMultipleRegistersResponse,
    WriteSingleRegisterRequest,
    WriteSingleRegisterResponse,
)

from drivers.modbus.address import Table

MAX_WRITE_REGISTERS = 123
MAX_WRITE_BITS = 1968
MAX_READ_WRITE_REGISTERS = 121
MAX_PDU = 253

_READS: dict[Table, type[ModbusPDU]] = {
    Table.COILS: ReadCoilsRequest,
    Table.DISCRETE_INPUTS: ReadDiscreteInputsRequest,
    Table.HOLDING_REGISTERS: ReadHoldingRegistersRequest,
    Table.INPUT_REGISTERS: ReadInputRegistersRequest,
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what a right reply to it looks like."""

    request: bytes
    """The request PDU, function code first."""
    head: bytes
    """What the reply PDU must begin with; for a write, all of it."""
    size: int
    """Size of the whole reply PDU; of one that tells its size itself, the least it can have."""
    measure: Callable[[bytes], int] | None = None
    """For a reply that tells its size itself: see :meth:`size_of`."""

    @property
    def function(self) -> int:
        return self.request[0]

    @property
    def most(self) -> int:
        """The largest the whole reply PDU can be."""
        return self.size if self.measure is None else MAX_PDU

    def size_of(self, beginning: bytes) -> int:
        """Size of the whole reply PDU as far as its `beginning` tells: at most the true one, and that once so much of
        it is there."""
        return self.size if self.measure is None else self.measure(beginning)


def _bytes(pdu: ModbusPDU) -> bytes:
    return bytes((pdu.function_code,)) + pdu.encode()


def read(table: Table, address: int, count: int) -> Exchange:
    """Read `count` registers or bits. The reply's data follow its head."""
    request = _READS[table](address=address, count=count)
    data_size = (count + 7) // 8 if table.holds_bits else 2 * count
    return Exchange(_bytes(request), bytes((request.function_code, data_size)), 2 + data_size)


def _echoed(request: ModbusPDU, reply: ModbusPDU) -> Exchange:
    echo = _bytes(reply)
    return Exchange(_bytes(request), echo, len(echo))


def write_coils(address: int, values: Sequence[bool], *, multiple: bool) -> Exchange:
    """Function 5 for one coil unless `multiple`, else 15."""
    if len(values) == 1 and not multiple:
        return _echoed(
            WriteSingleCoilRequest(address=address, bits=list(values)),
            WriteSingleCoilResponse(address=address, bits=list(values)),
        )
    return _echoed(
        WriteMultipleCoilsRequest(address=address, bits=list(values)),
        WriteMultipleCoilsResponse(address=address, count=len(values)),
    )


def write_registers(address: int, registers: Sequence[int], *, multiple: bool) -> Exchange:
    """Function 6 for one register unless `multiple`, else 16."""
    if len(registers) == 1 and not multiple:
        return _echoed(
            WriteSingleRegisterRequest(address=address, registers=registers),
            WriteSingleRegisterResponse(address=address, registers=registers),
        )
    return _echoed(
        WriteMultipleRegistersRequest(address=address, registers=registers),
        WriteMultipleRegistersResponse(address=address, count=len(registers)),
    )


def mask_write(address: int, and_mask: int, or_mask: int) -> Exchange:
    """Function 22: register = (register AND and_mask) OR (or_mask AND NOT and_mask)."""
    return _echoed(
        MaskWriteRegisterRequest(address=address, and_mask=and_mask, or_mask=or_mask),
        MaskWriteRegisterResponse(address=address, and_mask=and_mask, or_mask=or_mask),
    )


def read_write_registers(address: int, registers: Sequence[int]) -> Exchange:
    """Function 23: write registers and read the same ones back. The reply's data follow its head."""
    count = len(registers)
    request = ReadWriteMultipleRegistersRequest(
        read_address=address, read_count=count, write_address=address, write_registers=registers
    )
    return Exchange(_bytes(request), bytes((request.function_code, 2 * count)), 2 + 2 * count)


# Function 43/14 (§6.21): function, MEI type, code, conformity, more follows, next object, number of objects.
_MEI = (43, 14)
_OBJECTS_AT = 7


@dataclass(frozen=True, slots=True)
class IdentificationPage:
    """What one reply holds of a device's identification."""

    objects: dict[int, bytes]
    next_object: int | None
    """Where to go on, or None if that was all."""


def read_identification(level: int, first_object: int) -> Exchange:
    """Function 43/14. `level`: 1 basic, 2 regular, 3 extended. What follows the head is for `identification_page`."""
    head = bytes((*_MEI, level))
    return Exchange(head + bytes((first_object,)), head, _OBJECTS_AT, _size_of_identification)


def _size_of_identification(beginning: bytes) -> int:
    if len(beginning) < _OBJECTS_AT:
        return _OBJECTS_AT
    size = _OBJECTS_AT
    for _ in range(beginning[_OBJECTS_AT - 1]):
        size += 2
        if len(beginning) < size:
            return size
        size += beginning[size - 1]
    return size


def identification_page(data: bytes) -> IdentificationPage:
    """What follows the head of a reply to :func:`read_identification`, of the right size."""
    _, more, next_object, count = data[: _OBJECTS_AT - 3]
    objects = {}
    at = _OBJECTS_AT - 3
    for _ in range(count):
        number, size = data[at : at + 2]
        objects[number] = data[at + 2 : at + 2 + size]
        at += 2 + size
    return IdentificationPage(objects, next_object if more else None)


def report_server_id() -> Exchange:
    """Function 17 (§6.13). What follows the head is the number of bytes and, in its own words, what the device is."""
    return Exchange(b"\x11", b"\x11", 2, lambda beginning: 2 + beginning[1] if len(beginning) > 1 else 2)
