"""Commands: the bytes that write a value, exactly or not at all."""

from __future__ import annotations

from decimal import Decimal

from drivers.serial.instrument import Command, FieldRules
from drivers.serial.notation import parse
from drivers.serial.options import DeviceOptions
from gateway.model import DataType, Value


class Refused(ValueError):
    """The value can't be put into the command. The message is one sentence."""


def compose(command: Command, options: DeviceOptions, field: str | None, type_: DataType, value: Value) -> bytes:
    """What to send. `field`: the field the value is read from, whose texts for true and false, decimal sign and base it
    is written with. Raises Refused."""
    rules = options.field.get(field or "", FieldRules())
    head, found, tail = command.send.partition("{value}")
    middle = b""
    if found:
        middle = _text(command, rules, options.encoding, type_, value)
    elif value is None:
        raise Refused("None is no value")
    parts = [parse(part).replace(b"{address}", options.address) for part in (head, tail)]
    return parts[0] + middle + parts[1]


def _text(command: Command, rules: FieldRules, encoding: str, type_: DataType, value: Value) -> bytes:
    if type_ is DataType.BOOL:
        if not isinstance(value, bool):
            raise Refused(f"{value!r} is not a bool")
        return (rules.true if value else rules.false)[0].encode("latin-1")
    if type_.is_text:
        return _characters(encoding, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{value!r} is not a number")
    text = _integer(rules, type_, value) if type_.is_integer else _decimal(command, rules, value)
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    return (sign + digits.rjust(command.width - len(sign), "0")).encode()


def _characters(encoding: str, value: Value) -> bytes:
    if not isinstance(value, str):
        raise Refused(f"{value!r} is not a string")
    try:
        data = value.encode(encoding)
    except UnicodeEncodeError:
        raise Refused(f"{value!r} has characters that {encoding} can't hold") from None
    if any(byte < 0x20 or byte == 0x7F for byte in data):
        # A line end inside would be another command.
        raise Refused(f"{value!r} has control characters")
    return data


def _integer(rules: FieldRules, type_: DataType, value: int | float) -> str:
    if isinstance(value, float) and not value.is_integer():
        raise Refused(f"{value!r} is not a whole number, as {type_} needs")
    number = int(value)
    low, high = type_.bounds
    if not low <= number <= high:
        raise Refused(f"{number} is outside {type_}, which holds {low} to {high}")
    return format(number, {2: "b", 8: "o", 10: "d", 16: "X"}[rules.base])


def _decimal(command: Command, rules: FieldRules, value: int | float) -> str:
    exact = Decimal(repr(value))
    if not exact.is_finite():
        raise Refused(f"{value!r} can't be sent")
    if command.decimals is not None:
        fixed = round(exact, command.decimals)
        if fixed != exact:
            raise Refused(f"{value!r} has more than {command.decimals} decimal places")
        exact = fixed
    text = format(exact, "f")
    if command.decimals is None and "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(".", rules.decimal)
