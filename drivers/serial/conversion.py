"""From what stands in a frame to a value and its quality, exactly or not at all.

What a message gives is raw: bytes where it is text, a value already where it is binary. A converter is compiled once
for a tag and applied to the raw fields of every frame. Nothing is guessed: what isn't a value of the type is
BadDecodingError, what the instrument left empty is BadSensorFailure, what is in another unit than the tag's is
BadConfigurationError.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeAlias

from drivers.common.quoting import quoted
from drivers.common.times import offset_s
from drivers.serial.instrument import QUALITIES, FieldRules
from drivers.serial.moments import PIVOT, moment_pattern
from gateway.model import DataType, Quality, Scalar, Value, is_bad

Raw: TypeAlias = bytes | Scalar | None
"""What a frame gives of one field: its text, a value, or nothing."""
Fields: TypeAlias = Mapping[str, Raw]
Convert: TypeAlias = Callable[[Fields], tuple[Value, int]]
"""The raw fields of a frame → a tag's value and quality."""

_UNDECODABLE: tuple[None, int] = (None, int(Quality.BAD_DECODING_ERROR))
_EMPTY: tuple[None, int] = (None, int(Quality.BAD_SENSOR_FAILURE))
_OUT_OF_RANGE: tuple[None, int] = (None, int(Quality.BAD_OUT_OF_RANGE))
_OTHER_UNIT: tuple[None, int] = (None, int(Quality.BAD_CONFIGURATION_ERROR))

_NUMBER = re.compile(rb"([+-]?) *([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_INTEGERS = {
    2: re.compile(rb"([+-]?) *([01]+)"),
    8: re.compile(rb"([+-]?) *([0-7]+)"),
    10: re.compile(rb"([+-]?) *([0-9]+)"),
    16: re.compile(rb"([+-]?) *([0-9A-Fa-f]+)"),
}
_LONGEST_NUMBER = 64
PLAIN = FieldRules()
"""How a field becomes a value of which nothing is said."""
MAX_DEPTH = 4
"""Fields made of fields made of fields …"""
_ANGLE = re.compile(rb"([0-9]{1,3})([0-5][0-9](?:\.[0-9]*)?)")


class ImpossibleTag(ValueError):
    """The field can't become a value of the tag's type. The message is one sentence with its mend."""


def compile_tag(
    name: str,
    all_rules: Mapping[str, FieldRules],
    has: Callable[[str], bool],
    type_: DataType,
    unit: str | None,
    encoding: str,
) -> Convert:
    """How a tag of this type takes the field `name` from a message that `has` some fields. Raises ImpossibleTag.

    `unit`: the UCUM code that the instrument must say, where it says one.
    """
    rules = all_rules.get(name, PLAIN)
    read = _reader(name, rules, all_rules)
    convert = _typed(name, rules, type_, encoding)
    scale = _placed(rules, all_rules, type_)
    checks = [_status(source, codes, all_rules) for source, codes in rules.status.items() if has(source)]
    unit_of = _reader_of(rules.unit_from, all_rules) if rules.unit_from else None
    if unit_of is not None and unit is None:
        raise ImpossibleTag(f"field {quoted(name)} comes with its unit: give the tag the unit it is to have")
    if unit_of is not None and unit not in rules.units.values():
        known = ", ".join(dict.fromkeys(rules.units.values()))
        raise ImpossibleTag(
            f"field {quoted(name)} never comes in {quoted(unit or '')}: "
            f"use one of {known}, or say with sent_unit what the tag expects"
        )
    right_unit = {_normal(text) for text, code in rules.units.items() if code == unit}
    known_units = {_normal(text) for text in rules.units}
    empty = {text.encode("latin-1", "replace") for text in rules.empty}

    def take(fields: Fields) -> tuple[Value, int]:
        worst = 0
        for check in checks:
            code = check(fields)
            # The severities are the two top bits: the larger code is the worse one.
            worst = max(worst, code)
        if is_bad(worst):
            return None, worst
        raw = read(fields)
        if isinstance(raw, bytes):
            raw = raw.strip(b" ")
        if raw is None or raw == b"" or (empty and raw in empty):
            return _EMPTY
        if unit_of is not None:
            said = _text(unit_of(fields))
            if said not in right_unit:
                return _OTHER_UNIT if said in known_units else _UNDECODABLE
        value, quality = convert(raw) if scale is None else scale(raw, fields)
        return value, quality or worst

    return take


# -- raw fields


