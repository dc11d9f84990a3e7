"""From a configured point to where it is on the wire and how it is encoded there."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.common.blocks import Span
from drivers.common.words import Encoding, Half, TextEncoding, TextOrder, Trim
from drivers.modbus.address import LAST_ADDRESS, Table
from drivers.modbus.options import DeviceOptions, TagOptions
from gateway.driver import Point
from gateway.model import DataType

_ONLY_FOR = {
    "byte": (DataType.INT8, DataType.UINT8),
    "length": (DataType.STRING,),
    "text_order": (DataType.STRING,),
    "encoding": (DataType.STRING,),
    "trim": (DataType.STRING,),
}


@dataclass(frozen=True, slots=True)
class Located:
    """One value's place."""

    table: Table
    span: Span
    encoding: Encoding | None
    """None in the tables of single bits."""


def locate(point: Point, device: DeviceOptions) -> Located:
    """Raises ValueError with one sentence for a point that can't be: wrong type, address or option."""
    options = point.options
    if not isinstance(options, TagOptions):
        raise TypeError(f"point {point.path!r} carries {type(options).__name__}, not Modbus tag options")
    address = options.address
    number = address.resolve(device.address_offset)
    for name, types in _ONLY_FOR.items():
        if name in options.model_fields_set and point.type not in types and getattr(options, name) is not None:
            raise ValueError(f"option '{name}' is for {' and '.join(types)} only, not for {point.type}: drop it")
    if address.table.holds_bits:
        if point.type is not DataType.BOOL:
            raise ValueError(f"'{address}' is a single bit: {address.table.plural} need type bool, not {point.type}")
        return Located(address.table, Span(number, 1), None)
    if point.type is DataType.BOOL and address.bit is None:
        raise ValueError(f"'{address}' is a whole register: a bool needs one of its bits, such as '{address}.0'")
    if point.type is not DataType.BOOL and address.bit is not None:
        raise ValueError(f"'{address}' is a single bit: it needs type bool, not {point.type}")
    if point.type is DataType.STRING and options.length is None:
        raise ValueError("a string needs 'length', the number of its registers (two bytes each)")
    encoding = Encoding(
        type=point.type,
        order=options.word_order or device.word_order,
        bit=address.bit,
        half=Half(options.byte),
        length=options.length or 0,
        text_order=TextOrder(options.text_order or device.text_order),
        text_encoding=TextEncoding(options.encoding),
        trim=Trim(options.trim),
        bcd=options.bcd,
    )
    span = Span(number, encoding.registers)
    if span.end - 1 > LAST_ADDRESS:
        raise ValueError(
            f"{point.type} at '{address}' takes {span.count} registers and ends beyond 65535, the last address"
        )
    if span.count > device.max_registers:
        raise ValueError(
            f"{point.type} at '{address}' takes {span.count} registers, "
            f"but the device's max_registers allows {device.max_registers} in one read"
        )
    return Located(address.table, span, encoding)
