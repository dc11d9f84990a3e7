"""Modbus addresses as users write them.

``hr:100`` holding register, ``ir:100`` input register, ``co:100`` coil, ``di:100`` discrete input; ``hr:100.3`` bit 3
of a register. Numbers after a prefix are protocol addresses, 0 to 65535, less the device's `address_offset`; they may
be hexadecimal (``hr:0x64``), and the colon may be left out (``HR100``).

``40001``, ``400001`` and ``4x1`` are the traditional references: the first digit names the table (0 coils, 1 discrete
inputs, 3 input registers, 4 holding registers) and the rest counts from 1, whatever `address_offset` says. ``%MW100``
and ``%M100`` are the IEC 61131-3 spellings of the register and the coil with that protocol address.

``id:vendor`` and the like are objects of the device's identification.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

LAST_ADDRESS = 65535


class Table(enum.Enum):
    """One of the four address spaces of a device (Modbus Application Protocol 1.1b3, §4.3), or its identification."""

    COILS = ("co", "coils", 1)
    DISCRETE_INPUTS = ("di", "discrete inputs", 2)
    HOLDING_REGISTERS = ("hr", "registers", 3)
    INPUT_REGISTERS = ("ir", "registers", 4)
    IDENTIFICATION = ("id", "identification objects", 43)

    def __init__(self, prefix: str, plural: str, read_function: int) -> None:
        self.prefix = prefix
        self.plural = plural
        self.read_function = read_function

    @property
    def holds_bits(self) -> bool:
        return self in (Table.COILS, Table.DISCRETE_INPUTS)

    @property
    def writable(self) -> bool:
        return self in (Table.COILS, Table.HOLDING_REGISTERS)

    @property
    def title(self) -> str:
        """What it is called where ``registers`` alone isn't enough."""
        return {
            Table.HOLDING_REGISTERS: "holding registers",
            Table.INPUT_REGISTERS: "input registers",
            Table.IDENTIFICATION: "identification objects",
        }.get(self, self.plural)


OBJECTS = {"vendor": 0, "product": 1, "revision": 2, "url": 3, "name": 4, "model": 5, "application": 6}
"""The objects of the basic and regular identification (§6.21), by our names for them."""
_LAST_OBJECT = 255
DATA_TABLES: tuple[Table, ...] = tuple(table for table in Table if table is not Table.IDENTIFICATION)
_PREFIXES = {table.prefix: table for table in DATA_TABLES}
_DIGITS = {
    "0": Table.COILS,
    "1": Table.DISCRETE_INPUTS,
    "3": Table.INPUT_REGISTERS,
    "4": Table.HOLDING_REGISTERS,
}
_FLAGS = re.ASCII | re.IGNORECASE
_NUMBER = r"(0x[0-9a-f]+|[0-9]+)"
_BIT = r"(?:\.([0-9]+))?"
_PREFIXED = re.compile(rf"([a-z]+):{_NUMBER}{_BIT}", _FLAGS)
_GLUED = re.compile(rf"(hr|ir|co|di)([0-9]+){_BIT}", _FLAGS)
_REFERENCE = re.compile(rf"([0-9])([0-9]{{4,5}}){_BIT}", _FLAGS)
_CROSSED = re.compile(rf"([0-9])x([0-9]{{1,5}}){_BIT}", _FLAGS)
_IEC = re.compile(rf"%(M|MW|MX|MB|MD|MF|ML|IW|QW|I|Q|IX|QX)([0-9]+){_BIT}", _FLAGS)
_BARE_IEC = re.compile(rf"(M|MW|MX|MB|MD|MF)([0-9]+){_BIT}", _FLAGS)
_OBJECT = re.compile(rf"id:(?:([a-z_]+)|{_NUMBER})", _FLAGS)
PATTERN = (
    r"^([hH][rR]|[iI][rR]|[cC][oO]|[dD][iI])(:0[xX][0-9a-fA-F]+|:?[0-9]+)(\.[0-9]+)?$"
    r"|^[0134][0-9]{4,5}(\.[0-9]+)?$|^[134][xX][0-9]{1,5}(\.[0-9]+)?$|^%[mM][wW]?[0-9]+(\.[0-9]+)?$"
    r"|^[iI][dD]:([a-zA-Z]+|0[xX][0-9a-fA-F]+|[0-9]+)$"
)
"""Every accepted spelling, for the schema."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a value starts."""

    table: Table
    number: int
    """The number after a prefix as written; for a reference or an IEC spelling the protocol address; an object's id."""
    bit: int | None = None
    absolute: bool = False
    """True for a number that the device's `address_offset` doesn't touch."""
    text: str = ""
    """The user's own spelling, for messages."""

    def __str__(self) -> str:
        return self.text

    def resolve(self, address_offset: int) -> int:
        """The address on the wire. Raises ValueError if the offset leads below 0."""
        if self.absolute:
            return self.number
        if self.number < address_offset:
            raise ValueError(
                f"address '{self.text}' is below the device's first address: "
                f"with address_offset {address_offset} numbers start at {address_offset}"
            )
        return self.number - address_offset