def _reader(
    name: str, rules: FieldRules, all_rules: Mapping[str, FieldRules], depth: int = 0
) -> Callable[[Fields], Raw]:
    """How to get at the raw content of a field, which may be made of others or of some bits of one."""
    sources = rules.of or (name,)
    if depth > MAX_DEPTH:
        raise ImpossibleTag(f"field {quoted(name)} is made of itself: mend its 'of'")
    if rules.bit is not None:
        (source,) = sources
        shift, mask = rules.bit, (1 << rules.bits) - 1

        def bits(fields: Fields) -> Raw:
            raw = fields.get(source)
            if isinstance(raw, bytes) and len(raw) == 1:
                raw = raw[0]
            if not isinstance(raw, int):
                return None
            return str(raw >> shift & mask).encode()

        return bits
    if sources == (name,):
        return lambda fields: fields.get(name)
    readers = [
        _reader(source, PLAIN if source == name else all_rules.get(source, PLAIN), all_rules, depth + 1)
        for source in sources
    ]
    if len(readers) == 1:
        return readers[0]

    def joined(fields: Fields) -> Raw:
        parts = [read(fields) for read in readers]
        return b"".join(part for part in parts if isinstance(part, bytes)) if all(parts) else None

    return joined


def _reader_of(name: str, all_rules: Mapping[str, FieldRules]) -> Callable[[Fields], Raw]:
    return _reader(name, all_rules.get(name, PLAIN), all_rules)


def unit_said(rules: FieldRules, all_rules: Mapping[str, FieldRules], fields: Fields) -> str | None:
    """The UCUM code of the unit that a field comes with: what the instrument says, or the only one it could."""
    known = {*rules.units.values()}
    if rules.unit_from is None or len(known) == 1:
        return next(iter(known), None)
    said = _text(_reader_of(rules.unit_from, all_rules)(fields))
    return next((code for text, code in rules.units.items() if _normal(text) == said), None)


def _text(raw: Raw) -> str:
    """A raw field as it is looked up in a table of texts."""
    if isinstance(raw, bytes):
        return raw.decode("latin-1").strip()
    if isinstance(raw, bool):
        return str(int(raw))
    return "" if raw is None else str(raw)


def _normal(text: str) -> str:
    return text.strip()


def _status(source: str, codes: Mapping[str, str], all_rules: Mapping[str, FieldRules]) -> Callable[[Fields], int]:
    read = _reader_of(source, all_rules)
    table = {_normal(text): QUALITIES[name] for text, name in codes.items()}
    unknown = int(Quality.BAD_DECODING_ERROR)
    return lambda fields: table.get(_text(read(fields)), unknown)


# -- types


def _typed(name: str, rules: FieldRules, type_: DataType, encoding: str) -> Callable[[Raw], tuple[Value, int]]:
    """Raw content, not empty → value and quality."""
    if rules.convert and type_ is not DataType.FLOAT64:
        raise ImpossibleTag(f"field {quoted(name)} gives degrees: use type float64, not {type_}")
    if rules.format and type_ not in (DataType.DATETIME, DataType.STRING):
        raise ImpossibleTag(f"field {quoted(name)} is a moment: use type datetime, not {type_}")
    from_text = _from_text(name, rules, type_, encoding)

    def convert(raw: Raw) -> tuple[Value, int]:
        if isinstance(raw, bytes):
            return from_text(raw)
        return raw, 0  # a binary message decodes by itself; its type was compared when the tag was planned

    return convert


def _from_text(name: str, rules: FieldRules, type_: DataType, encoding: str) -> Callable[[bytes], tuple[Value, int]]:
    if type_.is_integer:
        return _integer(rules, type_)
    if type_ is DataType.FLOAT64:
        return _degrees(rules) if rules.convert else _float(rules)
    if type_.is_float:
        raise ImpossibleTag(f"field {quoted(name)} is a decimal number, which {type_} would round: use float64")
    if type_ is DataType.BOOL:
        return _bool(rules)
    if type_ is DataType.STRING:
        return _string(encoding)
    if type_ is DataType.BYTES:
        return lambda raw: (raw.hex(), 0)
    if type_ is DataType.DATETIME:
        return _datetime(name, rules)
    raise ImpossibleTag(f"field {quoted(name)} can't be a {type_}: use a number, bool, string, bytes or datetime")


def _integer(rules: FieldRules, type_: DataType) -> Callable[[bytes], tuple[Value, int]]:
    digits, base = _INTEGERS[rules.base], rules.base
    low, high = type_.bounds

    def integer(raw: bytes) -> tuple[Value, int]:
        match = digits.fullmatch(raw)
        if match is None or len(raw) > _LONGEST_NUMBER:
            return _UNDECODABLE
        value = int(match[2], base)
        if match[1] == b"-":
            value = -value
        return (value, 0) if low <= value <= high else _OUT_OF_RANGE

    return integer


