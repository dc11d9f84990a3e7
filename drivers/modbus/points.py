"""From a configured point to where it is on the wire and how it is encoded there."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.common import times
from drivers.common.blocks import Span
from drivers.common.texts import TextEncoding, TextOrder, Trim
from drivers.common.words import Encoding, Half
from drivers.modbus.address import LAST_ADDRESS, Table
from drivers.modbus.options import DeviceOptions, TagOptions
from gateway.driver import Point
from gateway.model import DataType

_ONLY_FOR = {
    "byte": (DataType.INT8, DataType.UINT8),
    "length": (DataType.STRING, DataType.BYTES),
    "text_order": (DataType.STRING, DataType.BYTES),
    "encoding": (DataType.STRING,),
    "trim": (DataType.STRING,),
    "time": (DataType.DATETIME,),
}


@dataclass(frozen=True, slots=True)
class Located:
    """One value's place."""

    table: Table
    span: Span
    encoding: Encoding | None = None
    """None in the tables of single bits and for identification objects."""
    count: int | None = None
    """As :attr:`gateway.driver.Point.count`, for the tables of single bits."""


def locate(point: Point, device: DeviceOptions) -> Located:
    """Raises ValueError with one sentence for a point that can't be: wrong type, address or option."""
    options = point.options
    if not isinstance(options, TagOptions):
        raise TypeError(f"point {point.path!r} carries {type(options).__name__}, not Modbus tag options")
    for name, types in _ONLY_FOR.items():
        if name in options.model_fields_set and point.type not in types and getattr(options, name) is not None:
            raise ValueError(f"option '{name}' is for {' and '.join(types)} only, not for {point.type}: drop it")
    if point.count == 0:
        raise ValueError("Modbus can't say how many elements there are: give 'count' a number, or drop it")
    if options.address.table is Table.IDENTIFICATION:
        return _object(point, options)
    if options.address.table.holds_bits:
        return _bits(point, options, device)
    return _registers(point, options, device)


def _object(point: Point, options: TagOptions) -> Located:
    address = options.address
    if point.type is not DataType.STRING or point.count is not None:
        raise ValueError(f"'{address}' is a text: it needs type string, not {point.type}, and no 'count'")
    if options.length is not None:
        raise ValueError(f"'{address}' says itself how long it is: drop 'length'")
    return Located(address.table, Span(address.number, 1))


def _bits(point: Point, options: TagOptions, device: DeviceOptions) -> Located:
    address = options.address
    number = address.resolve(device.address_offset)
    if point.type is not DataType.BOOL:
        raise ValueError(f"'{address}' is a single bit: {address.table.plural} need type bool, not {point.type}")
    span = Span(number, point.count or 1)
    _check_room(point, span, address.table, device)
    return Located(address.table, span, count=point.count)


def _registers(point: Point, options: TagOptions, device: DeviceOptions) -> Located:
    address = options.address
    number = address.resolve(device.address_offset)
    if point.type is DataType.BOOL and address.bit is None:
        raise ValueError(f"'{address}' is a whole register: a bool needs one of its bits, such as '{address}.0'")
    if point.type is not DataType.BOOL and address.bit is not None:
        raise ValueError(f"'{address}' is a single bit: it needs type bool, not {point.type}")
    if point.type in (DataType.STRING, DataType.BYTES) and options.length is None:
        raise ValueError(f"a {point.type} value has no 'length': add it, the number of registers it takes")
    if point.type is DataType.DATETIME and options.time is None:
        raise ValueError("a datetime has no 'time': add the form it is written down in, such as time = \"unix-u32\"")
    text_order = options.text_order
    if text_order is None:
        text_order = device.text_order if point.type is DataType.STRING else TextOrder.HIGH_FIRST
    encoding = Encoding(
        type=point.type,
        order=options.word_order or device.word_order,
        count=point.count,
        bit=address.bit,
        half=Half(options.byte),
        length=options.length or 0,
        text_order=text_order,
        text_encoding=TextEncoding(options.encoding),
        trim=Trim(options.trim),
        bcd=options.bcd,
        no_value=options.no_value,
        time=None if options.time is None else times.form(options.time),
        utc_offset_s=device.utc_offset_s,
    )
    span = Span(number, encoding.registers)
    _check_room(point, span, address.table, device)
    return Located(address.table, span, encoding)


def _check_room(point: Point, span: Span, table: Table, device: DeviceOptions) -> None:
    kind = str(point.type) if point.count is None else f"the array of {point.count} {point.type}"
    what = f"{kind} at '{point.options.address}' takes {span.count} {table.plural}"
    if span.end - 1 > LAST_ADDRESS:
        raise ValueError(f"{what} and ends beyond 65535: mend the address")
    name, limit = ("max_bits", device.max_bits) if table.holds_bits else ("max_registers", device.max_registers)
    if span.count > limit:
        raise ValueError(f"{what}, but the device's {name} allows {limit} in one read: take fewer")
    if device.read_from_zero and span.end > limit:
        raise ValueError(
            f"{kind} at '{point.options.address}' can't be reached, as with read_from_zero and {name} {limit} reads "
            f"end at {limit - 1} on the wire: mend these, or drop the tag"
        )