def parse(text: str) -> Address:
    """Parse an address. Raises ValueError with one sentence that says what is wrong and how to write it."""
    if match := _OBJECT.fullmatch(text):
        return _object(text, *match.groups())
    if match := _GLUED.fullmatch(text) or _PREFIXED.fullmatch(text):
        prefix, digits, bit = match.groups()
        table = _PREFIXES.get(prefix.lower())
        if table is None:
            raise ValueError(f"address '{text}' has an unknown prefix '{prefix}': use hr, ir, co, di or id")
        return _address(text, table, _integer(digits), bit, absolute=False)
    if match := _CROSSED.fullmatch(text) or _REFERENCE.fullmatch(text):
        return _reference(text, *match.groups())
    if match := _IEC.fullmatch(text):
        return _iec(text, *match.groups())
    if match := _BARE_IEC.fullmatch(text):
        # To Siemens the 100 of MW100 is a byte, to Schneider a word.
        raise ValueError(
            f"address '{text}' counts words with some makers and bytes with others: "
            f"write 'hr:{match[2]}' for register {match[2]}, 'co:{match[2]}' for coil {match[2]}"
        )
    raise ValueError(
        f"address '{text}' is not a Modbus address: write 'hr:100', 'ir:5', 'co:0', 'di:7', '40001' or 'id:vendor'"
    )


def _integer(digits: str) -> int:
    return int(digits, 16) if digits[:2].lower() == "0x" else int(digits)


def _reference(text: str, digit: str, digits: str, bit: str | None) -> Address:
    table = _DIGITS.get(digit)
    if table is None:
        raise ValueError(
            f"address '{text}' starts with {digit}: a reference starts with "
            "0 (coil), 1 (discrete input), 3 (input register) or 4 (holding register)"
        )
    number = int(digits) - 1
    crossed = text[1] in "xX"
    if crossed and table is Table.COILS:
        raise ValueError(
            f"address '{text}' may be a reference or a hexadecimal number: "
            f"write '0{digits:0>5}' for coil {number}, 'hr:{text}' for a register"
        )
    if number < 0:
        first = f"{text[:2]}1" if crossed else f"{text[: len(digits)]}1"
        raise ValueError(f"address '{text}' is not a reference: the first one is '{first}'")
    return _address(text, table, number, bit, absolute=True)


def _iec(text: str, kind: str, digits: str, bit: str | None) -> Address:
    kind = kind.upper()
    if kind == "M":
        return _address(text, Table.COILS, int(digits), bit, absolute=True)
    if kind == "MW":
        return _address(text, Table.HOLDING_REGISTERS, int(digits), bit, absolute=True)
    if kind in ("MD", "MF", "ML"):
        raise ValueError(
            f"address '{text}' has its size in it, which is the type's affair: write '%MW{digits}', "
            "or twice or half that number if the controller counts its double words so"
        )
    raise ValueError(
        f"address '{text}' is not one of Modbus: write the register or coil that the controller maps it to"
    )


def _object(text: str, name: str | None, digits: str | None) -> Address:
    number = OBJECTS.get(name.lower()) if name is not None else _integer(digits or "")
    if number is None:
        raise ValueError(
            f"address '{text}' names no object: use {', '.join(f'id:{known}' for known in OBJECTS)}, id:0x80"
        )
    if number > _LAST_OBJECT:
        raise ValueError(f"address '{text}' is beyond 0xFF: identification objects have numbers from 0 to 0xFF")
    return Address(Table.IDENTIFICATION, number, absolute=True, text=text)


def _address(text: str, table: Table, number: int, bit: str | None, *, absolute: bool) -> Address:
    if number > LAST_ADDRESS:
        raise ValueError(f"address '{text}' is beyond 65535: Modbus addresses {table.plural} 0 to 65535")
    if bit is not None:
        if table.holds_bits:
            raise ValueError(f"address '{text}' names a bit of a bit: {table.plural} are single bits, drop '.{bit}'")
        if int(bit) > 15:
            raise ValueError(f"address '{text}' names bit {bit}: a register has bits 0 to 15")
    return Address(table, number, None if bit is None else int(bit), absolute, text)