def _decimal(rules: FieldRules, raw: bytes) -> bytes | None:
    """A number in the one notation that both float and Decimal read, or None."""
    if rules.decimal == ",":
        if b"." in raw:
            return None
        raw = raw.replace(b",", b".")
    match = _NUMBER.fullmatch(raw)
    if match is None or len(raw) > _LONGEST_NUMBER:
        return None
    return match[1] + match[2] + (match[3] or b"")


def _float(rules: FieldRules) -> Callable[[bytes], tuple[Value, int]]:
    def number(raw: bytes) -> tuple[Value, int]:
        text = _decimal(rules, raw)
        return _UNDECODABLE if text is None else (float(text), 0)

    return number


def _degrees(rules: FieldRules) -> Callable[[bytes], tuple[Value, int]]:
    def degrees(raw: bytes) -> tuple[Value, int]:
        match = _ANGLE.fullmatch(raw)
        if match is None:
            return _UNDECODABLE
        return float(Decimal(match[1].decode()) + Decimal(match[2].decode()) / 60), 0

    return degrees


def _placed(
    rules: FieldRules, all_rules: Mapping[str, FieldRules], type_: DataType
) -> Callable[[Raw, Fields], tuple[Value, int]] | None:
    """For a number whose sign or decimal point stands in another field; None if all of it is in its own."""
    if rules.sign_from is None and rules.places_from is None:
        return None
    if type_ is not DataType.FLOAT64:
        raise ImpossibleTag(f"a number whose sign or decimal point stands elsewhere is a float64, not a {type_}")
    sign = _reader_of(rules.sign_from, all_rules) if rules.sign_from else None
    signs = {_normal(text): factor for text, factor in rules.sign.items()}
    point = _reader_of(rules.places_from, all_rules) if rules.places_from else None
    places = {_normal(text): number for text, number in rules.places.items()}
    degrees = _degrees(rules) if rules.convert else None

    def number(raw: Raw, fields: Fields) -> tuple[Value, int]:
        if not isinstance(raw, bytes):
            return _UNDECODABLE
        if degrees is not None:
            value, code = degrees(raw)
            if code:
                return value, code
            exact = Decimal(repr(value))
        else:
            text = _decimal(rules, raw)
            if text is None:
                return _UNDECODABLE
            exact = Decimal(text.decode())
        if point is not None:
            shift = places.get(_text(point(fields)))
            if shift is None:
                return _UNDECODABLE
            exact = exact.scaleb(-shift)
        if sign is not None:
            factor = signs.get(_text(sign(fields)))
            if factor is None:
                return _UNDECODABLE
            exact *= factor
        return float(exact), 0

    return number


def _bool(rules: FieldRules) -> Callable[[bytes], tuple[Value, int]]:
    table = {text.lower().encode("latin-1", "replace"): (False, 0) for text in rules.false}
    table |= {text.lower().encode("latin-1", "replace"): (True, 0) for text in rules.true}
    return lambda raw: table.get(raw.lower(), _UNDECODABLE)


def _string(encoding: str) -> Callable[[bytes], tuple[Value, int]]:
    def string(raw: bytes) -> tuple[Value, int]:
        try:
            return raw.decode(encoding), 0
        except UnicodeDecodeError:
            return _UNDECODABLE

    return string


# -- moments


def _datetime(name: str, rules: FieldRules) -> Callable[[bytes], tuple[Value, int]]:
    if rules.format is None:
        raise ImpossibleTag(
            f"field {quoted(name)} needs a format to be a datetime: give it one, such as '%Y-%m-%d %H:%M:%S'"
        )
    pattern = moment_pattern(rules.format)
    ahead = datetime.timedelta(seconds=offset_s(rules.utc_offset))

    def moment(raw: bytes) -> tuple[Value, int]:
        match = pattern.fullmatch(raw)
        if match is None:
            return _UNDECODABLE
        parts = {key: text.decode() for key, text in match.groupdict().items() if text is not None}
        year = int(parts.get("Y", 0)) or int(parts["y"]) + (2000 if int(parts["y"]) < PIVOT else 1900)
        hour, minute, second = (int(parts.get(key, 0)) for key in "HMS")
        try:
            when = datetime.datetime(year, int(parts["m"]), int(parts["d"]), hour, minute, second) - ahead
        except (ValueError, OverflowError):
            return _UNDECODABLE
        fraction = f".{parts['f']}" if "f" in parts else ""
        return f"{when.isoformat(timespec='seconds')}{fraction}Z", 0

    return moment
