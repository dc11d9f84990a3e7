"""Modbus addresses as users write them.

``hr:100`` holding register, ``ir:100`` input register, ``co:100`` coil, ``di:100`` discrete input; ``hr:100.3`` bit 3
of a register. Numbers after a prefix are protocol addresses, 0 to 65535, less the device's `address_offset`.

``40001`` and ``400001`` are the traditional five- and six-digit references: the first digit names the table (0 coils,
1 discrete inputs, 3 input registers, 4 holding registers) and the rest counts from 1, whatever `address_offset` says.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

LAST_ADDRESS = 65535


class Table(enum.Enum):
    """One of the four address spaces of a device (Modbus Application Protocol 1.1b3, §4.3)."""

    COILS = ("co", "coils", 1)
    DISCRETE_INPUTS = ("di", "discrete inputs", 2)
    HOLDING_REGISTERS = ("hr", "registers", 3)
    INPUT_REGISTERS = ("ir", "registers", 4)

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


_PREFIXES = {table.prefix: table for table in Table}
_DIGITS = {
    "0": Table.COILS,
    "1": Table.DISCRETE_INPUTS,
    "3": Table.INPUT_REGISTERS,
    "4": Table.HOLDING_REGISTERS,
}
_PREFIXED = re.compile(r"([a-z]+):([0-9]+)(?:\.([0-9]+))?", re.ASCII | re.IGNORECASE)
_REFERENCE = re.compile(r"([0-9])([0-9]{4,5})(?:\.([0-9]+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a value starts."""

    table: Table
    number: int
    """The number after a prefix as written; for a 40001-style reference the protocol address."""
    bit: int | None = None
    absolute: bool = False
    """True for a 40001-style reference, which the device's `address_offset` doesn't touch."""
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
    if match := _PREFIXED.fullmatch(text):
        prefix, digits, bit = match.groups()
        table = _PREFIXES.get(prefix.lower())
        if table is None:
            raise ValueError(f"address '{text}' has an unknown prefix '{prefix}': use hr, ir, co or di")
        number = int(digits)
        absolute = False
    elif match := _REFERENCE.fullmatch(text):
        digit, digits, bit = match.groups()
        table = _DIGITS.get(digit)
        if table is None:
            raise ValueError(
                f"address '{text}' starts with {digit}: a reference starts with "
                "0 (coil), 1 (discrete input), 3 (input register) or 4 (holding register)"
            )
        number = int(digits) - 1
        absolute = True
        if number < 0:
            raise ValueError(f"address '{text}' is not a reference: the first one is '{text[: len(digits)]}1'")
    else:
        raise ValueError(f"address '{text}' is not a Modbus address: write 'hr:100', 'ir:5', 'co:0', 'di:7' or '40001'")
    if number > LAST_ADDRESS:
        raise ValueError(f"address '{text}' is beyond 65535: Modbus addresses {table.plural} 0 to 65535")
    if bit is not None:
        if table.holds_bits:
            raise ValueError(f"address '{text}' names a bit of a bit: {table.plural} are single bits, drop '.{bit}'")
        if int(bit) > 15:
            raise ValueError(f"address '{text}' names bit {bit}: a register has bits 0 to 15")
    return Address(table, number, None if bit is None else int(bit), absolute, text)
